"""The snapshot of catalog and prices, before there is one."""

from typing import cast

import pytest

from gateway.errors import Overloaded
from gateway.principals import Principal
from gateway.routes import Routes

ANYONE = cast(Principal, None)  # whoever asks


def test_a_model_is_not_said_to_be_missing_before_the_catalog_was_read() -> None:
    with pytest.raises(Overloaded) as raised:
        Routes().find("qwen-plus", ANYONE)
    assert raised.value.status == 503


def test_no_empty_list_of_models_is_told_before_the_catalog_was_read() -> None:
    with pytest.raises(Overloaded):
        Routes().visible(ANYONE)
