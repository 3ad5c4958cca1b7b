"""Chat completion bodies from a seed: valid ones, and ones broken in exactly one way.

Each way of breaking makes a body invalid whatever it is applied to: that is what entitles the
round to demand a 4xx of every single one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

Json = dict[str, Any]

_WORDS = [
    "hello", "the", "cat", "sat", "猫", "🙂", "naïve", '"', "\\", "\n", "{}", "[]", "null", "1e5",
    "<b>", "'", ";", "DROP", "%s",
]  # fmt: skip
# Values by their JSON type, odd ones among them.
_VALUES: dict[str, list[Any]] = {
    "null": [None],
    "boolean": [True, False],
    "integer": [0, -1, 7, 2**31, 2**63, -(2**70), 10**40],
    "number": [0.5, -7.25, 1.5, 5e-324],  # whole ones are integers too
    "string": ["", "x", "1", "true", "null", "\u202e", "a" * 5000],
    "array": [[], [7], [[]], [None], ["x"] * 600],
    "object": [{}, {"x": 7}, {"type": None}, {"role": "user"}],
}
# Every parameter with the types it may have; any other type is wrong. `number` takes integers.
_TYPES: dict[str, tuple[str, ...]] = {
    "model": ("string",),
    "messages": ("array",),
    "stream": ("boolean", "null"),
    "stream_options": ("object", "null"),
    "max_tokens": ("integer", "null"),
    "max_completion_tokens": ("integer", "null"),
    "n": ("integer", "null"),
    "temperature": ("integer", "number", "null"),
    "top_p": ("integer", "number", "null"),
    "presence_penalty": ("integer", "number", "null"),
    "frequency_penalty": ("integer", "number", "null"),
    "stop": ("string", "array", "null"),
    "logprobs": ("boolean", "null"),
    "top_logprobs": ("integer", "null"),
    "logit_bias": ("object", "null"),
    "seed": ("integer", "null"),
    "user": ("string", "null"),
    "tools": ("array", "null"),
    "tool_choice": ("string", "object", "null"),
    "parallel_tool_calls": ("boolean", "null"),
    "response_format": ("object", "null"),
    "reasoning_effort": ("string", "null"),
    "metadata": ("object", "null"),
    "enable_thinking": ("boolean", "null"),
    "thinking_budget": ("integer", "null"),
}
# Of the right type and outside the bounds.
_OUTSIDE: dict[str, list[Any]] = {
    "model": ["", "a" * 201, "no-such-model", "qwen-plus ", "QWEN-PLUS", "../qwen-plus"],
    "messages": [[]],
    "max_tokens": [0, -1, -(2**40), 10**9, 2**64],
    "max_completion_tokens": [0, -5, 10**12, 2**64],
    "n": [0, -1, 129, 2**32],
    "temperature": [-0.001, 2.001, 1e308, -3],
    "top_p": [-0.1, 1.0001, 7],
    "presence_penalty": [-2.01, 2.01],
    "frequency_penalty": [-3, 1e9],
    "stop": [["a"] * 5, [1], [None], [["a"]]],
    "top_logprobs": [-1, 21, 2**40],
    "logit_bias": [{"1": 101}, {"1": -100.5}, {"1": "x"}, {"1": None}],
    "tools": [[7], [{}], [{"type": 1}], [{"type": "function", "function": {}}],
              [{"type": "function", "function": {"name": ""}}],
              [{"type": "function", "function": {"name": "f", "parameters": []}}]],
    "thinking_budget": [0, -1],
}  # fmt: skip
_ROLES = ["wizard", "", "User", "assistant ", 7, None, [], {}, True]
_NUMBERS = ["NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1.", "0x10", "1_000", "--1", "1e",
            "9" * 5000, "1e999", "-", "True", "undefined", "'x'"]  # fmt: skip


def text(rng: Random) -> str:
    return " ".join(rng.choices(_WORDS, k=rng.randrange(1, 8)))


def valid(rng: Random) -> Json:
    """A small request that the gateway must take, with options and fields nobody knows."""
    body: Json = {"model": "qwen-plus", "messages": _messages(rng), "max_tokens": 50}
    options: Json = {
        "temperature": 0.5, "top_p": 1, "stop": ["a"], "seed": 7, "user": text(rng), "n": 1,
        "presence_penalty": -2, "metadata": {"k": "v"}, "logit_bias": {"5": 3}, "tools": None,
        "response_format": {"type": "text"}, "frequency_penalty": None, "reasoning_effort": "low",
        "x_unknown": {"deep": [1, [2, {"x": None}]]}, "top_k": 5, "repetition_penalty": 1.1,
    }  # fmt: skip
    for name in rng.sample(sorted(options), k=rng.randrange(4)):
        body[name] = options[name]
    names = list(body)
    rng.shuffle(names)
    return {name: body[name] for name in names}


def _messages(rng: Random) -> list[Json]:
    made: list[Json] = [{"role": "system", "content": text(rng)}] if rng.random() < 0.3 else []
    content: Any = text(rng)
    if rng.random() < 0.3:
        content = [{"type": "text", "text": content}]
    return [*made, {"role": "user", "content": content}]


def broken(rng: Random) -> tuple[str, bytes]:
    """How it is broken, and the bytes."""
    way = rng.choice(_WAYS)
    return way.__name__.strip("_"), way(rng)


def _dump(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


# --- broken as a structure --------------------------------------------------------------------


def _missing(rng: Random) -> bytes:
    body = valid(rng)
    del body[rng.choice(("model", "messages"))]
    return _dump(body)


def _wrong_type(rng: Random) -> bytes:
    name = rng.choice(sorted(_TYPES))
    wrong = [kind for kind in _VALUES if kind not in _TYPES[name]]
    return _dump({**valid(rng), name: rng.choice(_VALUES[rng.choice(wrong)])})


def _outside(rng: Random) -> bytes:
    name = rng.choice(sorted(_OUTSIDE))
    body = {**valid(rng), name: rng.choice(_OUTSIDE[name])}
    if name == "max_completion_tokens":
        del body["max_tokens"]
    return _dump({**body, "logprobs": True} if name == "top_logprobs" else body)


def _contradiction(rng: Random) -> bytes:
    wrong: list[Json] = [
        {"max_tokens": 5, "max_completion_tokens": 5},
        {"stream_options": {"include_usage": True}, "stream": rng.choice((None, False))},
        {"top_logprobs": 2, "logprobs": rng.choice((None, False))},
    ]
    return _dump({**valid(rng), **rng.choice(wrong)})


def _message(rng: Random) -> bytes:
    """One message among good ones that is none."""
    wrong: list[Any] = [
        *(rng.choice(values) for kind, values in _VALUES.items() if kind != "object"),
        {}, {"content": "x"}, {"role": rng.choice(_ROLES), "content": "x"}, {"role": "user"},
        {"role": "user", "content": None}, {"role": "user", "content": []},
        {"role": "user", "content": rng.choice((7, True, {}, 0.5, [7], [None], [[]], ["x"]))},
        {"role": "user", "content": [{}]}, {"role": "user", "content": [{"text": "x"}]},
        {"role": "user", "content": [{"type": "text"}]},
        {"role": "user", "content": [{"type": 7, "text": "x"}]},
        {"role": "user", "content": [{"type": "text", "text": rng.choice((7, [], {}, True))}]},
        {"role": "user", "content": [{"type": "image_url"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": rng.choice((7, []))}]},
        {"role": "user", "content": "x", "name": rng.choice((7, [], {}))},
        {"role": "tool", "content": "x"}, {"role": "tool", "content": "x", "tool_call_id": 7},
        {"role": "assistant", "tool_calls": rng.choice((7, "x", {}, [7], [{}]))},
        {"role": "assistant", "content": "x", "tool_calls": [{"function": {"name": 7}}]},
    ]  # fmt: skip
    body = valid(rng)
    body["messages"].insert(rng.randrange(len(body["messages"]) + 1), rng.choice(wrong))
    return _dump(body)


def _too_deep(rng: Random) -> bytes:
    depth = rng.choice((65, 100, 5_000, 100_000))
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    rest = b"7" + closing * depth + b"}" if rng.random() < 0.7 else b""
    return _dump(valid(rng))[:-1] + b', "x": ' + opening * depth + rest


def _nul_text(rng: Random) -> bytes:
    body = valid(rng)
    where = rng.choice(("value", "key", "nested", "message"))
    if where == "message":
        body["messages"].append({"role": "user", "content": "a\0b"})
    elif where == "nested":
        body["metadata"] = {"a": ["b", {"c": "\0"}]}
    else:
        body.update({"user": "\0"} if where == "value" else {"x\0": 1})
    return _dump(body)


def _duplicate(rng: Random) -> bytes:
    """The same name again, and the last one counts."""
    name = rng.choice(("model", "messages", "temperature", "n"))
    wrong = json.dumps(rng.choice([{}, "", -5, 1e9] if name != "temperature" else ["x", 9, [], {}]))
    return _dump(valid(rng))[:-1] + f', "{name}": {wrong}}}'.encode()


# --- broken as JSON -----------------------------------------------------------------------------


def _truncated(rng: Random) -> bytes:
    data = _dump(valid(rng))
    return data[: rng.randrange(len(data))]


def _not_an_object(rng: Random) -> bytes:
    kinds = [values for kind, values in _VALUES.items() if kind != "object"]
    return _dump(rng.choice(rng.choice(kinds)))


def _broken_utf8(rng: Random) -> bytes:
    data = _dump(valid(rng))
    at = rng.randrange(1, len(data))
    never = rng.choice((b"\xff", b"\xfe", b"\xc0\xaf", b"\xf8\x88\x80\x80\x80", b"\xed\xa0\x80"))
    return data[:at] + never + data[at:]


def _lone_surrogate(rng: Random) -> bytes:
    half = rng.choice(("\\ud800", "\\udfff", "\\udc00\\ud800", "\\ud83d x"))
    return _dump({**valid(rng), "user": "@"}).replace(b'"@"', f'"{half}"'.encode())


def _other_encoding(rng: Random) -> bytes:
    made = json.dumps(valid(rng), ensure_ascii=False)
    return made.encode(rng.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig")))


def _raw_control(rng: Random) -> bytes:
    control = bytes([rng.choice([0, 1, 7, 8, 0x0B, 0x0C, 0x1B, 0x1F])])
    data = _dump(valid(rng))
    at = rng.randrange(len(data) + 1)
    return data[:at] + control + data[at:]


def _no_number(rng: Random) -> bytes:
    name = rng.choice(("temperature", "top_p", "n", "seed", "max_tokens"))
    return _dump({**valid(rng), name: "@"}).replace(b'"@"', rng.choice(_NUMBERS).encode())


def _trailing(rng: Random) -> bytes:
    more = rng.choice((b"{}", b"x", b",", b"]", b"}", b"\0", b"null", b"// c", b"\xef\xbb\xbf"))
    return _dump(valid(rng)) + more


def _lax_syntax(rng: Random) -> bytes:
    data = _dump(valid(rng))
    changes: list[Callable[[bytes], bytes]] = [
        lambda data: data[:-1] + b",}",
        lambda data: b"/* c */" + data,
        lambda data: data.replace(b'"model":', b"model:", 1),
        lambda data: data.replace(b'"model":', b"'model':", 1),
        lambda data: data.replace(b'"model":', b'"model" ', 1),
        lambda data: data.replace(b'"model":', b'"mo\\xdel":', 1),
        lambda data: data.replace(b'"role":', b'"role"::', 1),
        lambda data: data[1:],
        lambda data: b"(" + data + b")",
        lambda data: b"data: " + data,
        lambda data: data.replace(b'"', b"\xe2\x80\x9c", 2),
    ]
    return rng.choice(changes)(data)


def _noise(rng: Random) -> bytes:
    """Random bytes that begin no JSON value."""
    return (
        rng.choice((b"", b"<", b"\x1f\x8b", b"model=", b"--x\r\n"))
        + b"\xfe"
        + rng.randbytes(rng.randrange(300))
    )


_WAYS: list[Callable[[Random], bytes]] = [
    _missing, _wrong_type, _outside, _contradiction, _message, _too_deep, _nul_text, _duplicate,
    _truncated, _not_an_object, _broken_utf8, _lone_surrogate, _other_encoding, _raw_control,
    _no_number, _trailing, _lax_syntax, _noise,
]  # fmt: skip
