"""API keys: their shape, what is stored of them, and garbage that never reaches a database."""

import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import keys
from gateway.errors import InvalidKey
from gateway.principals import Principals


@pytest.mark.parametrize(("is_test", "prefix"), [(False, "ttonk_sk_"), (True, "ttonk_sk_test_")])
def test_a_key_has_its_prefix_and_checks_itself(is_test: bool, prefix: str) -> None:
    secret = keys.generate(test=is_test)
    assert re.fullmatch(prefix + r"[0-9A-Za-z]{36}", secret)
    assert keys.is_well_formed(secret)


def test_no_two_keys_are_alike_and_all_characters_are_used() -> None:
    made = {keys.generate() for _ in range(500)}
    assert len(made) == 500
    assert set("".join(secret[9:39] for secret in made)) == set(
        string.ascii_letters + string.digits
    )


def test_every_single_typo_is_found() -> None:
    secret = keys.generate()
    for at in range(len("ttonk_sk_"), len(secret)):
        for character in "0aZ_ ":
            if secret[at] != character:
                typo = secret[:at] + character + secret[at + 1 :]
                assert not keys.is_well_formed(typo)


@given(st.text(max_size=80))
def test_no_text_makes_the_check_fail(text: str) -> None:
    assert not keys.is_well_formed(text)
    assert not keys.is_well_formed("ttonk_sk_" + text)


def test_the_digest_needs_the_pepper(settings: Any) -> None:
    secret = keys.generate()
    settings.KEY_PEPPER = "one"
    digest = keys.digest(secret)
    assert re.fullmatch(r"[0-9a-f]{64}", digest)
    assert digest == keys.digest(secret)
    settings.KEY_PEPPER = "two"
    assert digest != keys.digest(secret)


class _NoDatabase:
    def connection(self, **_: Any) -> Any:
        raise AssertionError("a database was asked")


@pytest.mark.parametrize(
    "header",
    [
        None, b"", b"Bearer", b"Bearer ", b"Basic x", b"Bearer ttonk_sk_" + b"a" * 36,
        b"Bearer " + b"x" * 100_000, b"Bearer \xff\xfe", "Bearer ttonk_sk_é".encode(),
    ],
)  # fmt: skip
async def test_garbage_is_refused_without_a_database(header: bytes | None) -> None:
    principals = Principals(_NoDatabase())  # type: ignore[arg-type]
    with pytest.raises(InvalidKey):
        await principals.resolve(header, "127.0.0.1")
