"""Upstreams' bills: uploaded, compared with our usage, and accepted where somebody knows why they
differ."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.desk import RecordedAdmin, operator
from billing.bills import alarms, imports, sheets
from billing.models import (
    BillFormat,
    DayState,
    ReconciledDay,
    UpstreamBill,
    UpstreamBillLine,
)
from billing.operators import ReadOnlyAdmin
from providers.models import Provider

# What a page shows of one bill; the list of all its days has the rest.
_DAYS_SHOWN_MAX = 500
_CLASSES = {
    "requests": gettext_lazy("Requests"),
    "input_tokens": gettext_lazy("Input tokens"),
    "cached_input_tokens": gettext_lazy("Cached input tokens"),
    "cache_write_tokens": gettext_lazy("Cache write tokens"),
    "output_tokens": gettext_lazy("Output tokens"),
    "reasoning_output_tokens": gettext_lazy("Reasoning tokens"),
}


class BillForm(forms.Form):
    """A file, and what it does not say itself."""

    provider = forms.ModelChoiceField(
        Provider.objects.order_by("name"), empty_label=None, to_field_name="slug",
        label=gettext_lazy("Provider"),
    )  # fmt: skip
    file = forms.FileField(
        label=gettext_lazy("File"),
        help_text=gettext_lazy(
            "CSV in UTF-8 or GBK, or DeepSeek’s ZIP. Alibaba Cloud: bill details by billable item."
        ),
        widget=forms.FileInput(attrs={"accept": ".csv,.zip,.txt,text/csv,application/zip"}),
    )
    format = forms.ChoiceField(
        label=gettext_lazy("Format"), required=False,
        choices=[("", gettext_lazy("By its columns")), *BillFormat.choices],
    )  # fmt: skip
    account = forms.CharField(
        label=gettext_lazy("Account"), required=False, max_length=100,
        help_text=gettext_lazy("The name of the channels it is for. Empty: all of the provider."),
    )  # fmt: skip
    utc_offset_hours = forms.IntegerField(
        label=gettext_lazy("Hours from UTC"), required=False, min_value=-12, max_value=14,
        help_text=gettext_lazy(
            "Where its days begin. Empty: as the file says, or as the provider does (Alibaba +8)."
        ),
    )  # fmt: skip
    currency = forms.RegexField(
        r"^[A-Za-z]{3}$", label=gettext_lazy("Currency"), required=False,
        help_text=gettext_lazy("Where the file does not say: USD or CNY."),
    )  # fmt: skip
    usd_per_unit = forms.DecimalField(
        label=gettext_lazy("USD for one of it"), required=False, max_digits=13, decimal_places=9,
        min_value=0, help_text=gettext_lazy("Not for USD. Such as 0.14 for one CNY."),
    )  # fmt: skip
    supersedes = forms.BooleanField(
        label=gettext_lazy("Replace what there is of the same days"), required=False
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > sheets.BYTES_MAX:
            most = sheets.BYTES_MAX // 1024**2
            raise ValidationError(_("It is larger than %(most)s MB.") % {"most": most})
        return file

    def terms(self) -> imports.Terms:
        facts = self.cleaned_data
        return imports.Terms(
            format=BillFormat(facts["format"]) if facts["format"] else None,
            account=facts["account"],
            utc_offset_hours=facts["utc_offset_hours"],
            currency=facts["currency"],
            usd_per_unit=facts["usd_per_unit"],
            supersedes=facts["supersedes"],
        )


class AcceptForm(forms.Form):
    note = forms.CharField(max_length=300)


@admin.register(UpstreamBill)
class UpstreamBillAdmin(ReadOnlyAdmin, RecordedAdmin):
    """A bill is uploaded, never edited; its page is the comparison."""

    list_display = ("__str__", "format", "file_name", "rows", "outcome", "imported_at")
    list_select_related = ("superseded_by",)
    list_filter = ("provider", "format")
    search_fields = ("=provider", "file_name", "=sha256")
    ordering = ("-id",)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("billing.add_upstreambill"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        matched = Count("days", filter=Q(days__state=DayState.MATCHED))
        rows: QuerySet[Any] = (
            super().get_queryset(request).annotate(days_matched=matched, days_all=Count("days"))
        )
        return rows

    @admin.display(description=gettext_lazy("outcome"))
    def outcome(self, bill: Any) -> str:
        if bill.superseded_by_id:
            return _("Superseded")
        facts = {"matched": bill.days_matched, "all": bill.days_all}
        return _("%(matched)s of %(all)s reconciled") % facts

    def get_urls(self) -> list[Any]:
        return [self.object_page("accept", self.accept_view), *super().get_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = BillForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            facts = form.cleaned_data
            try:
                bill, is_new = imports.run(
                    facts["provider"].slug, facts["file"].name, facts["file"].read(), form.terms(),
                    by=operator(request),
                )  # fmt: skip
            except (sheets.Unreadable, imports.NotImported) as error:
                form.add_error("file", str(error))
            else:
                alarms.tell()
                said = _("Imported and compared.") if is_new else _("This file is here already.")
                return self.back(request, bill, said, is_good=is_new)
        return self.form_page(
            request, form, _("Import an upstream’s bill"), _("Import and compare"),
            lead=_("It is kept as it is and compared with our usage, day by day. The same file "
                   "twice is one bill."),
        )  # fmt: skip

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The comparison, what differs first."""
        bill = self.get_object(request, object_id)
        if not self.has_view_permission(request, bill):
            raise PermissionDenied
        if bill is None:
            raise Http404
        days = list(ReconciledDay.objects.filter(bill=bill).order_by("day", "model"))
        days.sort(key=lambda day: (not day.is_alarming, day.state == DayState.MATCHED))
        facts = {
            "bill": bill,
            "states": _states(days),
            "rows": [_Row(day) for day in days[:_DAYS_SHOWN_MAX]],
            "left_out": max(len(days) - _DAYS_SHOWN_MAX, 0),
            "here_nanos": sum(day.cost_here_nanos for day in days),
            "there_nanos": sum(day.cost_there_nanos or 0 for day in days),
            "alarms": sum(day.is_alarming for day in days),
            "may_accept": request.user.has_perm("billing.change_upstreambill")
            and not bill.accepted_at
            and not bill.superseded_by_id
            and any(day.state != DayState.MATCHED for day in days),
        }
        return self.page(request, "admin/desk/bill.html", str(bill), bill, facts)

    def accept_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        bill = self.get_object(request, object_id)
        if not request.user.has_perm("billing.change_upstreambill"):
            raise PermissionDenied
        if bill is None:
            raise Http404
        form = AcceptForm(request.POST)
        if request.method != "POST":
            return HttpResponse(status=405)
        if not form.is_valid():
            return self.back(request, bill, _("Say why it differs."), is_good=False)
        is_new = imports.accept(bill, form.cleaned_data["note"])
        said = _("Accepted: it alarms nobody any more.") if is_new else _("It was accepted before.")
        return self.back(request, bill, said, is_good=is_new)


def _states(days: list[ReconciledDay]) -> list[tuple[str, str, int]]:
    """Each state with its words and how many."""
    found = [day.state for day in days]
    return [(state.value, str(state.label), found.count(state)) for state in DayState]


class _Row:
    """One day and model as the page shows it."""

    def __init__(self, day: ReconciledDay) -> None:
        self.day = day
        # Only what differs, in words: Requests 12 here, 14 there (−2).
        self.apart = [
            (_CLASSES[name], day.here[name], there, day.here[name] - there)
            for name, there in day.there.items()
            if day.here.get(name) != there
        ]

    @property
    def cost_apart_nanos(self) -> int | None:
        if self.day.cost_there_nanos is None:
            return None
        return self.day.cost_here_nanos - self.day.cost_there_nanos

    @property
    def percent(self) -> float | None:
        """The cost's drift, of the larger."""
        apart = self.cost_apart_nanos
        larger = max(self.day.cost_here_nanos, self.day.cost_there_nanos or 0)
        return 100 * apart / larger if apart is not None and larger else None


@admin.register(UpstreamBillLine)
class UpstreamBillLineAdmin(ReadOnlyAdmin):
    list_display = ("bill", "day", "model", "key", "requests", "input_tokens", "output_tokens",
                    "cost_nanos", "first_row")  # fmt: skip
    list_select_related = ("bill",)
    raw_id_fields = ("bill",)
    search_fields = ("=model", "=bill__id")
    ordering = ("-id",)


@admin.register(ReconciledDay)
class ReconciledDayAdmin(ReadOnlyAdmin):
    list_display = ("day", "model", "bill", "state", "is_alarming", "cost_here_nanos",
                    "cost_there_nanos")  # fmt: skip
    list_select_related = ("bill",)
    list_filter = ("state", "is_alarming")
    raw_id_fields = ("bill",)
    search_fields = ("=model", "=bill__id")
    ordering = ("-id",)
