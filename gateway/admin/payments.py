"""Payments as the operator sees them: refunded, confirmed where a bank transfer came in, and redeem
codes made in bulk."""

from typing import Any, cast

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils.text import slugify

from accounts import audit
from accounts.desk import RecordedAdmin
from billing import csv_files
from billing.models import EventState, OrderState, PaymentOrder, RedeemCode
from billing.money import format_usd
from billing.operators import ReadOnlyAdmin
from billing.payments import amounts, codes, gateways, orders
from billing.payments.gateway import Declined, Unavailable
from billing.templatetags.figures import money
from gateway.admin.forms import CodesForm, ConfirmForm, RefundForm


@admin.register(PaymentOrder)
class PaymentOrderAdmin(ReadOnlyAdmin, RecordedAdmin):
    list_display = ("reference", "organization", "provider", "amount_minor", "currency", "state",
                    "refunded_minor", "loss_nanos", "is_automatic", "created_at",
                    "paid_at")  # fmt: skip
    list_select_related = ("organization",)
    list_filter = ("state", "provider", "is_automatic")
    raw_id_fields = ("organization", "created_by")
    search_fields = ("=reference", "=provider_id", "organization__slug")
    ordering = ("-id",)

    change_form_template = "admin/desk/order.html"

    def get_urls(self) -> list[Any]:
        pages = (("refund", self.refund_view), ("confirm", self.confirm_view))
        return [*(self.object_page(name, view) for name, view in pages), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        order = self.get_object(request, object_id)
        may = request.user.has_perm("billing.change_paymentorder")
        facts = {
            "may_refund": may and order is not None and order.state == OrderState.PAID,
            "may_confirm": may and order is not None and _waits_for_the_bank(order),
        }
        return super().change_view(request, object_id, form_url, facts | (extra_context or {}))

    def _found(self, request: HttpRequest, object_id: str) -> PaymentOrder:
        """Raises PermissionDenied and Http404. The rows are read-only: verbs change them."""
        order = self.get_object(request, object_id)
        if not request.user.has_perm("billing.change_paymentorder"):
            raise PermissionDenied
        if order is None:
            raise Http404
        return cast(PaymentOrder, order)

    def refund_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        order = self._found(request, object_id)
        form = RefundForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            cents, beyond = form.cleaned_data["amount"], form.cleaned_data["beyond_balance"]
            try:
                orders.refund(order, cents, beyond_balance=beyond)
            except (orders.NotRefundable, Unavailable, Declined) as error:
                form.add_error(None, f"Not refunded: {error}.")
            except gateways.NotConfigured as error:
                form.add_error(None, f"The provider {error} is not configured.")
            else:
                return self.back(request, order, "Refunded; the ledger follows its provider.")
        left = amounts.nanos(order.amount_minor - order.refunded_minor, order.currency)
        return self.form_page(request, form, f"Refund {order}", "Refund", order,
                              lead=f"{money(left)} of it can be sent back.")  # fmt: skip

    def confirm_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        order = self._found(request, object_id)
        if not _waits_for_the_bank(order):
            return self.back(request, order, "It waits for no bank transfer.", is_good=False)
        form = ConfirmForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            statement = form.cleaned_data["statement"].strip()
            event = orders.confirm(order, form.cleaned_data["amount"], statement_id=statement)
            audit.record("payment.confirmed", order.organization, order.reference,
                         cents=form.cleaned_data["amount"], statement=statement)  # fmt: skip
            if event.state != EventState.DONE:
                form.add_error(None, f"Not credited: {event.note}")
            elif event.order_id != order.pk:
                form.add_error("statement", f"This entry has paid {event.order} already.")
            else:
                return self.back(request, order, "Credited.")
        due = money(amounts.nanos(order.amount_minor, order.currency))
        return self.form_page(request, form, f"Confirm {order}", "Confirm", order,
                              lead=f"{due} are waited for.")  # fmt: skip


def _waits_for_the_bank(order: PaymentOrder) -> bool:
    return order.provider == "bank" and order.state in (
        OrderState.OPEN, OrderState.PENDING, OrderState.PARKED,
    )  # fmt: skip


@admin.register(RedeemCode)
class RedeemCodeAdmin(ReadOnlyAdmin, RecordedAdmin):
    list_display = ("__str__", "amount_nanos", "expires_at", "redeemed_at", "organization")
    list_select_related = ("organization",)
    raw_id_fields = ("organization", "redeemed_by")
    search_fields = ("=batch", "=last_four", "organization__slug")
    ordering = ("-id",)

    change_list_template = "admin/desk/codes.html"

    def get_urls(self) -> list[Any]:
        here = self.admin_site.admin_view(self.make_view)
        return [path("make/", here, name="billing_redeemcode_make"), *super().get_urls()]

    def make_view(self, request: HttpRequest) -> HttpResponse:
        """The codes come as a file, this once: only their digests are stored."""
        if not request.user.has_perm("billing.add_redeemcode"):
            raise PermissionDenied
        form = CodesForm(request.POST or None)
        if request.method == "POST" and form.is_valid() and self._may_make(request, form):
            facts = form.cleaned_data
            with transaction.atomic():
                made = list(codes.create(facts["count"], facts["amount"], batch=facts["batch"],
                                         expires_at=facts["expires"]))  # fmt: skip
                audit.record("codes.created", None, facts["batch"], count=len(made),
                             amount_nanos=facts["amount"], expires_at=facts["expires"])  # fmt: skip
            amount, last = format_usd(facts["amount"]), facts["expires"] or ""
            rows = [(code, amount, facts["batch"], last and f"{last:%Y-%m-%d}") for code in made]
            name = f"codes-{slugify(facts['batch']) or 'batch'}.csv"
            header = ("code", "usd", "batch", "expires")
            return HttpResponse(
                csv_files.encode([header, *rows]),
                content_type="text/csv",
                headers={
                    "Content-Disposition": f'attachment; filename="{name}"',
                    "Cache-Control": "private, no-store",
                },
            )
        return self.form_page(
            request, form, "Make redeem codes", "Make and download",
            lead="They are shown this once: the download is all there is of them.",
        )  # fmt: skip

    def _may_make(self, request: HttpRequest, form: CodesForm) -> bool:
        """Codes are money too: what one operator may not move alone, only a superuser may print."""
        worth = form.cleaned_data["count"] * form.cleaned_data["amount"]
        if worth <= settings.ADJUSTMENT_ALONE_NANOS or request.user.is_superuser:
            return True
        most = money(settings.ADJUSTMENT_ALONE_NANOS)
        form.add_error(None, f"Together they are worth {money(worth)}: above {most} a superuser"
                             " makes them.")  # fmt: skip
        return False
