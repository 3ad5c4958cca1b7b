"""The operator's pages that need more than one app, and what tables and columns are called."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin

from gateway.admin import (
    access,
    adjustments,
    bills,
    catalog,
    codes,
    costs,
    documents,
    organizations,
    payments,
    prices,
    terms,
    usage,
    words,
)

__all__ = [
    "access", "adjustments", "bills", "catalog", "codes", "costs", "documents", "organizations",
    "payments", "prices", "terms", "usage", "words",
]  # fmt: skip

words.apply()
# Another package's tables, which would show secrets of second factors and change addresses without
# a line in the audit log. `accounts.users` has the verbs.
admin.site.unregister([Authenticator, EmailAddress, UserSession])
