"""From a provider's events to the client's: one id, one name, usage where it was asked for."""

from typing import Any

import msgspec

from gateway.metering import Meter, texts_of
from gateway.shapes import Shape, learn
from providers.adapters import Dialect
from providers.upstream import StreamDied, event_of

Event = dict[str, Any]
DONE = b"data: [DONE]\n\n"
# So many shapes in a row are learned for nothing, in streams that have none.
LESSONS_MAX = 4
_encode = msgspec.json.Encoder().encode


def frame(event: Event) -> bytes:
    return b"data: " + _encode(event) + b"\n\n"


class Relay:
    """Rewrites one stream. Not shared between attempts: a new attempt has a new one."""

    def __init__(
        self, *, completion_id: str, created: int, model: str, wants_usage: bool, meter: Meter,
        dialect: Dialect,
    ) -> None:  # fmt: skip
        self._id = completion_id
        self._created = created
        self._model = model
        self._wants_usage = wants_usage
        self._meter = meter
        self._dialect = dialect
        self._spoke: set[int] = set()
        self._open: set[int] = set()
        self._finished: set[int] = set()
        self.has_token = False
        self.shape: Shape | None = None
        self._lessons = LESSONS_MAX

    @property
    def is_finished(self) -> bool:
        """Whether every choice that began has said why it ended."""
        return bool(self._finished) and not self._open

    def translate(self, payloads: list[bytes]) -> tuple[bytes, list[str], StreamDied | None]:
        """The client's bytes, the texts in them, and what ends the stream badly after them."""
        out: list[bytes] = []
        texts: list[str] = []
        try:
            for payload in payloads:
                shape = self.shape
                text = shape.text_of(payload) if shape is not None else None
                if shape is None or not text:
                    data, more = self._translate_payload(payload)
                    out.append(data)
                    texts += more
                else:
                    out.append(shape.frame(text))
                    texts.append(text)
        except StreamDied as error:
            return b"".join(out), texts, error
        return b"".join(out), texts, None

    def _translate_payload(self, payload: bytes) -> tuple[bytes, list[str]]:
        """The long way, and what it teaches about the next payloads. Raises `StreamDied`."""
        event = event_of(payload)
        if self.shape is not None and self.shape.is_used:
            self._lessons = LESSONS_MAX
        is_plain = event.get("usage") is None and self._lessons > 0
        before = (len(self._spoke), len(self._open), len(self._finished))
        translated = self._translate_event(event)
        # Where the event changed what is known of the choices, the next like it is another.
        is_same = before == (len(self._spoke), len(self._open), len(self._finished))
        if is_plain and is_same and len(translated[1]) == 1:
            self._lessons -= 1
            self.shape = learn(payload, translated[1][0], self._translate_probe) or self.shape
        return translated

    def _translate_probe(self, payload: bytes) -> tuple[bytes, list[str]]:
        return self._translate_event(event_of(payload))

    def _translate_event(self, event: Event) -> tuple[bytes, list[str]]:
        """Raises `StreamDied` on another shape."""
        usage = event.get("usage")
        if usage is not None:
            self._meter.read_usage(usage, self._dialect)
        choices = event.get("choices")
        if not isinstance(choices, list) or not choices:
            return b"", []  # the usage chunk: sent by us, once the charge is durable
        texts: list[str] = []
        for choice in choices:
            texts += self._translate_choice(choice)
        event["id"], event["created"], event["model"] = self._id, self._created, self._model
        event["object"] = "chat.completion.chunk"
        if self._wants_usage:
            event["usage"] = None
        elif "usage" in event:
            del event["usage"]
        return frame(event), texts

    def _translate_choice(self, choice: Any) -> list[str]:
        if not isinstance(choice, dict):
            raise StreamDied("a choice is not an object")
        index = choice.get("index", 0)
        if not isinstance(index, int):
            raise StreamDied("a choice has no index")
        delta = choice.get("delta")
        if isinstance(delta, dict) and "role" in delta:
            if index in self._spoke:
                del delta["role"]
            self._spoke.add(index)
        texts = texts_of(choice, "delta")
        if choice.get("finish_reason") is not None:
            self._finished.add(index)
            self._open.discard(index)
            self.has_token = True
        elif index not in self._finished:
            self._open.add(index)
        if texts:
            self.has_token = True
        return texts

    def usage_chunk(self, usage: Event) -> bytes:
        """The last chunk before `[DONE]`, where the client asked for it."""
        return frame(
            {
                "id": self._id,
                "object": "chat.completion.chunk",
                "created": self._created,
                "model": self._model,
                "choices": [],
                "usage": usage,
            }
        )


class Aggregate:
    """A stream put together into the answer it would have been, for providers that insist on
    streaming. Fragments are joined in order of arrival."""

    def __init__(self) -> None:
        self._choices: dict[int, Event] = {}
        self._usage: Any = None

    def add(self, events: list[Event]) -> None:
        """Raises `StreamDied` on an event of another shape."""
        try:
            for event in events:
                self._usage = event.get("usage") or self._usage
                for choice in event.get("choices") or ():
                    self._add_choice(choice)
        except (AttributeError, TypeError, KeyError) as error:
            raise StreamDied("an event has another shape") from error

    def _add_choice(self, choice: Event) -> None:
        index = choice.get("index", 0)
        if not isinstance(index, int):
            raise StreamDied("a choice has no index")
        whole = self._choices.setdefault(
            index,
            {"index": index, "message": {"role": "assistant", "content": None},
             "logprobs": None, "finish_reason": None},
        )  # fmt: skip
        whole["finish_reason"] = choice.get("finish_reason") or whole["finish_reason"]
        delta = choice.get("delta") or {}
        message = whole["message"]
        for name in ("content", "reasoning_content", "reasoning", "refusal"):
            if delta.get(name):
                message[name] = (message.get(name) or "") + delta[name]
        for call in delta.get("tool_calls") or ():
            _join_call(message.setdefault("tool_calls", []), call)
        if delta.get("function_call"):
            called = message.setdefault("function_call", {"name": "", "arguments": ""})
            _join_function(called, delta["function_call"])
        for name, tokens in (choice.get("logprobs") or {}).items():
            whole["logprobs"] = whole["logprobs"] or {}
            whole["logprobs"][name] = (whole["logprobs"].get(name) or []) + (tokens or [])

    @property
    def is_finished(self) -> bool:
        """Whether every choice that began has said why it ended."""
        choices = self._choices.values()
        return bool(choices) and all(choice["finish_reason"] for choice in choices)

    def body(self) -> Event:
        return {
            "object": "chat.completion",
            "choices": [self._choices[index] for index in sorted(self._choices)],
            "usage": self._usage,
        }


def _join_call(calls: list[Event], fragment: Event) -> None:
    index = fragment.get("index", 0)
    while len(calls) <= index < 128:
        calls.append({"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
    if not 0 <= index < len(calls):
        raise StreamDied("a tool call has no place")
    call = calls[index]
    call["id"] = fragment.get("id") or call["id"]
    _join_function(call["function"], fragment.get("function") or {})


def _join_function(function: Event, fragment: Event) -> None:
    for name in ("name", "arguments"):
        function[name] += fragment.get(name) or ""
