"""Redeem codes, made in bulk and downloaded once."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import audit
from accounts.desk import RecordedAdmin
from billing import csv_files
from billing.models import RedeemCode
from billing.money import format_usd
from billing.operators import ReadOnlyAdmin
from billing.payments import codes
from billing.templatetags.figures import money
from gateway.admin.forms import CodesForm
from gateway.admin.owned import OwnedAdmin


@admin.register(RedeemCode)
class RedeemCodeAdmin(OwnedAdmin, ReadOnlyAdmin, RecordedAdmin):
    list_display = ("__str__", "amount_nanos", "expires_at", "redeemed_at", "organization")
    list_select_related = ("organization",)
    list_filter = (("redeemed_at", admin.EmptyFieldListFilter),)
    raw_id_fields = ("organization", "redeemed_by")
    found_by = ("batch", "last_four")
    search_help_text = gettext_lazy("A batch, a code’s last four characters, or an organization")
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
            request, form, _("Make redeem codes"), _("Make and download"),
            lead=_("They are shown this once: the download is all there is of them."),
        )  # fmt: skip

    def _may_make(self, request: HttpRequest, form: CodesForm) -> bool:
        """Codes are money too: what one operator may not move alone, only a superuser may print."""
        worth = form.cleaned_data["count"] * form.cleaned_data["amount"]
        if worth <= settings.ADJUSTMENT_ALONE_NANOS or request.user.is_superuser:
            return True
        said = _("Together they are worth %(worth)s: above %(most)s a superuser makes them.")
        most = money(settings.ADJUSTMENT_ALONE_NANOS)
        form.add_error(None, said % {"worth": money(worth), "most": most})
        return False
