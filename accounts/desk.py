"""What the operator's pages have in common: every change is in the audit log, with what it was
before; an object's history is read from that log; and actions are forms with one button."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from accounts import audit
from accounts.lists import LargeTablePaginator
from accounts.models import AuditEntry, Organization, User

HISTORY_MAX = 100
_LIST_MAX = 50
_TEXT_CHARS = 300
# Never in the log, under whatever name: what opens something.
_SECRET = {"credential", "password", "password1", "password2"}


class RecordedAdmin(admin.ModelAdmin):
    """Changes made here stand in the audit log under `record_as`, a subject of `audit.ACTIONS`."""

    record_as = "operator"

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> list[dict[str, Any]]:
        """The stock message; what was changed from what is kept for `record` beside it."""
        request.desk_facts = differences(form, formsets or ())  # type: ignore[attr-defined]
        return super().construct_change_message(request, form, formsets, add)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self.record(request, "added", obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        if not hasattr(request, "desk_facts") or request.desk_facts:
            self.record(request, "changed", obj)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            self.record(request, "deleted", obj)
        return super().log_deletions(request, queryset)

    def record(self, request: HttpRequest, what: str, obj: Any) -> None:
        audit.record(
            f"{self.record_as}.{what}",
            organization_of(obj) if what != "deleted" else None,
            str(obj),
            kind=obj._meta.label_lower,
            id=str(obj.pk),
            changes=getattr(request, "desk_facts", {}),
        )

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """The stock field; one of several inputs, such as a date with its time, names each."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(field.widget, forms.MultiWidget):
            name_input(field)
        return field

    def get_changelist_formset(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Of rows that can be changed in the list: a column's head is no label."""
        formset = super().get_changelist_formset(request, **kwargs)
        for field in formset.form.base_fields.values():
            name_input(field)
        return formset

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """The object's lines of the audit log, the newest first."""
        obj = self.get_object(request, object_id)
        if obj is None:
            return cast(HttpResponse, self._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined]
                request, self.opts, object_id))  # fmt: skip
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        entries = history(obj, self.record_as)
        for entry in entries:
            entry.words = audit.ACTIONS.get(entry.action, entry.action)  # type: ignore[attr-defined]
            entry.shown = list(_facts(entry))  # type: ignore[attr-defined]
        return self.page(request, "admin/desk/history.html", _("History"), obj,
                         {"entries": entries, "most": HISTORY_MAX})  # fmt: skip

    # --- pages beside the stock ones ------------------------------------------------------------

    def object_page(
        self, name: str, view: Callable[..., HttpResponse], route: str = "<path:object_id>/"
    ) -> Any:
        """A URL for one object, named as the stock ones are."""
        full = f"{self.opts.app_label}_{self.opts.model_name}_{name}"
        return path(f"{route}{name}/", self.admin_site.admin_view(view), name=full)

    def find(self, request: HttpRequest, object_id: str) -> Any:
        """The object, for somebody who may change it. Raises PermissionDenied and Http404."""
        obj = self.get_object(request, object_id)
        if not self.has_change_permission(request, obj):
            raise PermissionDenied
        if obj is None:
            raise Http404
        return obj

    def page(
        self,
        request: HttpRequest,
        template: str,
        title: str,
        obj: Any = None,
        facts: Mapping[str, Any] | None = None,
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "original": obj,
            **(facts or {}),
        }
        return TemplateResponse(request, template, context)

    def confirm_page(
        self, request: HttpRequest, title: str, lead: str, submit: str, obj: Any,
        **facts: Any,
    ) -> TemplateResponse:  # fmt: skip
        """What a button will break, and the button once more."""
        facts = {"lead": lead, "submit": submit, **facts}
        return self.page(request, "admin/desk/confirm.html", title, obj, facts)

    def form_page(
        self, request: HttpRequest, form: forms.Form, title: str, submit: str, obj: Any = None,
        **facts: Any,
    ) -> TemplateResponse:  # fmt: skip
        """One form with one button."""
        return self.page(
            request, "admin/desk/form.html", title, obj, {"form": form, "submit": submit, **facts}
        )

    def back(
        self, request: HttpRequest, obj: Any, said: str, *, is_good: bool = True
    ) -> HttpResponse:
        """To the object's own page, with what happened said there."""
        level = messages.SUCCESS if is_good else messages.ERROR
        self.message_user(request, said, level)
        name = f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change"
        return HttpResponseRedirect(reverse(name, args=[obj.pk]))


class LargeAdmin(RecordedAdmin):
    """A table that grows with the customers: the newest first, nothing counted exactly."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = LargeTablePaginator
    list_per_page = 50
    ordering = ("-id",)


class NamedRows:
    """For tables of inputs on an object's page: each is called what its column is."""

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        above: Any = super()
        formset = above.get_formset(request, obj, **kwargs)
        for field in formset.form.base_fields.values():
            name_input(field)
        return formset


def name_input(field: forms.Field) -> None:
    """For whoever hears the page: its label in words, where no label element points at it."""
    if field.label:
        field.widget.attrs.setdefault("aria-label", capfirst(field.label))


def operator(request: HttpRequest) -> User:
    """Whoever acts; the site lets only signed-in staff through."""
    return cast(User, request.user)


def differences(form: Any, formsets: Any) -> dict[str, Any]:
    """What a valid form changes, by field: [before, after]. Of secrets only that they changed."""
    found: dict[str, Any] = {}
    for name in form.changed_data:
        if name in _SECRET:
            found[name] = "changed"
        else:
            found[name] = [_plain(form.initial.get(name)), _plain(form.cleaned_data.get(name))]
    for formset in formsets:
        rows = [
            {name: _plain(one.cleaned_data.get(name)) for name in one.changed_data}
            for one in formset.forms
            if one.has_changed()
        ]
        if rows:
            found[formset.prefix] = rows
    return found


def _facts(entry: AuditEntry) -> Iterator[tuple[str, str]]:
    """What a line of the log says beside its words: [before, after] with an arrow."""
    changes = entry.details.get("changes")
    for name, value in (changes or entry.details).items():
        if isinstance(value, list) and len(value) == 2 and changes:
            yield name, f"{value[0]} → {value[1]}"
        elif name not in ("kind", "id", "changes"):
            yield name, str(value)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, list | tuple | QuerySet):
        return [_plain(one) for one in value[:_LIST_MAX]]
    return str(value)[:_TEXT_CHARS]


def organization_of(obj: Any) -> Organization | None:
    """Whose chain of the audit log something belongs to."""
    if isinstance(obj, Organization):
        return obj
    owner = getattr(obj, "organization", None)
    return owner if isinstance(owner, Organization) else None


def history(obj: Any, record_as: str) -> list[AuditEntry]:
    """The latest lines of the audit log about one object; of an organization: all of its lines."""
    if isinstance(obj, Organization):
        own = AuditEntry.objects.filter(organization=obj)
        return list(own.order_by("-sequence")[:HISTORY_MAX])
    actions = [f"{record_as}.{what}" for what in ("added", "changed", "deleted")]
    entries = AuditEntry.objects.filter(
        organization=organization_of(obj),
        action__in=actions,
        details__kind=obj._meta.label_lower,
        details__id=str(obj.pk),
    )
    return list(entries.order_by("-sequence")[:HISTORY_MAX])
