"""Signing up by email: allauth's adapter, with what this product adds."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest
from django.urls import reverse


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Email sign-in. A new person's first page is the one that gets them to a request."""

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        return reverse("welcome")
