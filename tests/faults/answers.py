"""The answers that the rounds cut, and what each of their endings costs: money.md's table once
more, as arithmetic that shares nothing with the product's."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.faults.lines import tag
from tests.journeys import callers
from tests.scripts import Call, Script, events, whole

MODEL = "qwen-plus"
# Nanos for one token: prompt, prompt from the cache, output, reasoning.
PROMPT, CACHED, OUTPUT, REASONING = 400, 80, 1_200, 4_000
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error": {"message": "the model crashed", "code": 500}}\n\n'
GARBAGE = b"data: <html>502 Bad Gateway</html>\n\n"
_TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}},
]


@dataclass(frozen=True)
class Shape:
    """A kind of answer, and what of the request it takes to get one."""

    name: str
    script: Script
    options: dict[str, Any] = field(default_factory=dict)

    def request(self, number: int, *, is_stream: bool) -> dict[str, Any]:
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": f"Cut the answer {tag(number)} anywhere."}],
            "max_tokens": 200,
            **self.options,
        }
        return {**body, "stream": True} if is_stream else body

    def events(self) -> list[bytes]:
        """A stream's events, `[DONE]` included, as the upstream sends them when all is well."""
        request = {**self.options, "model": MODEL, "stream_options": {"include_usage": True}}
        answer, ends = events(self.script, request)
        frames = [json.dumps(one, ensure_ascii=False).encode() for one in [*answer, *ends]]
        return [*[b"data: " + frame + b"\n\n" for frame in frames], DONE]

    def whole(self) -> bytes:
        answer = whole(self.script, {**self.options, "model": MODEL})
        return json.dumps(answer, ensure_ascii=False).encode()

    def counted_prompt(self, number: int) -> int:
        request = self.request(number, is_stream=True)
        prompt = callers.counted_prompt(request["messages"][0]["content"])
        if "tools" not in request:
            return prompt
        return prompt + callers.count(json.dumps(request["tools"], separators=(",", ":")))


_CACHED = {
    "prompt_tokens": 23,
    "completion_tokens": 9,
    "total_tokens": 32,
    "prompt_tokens_details": {"cached_tokens": 16},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
SHAPES = (
    Shape("text", Script(chunks=4)),
    Shape("no usage", Script(chunks=5, usage="absent")),
    Shape("usage with the finish", Script(chunks=3, usage="with_choices")),
    Shape("cached prompt", Script(chunks=5, reasoning="let me see then", usage=_CACHED)),
    Shape("thoughts", Script(chunks=3, reasoning="They ask for a word or two")),
    Shape(
        "tool call",
        Script(text="", tool_calls=[Call("weather", '{"city": "Köln", "days": 3}')]),
        {"tools": _TOOLS},
    ),
    Shape("two choices", Script(chunks=3), {"n": 2}),
    Shape("two choices, no usage", Script(chunks=2, usage="absent"), {"n": 2}),
    Shape("other alphabets", Script(text="Grüße, 世界 und 🦜 dazu", chunks=4, usage="absent")),
)


@dataclass
class Told:
    """How much of an answer an upstream has told, read from the bytes it put on the wire."""

    texts: list[str] = field(default_factory=list)
    open: set[int] = field(default_factory=set)
    finished: set[int] = field(default_factory=set)
    usage: dict[str, Any] | None = None
    is_done: bool = False
    # It said that it failed, or what it said cannot be read.
    is_broken: bool = False
    # Events that a client is shown.
    shown: int = 0

    @property
    def has_token(self) -> bool:
        return bool(self.texts or self.finished)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing: said to be so, or every choice has its reason to end."""
        if self.is_done:
            return True
        return not self.is_broken and bool(self.finished) and not self.open


def read(body: bytes, *, is_orderly: bool) -> Told:
    """`is_orderly`: the connection did not break before the body's stated end."""
    told = Told()
    *frames, rest = body.split(b"\n\n")
    for frame in frames:
        if told.is_done or told.is_broken:
            return told
        _take(told, frame.removeprefix(b"data: "))
    if told.is_done or told.is_broken:
        return told
    if is_orderly and rest.strip() == DONE.strip():
        told.is_done = True
    elif not is_orderly or rest:
        told.is_broken = True
    return told


def _take(told: Told, payload: bytes) -> None:
    if payload == b"[DONE]":
        told.is_done = True
        return
    try:
        event = json.loads(payload)
    except ValueError:
        told.is_broken = True
        return
    if event.get("error"):
        told.is_broken = True
        return
    told.usage = event.get("usage") or told.usage
    told.shown += bool(event["choices"])
    for choice in event["choices"]:
        index = choice["index"]
        if choice["finish_reason"]:
            told.finished.add(index)
            told.open.discard(index)
        else:
            told.open.add(index)
        told.texts += texts(choice["delta"])


def texts(part: dict[str, Any]) -> list[str]:
    """What a model said in one delta or message, in order."""
    said = [part.get("content"), part.get("reasoning_content")]
    for call in part.get("tool_calls") or ():
        function = call.get("function") or {}
        said += [function.get("name"), function.get("arguments")]
    return [text for text in said if text]


def of_report(usage: dict[str, Any]) -> int:
    """Nanos for what the provider reported."""
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens", 0)
    said = usage["completion_tokens"] - thought
    fresh = usage["prompt_tokens"] - cached
    return fresh * PROMPT + cached * CACHED + said * OUTPUT + thought * REASONING


def of_relayed(relayed: list[str], usage: dict[str, Any] | None, prompt_tokens: int) -> int:
    """Nanos for a prompt and what was relayed, where the answer did not end: never more tokens
    than were relayed, of whatever kind the provider says they were."""
    count = callers.count("".join(relayed))
    if usage is None:
        return prompt_tokens * PROMPT + count * OUTPUT
    details = usage.get("completion_tokens_details") or {}
    thought = min(details.get("reasoning_tokens", 0), count)
    said = min(usage["completion_tokens"] - details.get("reasoning_tokens", 0), count - thought)
    counts = {**usage, "completion_tokens": said + thought}
    return of_report({**counts, "completion_tokens_details": {"reasoning_tokens": thought}})


def of_completed(told: Told, prompt_tokens: int) -> int:
    if told.usage is not None:
        return of_report(told.usage)
    return prompt_tokens * PROMPT + callers.count("".join(told.texts)) * OUTPUT
