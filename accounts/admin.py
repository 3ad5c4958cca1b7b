"""The operator's view of people, organizations and keys. Secrets are never shown."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts import audit, keys
from accounts.desk import LargeAdmin, RecordedAdmin
from accounts.lists import LargeTablePaginator
from accounts.models import (
    ApiKey,
    AuditEntry,
    AuditHead,
    Invitation,
    Membership,
    Organization,
    OutgoingMail,
    Project,
    SeenDevice,
    User,
)
from accounts.webhooks.models import (
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)

_OWNERS_MAX = 100


@admin.register(User)
class UserAdmin(RecordedAdmin, DjangoUserAdmin):
    show_full_result_count = False
    paginator = LargeTablePaginator
    add_form = AdminUserCreationForm
    ordering = ("email",)
    list_display = ("email", "name", "is_staff", "is_active", "date_joined")
    search_fields = ("email", "name")
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("Access", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        ("Times", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "usable_password", "password1", "password2")}),)


@admin.register(Membership)
class MembershipAdmin(LargeAdmin):
    list_display = ("user", "organization", "role", "created_at")
    list_select_related = ("user", "organization")
    list_filter = ("role",)
    raw_id_fields = ("user", "organization")
    search_fields = ("user__email", "organization__name")


@admin.register(Invitation)
class InvitationAdmin(LargeAdmin):
    """Sent from the members page; here they can only be looked at and taken away."""

    list_display = ("email", "organization", "role", "invited_by", "sent_at", "expires_at")
    list_select_related = ("organization", "invited_by")
    search_fields = ("=email", "organization__name")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Project)
class ProjectAdmin(LargeAdmin):
    list_display = ("name", "organization", "created_at")
    list_select_related = ("organization",)
    raw_id_fields = ("organization",)
    search_fields = ("name", "organization__name")


@admin.register(ApiKey)
class ApiKeyAdmin(LargeAdmin):
    """Keys are made on the pages or by `create_key`, which show the secret once. Here they can be
    limited and revoked."""

    list_display = ("name", "masked", "organization", "project", "created_at", "last_used_at",
                    "expires_at", "revoked_at")  # fmt: skip
    list_select_related = ("organization", "project")
    raw_id_fields = ("project", "created_by")
    search_fields = ("name",)
    search_help_text = "A key's last four characters, or an organization's name."
    exclude = ("digest",)
    readonly_fields = ("organization", "project", "masked", "created_by", "created_at",
                       "last_used_at", "revoked_at")  # fmt: skip
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], search_term: str
    ) -> tuple[QuerySet[ApiKey], bool]:
        """Whole values, compared as they are: parts of them would be looked for in every row."""
        text = search_term.strip()
        if not text:
            return queryset, False
        named = Organization.objects.filter(Q(name__iexact=text) | Q(slug__iexact=text))
        owners = list(named.values_list("pk", flat=True)[:_OWNERS_MAX])
        found = Q(last_four=text) | Q(organization__in=owners)
        return queryset.filter(found), False

    @admin.action(description="Revoke the selected keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        revoked = sum(keys.revoke(key) for key in queryset)
        self.message_user(request, f"{revoked} keys revoked.", messages.SUCCESS)


class ReadOnlyAdmin(LargeAdmin):
    """What only code writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class SubjectFilter(admin.SimpleListFilter):
    """What the actions are about: the word before their dot."""

    title = "subject"
    parameter_name = "subject"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        subjects = sorted({action.partition(".")[0] for action in audit.ACTIONS})
        return [(one, one.replace("_", " ")) for one in subjects]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset.filter(action__startswith=f"{chosen}.") if chosen else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "organization", "actor_email", "action", "target", "address",
                    "is_operator")  # fmt: skip
    list_select_related = ("organization",)
    list_filter = ("is_operator", SubjectFilter)
    search_fields = ("=actor_email", "=action")
    search_help_text = "A whole email address, or an action such as key.revoked."


@admin.register(AuditHead)
class AuditHeadAdmin(ReadOnlyAdmin):
    list_display = ("chain", "sequence", "hash")
    ordering = ("-chain",)


@admin.register(OutgoingMail)
class OutgoingMailAdmin(ReadOnlyAdmin):
    """What waits for the mail server. What is written stays closed: it may hold a reset link."""

    list_display = ("created_at", "recipient", "subject", "tries", "due_at")
    exclude = ("text", "html")
    search_fields = ("=recipient",)
    search_help_text = "A whole email address."


@admin.register(SeenDevice)
class SeenDeviceAdmin(ReadOnlyAdmin):
    list_display = ("seen_at", "user", "browser", "network")
    list_select_related = ("user",)
    search_fields = ("=user__email",)
    search_help_text = "A whole email address."


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnlyAdmin):
    """Where customers are told. The path stays closed: it may be a secret of the receiver's."""

    list_display = ("organization", "host", "description", "is_enabled", "failing_since",
                    "disabled_because", "created_at")  # fmt: skip
    list_select_related = ("organization",)
    list_filter = ("is_enabled", ("failing_since", admin.EmptyFieldListFilter))
    search_fields = ("=organization__slug",)
    search_help_text = "An organization's whole slug."
    fields = ("organization", "host", "description", "event_types", "is_enabled",
              "disabled_because", "failing_since", "old_secret_until", "created_at")  # fmt: skip


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    """What happened; what it says is the customer's."""

    list_display = ("created_at", "organization", "type", "wire_id")
    list_select_related = ("organization",)
    ordering = ("-created_at",)
    search_fields = ("=organization__slug",)
    search_help_text = "An organization's whole slug."
    fields = ("organization", "type", "wire_id", "created_at")


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """What was sent where, and how it went."""

    list_display = ("created_at", "organization", "event", "endpoint", "state", "attempts",
                    "last_status", "last_error", "last_ms", "due_at")  # fmt: skip
    list_select_related = ("endpoint__organization", "event")
    list_filter = ("state",)
    ordering = ("-pk",)
    search_fields = ("=endpoint__organization__slug",)
    search_help_text = "An organization's whole slug."
    fields = ("organization", "event", "endpoint", "state", "created_at", "due_at",
              "claimed_until", "attempts", "tries", "last_at", "last_status", "last_error",
              "last_ms")  # fmt: skip

    @admin.display(description="organization")
    def organization(self, row: WebhookDelivery) -> str:
        return row.endpoint.organization.name


@admin.register(WebhookAttempt)
class WebhookAttemptAdmin(ReadOnlyAdmin):
    """Each time something was sent. What a receiver answered is between it and the customer."""

    list_display = ("started_at", "delivery", "number", "status", "error", "duration_ms")
    list_select_related = ("delivery__event", "delivery__endpoint")
    list_filter = ("error",)
    ordering = ("-pk",)
    exclude = ("response", "signature")
