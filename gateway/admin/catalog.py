"""The catalog as the operator sees it: models that can only be enabled when they can be used, and
channels with their health and a try-out. Credentials go in only."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django_ratelimit.core import is_ratelimited

from accounts import audit
from accounts.desk import RecordedAdmin
from billing.templatetags.figures import money_exact
from gateway import heartbeats
from gateway.admin.helped import Helped
from providers.models import Capability, Channel, Model, Price, PriceRate, Provider


class CatalogAdmin(Helped, RecordedAdmin):
    record_as = "catalog"
    show_facets = admin.ShowFacets.NEVER


@admin.register(Provider)
class ProviderAdmin(CatalogAdmin):
    lead = gettext_lazy("Who serves models, and the dialect they speak. Their credentials are the"
                        " channels’.")  # fmt: skip
    list_display = ("name", "slug", "adapter")
    search_fields = ("name", "slug")
    search_help_text = gettext_lazy("Part of a name")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("slug",) if obj else ()


class ModelForm(forms.ModelForm):
    """A model is switched on when customers can use it: priced, and served by a channel."""

    capabilities = forms.MultipleChoiceField(
        choices=Capability.choices, required=False, widget=forms.CheckboxSelectMultiple,
        label=gettext_lazy("Capabilities"),
    )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        facts: dict[str, Any] = super().clean() or {}
        context, longest = facts.get("context_tokens"), facts.get("output_tokens_max")
        if context and longest and longest > context:
            said = _("An answer cannot be longer than the context of %s tokens.") % f"{context:,}"
            self.add_error("output_tokens_max", said)
        is_new = self.instance.pk is None
        if facts.get("is_enabled") and (is_new or "is_enabled" in self.changed_data):
            for said in not_ready(self.instance):
                self.add_error("is_enabled", said)
        return facts

    def clean_aliases(self) -> list[str]:
        """Each name leads to one model."""
        aliases: list[str] = self.cleaned_data["aliases"]
        name = self.cleaned_data.get("name")
        others = Model.objects.exclude(pk=self.instance.pk)
        for alias in aliases:
            taken = others.filter(Q(name=alias) | Q(aliases__contains=[alias])).first()
            if taken or alias == name:
                raise ValidationError(_("%(name)s is the name of %(model)s already.") % {
                    "name": alias, "model": taken or name,
                })  # fmt: skip
        return aliases


def not_ready(model: Model) -> Iterator[str]:
    """What customers would miss if the model were enabled now."""
    prices = Price.objects.filter(model=model.pk, effective_at__lte=timezone.now())
    if model.pk is None or not prices.exists():
        yield _("It has no price in force: save it disabled, add a price, then enable it.")
    channels = Channel.objects.filter(model=model.pk, is_enabled=True)
    if model.pk is None or not channels.exists():
        yield _("It has no enabled channel: save it disabled, add a channel, then enable it.")


@admin.register(Model)
class ModelAdmin(CatalogAdmin):
    lead = gettext_lazy("What customers ask for by name. A new one is made in three steps: the"
                        " model, its price, its channel; then it is enabled.")  # fmt: skip
    add_lead = gettext_lazy("Save it disabled first: the next page says what is missing.")
    change_form_template = "admin/desk/model.html"
    form = ModelForm
    list_display = ("name", "owned_by", "context_tokens", "output_tokens_max", "price", "channels",
                    "is_enabled", "position")  # fmt: skip
    list_filter = ("owned_by", "is_enabled")
    search_fields = ("name", "owned_by", "aliases")
    search_help_text = gettext_lazy("Part of a name")
    fieldsets = (
        (None, {"fields": ("name", "owned_by", "description", "context_tokens",
                           "output_tokens_max", "capabilities", "reasoning")}),
        (gettext_lazy("In the catalog"), {"fields": ("is_enabled", "position", "aliases")}),
        (gettext_lazy("To the upstream"), {"fields": ("request_defaults",)}),
        (gettext_lazy("Its end"), {"fields": ("deprecated_at", "retires_at", "replacement")}),
    )  # fmt: skip

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"is_enabled": False, **super().get_changeform_initial_data(request)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rates = PriceRate.objects.filter(
            price__model=OuterRef("pk"), price__effective_at__lte=timezone.now(),
            context_tokens_min=0, weekdays=0,
        ).order_by("-price__effective_at")  # fmt: skip
        rows: QuerySet[Any] = super().get_queryset(request).annotate(
            now_input=Subquery(rates.values("input_nanos")[:1]),
            now_output=Subquery(rates.values("output_nanos")[:1]),
            channels_on=Count("channels", filter=Q(channels__is_enabled=True)),
        )  # fmt: skip
        return rows

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        facts = {"missing": list(not_ready(row)) if row else []}
        return super().change_view(request, object_id, form_url, facts | (extra_context or {}))

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        return self.back(request, obj, _("Saved. Add its price and its channel next."))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # requests and prices name it; it is disabled instead

    @admin.display(description=gettext_lazy("input / output, per million"))
    def price(self, model: Any) -> str:
        if model.now_input is None:
            return _("no price")
        return f"{money_exact(model.now_input)} / {money_exact(model.now_output)}"

    @admin.display(description=gettext_lazy("channels"), ordering="channels_on")
    def channels(self, model: Any) -> str:
        return str(model.channels_on or _("none"))


class ChannelForm(forms.ModelForm):
    """The stored credential is never sent back; leaving the field empty keeps it."""

    credential = forms.CharField(
        required=False,
        strip=True,
        label=gettext_lazy("Credential"),
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"}),
        help_text=gettext_lazy("Stored encrypted and never shown. Empty keeps what is stored."),
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
        if "upstream_model" in self.fields:
            self.fields["upstream_model"].required = False

    def clean_credential(self) -> str:
        return self.cleaned_data["credential"] or (self.instance.credential or "")

    def clean_base_url(self) -> str:
        url: str = self.cleaned_data["base_url"].rstrip("/")
        parts = urlsplit(url)
        if url.endswith("/chat/completions"):
            raise ValidationError(_("Leave /chat/completions out: it is added."))
        if parts.username or parts.query or parts.fragment:
            raise ValidationError(_("An address alone: no name, password or query in it."))
        return url

    def clean(self) -> dict[str, Any]:
        """An upstream usually calls the model as we do."""
        facts: dict[str, Any] = super().clean() or {}
        if not facts.get("upstream_model") and facts.get("model"):
            facts["upstream_model"] = facts["model"].name
        return facts


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
    lead = gettext_lazy(
        "One upstream credential and address that serves one model. The lowest priority is tried"
        " first; the next one takes over when it fails."
    )
    change_form_template = "admin/desk/channel.html"
    form = ChannelForm
    list_display = ("model", "provider", "name", "health", "priority", "weight", "is_enabled",
                    "has_credential")  # fmt: skip
    list_editable = ("priority", "weight", "is_enabled")
    list_select_related = ("provider", "model")
    list_filter = ("provider", "is_enabled")
    search_fields = ("name", "base_url", "upstream_model", "model__name")
    search_help_text = gettext_lazy("Part of a name or address")
    readonly_fields = ("is_local_stand_in", "health")
    actions = ("enable", "disable")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ChannelList

    @admin.display(boolean=True, description=gettext_lazy("credential"))
    def has_credential(self, channel: Channel) -> bool:
        return bool(channel.credential)

    @admin.display(description=gettext_lazy("health"))
    def health(self, channel: Channel) -> str:
        seen = channel.seen if hasattr(channel, "seen") else health().get(channel.pk, [])
        attempts = sum(tried for tried, _failures in seen)
        if not attempts:
            return _("not tried lately") if seen else _("not in use")
        failing = sum(bool(failures) for tried, failures in seen if tried)
        if not failing:
            return _("well (%s attempts)") % f"{attempts:,}"
        return _("failing in %(some)s of %(all)s gateways (%(attempts)s attempts)") % {
            "some": failing, "all": len(seen), "attempts": f"{attempts:,}",
        }  # fmt: skip

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        return self.back(request, obj, _("Saved. Send a test request to see whether it answers."))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # requests name it; it is disabled instead

    @admin.action(description=gettext_lazy("Enable the selected channels"),
                  permissions=["change"])  # fmt: skip
    def enable(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self._tell(request, self._switch(request, queryset, is_enabled=True))

    @admin.action(description=gettext_lazy("Disable the selected channels"),
                  permissions=["change"])  # fmt: skip
    def disable(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self._tell(request, self._switch(request, queryset, is_enabled=False))

    def _switch(
        self, request: HttpRequest, queryset: QuerySet[Channel], *, is_enabled: bool
    ) -> int:
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
        return changed

    def _tell(self, request: HttpRequest, changed: int) -> None:
        said = ngettext("%d channel changed.", "%d channels changed.", changed)
        self.message_user(request, said % changed)

    def get_urls(self) -> list[Any]:
        pages = (("try", self.try_view), ("switch", self.switch_view))
        return [*(self.object_page(name, view) for name, view in pages), *super().get_urls()]

    def switch_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """On or off at once; gateways learn of it when this commits."""
        channel = self.find(request, object_id)
        if request.method != "POST":
            return HttpResponse(status=405)
        is_on = request.POST.get("to") == "on"
        self._switch(request, Channel.objects.filter(pk=channel.pk), is_enabled=is_on)
        if is_on:
            return self.back(request, channel, _("Enabled: it is tried from now on."))
        left = Channel.objects.filter(model=channel.model_id, is_enabled=True).count()
        if not left:
            said = _("Disabled. Nothing serves %s any more: its requests are refused.")
            return self.back(request, channel, said % channel.model, is_good=False)
        said = ngettext("Disabled. %d other channel serves the model.",
                        "Disabled. %d other channels serve the model.", left)  # fmt: skip
        return self.back(request, channel, said % left)

    def try_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """One small request through the channel, as the gateway sends them; costs a few tokens."""
        channel = self.find(request, object_id)
        if request.method != "POST":
            return HttpResponse(status=405)
        if is_ratelimited(request, group="channel-try", key="user", rate="10/m", increment=True):
            return self.back(request, channel, _("Ten a minute are enough."), is_good=False)
        from providers import trials

        trial = trials.run(channel)
        audit.record("channel.tried", None, str(channel), id=channel.pk, said=trial.said)
        said = f"{trial.said} ({trial.milliseconds:,} ms)"
        return self.back(request, channel, said, is_good=trial.is_good)
