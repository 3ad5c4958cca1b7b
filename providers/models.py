"""Who serves what, at which price, through which upstream credential."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator, URLValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from providers.encryption import EncryptedTextField


class Adapter(models.TextChoices):
    OPENAI = "openai", "OpenAI-compatible"
    DASHSCOPE = "dashscope", "Alibaba DashScope"
    DEEPSEEK = "deepseek", "DeepSeek"


class Capability(models.TextChoices):
    """What a model can do beyond answering text with text."""

    THINKING = "thinking", _("Thinks when asked")
    TOOLS = "tools", _("Tools")
    JSON = "json", _("JSON output")
    VISION = "vision", _("Images")


class Provider(models.Model):
    """A company or server that answers requests, and the dialect it speaks."""

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=100)
    adapter = models.CharField(max_length=12, choices=Adapter, default=Adapter.OPENAI)

    def __str__(self) -> str:
        return self.name


class Model(models.Model):
    """What a customer asks for by name."""

    name = models.CharField(max_length=100, unique=True)
    owned_by = models.CharField(max_length=40)
    description = models.CharField(max_length=300, blank=True)
    context_tokens = models.PositiveIntegerField()
    output_tokens_max = models.PositiveIntegerField()
    # Extra body fields this public name stands for, e.g. {"thinking": {"type": "enabled"}}.
    request_defaults = models.JSONField(default=dict, blank=True)
    # Always thinks first; one that does so when asked has the capability instead.
    reasoning = models.BooleanField(default=False)
    capabilities = ArrayField(
        models.CharField(max_length=12, choices=Capability), default=list, blank=True
    )
    # Other names it answers to, such as a dated version's. Answers and records say `name`.
    aliases = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    # Shown as notices; an operator disables the model when its day has come.
    deprecated_at = models.DateTimeField(null=True, blank=True)
    retires_at = models.DateTimeField(null=True, blank=True)
    replacement = models.CharField(max_length=100, blank=True)
    is_enabled = models.BooleanField(default=True)
    position = models.PositiveSmallIntegerField(default=100)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["position", "name"]

    def __str__(self) -> str:
        return self.name


class Price(models.Model):
    """One version of a model's price. Never edited: a change is a new row with a later date."""

    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="prices")
    effective_at = models.DateTimeField()
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["model", "-effective_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model", "effective_at"], name="price_version_once")
        ]

    def __str__(self) -> str:
        return f"{self.model} from {self.effective_at:%Y-%m-%d %H:%M} UTC"


class TokenRates(models.Model):
    """Nanos per million tokens of each class, for one context tier and one weekly UTC window.

    The classes are disjoint. Of the rates whose tier starts at or below the prompt's length,
    the highest tier wins; inside it a window that holds the request's start wins over the rest.
    """

    context_tokens_min = models.PositiveIntegerField(default=0)
    # Bit 0 is Monday. Zero means always; minutes count from midnight UTC, the end exclusive.
    weekdays = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(127)])
    start_minute = models.PositiveSmallIntegerField(default=0)
    end_minute = models.PositiveSmallIntegerField(default=1440)
    input_nanos = models.BigIntegerField(validators=[MinValueValidator(0)])
    cached_input_nanos = models.BigIntegerField(validators=[MinValueValidator(0)])
    cache_write_nanos = models.BigIntegerField(default=0, validators=[MinValueValidator(0)])
    output_nanos = models.BigIntegerField(validators=[MinValueValidator(0)])
    reasoning_output_nanos = models.BigIntegerField(validators=[MinValueValidator(0)])

    class Meta:
        abstract = True


class PriceRate(TokenRates):
    """One rate of a price that customers pay."""

    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="rates")

    class Meta:
        ordering: ClassVar = ["price", "context_tokens_min", "weekdays", "start_minute"]

    def __str__(self) -> str:
        return f"{self.price}: {self.input_nanos}/{self.output_nanos}"


class UpstreamPrice(models.Model):
    """One version of what a provider charges us for a model. Never edited, as `Price`.

    Named as usage records name them, by slug and by name: what a record cost stays the same when
    a provider or a model is called something else, or a channel is gone. With a channel it holds
    for that one alone, before those of the whole provider.
    """

    provider = models.CharField(max_length=40)
    model = models.CharField(max_length=100)
    channel_id = models.BigIntegerField(null=True, blank=True)
    effective_at = models.DateTimeField()
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["provider", "model", "channel_id", "-effective_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["provider", "model", "channel_id", "effective_at"],
                nulls_distinct=False,
                name="upstream_price_version_once",
            )
        ]

    def __str__(self) -> str:
        where = f" (channel {self.channel_id})" if self.channel_id else ""
        return f"{self.model} at {self.provider}{where} from {self.effective_at:%Y-%m-%d %H:%M} UTC"


class UpstreamRate(TokenRates):
    """One rate of what a provider charges us."""

    price = models.ForeignKey(UpstreamPrice, on_delete=models.PROTECT, related_name="rates")

    class Meta:
        ordering: ClassVar = ["price", "context_tokens_min", "weekdays", "start_minute"]

    def __str__(self) -> str:
        return f"{self.price}: {self.input_nanos}/{self.output_nanos}"


class Channel(models.Model):
    """One upstream credential and base URL that can serve one model."""

    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="channels")
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="channels")
    name = models.CharField(max_length=100, blank=True)
    base_url = models.CharField(
        max_length=300, validators=[URLValidator(schemes=["http", "https"])]
    )
    upstream_model = models.CharField(max_length=100)
    credential = EncryptedTextField(blank=True, default="")
    # The lowest priority number is tried first; weight spreads load among equals.
    priority = models.PositiveSmallIntegerField(default=10)
    weight = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1)])
    is_enabled = models.BooleanField(default=True)
    # True for the stand-in that `make run` sets up where no upstream credential is configured.
    is_local_stand_in = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["model", "priority", "id"]

    def __str__(self) -> str:
        return f"{self.model} via {self.provider} ({self.name or self.base_url})"
