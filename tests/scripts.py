"""Scripts: what a scripted upstream does with one request, as data, and the JSON it makes of it.

A test writes one into its last user message (`Script(chunks=20, ending="reset", cut_after=5)
.prompt()`), or gives one to an upstream model's name; without either the upstream answers by
itself, as `tests.mimicry` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

PROMPT_TOKENS = 7
MARK = "script:"
Json = dict[str, Any]

# How a stream ends. done: finish, usage, [DONE]. no_done: the same without [DONE]. talk: goes on
# after [DONE]. close: the body ends, nothing said. half: it ends inside an event. reset: the
# connection is cut. error: an error event. garbage: an event that is not JSON. silence: nothing
# more comes, ever.
Ending = Literal[
    "done", "no_done", "talk", "close", "half", "reset", "error", "garbage", "silence"
]  # fmt: skip


class Call(msgspec.Struct, frozen=True):
    """One tool call of the answer; `arguments` is the JSON text."""

    name: str
    arguments: str = "{}"


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One behaviour. Times are in milliseconds."""

    # Names the request for those who ask the upstream over HTTP what became of it.
    tag: str = ""

    # The answer: `text`, or the words w0 w1 … of `chunks` pieces.
    text: str | None = None
    chunks: int = 3
    reasoning: str = ""
    tool_calls: list[Call] = []
    tool_fragments: bool = True
    finish_reason: str | None = None
    # normal; absent; with_choices (on the chunk that finishes); or this, whatever it is.
    usage: Literal["normal", "absent", "with_choices"] | Json = "normal"

    # Time. `comments` keep-alives come before the first token; `silent` never answers at all.
    first_token_ms: int = 0
    gap_ms: int = 0
    comments: int = 0
    silent: bool = False

    # The stream's end, after `cut_after` pieces (all of them where None).
    ending: Ending = "done"
    cut_after: int | None = None

    # Another answer than a completion: status, headers and `body` (JSON) or `raw` (any text).
    status: int = 200
    headers: dict[str, str] = {}
    body: Any = None
    raw: str | None = None
    compressed: bool = False
    # Pads the first piece to this many characters, to make one big event.
    event_chars: int = 0

    def prompt(self) -> str:
        """The user message that asks for this behaviour."""
        # With spaces, so that it is counted as a text of words is.
        return f"{MARK} {msgspec.json.format(msgspec.json.encode(self), indent=0).decode()}"


def read_prompt(text: str) -> Script | None:
    """The script in a user message, None where it holds none. Raises on a wrong one."""
    if not text.startswith(MARK):
        return None
    return msgspec.json.decode(text.removeprefix(MARK).strip(), type=Script)


def refused(status: int, message: str, **error: Any) -> Script:
    """An error in OpenAI's envelope."""
    envelope = {"message": message, "type": "upstream_error", "param": None, "code": None}
    return Script(status=status, body={"error": {**envelope, **error}})


def pieces_of(script: Script, request: Json) -> tuple[list[str], str]:
    """The text's pieces and the finish reason, with the request's own limits kept."""
    if script.text is None:
        pieces = [f"w{index} " for index in range(script.chunks)]
    elif script.tool_calls and not script.text:
        pieces = []
    else:
        size = max(1, -(-len(script.text) // max(script.chunks, 1)))
        pieces = [script.text[at : at + size] for at in range(0, len(script.text), size)]
    if script.event_chars and pieces:
        pieces[0] = pieces[0].ljust(script.event_chars, "x")
    finish = "tool_calls" if script.tool_calls else "stop"
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    if limit and len(pieces) > limit:
        pieces, finish = pieces[:limit], "length"
    return pieces, script.finish_reason or finish


def usage_of(script: Script, request: Json) -> Any:
    """What the upstream reports as usage: one token for each piece, None for nothing."""
    if not isinstance(script.usage, str):
        return script.usage
    if script.usage == "absent":
        return None
    pieces, _ = pieces_of(script, request)
    thoughts = len(script.reasoning.split())
    count = (len(pieces) + len(script.tool_calls)) * (request.get("n") or 1) + thoughts
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": count,
        "total_tokens": PROMPT_TOKENS + count,
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }


def whole(script: Script, request: Json) -> Json:
    """The answer in one piece."""
    pieces, finish = pieces_of(script, request)
    message: Json = {"role": "assistant", "content": "".join(pieces) or None}
    if script.reasoning:
        message["reasoning_content"] = script.reasoning
    if script.tool_calls:
        message["tool_calls"] = [_call(at, call) for at, call in enumerate(script.tool_calls)]
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": finish}
        for index in range(request.get("n") or 1)
    ]
    answer = {**_frame("chat.completion", request), "choices": choices}
    usage = usage_of(script, request)
    return answer if usage is None else {**answer, "usage": usage}


def events(script: Script, request: Json) -> tuple[list[Json], list[Json]]:
    """A stream's chunks: those that carry the answer, and those that end it."""
    pieces, finish = pieces_of(script, request)
    indexes = range(request.get("n") or 1)
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": f"{word} "} for word in script.reasoning.split()]
    deltas += [{"content": piece} for piece in pieces]
    for at, call in enumerate(script.tool_calls):
        deltas += [{"tool_calls": [part]} for part in _fragments(at, call, script.tool_fragments)]
    answer = [_chunk(request, index, delta) for delta in deltas for index in indexes]
    ends = [_chunk(request, index, {}, finish) for index in indexes]
    usage = usage_of(script, request)
    wanted = (request.get("stream_options") or {}).get("include_usage")
    if script.usage == "with_choices":
        ends[-1]["usage"] = usage
    elif usage is not None and wanted:
        frame = _frame("chat.completion.chunk", request)
        ends.append({**frame, "choices": [], "usage": usage})
    return answer, ends


def _frame(kind: str, request: Json) -> Json:
    # Fixed, and unlike the gateway's own: what is relayed must not show them.
    name = request.get("model", "")
    return {"id": "upstream-1", "object": kind, "created": 1, "model": f"{name}-snapshot"}


def _chunk(request: Json, index: int, delta: Json, finish: str | None = None) -> Json:
    choice = {"index": index, "delta": dict(delta), "logprobs": None, "finish_reason": finish}
    return {**_frame("chat.completion.chunk", request), "choices": [choice]}


def _call(index: int, call: Call) -> Json:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{index}", "type": "function", "function": function}


def _fragments(index: int, call: Call, in_fragments: bool) -> Iterator[Json]:
    if not in_fragments:
        yield {"index": index, **_call(index, call)}
        return
    yield {"index": index, **_call(index, Call(call.name, ""))}
    half = len(call.arguments) // 2
    for part in (call.arguments[:half], call.arguments[half:]):
        yield {"index": index, "function": {"arguments": part}}
