"""Operators: olga and otto are superusers, stan is staff with what each test gives him."""

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from tests import factories


@pytest.fixture(autouse=True)
def _no_limits_used_up():
    cache.clear()


@pytest.fixture
def cast(db):
    return factories.cast()


@pytest.fixture
def olga(db):
    return User.objects.create_superuser("olga@example.com", "secret")


@pytest.fixture
def otto(db):
    return User.objects.create_superuser("otto@example.com", "secret")


@pytest.fixture
def stan(db):
    return User.objects.create_user("stan@example.com", "secret", is_staff=True)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def allow(user: User, *codenames: str) -> None:
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
