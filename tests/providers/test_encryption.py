"""Upstream credentials at rest: never in plain text, and readable through a change of keys."""

from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken
from django.core.exceptions import ImproperlyConfigured

from providers.encryption import EncryptedTextField

FIELD = EncryptedTextField()
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_what_is_stored_is_not_what_was_said_and_reads_back(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    stored = FIELD.get_prep_value("sk-secret")
    assert "secret" not in stored
    assert stored != FIELD.get_prep_value("sk-secret")
    assert FIELD.from_db_value(stored) == "sk-secret"


def test_nothing_stays_nothing(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = []
    assert [FIELD.get_prep_value(value) for value in ("", None)] == ["", None]
    assert [FIELD.from_db_value(value) for value in ("", None)] == ["", None]


def test_a_new_key_in_front_reads_the_old_ones_and_writes_its_own(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [OLD]
    stored = FIELD.get_prep_value("sk-secret")
    settings.ENCRYPTION_KEYS = [NEW, OLD]
    assert FIELD.from_db_value(stored) == "sk-secret"
    rewritten = FIELD.get_prep_value("sk-secret")
    settings.ENCRYPTION_KEYS = [NEW]
    assert FIELD.from_db_value(rewritten) == "sk-secret"
    with pytest.raises(InvalidToken):
        FIELD.from_db_value(stored)


def test_without_any_key_nothing_is_written_in_plain_text(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = []
    with pytest.raises(ImproperlyConfigured):
        FIELD.get_prep_value("sk-secret")
