"""What is wrong now, for whom, and where the switch is: the operator's front page begins with it.

Every reading is bounded and answered by an index or a small table.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import OutgoingMail, User
from billing.bills import matching
from billing.models import (
    AdjustmentRequest,
    AdjustmentState,
    Dispute,
    DisputeState,
    EventState,
    OrderState,
    PaymentEvent,
    PaymentOrder,
)
from billing.templatetags.figures import money
from gateway.models import Incident
from gateway.operations import Operations
from gateway.templatetags.ui import probe_note
from providers.models import Channel, Model, Price

NAMES_MAX = 3
_BEHIND_SECONDS_MAX = 300
_MAIL_TRIES_MIN = 3


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing to see to. `url` leads to where it is settled; `channel` may be disabled here."""

    what: str
    whom: str
    act: str
    url: str
    is_urgent: bool = False
    channel: int | None = None


def read(user: User, now: Operations | None) -> list[Trouble]:
    """Those this operator may see to, the urgent ones first."""
    found = [
        trouble for permission, look in _LOOKS if user.has_perm(permission) for trouble in look(now)
    ]
    return sorted(found, key=lambda one: not one.is_urgent)


def _gateways(now: Operations | None) -> Iterator[Trouble]:
    if now is not None and not now.gateways:
        yield Trouble(
            _("No gateway has been heard of for a minute"), _("Every request is refused."),
            _("Status"), reverse("status"), is_urgent=True,
        )  # fmt: skip


def _incidents(now: Operations | None) -> Iterator[Trouble]:
    for one in Incident.objects.filter(ended_at=None).order_by("-state", "started_at")[:NAMES_MAX]:
        what = _("%(part)s: %(state)s") % {
            "part": one.component.partition(":")[2] or "API", "state": one.get_state_display(),
        }  # fmt: skip
        yield Trouble(what, f"{one.started_at:%H:%M} UTC · {probe_note(one.note)}", _("Status"),
                      reverse("status"), is_urgent=True)  # fmt: skip


def _channels(now: Operations | None) -> Iterator[Trouble]:
    for one in now.channels if now else ():
        if one.failing:
            whom = _("Its latest attempt failed in %(some)s of %(all)s gateways.") % {
                "some": one.failing, "all": one.gateways,
            }  # fmt: skip
            yield Trouble(one.name, whom, _("Look and try it"),
                          reverse("admin:providers_channel_change", args=[one.pk]),
                          is_urgent=True, channel=one.pk)  # fmt: skip


def _catalog(now: Operations | None) -> Iterator[Trouble]:
    """Models customers see and cannot use."""
    serving = Channel.objects.filter(model=OuterRef("pk"), is_enabled=True)
    priced = Price.objects.filter(model=OuterRef("pk"), effective_at__lte=timezone.now())
    shown = Model.objects.filter(is_enabled=True)
    rows = shown.annotate(is_served=Exists(serving), is_priced=Exists(priced))
    for row in rows:
        if not row.is_priced:
            add = reverse("admin:providers_price_add") + f"?model={row.pk}"
            whom = _("It is enabled and has no price: nobody can use it.")
            yield Trouble(row.name, whom, _("Add a price"), add, is_urgent=True)
        elif not row.is_served:
            add = reverse("admin:providers_channel_add") + f"?model={row.pk}"
            whom = _("It is enabled and has no enabled channel: nobody can use it.")
            yield Trouble(row.name, whom, _("Add a channel"), add, is_urgent=True)


def _parked(now: Operations | None) -> Iterator[Trouble]:
    events = PaymentEvent.objects.filter(state=EventState.PARKED)
    if count := events.count():
        names = events.select_related("order__organization").order_by("id")[:NAMES_MAX]
        what = ngettext("%d payment message is parked", "%d payment messages are parked", count)
        yield Trouble(what % count, _whom(str(one.order.organization) if one.order
                                          else one.event_id for one in names),
                      _("Resolve"), _list("billing_paymentevent", "state__exact=parked"),
                      is_urgent=True)  # fmt: skip


def _parked_orders(now: Operations | None) -> Iterator[Trouble]:
    orders = PaymentOrder.objects.filter(state=OrderState.PARKED)
    if count := orders.count():
        names = orders.select_related("organization").order_by("id")[:NAMES_MAX]
        what = ngettext("%d payment is parked", "%d payments are parked", count)
        yield Trouble(what % count, _whom(str(one.organization) for one in names),
                      _("Resolve"), _list("billing_paymentorder", "state__exact=parked"),
                      is_urgent=True)  # fmt: skip


def _disputes(now: Operations | None) -> Iterator[Trouble]:
    rows = Dispute.objects.filter(state=DisputeState.OPEN)
    if count := rows.count():
        names = rows.select_related("order__organization").order_by("id")[:NAMES_MAX]
        what = ngettext("%d dispute is open", "%d disputes are open", count)
        yield Trouble(what % count, _whom(str(one.order.organization) for one in names),
                      _("Look"), _list("billing_dispute", "state__exact=open"))  # fmt: skip


def _adjustments(now: Operations | None) -> Iterator[Trouble]:
    rows = AdjustmentRequest.objects.filter(state=AdjustmentState.WAITING)
    if count := rows.count():
        names = rows.select_related("organization").order_by("id")[:NAMES_MAX]
        what = ngettext("%d adjustment waits for a second operator",
                        "%d adjustments wait for a second operator", count)  # fmt: skip
        yield Trouble(
            what % count,
            _whom(f"{one.organization} {money(one.amount_nanos)}" for one in names),
            _("Decide"), _list("billing_adjustmentrequest", "state__exact=waiting"),
        )  # fmt: skip


def _bills(now: Operations | None) -> Iterator[Trouble]:
    rows = matching.drifting()
    if count := rows.count():
        what = ngettext("%d upstream bill drifts from our usage",
                        "%d upstream bills drift from our usage", count)  # fmt: skip
        yield Trouble(what % count, _whom(str(one) for one in rows.order_by("id")[:NAMES_MAX]),
                      _("Compare"), _list("billing_upstreambill"))  # fmt: skip


def _mails(now: Operations | None) -> Iterator[Trouble]:
    rows = OutgoingMail.objects.filter(tries__gte=_MAIL_TRIES_MIN)
    if rows.exists():
        names = rows.order_by("due_at").values_list("recipient", flat=True)[:NAMES_MAX]
        yield Trouble(_("The mail server does not take our mails"), _whom(names), _("Look"),
                      _list("accounts_outgoingmail"))  # fmt: skip


def _machinery(now: Operations | None) -> Iterator[Trouble]:
    gauges = now.gauges if now else None
    if gauges is None:
        return
    here = reverse("admin:tables")
    if gauges.holds_overdue:
        what = ngettext("%d hold is overdue", "%d holds are overdue", gauges.holds_overdue)
        whom = _("Its customer cannot spend that money: are the workers running?")
        yield Trouble(what % gauges.holds_overdue, whom, _("Look"), here, is_urgent=True)
    if gauges.rollup_lag_seconds > _BEHIND_SECONDS_MAX:
        what = _("The pages’ sums are %d minutes behind") % (gauges.rollup_lag_seconds // 60)
        whom = _("Customers see old figures; what is charged is right.")
        yield Trouble(what, whom, _("Look"), here)
    if gauges.partition_months_ahead < 1:
        what = _("No month of partitions is ahead")
        yield Trouble(what, _("Run manage.py make_partitions."), _("Look"), here)


def _whom(names: Iterable[str]) -> str:
    return ", ".join(names)


def _list(table: str, query: str = "") -> str:
    path = reverse(f"admin:{table}_changelist")
    return f"{path}?{query}" if query else path


_LOOKS: tuple[tuple[str, Callable[[Operations | None], Any]], ...] = (
    ("billing.view_usageday", _gateways),
    ("billing.view_usageday", _incidents),
    ("providers.view_channel", _channels),
    ("providers.view_model", _catalog),
    ("billing.view_paymentevent", _parked),
    ("billing.view_paymentorder", _parked_orders),
    ("billing.view_dispute", _disputes),
    ("billing.view_adjustmentrequest", _adjustments),
    ("billing.view_upstreambill", _bills),
    ("accounts.view_outgoingmail", _mails),
    ("billing.view_transfer", _machinery),
)
