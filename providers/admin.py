"""The operator's view of the catalog: prices are added, never edited; credentials go in only."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from providers.models import Channel, Model, Price, PriceRate, Provider


class AppendOnlyAdmin(admin.ModelAdmin):
    """What is there stays as it is; a change is another row."""

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Provider)
class ProviderAdmin(admin.ModelAdmin):
    list_display = ("name", "slug", "adapter")
    search_fields = ("name", "slug")


@admin.register(Model)
class ModelAdmin(admin.ModelAdmin):
    list_display = ("name", "owned_by", "context_tokens", "output_tokens_max", "reasoning",
                    "is_enabled", "position")  # fmt: skip
    list_filter = ("owned_by", "is_enabled")
    search_fields = ("name", "owned_by", "aliases")


class PriceRateInline(admin.TabularInline):
    model = PriceRate
    extra = 1

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None  # a version is written whole, with its rates, and closed

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Price)
class PriceAdmin(AppendOnlyAdmin):
    list_display = ("model", "effective_at", "note", "created_at")
    list_select_related = ("model",)
    raw_id_fields = ("model",)
    search_fields = ("model__name", "note")
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
    inlines = (PriceRateInline,)


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


@admin.register(Channel)
class ChannelAdmin(admin.ModelAdmin):
    form = ChannelForm
    list_display = ("__str__", "upstream_model", "priority", "weight", "is_enabled",
                    "is_local_stand_in", "has_credential")  # fmt: skip
    list_select_related = ("provider", "model")
    list_filter = ("provider", "is_enabled")
    raw_id_fields = ("provider", "model")
    search_fields = ("name", "base_url", "upstream_model", "model__name")
    readonly_fields = ("is_local_stand_in",)

    @admin.display(boolean=True)
    def has_credential(self, channel: Channel) -> bool:
        return bool(channel.credential)
