"""The operator's site: stock Django's admin behind a second factor, with figures in front."""

from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _


class OperatorSite(AdminSite):
    site_header = "ttonkapi operations"
    site_title = "ttonkapi operations"
    index_title = "Operations"
    index_template = "admin/desk/index.html"
    site_url = "/overview"

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

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        # Read here: a gateway that nobody operates does not keep it in memory.
        from gateway import operations

        may_see = request.user.has_perm("billing.view_usageday")
        facts = {"operations": operations.read() if may_see else None}
        return super().index(request, facts | (extra_context or {}))


def lacks_second_factor(request: HttpRequest) -> bool:
    if not settings.STAFF_SECOND_FACTOR:
        return False
    from allauth.mfa.models import Authenticator

    strong = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
    return not Authenticator.objects.filter(user_id=request.user.pk, type__in=strong).exists()
