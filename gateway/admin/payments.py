"""Payments as the operator sees them: refunded, confirmed where a bank transfer came in, and what
was parked decided on."""

from typing import Any, cast

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit
from accounts.desk import RecordedAdmin
from billing.models import Dispute, EventState, OrderState, PaymentEvent, PaymentOrder
from billing.operators import ReadOnlyAdmin
from billing.payments import amounts, events, gateways, orders
from billing.payments.gateway import Declined, Unavailable
from billing.templatetags.figures import money
from gateway.admin.forms import ConfirmForm, RefundForm
from gateway.admin.owned import OwnedAdmin, ProviderFilter


class DecidedAdmin(ReadOnlyAdmin, RecordedAdmin):
    """Rows that only verbs change; the verbs are links on the row's page."""

    change_form_template = "admin/desk/acts.html"
    permission = ""

    def acts(self, row: Any) -> list[tuple[str, Any]]:
        """What may be done with the row now, by the name of its page."""
        raise NotImplementedError

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        may = row is not None and request.user.has_perm(self.permission)
        facts = {"acts": self.acts(row) if may else []}
        return super().change_view(request, object_id, form_url, facts | (extra_context or {}))

    def found(self, request: HttpRequest, object_id: str) -> Any:
        """Raises PermissionDenied and Http404."""
        row = self.get_object(request, object_id)
        if not request.user.has_perm(self.permission):
            raise PermissionDenied
        if row is None:
            raise Http404
        return row


@admin.register(PaymentOrder)
class PaymentOrderAdmin(OwnedAdmin, DecidedAdmin):
    permission = "billing.change_paymentorder"
    list_display = ("reference", "organization", "provider", "amount_minor", "state",
                    "refunded_minor", "loss_nanos", "is_automatic", "created_at",
                    "paid_at")  # fmt: skip
    list_select_related = ("organization",)
    list_filter = ("state", ProviderFilter, "is_automatic")
    raw_id_fields = ("organization", "created_by")
    found_by = ("reference", "provider_id")
    search_help_text = gettext_lazy("A payment’s number, its provider’s id, or an organization")
    ordering = ("-id",)

    def get_urls(self) -> list[Any]:
        pages = (
            ("refund", self.refund_view),
            ("confirm", self.confirm_view),
            ("give_up", self.give_up_view),
        )
        return [*(self.object_page(name, view) for name, view in pages), *super().get_urls()]

    def acts(self, row: Any) -> list[tuple[str, Any]]:
        found: list[tuple[str, Any]] = []
        if row.state == OrderState.PAID:
            found.append(("refund", _("Refund")))
        if _waits_for_the_bank(row):
            found.append(("confirm", _("Confirm the bank transfer")))
        if row.state == OrderState.PARKED:
            found.append(("give_up", _("It was never charged")))
        return found

    def refund_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        order = cast(PaymentOrder, self.found(request, object_id))
        form = RefundForm(request.POST or None, initial={"seen_refunded": order.refunded_minor})
        if request.method == "POST" and form.is_valid():
            facts = form.cleaned_data
            try:
                orders.refund(order, facts["amount"], beyond_balance=facts["beyond_balance"],
                              seen_refunded_minor=facts["seen_refunded"])  # fmt: skip
            except orders.RefundedMeanwhile:
                said = _("Not refunded: a refund was made after you opened the form. Open it again"
                         " if this is to be another one.")  # fmt: skip
                return self.back(request, order, said, is_good=False)
            except (orders.NotRefundable, Unavailable, Declined) as error:
                form.add_error(None, _("Not refunded: %s.") % error)
            except gateways.NotConfigured as error:
                form.add_error(None, _("The provider %s is not configured.") % error)
            else:
                said = _("Refunded; the ledger follows its provider.")
                return self.back(request, order, said)
        left = amounts.nanos(order.amount_minor - order.refunded_minor, order.currency)
        lead = _("%s of it can be sent back.") % money(left)
        return self.form_page(request, form, _("Refund %s") % order, _("Refund"), order, lead=lead)

    def confirm_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        order = cast(PaymentOrder, self.found(request, object_id))
        if not _waits_for_the_bank(order):
            return self.back(request, order, _("It waits for no bank transfer."), is_good=False)
        form = ConfirmForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            statement = form.cleaned_data["statement"].strip()
            event = orders.confirm(order, form.cleaned_data["amount"], statement_id=statement)
            is_credited = event.state == EventState.DONE and event.order_id == order.pk
            audit.record("payment.confirmed", order.organization, order.reference,
                         cents=form.cleaned_data["amount"], statement=statement,
                         is_credited=is_credited)  # fmt: skip
            if event.state != EventState.DONE:
                form.add_error(None, _("Not credited: %s") % event.note)
            elif event.order_id != order.pk:
                said = _("This entry has paid %s already.") % event.order
                form.add_error("statement", said)
            else:
                return self.back(request, order, _("Credited."))
        lead = _("%s are waited for.") % money(amounts.nanos(order.amount_minor, order.currency))
        title = _("Confirm %s") % order
        return self.form_page(request, form, title, _("Confirm"), order, lead=lead)

    def give_up_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Of a parked automatic payment: its provider says that nothing was taken."""
        order = cast(PaymentOrder, self.found(request, object_id))
        if request.method == "POST":
            if not orders.give_up(order):
                return self.back(request, order, _("It is not parked any more."), is_good=False)
            return self.back(request, order, _("Given up: nothing was credited."))
        lead = _("Look it up at the provider first: this says that the card was never charged."
                 " Nothing is credited, and automatic top-up may try anew.")  # fmt: skip
        title = _("%s was never charged") % order
        return self.confirm_page(request, title, lead, _("It was never charged"), order)


def _waits_for_the_bank(order: PaymentOrder) -> bool:
    return order.provider == "bank" and order.state in (
        OrderState.OPEN, OrderState.PENDING, OrderState.PARKED,
    )  # fmt: skip


@admin.register(PaymentEvent)
class PaymentEventAdmin(OwnedAdmin, DecidedAdmin):
    permission = "billing.change_paymentevent"
    lead = gettext_lazy("What providers told. A parked one contradicts what is known, has moved"
                        " nothing, and waits for you.")  # fmt: skip
    owner_path = "order__organization"
    list_display = ("event_id", "provider", "kind", "state", "order", "note", "attempts",
                    "received_at")  # fmt: skip
    list_select_related = ("order",)
    list_filter = ("state", ProviderFilter)
    raw_id_fields = ("order",)
    found_by = ("event_id", "order__reference")
    search_help_text = gettext_lazy("A provider’s id, a payment’s number, or an organization")
    ordering = ("-id",)

    def get_urls(self) -> list[Any]:
        pages = (("retry", self.retry_view), ("dismiss", self.dismiss_view))
        return [*(self.object_page(name, view) for name, view in pages), *super().get_urls()]

    def acts(self, row: Any) -> list[tuple[str, Any]]:
        if row.state != EventState.PARKED:
            return []
        return [("retry", _("Try again")), ("dismiss", _("Dealt with by hand"))]

    def retry_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        event = cast(PaymentEvent, self.found(request, object_id))
        if request.method == "POST":
            events.retry(event)
            event.refresh_from_db()
            if event.state == EventState.DONE:
                return self.back(request, event, _("Done."))
            said = _("Not done: %s") % event.note
            return self.back(request, event, said, is_good=False)
        lead = _("Parked because: %s. Try again once you have set that right; what it says is then"
                 " done as if it came now.") % event.note  # fmt: skip
        return self.confirm_page(request, _("Try %s again") % event, lead, _("Try again"), event)

    def dismiss_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        event = cast(PaymentEvent, self.found(request, object_id))
        if request.method == "POST":
            if not events.dismiss(event):
                return self.back(request, event, _("It is not parked any more."), is_good=False)
            return self.back(request, event, _("Put away: nothing was moved."))
        lead = _("Parked because: %s. This puts it away and moves nothing: credit or refund by hand"
                 " what has to be.") % event.note  # fmt: skip
        title = _("Put %s away") % event
        return self.confirm_page(request, title, lead, _("Dealt with by hand"), event)


@admin.register(Dispute)
class DisputeAdmin(OwnedAdmin, ReadOnlyAdmin):
    lead = gettext_lazy("Payments that a payer’s bank has taken back. They are answered at the"
                        " provider; its decision moves the money here.")  # fmt: skip
    owner_path = "order__organization"
    list_display = ("provider_id", "order", "organization", "amount_minor", "state",
                    "wallet_nanos", "loss_nanos", "opened_at", "closed_at")  # fmt: skip
    list_select_related = ("order__organization",)
    list_filter = ("state",)
    raw_id_fields = ("order",)
    found_by = ("provider_id", "order__reference")
    search_help_text = gettext_lazy("A provider’s id, a payment’s number, or an organization")
    ordering = ("-id",)

    @admin.display(description=gettext_lazy("organization"))
    def organization(self, row: Dispute) -> str:
        return str(row.order.organization)
