"""What upstreams charge: versions that are added and never edited, and the sums made with them."""

from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.desk import RecordedAdmin
from accounts.lists import LargeTablePaginator
from billing import csv_files, margin_charts, margins, periods
from billing.models import CostDay, OrganizationDay, UpstreamHour
from billing.operators import ReadOnlyAdmin
from gateway.admin.prices import AppendOnlyAdmin, PriceRateInline
from providers.models import Channel, Model, Provider, UpstreamPrice, UpstreamRate


class UpstreamPriceForm(forms.ModelForm):
    """A version from a moment to come: what was rated stays rated. A first version may begin
    earlier, for what has no cost yet."""

    provider = forms.ChoiceField(label=gettext_lazy("Provider"))
    model = forms.ChoiceField(
        label=gettext_lazy("Model"),
        help_text=gettext_lazy("As customers know it, not as the provider calls it."),
    )
    channel_id = forms.TypedChoiceField(
        label=gettext_lazy("Channel"), coerce=int, empty_value=None, required=False,
        help_text=gettext_lazy("For this channel alone; it comes before the provider’s."),
    )  # fmt: skip
    is_free = forms.BooleanField(
        required=False, label=gettext_lazy("Free of charge"),
        help_text=gettext_lazy("Without this, a rate of 0 for input or output is refused."),
    )  # fmt: skip

    class Meta:
        model = UpstreamPrice
        fields = ("provider", "model", "channel_id", "effective_at", "note")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        providers = Provider.objects.order_by("name").values_list("slug", "name")
        fields["provider"].choices = list(providers)
        fields["model"].choices = [(name, name) for name in _model_names()]
        channels = Channel.objects.select_related("model", "provider")
        fields["channel_id"].choices = [("", _("every channel of the provider"))] + [
            (channel.pk, str(channel)) for channel in channels
        ]

    def clean(self) -> dict[str, Any]:
        facts = super().clean() or {}
        at, channel_id = facts.get("effective_at"), facts.get("channel_id")
        if {"provider", "model", "effective_at"} - facts.keys():
            return facts
        if (
            channel_id
            and not Channel.objects.filter(
                pk=channel_id, provider__slug=facts["provider"], model__name=facts["model"]
            ).exists()
        ):
            self.add_error("channel_id", _("It is another provider’s, or serves another model."))
        known = UpstreamPrice.objects.filter(
            provider=facts["provider"], model=facts["model"], channel_id=channel_id
        )
        # A channel's first version would take over from its provider's.
        is_first = channel_id is None and not known.exists()
        if at is not None and at <= timezone.now() and not is_first:
            self.add_error("effective_at", ValidationError(
                _("It begins later than now: what has been rated stays rated.")))  # fmt: skip
        return facts


def _model_names() -> list[str]:
    return list(Model.objects.values_list("name", flat=True))


class UpstreamRateInline(PriceRateInline):
    model = UpstreamRate


@admin.register(UpstreamPrice)
class UpstreamPriceAdmin(AppendOnlyAdmin):
    form = UpstreamPriceForm
    list_display = ("model", "provider", "channel_id", "effective_at", "note", "created_at")
    list_filter = ("provider",)
    search_fields = ("model", "provider", "note")
    fields = ("provider", "model", "channel_id", "effective_at", "is_free", "note")
    inlines = (UpstreamRateInline,)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        tomorrow = timezone.now().date() + timedelta(1)
        midnight = datetime.combine(tomorrow, time(), timezone.now().tzinfo)
        return {"effective_at": midnight, **super().get_changeform_initial_data(request)}

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        if obj.effective_at <= timezone.now():
            self.message_user(
                request,
                _("Usage from before now has no cost until rebuild_rollups --costs is run."),
                level="warning",
            )
        return super().log_addition(request, obj, message)


@admin.register(UpstreamRate)
class UpstreamRateAdmin(AppendOnlyAdmin):
    list_display = ("price", "context_tokens_min", "weekdays", "start_minute", "end_minute",
                    "input_nanos", "cached_input_nanos", "output_nanos")  # fmt: skip
    list_select_related = ("price",)
    search_fields = ("price__model", "price__provider")
    raw_id_fields = ("price",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # together with its price


class CostListAdmin(RecordedAdmin, ReadOnlyAdmin):
    paginator = LargeTablePaginator
    ordering = ("-id",)


@admin.register(CostDay)
class CostDayAdmin(CostListAdmin):
    list_display = ("day", "provider", "model", "channel_id", "requests", "errors", "unrated",
                    "charge_nanos", "cost_nanos")  # fmt: skip
    list_filter = ("provider",)
    search_fields = ("=model", "=provider")

    def get_urls(self) -> list[Any]:
        site = self.admin_site
        return [
            path("margin/", site.admin_view(self.margin_view), name="billing_costday_margin"),
            path("margin.csv", site.admin_view(self.csv_view), name="billing_costday_csv"),
            *super().get_urls(),
        ]

    def margin_view(self, request: HttpRequest) -> HttpResponse:
        """Revenue, cost and margin of a period."""
        period = self._period(request)
        report = margins.read(period)
        facts = {
            "report": report,
            "period": period,
            "periods": periods.CHOICES,
            "chart": margin_charts.make(report),
            "days_shown": [
                (one, report.billed.get(date.fromisoformat(one.name)))
                for one in reversed(report.days)
            ],
            "tables": [(key, margin_charts.NAMES[key]) for key in margin_charts.LINES],
        }
        return self.page(request, "admin/desk/margin.html", _("Revenue and margin"), None, facts)

    def csv_view(self, request: HttpRequest) -> HttpResponse:
        """One of the page's tables; amounts in USD, to the nano."""
        period, by = self._period(request), request.GET.get("by", "")
        if by not in (*margin_charts.LINES, "loss"):
            raise Http404
        rows = margin_charts.rows(margins.read(period), by)
        return HttpResponse(
            csv_files.encode(rows),
            content_type="text/csv",
            headers={
                "Content-Disposition": "attachment; "
                f'filename="margin-{by}-{period.first}-{period.last}.csv"',
                "Cache-Control": "private, no-store",
            },
        )

    def _period(self, request: HttpRequest) -> periods.Period:
        """What the URL asks for. Raises PermissionDenied."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        given = request.GET
        first = given.get("from", "")
        return periods.parse(
            f"{first}..{given.get('to', '')}" if first else given.get("period", "")
        )


@admin.register(UpstreamHour)
class UpstreamHourAdmin(CostListAdmin):
    list_display = ("hour", "provider", "upstream_model", "channel_id", "requests", "cost_nanos")
    list_filter = ("provider",)
    search_fields = ("=upstream_model", "=provider")


@admin.register(OrganizationDay)
class OrganizationDayAdmin(CostListAdmin):
    list_display = ("day", "organization_id", "requests", "errors", "charge_nanos", "cost_nanos")
    search_fields = exact_search_fields = ("organization_id",)
    search_help_text = gettext_lazy("An organization’s number")
