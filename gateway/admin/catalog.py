"""The catalog as the operator sees it: channels with their health and a try-out, prices with who
would pay what. Prices are added, never edited; credentials go in only."""

from collections import defaultdict
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.forms.formsets import all_valid
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django_ratelimit.core import is_ratelimited

from accounts import audit
from accounts.desk import RecordedAdmin
from gateway import heartbeats
from providers.models import Channel, Model, Price, PriceRate, Provider, TokenRates

# A form may lie open for so long before it is confirmed.
_BACKDATED_MAX = timedelta(hours=1)


class CatalogAdmin(RecordedAdmin):
    record_as = "catalog"


class AppendOnlyAdmin(CatalogAdmin):
    """What is there stays as it is; a change is another row."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Provider)
class ProviderAdmin(CatalogAdmin):
    list_display = ("name", "slug", "adapter")
    search_fields = ("name", "slug")


@admin.register(Model)
class ModelAdmin(CatalogAdmin):
    list_display = ("name", "owned_by", "context_tokens", "output_tokens_max", "reasoning",
                    "is_enabled", "position")  # fmt: skip
    list_filter = ("owned_by", "is_enabled")
    search_fields = ("name", "owned_by", "aliases")


class PriceForm(forms.ModelForm):
    """A version from now on or from a day to come: what was charged is not priced anew."""

    def clean_effective_at(self) -> Any:
        at = self.cleaned_data["effective_at"]
        if at < timezone.now() - _BACKDATED_MAX:
            raise ValidationError("A price begins now or later: what was charged stays charged.")
        return at


class RateFormSet(forms.BaseInlineFormSet):
    def clean(self) -> None:
        """Without a rate for all times and prompts some request could not be priced."""
        super().clean()
        facts = [one.cleaned_data for one in self.forms if getattr(one, "cleaned_data", None)]
        if not any(not one.get("context_tokens_min") and not one.get("weekdays") for one in facts):
            raise ValidationError("One rate must hold always and for every prompt.")


class PriceRateInline(admin.TabularInline):
    model: type[TokenRates] = PriceRate
    formset = RateFormSet
    extra = 1

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None  # a version is written whole, with its rates, and closed

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Price)
class PriceAdmin(AppendOnlyAdmin):
    """A new version is shown with whom it touches before it is made."""

    form = PriceForm
    list_display = ("model", "effective_at", "state", "note", "created_at")
    list_select_related = ("model",)
    list_filter = ("model",)
    raw_id_fields = ("model",)
    search_fields = ("model__name", "note")
    fields = ("model", "effective_at", "note")
    inlines = (PriceRateInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Each with whether a later version holds already."""
        later = Price.objects.filter(
            model=OuterRef("model"), effective_at__gt=OuterRef("effective_at"),
            effective_at__lte=timezone.now(),
        )  # fmt: skip
        rows: QuerySet[Any] = super().get_queryset(request).annotate(is_past=Exists(later))
        return rows

    @admin.display(description="state")
    def state(self, price: Any) -> str:
        if price.effective_at > timezone.now():
            return "scheduled"
        return "past" if price.is_past else "in force"

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"effective_at": timezone.now(), **super().get_changeform_initial_data(request)}

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
        formsets, _ = self._create_formsets(  # type: ignore[attr-defined]
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
        sent = [
            (name, value)
            for name in request.POST
            if name != "csrfmiddlewaretoken"
            for value in request.POST.getlist(name)
        ]
        title = f"New price of {price.model} from {price.effective_at:%Y-%m-%d %H:%M} UTC"
        facts = {"preview": preview, "sent": sent}
        return self.page(request, "admin/desk/price_preview.html", title, None, facts)


@admin.register(PriceRate)
class PriceRateAdmin(AppendOnlyAdmin):
    list_display = ("price", "context_tokens_min", "weekdays", "start_minute", "end_minute",
                    "input_nanos", "cached_input_nanos", "output_nanos")  # fmt: skip
    list_select_related = ("price__model",)
    search_fields = ("price__model__name",)
    raw_id_fields = ("price",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # together with its price


class ChannelForm(forms.ModelForm):
    """The stored credential is never sent back; leaving the field empty keeps it."""

    credential = forms.CharField(
        required=False,
        strip=True,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted and never shown. Empty keeps what is stored.",
    )

    class Meta:
        model = Channel
        fields = (
            "provider",
            "model",
            "name",
            "base_url",
            "upstream_model",
            "credential",
            "priority",
            "weight",
            "is_enabled",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.pop("credential", None)

    def clean_credential(self) -> str:
        return self.cleaned_data["credential"] or (self.instance.credential or "")


class ChannelList(ChangeList):
    """A page of channels, with what the gateways that run now see of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        seen = health()
        for row in self.result_list:
            row.seen = seen.get(row.pk, [])


def health() -> dict[int, list[tuple[int, int]]]:
    """By channel, of each gateway process: attempts, and failures in a row up to now."""
    seen: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for beat in heartbeats.fresh():
        for channel, (attempts, failures) in beat["channels"].items():
            seen[int(channel)].append((attempts, failures))
    return seen


@admin.register(Channel)
class ChannelAdmin(CatalogAdmin):
    change_form_template = "admin/desk/channel.html"
    form = ChannelForm
    list_display = ("model", "provider", "name", "health", "priority", "weight", "is_enabled",
                    "has_credential")  # fmt: skip
    list_editable = ("priority", "weight", "is_enabled")
    list_select_related = ("provider", "model")
    list_filter = ("provider", "is_enabled")
    raw_id_fields = ("provider", "model")
    search_fields = ("name", "base_url", "upstream_model", "model__name")
    readonly_fields = ("is_local_stand_in", "health")
    actions = ("enable", "disable")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ChannelList

    @admin.display(boolean=True, description="credential")
    def has_credential(self, channel: Channel) -> bool:
        return bool(channel.credential)

    @admin.display(description="health")
    def health(self, channel: Channel) -> str:
        seen = channel.seen if hasattr(channel, "seen") else health().get(channel.pk, [])
        attempts = sum(one for one, _ in seen)
        if not attempts:
            return "not tried lately" if seen else "not in use"
        failing = sum(bool(failures) for tried, failures in seen if tried)
        if not failing:
            return f"well ({attempts:,} attempts)"
        return f"failing in {failing} of {len(seen)} gateways ({attempts:,} attempts)"

    @admin.action(description="Enable the selected channels", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self._switch(request, queryset, is_enabled=True)

    @admin.action(description="Disable the selected channels", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self._switch(request, queryset, is_enabled=False)

    def _switch(
        self, request: HttpRequest, queryset: QuerySet[Channel], *, is_enabled: bool
    ) -> None:
        changed = 0
        for channel in queryset.exclude(is_enabled=is_enabled):
            with transaction.atomic():
                channel.is_enabled = is_enabled
                channel.save(update_fields=["is_enabled"])
                request.desk_facts = {  # type: ignore[attr-defined]
                    "is_enabled": [not is_enabled, is_enabled]
                }
                self.record(request, "changed", channel)
            changed += 1
        self.message_user(request, f"{changed} channels changed.")

    def get_urls(self) -> list[Any]:
        return [self.object_page("try", self.try_view), *super().get_urls()]

    def try_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """One small request through the channel, as the gateway sends them; costs a few tokens."""
        channel = self.find(request, object_id)
        if request.method != "POST":
            return HttpResponse(status=405)
        if is_ratelimited(request, group="channel-try", key="user", rate="10/m", increment=True):
            return self.back(request, channel, "Ten a minute are enough.", is_good=False)
        from providers import trials

        trial = trials.run(channel)
        audit.record("channel.tried", None, str(channel), id=channel.pk, said=trial.said)
        said = f"{trial.said} ({trial.milliseconds:,} ms)"
        return self.back(request, channel, said, is_good=trial.is_good)
