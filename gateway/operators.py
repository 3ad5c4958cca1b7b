"""The operator's site: Django's admin behind a second factor, in this product's frame."""

from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class OperatorSite(AdminSite):
    site_header = gettext_lazy("Operations")
    site_title = "ttonkapi"
    index_title = gettext_lazy("Overview")
    index_template = "admin/desk/index.html"
    site_url = "/overview"
    enable_nav_sidebar = False

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Signed in, staff, and with a second factor; signing out asks for none."""
        inner = super().admin_view(view, cacheable)
        if view == self.logout:
            return inner

        @wraps(inner)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if self.has_permission(request) and lacks_second_factor(request):
                said = _("Operators sign in with a second factor. Set one up to go on.")
                messages.warning(request, said)
                return redirect("mfa_index")
            return inner(request, *args, **kwargs)

        return guarded

    def get_urls(self) -> list[Any]:
        return [
            path("find/", self.admin_view(self.find), name="find"),
            path("tables/", self.admin_view(self.tables), name="tables"),
            path("catalog-file/", self.admin_view(self.catalog_file), name="catalog_file"),
            *super().get_urls(),
        ]

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Where everybody changes theirs: asked for again, limited, and in the audit log."""
        return redirect("account_change_password")

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        from gateway import rail

        context = super().each_context(request)
        if context["has_permission"]:
            context["rail"] = rail.read(request.user, request.path)
        return context

    # What these pages read is imported by them: a gateway that nobody operates does not keep it
    # in memory.

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        from accounts.desk import operator
        from gateway import operations, troubles

        may_see = request.user.has_perm("billing.view_usageday")
        now = operations.read() if may_see else None
        facts = {"operations": now, "troubles": troubles.read(operator(request), now)}
        return super().index(request, facts | (extra_context or {}))

    def find(self, request: HttpRequest) -> HttpResponse:
        """One result is opened at once."""
        from accounts.desk import operator
        from gateway import finder

        text = request.GET.get("q", "")
        found = finder.find(operator(request), text)
        if len(found) == 1:
            return redirect(found[0].url)
        facts = {"title": _("Search"), "text": text.strip(), "found": found}
        return TemplateResponse(request, "admin/desk/find.html", self.each_context(request) | facts)

    def tables(self, request: HttpRequest) -> HttpResponse:
        from gateway import rail

        facts = {"title": _("Tables"), "tables": rail.rest(self._registry, request.user)}
        return TemplateResponse(
            request, "admin/desk/tables.html", self.each_context(request) | facts
        )

    def catalog_file(self, request: HttpRequest) -> HttpResponse:
        from gateway.pages import catalog_file

        return catalog_file.answer(request, self.each_context(request))


def lacks_second_factor(request: HttpRequest) -> bool:
    if not settings.STAFF_SECOND_FACTOR:
        return False
    from allauth.mfa.models import Authenticator

    strong = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
    return not Authenticator.objects.filter(user_id=request.user.pk, type__in=strong).exists()
