"""Signing up by email: allauth's adapter, with what this product adds."""

from allauth.account.adapter import DefaultAccountAdapter


class AccountAdapter(DefaultAccountAdapter):
    """Email sign-in."""
