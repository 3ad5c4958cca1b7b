"""The operator's rail: every list and page by the job it is for, and what is only internal apart.

A list is shown to those who may see its rows. A new list or page gets its line in `GROUPS`; a table
that stands in no line is found under "Tables".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from accounts.models import User


@dataclass(frozen=True, slots=True)
class Entry:
    """A table's list ("billing.invoice"), or a page of its own: its route and its permission."""

    target: str
    label: str | Promise = ""
    permission: str = ""

    @property
    def is_table(self) -> bool:
        return ":" not in self.target

    @property
    def url(self) -> str:
        if not self.is_table:
            return reverse(self.target)
        return reverse(f"admin:{self.target.replace('.', '_')}_changelist")

    @property
    def words(self) -> str:
        if self.label or not self.is_table:
            return str(self.label)
        return str(capfirst(apps.get_model(self.target)._meta.verbose_name_plural))

    def is_open_to(self, user: User | AnonymousUser) -> bool:
        if not self.is_table:
            return not self.permission or user.has_perm(self.permission)
        app, _, name = self.target.partition(".")
        return user.has_perm(f"{app}.view_{name}") or user.has_perm(f"{app}.change_{name}")


@dataclass(frozen=True, slots=True)
class Group:
    label: str | Promise
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A line of the rail as one operator sees it."""

    label: str
    url: str
    is_current: bool


GROUPS = (
    Group("", (Entry("admin:index", _("Overview")),)),
    Group(_("Customers"), (
        Entry("accounts.organization"),
        Entry("accounts.user", _("People")),
        Entry("accounts.membership"),
        Entry("accounts.apikey"),
        Entry("accounts.project"),
        Entry("accounts.invitation"),
    )),
    Group(_("Traffic"), (
        Entry("billing.usagerecord", _("Requests")),
        Entry("billing.usageday"),
        Entry("accounts.webhookdelivery", _("Webhooks")),
        Entry("accounts.outgoingmail"),
    )),
    Group(_("Money"), (
        Entry("admin:billing_costday_margin", _("Revenue and margin"), "billing.view_costday"),
        Entry("billing.upstreambill"),
        Entry("billing.paymentorder"),
        Entry("billing.paymentevent"),
        Entry("billing.dispute"),
        Entry("billing.adjustmentrequest"),
        Entry("billing.redeemcode"),
        Entry("billing.invoice"),
        Entry("billing.creditnote"),
        Entry("billing.issuer", _("Issuers and tax")),
    )),
    Group(_("Terms"), (
        Entry("billing.plan"),
        Entry("billing.subscription"),
        Entry("billing.plancharge"),
    )),
    Group(_("Catalog"), (
        Entry("providers.model"),
        Entry("providers.price"),
        Entry("providers.upstreamprice"),
        Entry("providers.channel"),
        Entry("providers.provider"),
        Entry("admin:catalog_file", _("Import and export"), "providers.view_model"),
    )),
    Group(_("System"), (
        Entry("accounts.auditentry", _("Audit log")),
        Entry("billing.transfer"),
        Entry("billing.account"),
        Entry("billing.archive"),
        Entry("auth.group", _("Operators’ roles")),
        Entry("admin:tables", _("Tables")),
    )),
)  # fmt: skip


def read(user: User | AnonymousUser, path: str) -> list[tuple[str, list[Link]]]:
    """The groups with something in them for this operator, the page shown marked."""
    found = []
    for group in GROUPS:
        links = [
            Link(entry.words, url, _is_at(url, path))
            for entry in group.entries
            if entry.is_open_to(user)
            for url in [entry.url]
        ]
        if links:
            found.append((str(group.label), links))
    return found


def _is_at(url: str, path: str) -> bool:
    """On the page, or on one of the list's rows."""
    return path == url or (url != reverse("admin:index") and path.startswith(url))


def rest(registry: dict[Any, Any], user: User | AnonymousUser) -> Iterator[Link]:
    """Tables that stand in no group, by name."""
    shown = {entry.target for group in GROUPS for entry in group.entries}
    entries = [Entry(model._meta.label_lower) for model in registry]
    others = [one for one in entries if one.target not in shown and one.is_open_to(user)]
    for entry in sorted(others, key=lambda one: one.words):
        yield Link(entry.words, entry.url, False)
