"""LangChain's own integration suite for chat models, through `langchain-openai`'s `ChatOpenAI`.

The suite talks to the running product over the scripted upstream, which answers as
`tests.mimicry` says. What is declared unsupported below is skipped by the suite itself, and
shows in pytest's summary: those tests fetch their files from the internet, and a recording of
replies would not be the product's.
"""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

from tests.customers import Customer


# LangChain keeps one connection pool for all its async clients, so they need one event loop; the
# mark for that stands on the suite's plain tests too, which pytest-asyncio warns of.
@pytest.mark.asyncio(loop_scope="class")
@pytest.mark.filterwarnings("ignore:.*is not an async function")
class TestChatOpenAI(ChatModelIntegrationTests):
    customer: Customer

    @pytest.fixture(autouse=True)
    def _meet(self, customer: Customer) -> None:
        self.customer = customer

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "qwen-plus",
            "base_url": self.customer.base_url,
            "api_key": self.customer.api_key,
            "stream_usage": True,
        }

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "qwen-max"
