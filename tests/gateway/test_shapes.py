"""The short way through a stream against the long one: the same bytes, texts and meter."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import relaying
from gateway.metering import Meter
from gateway.passage import Passage
from gateway.relaying import Relay
from gateway.shapes import EVENT_BYTES_MAX
from providers.adapters import DIALECTS
from providers.upstream import Exchange, StreamDied


def _relay(*, wants_usage: bool = False, is_short: bool = True) -> Relay:
    relay = Relay(
        completion_id="chatcmpl-1", created=5, model="public", wants_usage=wants_usage,
        meter=Meter(context_tokens=1_000, output_tokens_max=100), dialect=DIALECTS["openai"],
    )  # fmt: skip
    if not is_short:
        relay._lessons = 0  # nothing is ever learned
    return relay


def _payload(text: Any, name: str = "content", **fields: Any) -> bytes:
    choice = {"index": 0, "delta": {name: text}, "logprobs": None, "finish_reason": None}
    event = {"id": "theirs", "model": "their-name", "choices": [choice], **fields}
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


class Connection:
    """An upstream's answer, of which every read is given."""

    def __init__(self, reads: list[bytes]) -> None:
        self._reads = reads

    async def flow(self, take: Callable[[bytes], bool]) -> None:
        while self._reads:
            if take(self._reads.pop(0)):
                return

    @property
    def is_spent(self) -> bool:
        return not self._reads


class Client:
    """One that takes every so many writes at once, and can be waited for otherwise."""

    is_started = True
    written_at = 0.0

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._asked = 0
        self.sent = b""

    def write_at_once(self, data: bytes) -> bool:
        self._asked += 1
        if self._patience == 0 or self._asked % self._patience == 0:
            return False
        self.sent += data
        return True

    async def write(self, data: bytes) -> None:
        self.sent += data


async def _relayed(relay: Relay, reads: list[bytes], *, glances: bool, patience: int) -> Any:
    """All that can be seen of one stream."""
    client, meter = Client(patience), relay._meter
    exchange: Any = SimpleNamespace(client=client, meter=meter, first_token_at=None, deadline=0.0)
    exchange.note_first_token = lambda: setattr(exchange, "first_token_at", 1.0)
    exchange.wait_upstream = lambda seconds: None
    passage = Passage(exchange, SimpleNamespace(provider="p"), relay, 30.0)  # type: ignore[arg-type]
    limits = SimpleNamespace(event_bytes_max=1 << 16)
    upstream: Any = Exchange(None, limits, None, "", b"")  # type: ignore[arg-type]
    upstream._connection = Connection([read for read in reads if read])
    error = ""
    try:
        while not upstream.is_over:
            await upstream.flow(passage.take, passage.glance if glances else None)
            await passage.settle()
    except StreamDied as died:
        error = str(died)
    is_done = not error and upstream.is_done  # of one that died it says nothing
    texts = meter.text, meter.pieces, meter.reported
    return client.sent, texts, error, relay.has_token, relay.is_finished, is_done


# What could be mistaken for a string's end, a key, or another text.
_text = st.text(max_size=6) | st.sampled_from(
    ["", "a", '"', "\\", '\\"', "\n", '","content":"', '"}}', "\ue000probe\ue001", "é", "😀",
     "content", "data: ", "null"]
)  # fmt: skip
_name = st.sampled_from(["content", "reasoning_content", "refusal", "arguments", "x", 'a"content'])
_call = st.builds(
    lambda text: [{"index": 0, "function": {"arguments": text}}], _text
) | st.none()  # fmt: skip
_delta = st.dictionaries(_name, _text | st.none(), max_size=2) | st.fixed_dictionaries(
    {}, optional={"role": st.just("assistant"), "content": _text, "tool_calls": _call}
)
_choice = st.fixed_dictionaries(
    {"delta": _delta},
    optional={
        "index": st.integers(0, 1),
        "finish_reason": st.sampled_from([None, None, "stop"]),
        "logprobs": st.none(),
    },
)
_usage = st.fixed_dictionaries(
    {"prompt_tokens": st.integers(1, 9), "completion_tokens": st.integers(0, 9)}
)
_event = st.fixed_dictionaries(
    {"choices": st.lists(_choice, max_size=2)},
    optional={"usage": _usage | st.none(), "created": st.integers(1, 2), "error": st.none(),
              "note": _text},
)  # fmt: skip
_style = st.tuples(st.booleans(), st.sampled_from([(",", ":"), (", ", ": ")]))
_plain = st.builds(_payload, _text, st.sampled_from(["content", "reasoning_content"]))
_other = st.builds(
    lambda event, style: json.dumps(event, ensure_ascii=style[0], separators=style[1]).encode(),
    _event,
    _style,
)
# Almost of a shape: something is wrong, or more, where the text stands.
_middle = st.sampled_from(
    [b'"a"', b' "a" ', b'"\xff"', b'"\\ud800"', b'"\\u00e9\\/"', b'"a', b'a"', b'"a"b"', b"null",
     b"1", b'["a"]', b'"a","content":"b"', b'"a","role":"x"',
     b'"a"},"finish_reason":"stop","x":{"y":1', b'"\t"', b'"\x00"', b"",
     b'"' + b"long " * 900 + b'"', b'"\\n"', b'""']
)  # fmt: skip
_hostile = st.builds(lambda middle: _payload("@").replace(b'"@"', middle), _middle)
_stream = st.lists(
    st.lists(_plain, min_size=1, max_size=4) | st.lists(_other | _hostile, max_size=2), max_size=8
).map(lambda groups: [payload for group in groups for payload in group])


_framed = st.sampled_from(
    [b"data: %b\n\n"] * 5
    + [b"data:%b\n\n", b"data: %b\r\n\r\n", b"data: %b\r\r", b": x\n\ndata: %b\n\n",
       b"data: %b\n\ndata: [DONE]\n\n", b"event: x\ndata: %b\n\n", b"data: %b\n", b"data: %b"]
)  # fmt: skip


@given(
    _stream,
    st.lists(_framed, min_size=50, max_size=50),
    st.lists(st.integers(0, 3_000), max_size=6),
    st.booleans(),
    st.integers(0, 4),
)
@example([_payload(text) for text in "abcd"] + [b'{"error":{"message":"x"}}'],
         [b"data: %b\n\n"] * 50, [], False, 9)  # fmt: skip
@example([_payload("a"), _payload("b")], [b"data: %b\n\n", b"data: %b"] * 25, [], False, 9)
async def test_both_ways_give_the_same_bytes_texts_and_meter(
    payloads: list[bytes], frames: list[bytes], cuts: list[int], wants_usage: bool, patience: int
) -> None:
    """Each event in a read of its own, some cut; against all by the long way in one read."""
    reads = [frames[number % 50] % payload for number, payload in enumerate(payloads)]
    whole = b"".join(reads)
    for cut in cuts:
        number = cut % (len(reads) or 1)
        reads[number : number + 1] = [reads[number][:cut], reads[number][cut:]] if reads else []
    short = await _relayed(_relay(wants_usage=wants_usage), list(reads), glances=True,
                           patience=patience)  # fmt: skip
    by_payload = await _relayed(_relay(wants_usage=wants_usage), [whole], glances=False, patience=0)
    long_relay = _relay(wants_usage=wants_usage, is_short=False)
    long = await _relayed(long_relay, [whole], glances=False, patience=0)
    assert short == long
    assert by_payload == long


@pytest.mark.parametrize("name", ["content", "reasoning_content"])
@pytest.mark.parametrize("spaces", [False, True])
def test_the_third_event_of_a_shape_goes_the_short_way(
    monkeypatch: pytest.MonkeyPatch, name: str, spaces: bool
) -> None:
    relay = _relay()
    payloads = [_payload(f"word {n} é\n", name) for n in range(5)]
    if spaces:
        payloads = [json.dumps(json.loads(payload)).encode() for payload in payloads]
    relay.translate(payloads[:2])

    def decode(payload: bytes) -> Any:
        raise AssertionError("the long way")

    monkeypatch.setattr(relaying, "event_of", decode)
    sent, texts, error = relay.translate(payloads[2:])
    assert (texts, error) == ([f"word {n} é\n" for n in (2, 3, 4)], None)
    events = [json.loads(line[6:]) for line in sent.decode().split("\n\n") if line]
    assert [event["choices"][0]["delta"][name] for event in events] == texts
    assert {event["id"] for event in events} == {"chatcmpl-1"}


def test_a_stream_without_a_shape_stops_being_studied() -> None:
    relay = _relay()
    for number in range(20):
        relay.translate([_payload("a", created=number)])
    assert relay._lessons == 0


def test_events_that_carry_more_than_a_text_are_not_kept() -> None:
    relay = _relay()
    relay.translate([_payload("a", note="x" * EVENT_BYTES_MAX)] * 3)
    assert relay.shape is None
