"""Prices with who would pay what. They are added, never edited; one whose date has not come can be
taken back."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Exists, OuterRef, QuerySet
from django.forms.formsets import all_valid
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.desk import NamedRows
from billing.money import format_usd
from billing.operators import FigureAdmin, FigureFields
from billing.templatetags.figures import money_exact
from gateway.admin.catalog import CatalogAdmin
from gateway.admin.exports import ExportedAdmin
from gateway.admin.field_words import FIELDS
from gateway.admin.helped import Helped
from providers.models import Price, PriceRate, TokenRates

# A form may lie open for so long before it is confirmed.
_BACKDATED_MAX = timedelta(hours=1)
# What costs the same as something else unless a form says otherwise.
_FOLLOWS = {
    "cached_input_nanos": "input_nanos",
    "cache_write_nanos": "input_nanos",
    "reasoning_output_nanos": "output_nanos",
}


class AppendOnlyAdmin(FigureAdmin, CatalogAdmin):
    """What is there stays as it is; a change is another row."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PriceForm(forms.ModelForm):
    """A version from now on or from a day to come: what was charged is not priced anew."""

    is_free = forms.BooleanField(
        required=False, label=gettext_lazy("Free of charge"),
        help_text=gettext_lazy("Without this, a rate of 0 for input or output is refused."),
    )  # fmt: skip

    def clean_effective_at(self) -> Any:
        at = self.cleaned_data["effective_at"]
        if at < timezone.now() - _BACKDATED_MAX:
            said = _("A price begins now or later: what was charged stays charged.")
            raise ValidationError(said)
        return at


class RateForm(forms.ModelForm):
    """What is left empty costs what its plain class costs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in _FOLLOWS:
            if name in self.fields:
                self.fields[name].required = False
                self.fields[name].initial = None

    def clean(self) -> dict[str, Any]:
        facts: dict[str, Any] = super().clean() or {}
        for name, plain in _FOLLOWS.items():
            if facts.get(name) is None and name not in self.errors:
                facts[name] = facts.get(plain)
        start, end = facts.get("start_minute"), facts.get("end_minute")
        if start is not None and end is not None and start >= end:
            self.add_error("end_minute", _("The hours end after they begin."))
        if not facts.get("weekdays") and (start or end != 1440) and not self.errors:
            self.add_error("weekdays", _("Hours of the day hold on weekdays: choose them."))
        return facts


class RateFormSet(forms.BaseInlineFormSet):
    def clean(self) -> None:
        """Without a rate for all times and prompts some request could not be priced."""
        super().clean()
        facts = [one.cleaned_data for one in self.forms if getattr(one, "cleaned_data", None)]
        if not any(not one.get("context_tokens_min") and not one.get("weekdays") for one in facts):
            raise ValidationError(_("One rate must hold always and for every prompt."))
        keys = [(one.get("context_tokens_min"), one.get("weekdays"), one.get("start_minute"))
                for one in facts]  # fmt: skip
        if len(set(keys)) < len(keys):
            raise ValidationError(_("Two rates hold for the same prompts and times."))
        if self.data.get("is_free"):
            return
        if any(not one.get(name) for one in facts for name in ("input_nanos", "output_nanos")):
            said = _("A rate costs nothing for input or output. Say so with “Free of charge”, or"
                     " write what it costs.")  # fmt: skip
            raise ValidationError(said)


class PriceRateInline(Helped, NamedRows, FigureFields, admin.TabularInline):
    model: type[TokenRates] = PriceRate
    form = RateForm
    formset = RateFormSet
    extra = 1
    verbose_name_plural = gettext_lazy(
        "rates, USD per million tokens (empty cache and reasoning fields cost what input and"
        " output cost)"
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None  # a version is written whole, with its rates, and closed

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class StateFilter(admin.SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("now", _("in force")), ("scheduled", _("scheduled")), ("past", _("past"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now, chosen = timezone.now(), self.value()
        if chosen == "scheduled":
            return queryset.filter(effective_at__gt=now)
        if chosen in ("now", "past"):
            return queryset.filter(effective_at__lte=now, is_past=chosen == "past")
        return queryset


@admin.register(Price)
class PriceAdmin(ExportedAdmin, AppendOnlyAdmin):
    """A new version is shown with whom it touches before it is made."""

    lead = gettext_lazy("A price holds from its date until the next one’s. It is never edited: a"
                        " change is a new price, now or from a day to come.")  # fmt: skip
    add_lead = gettext_lazy("The next page shows what it changes for whom, before anything holds.")
    change_form_template = "admin/desk/price.html"
    form = PriceForm
    list_display = ("model", "effective_at", "state", "plain_rate", "note", "created_at")
    list_select_related = ("model",)
    list_filter = (StateFilter, "model")
    search_fields = ("model__name", "note")
    search_help_text = gettext_lazy("Part of a model’s name or of a note")
    fields = ("model", "effective_at", "is_free", "note")
    inlines = (PriceRateInline,)
    export_header: ClassVar = (
        "model", "effective_utc", "from_prompt_tokens", "weekdays", "start_minute", "end_minute",
        "input_usd", "cached_input_usd", "cache_write_usd", "output_usd", "reasoning_output_usd",
        "note",
    )  # fmt: skip

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return super().get_fieldsets(request, obj)
        return [(None, {"fields": ["model", "effective_at", "state", "note", "created_at"]})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else ("model", "effective_at", "state", "note", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Each with whether a later version holds already."""
        later = Price.objects.filter(
            model=OuterRef("model"), effective_at__gt=OuterRef("effective_at"),
            effective_at__lte=timezone.now(),
        )  # fmt: skip
        rows: QuerySet[Any] = super().get_queryset(request).annotate(is_past=Exists(later))
        return rows.select_related("model").prefetch_related("rates")

    @admin.display(description=gettext_lazy("state"))
    def state(self, price: Any) -> str:
        if price.effective_at > timezone.now():
            return _("scheduled")
        return _("past") if price.is_past else _("in force")

    @admin.display(description=gettext_lazy("input / output, per million"))
    def plain_rate(self, price: Any) -> str:
        for rate in price.rates.all():
            if not rate.context_tokens_min and not rate.weekdays:
                return f"{money_exact(rate.input_nanos)} / {money_exact(rate.output_nanos)}"
        return "–"

    def export_rows(self, found: list[Any]) -> list[list[Any]]:
        plain = ("context_tokens_min", "weekdays", "start_minute", "end_minute")
        classes = ("input", "cached_input", "cache_write", "output", "reasoning_output")
        return [
            [
                price.model.name, f"{price.effective_at:%Y-%m-%dT%H:%M:%SZ}",
                *(getattr(rate, name) for name in plain),
                *(format_usd(getattr(rate, f"{name}_nanos")) for name in classes), price.note,
            ]
            for price in found
            for rate in price.rates.all()
        ]  # fmt: skip

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"effective_at": timezone.now(), **super().get_changeform_initial_data(request)}

    # --- making one -----------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Valid and not confirmed yet: what it would change, with one button to go on."""
        if request.method == "POST" and "_confirmed" not in request.POST:
            if not self.has_add_permission(request):
                raise PermissionDenied
            checked = self._checked(request)
            if checked is not None:
                return self._preview(request, *checked)
        return super().add_view(request, form_url, extra_context)

    def _checked(self, request: HttpRequest) -> tuple[Price, list[dict[str, Any]]] | None:
        form = self.get_form(request, None, change=False)(request.POST)
        is_valid = form.is_valid()
        formsets, _inlines = self._create_formsets(  # type: ignore[attr-defined]
            request, form.instance, change=False
        )
        if not (all_valid(formsets) and is_valid):
            return None
        rates = [one.cleaned_data for one in formsets[0].forms if one.has_changed()]
        return form.instance, rates

    def _preview(
        self, request: HttpRequest, price: Price, rates: list[dict[str, Any]]
    ) -> HttpResponse:
        from billing import price_changes

        preview = price_changes.preview(price.model, price.effective_at, rates)
        title = _("New price of %(model)s from %(moment)s UTC") % {
            "model": price.model, "moment": f"{price.effective_at:%Y-%m-%d %H:%M}",
        }  # fmt: skip
        rows = [(FIELDS[f"{name}_nanos"], old, new) for name, old, new in preview.rates]
        facts = {"preview": preview, "rates": rows, "sent": list(_sent(request))}
        return self.page(request, "admin/desk/price_preview.html", title, None, facts)

    # --- taking one back ------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        return [self.object_page("cancel", self.cancel_view), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        may = request.user.has_perm("providers.delete_price")
        is_ahead = row is not None and row.effective_at > timezone.now()
        facts = {"may_cancel": may and is_ahead}
        return super().change_view(request, object_id, form_url, facts | (extra_context or {}))

    def cancel_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        from billing import price_changes

        price = self.get_object(request, object_id)
        if not request.user.has_perm("providers.delete_price"):
            raise PermissionDenied
        if price is None:
            raise Http404
        if request.method != "POST":
            lead = _("It never holds: the price before it goes on. Nothing was charged at it.")
            title = _("Cancel the price of %s") % price
            return self.confirm_page(request, title, lead, _("Cancel this price"), price)
        try:
            price_changes.cancel(price)
        except price_changes.InForce:
            said = _("It is in force: make a new price instead.")
            return self.back(request, price, said, is_good=False)
        return self.back(request, price.model, _("The price is taken back."))


def _sent(request: HttpRequest) -> Iterator[tuple[str, str]]:
    for name in request.POST:
        if name != "csrfmiddlewaretoken":
            for value in request.POST.getlist(name):
                yield name, value


@admin.register(PriceRate)
class PriceRateAdmin(AppendOnlyAdmin):
    list_display = ("price", "context_tokens_min", "weekdays", "start_minute", "end_minute",
                    "input_nanos", "cached_input_nanos", "output_nanos")  # fmt: skip
    list_select_related = ("price__model",)
    search_fields = ("price__model__name",)
    search_help_text = gettext_lazy("Part of a model’s name")
    raw_id_fields = ("price",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # together with its price
