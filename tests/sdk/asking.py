"""How the suites of the official `openai` package ask: shorthand, and nothing clever."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from openai import OpenAI

from tests.customers import Customer
from tests.scripts import Script

RATE_HEADERS = [
    f"x-ratelimit-{fact}-{what}"
    for fact in ("limit", "remaining", "reset")
    for what in ("requests", "tokens")
]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def client_of(customer: Customer, key: str, **options: Any) -> OpenAI:
    """A client that does not retry, unless told to."""
    return OpenAI(api_key=key, base_url=customer.base_url, **{"max_retries": 0, **options})


def said(script: Script | str) -> Any:
    """The messages of one user turn."""
    return [{"role": "user", "content": script if isinstance(script, str) else script.prompt()}]


def ask(client: OpenAI, script: Script | str, model: str = "qwen-turbo", **options: Any) -> Any:
    """One chat completion."""
    return client.chat.completions.create(model=model, messages=said(script), **options)


def received(customer: Customer, tag: str) -> list[dict[str, Any]]:
    """What arrived upstream under a script's tag, oldest first."""
    with urllib.request.urlopen(f"{customer.upstream_url}/received?tag={tag}", timeout=5) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found
