"""Secrets at rest: a text field encrypted under rotating Fernet keys."""

from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


def _fernet() -> MultiFernet:
    if not settings.ENCRYPTION_KEYS:
        raise ImproperlyConfigured("TTONK_ENCRYPTION_KEYS holds no Fernet key")
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """Plain text to Python, a Fernet token to the database.

    Written under the first key of `ENCRYPTION_KEYS`, read under any: put a new key in front,
    save every row, drop the old one. Raises `InvalidToken` where no key fits.
    """

    def get_prep_value(self, value: Any) -> Any:
        plain = super().get_prep_value(value)
        return plain if not plain else _fernet().encrypt(plain.encode()).decode()

    def from_db_value(self, value: str | None, *_: object) -> str | None:
        return value if not value else _fernet().decrypt(value.encode()).decode()
