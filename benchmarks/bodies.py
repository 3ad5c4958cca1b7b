"""Request bodies as customers send them, of a stated size."""

from __future__ import annotations

import json

_SYSTEM = "You answer questions about a shop's orders. Be brief, and name the order you speak of."
_TURNS = (
    "My parcel was due on Tuesday and the tracking page has not moved since. What happened to it? ",
    "I am sorry about the wait. The carrier scanned it at the depot; it should move again today. ",
)


def chat(model: str, bytes_min: int, *, is_stream: bool) -> bytes:
    """A conversation of at least `bytes_min` bytes, ending with the user's turn."""
    messages = [{"role": "system", "content": _SYSTEM}]
    body: dict[str, object] = {
        "model": model,
        "messages": messages,
        "temperature": 0.7,
        "max_tokens": 256,
        "user": "customer-1234",
    }
    if is_stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    repeat = 2 if bytes_min < 5000 else 8
    while True:
        turn = len(messages) - 1
        role = "assistant" if turn % 2 else "user"
        messages.append({"role": role, "content": _TURNS[turn % 2] * repeat})
        if role == "user" and len(data := json.dumps(body).encode()) >= bytes_min:
            return data
