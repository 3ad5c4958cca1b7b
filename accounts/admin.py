"""People and what is written about them, for the operator. What needs money or the catalog beside
it, keys and projects too, is in `gateway.admin`."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import audit, users
from accounts.desk import LargeAdmin, RecordedAdmin
from accounts.lists import LargeTablePaginator
from accounts.models import (
    AuditEntry,
    AuditHead,
    Invitation,
    Membership,
    OutgoingMail,
    SeenDevice,
    User,
)
from accounts.webhooks.models import (
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)

_MEMBERSHIPS_MAX = 50
_POWERS = ("is_staff", "is_superuser", "groups")


@admin.register(User)
class UserAdmin(RecordedAdmin, DjangoUserAdmin):
    """Only superusers make operators, and change what operators may."""

    change_form_template = "admin/desk/user.html"
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = LargeTablePaginator
    list_per_page = 50
    add_form = AdminUserCreationForm
    ordering = ("-id",)
    list_display = ("email", "name", "is_staff", "is_active", "date_joined")
    list_filter = ("is_staff", "is_active")
    search_fields = ("email", "name")
    search_help_text = _("Part of an address or name")
    readonly_fields = ("last_login", "date_joined", "belongs_to")
    fieldsets = (
        (None, {"fields": ("email", "name", "belongs_to", "password")}),
        (_("Access"), {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        (_("Times"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "usable_password", "password1", "password2")}),)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if not super().has_change_permission(request, obj):
            return False
        is_operator = isinstance(obj, User) and (obj.is_staff or obj.is_superuser)
        return bool(request.user.is_superuser) or not is_operator

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # people delete their own account, which keeps the books

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, *_POWERS)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            users.verify(obj)  # an operator vouches for the address

    def get_urls(self) -> list[Any]:
        return [self.object_page("unlock", self.unlock_view), *super().get_urls()]

    def unlock_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """For somebody who has lost their second factor."""
        user = self.find(request, object_id)
        if not request.user.is_superuser:
            raise PermissionDenied
        if request.method == "POST":
            if users.drop_second_factor(user):
                return self.back(request, user, gettext("The password alone signs in now."))
            return self.back(request, user, gettext("There was no second factor."))
        lead = gettext(
            "Be sure who is asking: whoever has the password, or the mailbox, can sign in after"
            " this. Their app, passkeys and recovery codes stop working."
        )
        title = gettext("Remove the second factor of %s") % user
        return self.confirm_page(request, title, lead, gettext("Remove"), user)

    @admin.display(description=_("belongs to"))
    def belongs_to(self, user: User) -> str:
        rows = Membership.objects.filter(user=user).select_related("organization")
        return format_html_join(
            "", '<div><a href="{}">{}</a> · {}</div>',
            (
                (reverse("admin:accounts_organization_change", args=[one.organization_id]),
                 one.organization, one.get_role_display())
                for one in rows.order_by("pk")[:_MEMBERSHIPS_MAX]
            ),
        )  # fmt: skip


@admin.register(Invitation)
class InvitationAdmin(LargeAdmin):
    """Sent from the members page; here they can only be looked at and taken away."""

    list_display = ("email", "organization", "role", "invited_by", "sent_at", "expires_at")
    list_select_related = ("organization", "invited_by")
    search_fields = ("=email", "organization__name")
    search_help_text = _("A whole email address, or part of an organization’s name")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


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

    title = _("subject")
    parameter_name = "subject"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        subjects = sorted({action.partition(".")[0] for action in audit.ACTIONS})
        return [(one, one.replace("_", " ")) for one in subjects]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        of_it = [one for one in audit.ACTIONS if one.startswith(f"{chosen}.")]
        return queryset.filter(action__in=of_it) if chosen else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "organization", "actor_email", "words", "target", "address",
                    "is_operator")  # fmt: skip
    list_select_related = ("organization",)
    list_filter = ("is_operator", SubjectFilter)
    search_fields = ("actor_email__exact", "action__exact")
    search_help_text = _("A whole email address, or an action such as key.revoked")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """One of the two, so that its index answers; addresses are kept in lower case."""
        text = search_term.strip().lower()
        if not text:
            return queryset, False
        column = "actor_email" if "@" in text else "action"
        return queryset.filter(**{column: text}), False

    @admin.display(description=_("what was done"))
    def words(self, entry: AuditEntry) -> str:
        return str(audit.ACTIONS.get(entry.action, entry.action))


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
    search_help_text = _("A whole email address")


@admin.register(SeenDevice)
class SeenDeviceAdmin(ReadOnlyAdmin):
    list_display = ("seen_at", "user", "browser", "network")
    list_select_related = ("user",)
    search_fields = ("=user__email",)
    search_help_text = _("A whole email address")


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnlyAdmin):
    """Where customers are told. The path stays closed: it may be a secret of the receiver's."""

    list_display = ("organization", "host", "description", "is_enabled", "failing_since",
                    "disabled_because", "created_at")  # fmt: skip
    list_select_related = ("organization",)
    list_filter = ("is_enabled", ("failing_since", admin.EmptyFieldListFilter))
    search_fields = ("organization__slug__exact",)
    search_help_text = _("An organization’s short name")
    fields = ("organization", "host", "description", "event_types", "is_enabled",
              "disabled_because", "failing_since", "old_secret_until", "created_at")  # fmt: skip


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    """What happened; what it says is the customer's."""

    list_display = ("created_at", "organization", "type", "wire_id")
    list_select_related = ("organization",)
    ordering = ("-created_at",)
    search_fields = ("organization__slug__exact",)
    search_help_text = _("An organization’s short name")
    fields = ("organization", "type", "wire_id", "created_at")


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    """What was sent where, and how it went."""

    list_display = ("created_at", "organization", "event", "endpoint", "state", "attempts",
                    "last_status", "last_error", "last_ms", "due_at")  # fmt: skip
    list_select_related = ("endpoint__organization", "event")
    list_filter = ("state",)
    ordering = ("-pk",)
    search_fields = ("endpoint__organization__slug__exact",)
    search_help_text = _("An organization’s short name")
    fields = ("organization", "event", "endpoint", "state", "created_at", "due_at",
              "claimed_until", "attempts", "tries", "last_at", "last_status", "last_error",
              "last_ms")  # fmt: skip

    @admin.display(description=_("organization"))
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
