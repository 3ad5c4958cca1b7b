"""What every page's template knows."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts import current
from accounts.access import BILLING_ROLES, KEY_ROLES
from billing.models import Account

THEMES = ("system", "light", "dark")


def site(request: HttpRequest) -> dict[str, Any]:
    theme = request.COOKIES.get("theme", "")
    return {
        "base_url": base_url(request),
        "theme": theme if theme in THEMES else "system",
        "member": SimpleLazyObject(lambda: _member(request)),
    }


def base_url(request: HttpRequest) -> str:
    """What a customer's SDK is given: the configured address, or locally the reader's own."""
    if settings.DEBUG or settings.LOCAL_FALLBACK:
        return request.build_absolute_uri("/v1")
    return f"{settings.BASE_URL.rstrip('/')}/v1"


def _member(request: HttpRequest) -> dict[str, Any] | None:
    """The frame's facts: who, where, and what is left. Read only by pages that show them."""
    membership = current.membership(request) if hasattr(request, "user") else None
    if membership is None:
        return None
    organization = membership.organization
    if "wallet" not in organization._state.fields_cache:
        wallet = Account.objects.filter(organization=organization).first()
    else:
        wallet = organization.wallet
    return {
        "membership": membership,
        "organization": organization,
        "others": [one for one in current.choices(request) if one.pk != membership.pk],
        "wallet": wallet,
        "may_manage_keys": membership.role in KEY_ROLES,
        "may_manage_billing": membership.role in BILLING_ROLES,
    }
