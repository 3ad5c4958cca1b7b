"""Members, projects and keys: changed by the same verbs as on the customer's own pages."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts import keys, members, projects
from accounts.desk import LargeAdmin
from accounts.models import ApiKey, Membership, Project
from billing import project_budgets
from billing.operators import FigureAdmin
from gateway.admin.helped import Helped
from gateway.admin.owned import owners


class MadeElsewhereAdmin(Helped, FigureAdmin, LargeAdmin):
    """Made and removed on the customer's pages; changed here by a verb that records it."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None  # the verb has recorded it


class MembershipForm(forms.ModelForm):
    def clean_role(self) -> str:
        role: str = self.cleaned_data["role"]
        if role != "owner" and members.is_last_owner(self.instance):
            raise forms.ValidationError(_("This is the only owner: make another one first."))
        return role


@admin.register(Membership)
class MembershipAdmin(MadeElsewhereAdmin):
    form = MembershipForm
    list_display = ("user", "organization", "role", "created_at")
    list_select_related = ("user", "organization")
    list_filter = ("role",)
    fields = ("user", "organization", "role", "created_at")
    readonly_fields = ("user", "organization", "created_at")
    search_fields = ("=user__email",)
    search_help_text = gettext_lazy("A whole email address, or an organization’s name")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_term.strip()
        if not text or "@" in text:
            return super().get_search_results(request, queryset, text)
        return queryset.filter(Q(organization__in=owners(text))), False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        row = Membership.objects.select_related("organization", "user").get(pk=obj.pk)
        members.appoint(row, obj.role)


@admin.register(Project)
class ProjectAdmin(MadeElsewhereAdmin):
    list_display = ("name", "organization", "budget_month_nanos", "created_at", "archived_at")
    list_select_related = ("organization",)
    fields = ("organization", "name", "budget_month_nanos", "created_at", "archived_at")
    readonly_fields = ("organization", "created_at", "archived_at")
    search_fields = ("name",)
    search_help_text = gettext_lazy("A project’s or an organization’s whole name")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_term.strip()
        return (
            queryset.filter(Q(name=text) | Q(organization__in=owners(text))) if text else queryset
        ), False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        row = Project.objects.select_related("organization").get(pk=obj.pk)
        projects.rename(row, obj.name)
        project_budgets.set_budget(row, obj.budget_month_nanos)


@admin.register(ApiKey)
class ApiKeyAdmin(MadeElsewhereAdmin):
    """Keys are made on the pages or by `create_key`, which show the secret once. Here they can be
    limited and revoked."""

    list_display = ("name", "masked", "organization", "project", "created_at", "last_used_at",
                    "expires_at", "revoked_at")  # fmt: skip
    list_select_related = ("organization", "project")
    search_fields = ("name",)
    search_help_text = gettext_lazy(
        "A key’s beginning or last four characters, or an organization’s name"
    )
    fields = ("name", "masked", "organization", "project", *keys.CHANGEABLE[1:], "created_by",
              "created_at", "last_used_at", "revoked_at")  # fmt: skip
    readonly_fields = ("organization", "project", "masked", "created_by", "created_at",
                       "last_used_at", "revoked_at")  # fmt: skip
    actions = ("revoke",)

    @admin.display(description=gettext_lazy("shown as"))
    def masked(self, key: ApiKey) -> str:
        return key.masked

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_open = not isinstance(obj, ApiKey) or obj.is_live
        return is_open and super().has_change_permission(request, obj)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], search_term: str
    ) -> tuple[QuerySet[ApiKey], bool]:
        """Whole values, compared as they are: parts of them would be looked for in every row."""
        text = search_term.strip()
        if not text:
            return queryset, False
        found = Q(last_four=text) | Q(prefix=text) | Q(organization__in=owners(text))
        return queryset.filter(found), False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        row = ApiKey.objects.select_related("organization").get(pk=obj.pk)
        changed = {
            name: getattr(obj, name) for name in keys.CHANGEABLE if name in form.changed_data
        }
        if not keys.change(row, **changed):
            said = _("The key was closed meanwhile: nothing is changed.")
            self.message_user(request, said, messages.ERROR)

    @admin.action(description=gettext_lazy("Revoke the selected keys"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        revoked = sum(keys.revoke(key) for key in queryset)
        said = ngettext("%d key revoked.", "%d keys revoked.", revoked) % revoked
        self.message_user(request, said, messages.SUCCESS)
