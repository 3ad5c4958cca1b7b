"""Headers and durations as OpenAI's clients read them."""

from typing import Any

import pytest

from gateway.replies import Client, Reply, duration, rate_headers
from ratelimits.buckets import Decision, Level


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (-1, "0s"), (0.0004, "0s"), (0.012, "12ms"), (0.9994, "999ms"),
        (0.9996, "1s"), (1, "1s"), (1.5, "1.5s"), (10, "10s"), (59.999, "59.999s"),
        (59.9996, "1m0s"), (60, "1m0s"), (61.4, "1m1s"), (360, "6m0s"), (7_200, "120m0s"),
    ],
)  # fmt: skip
def test_durations_read_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_all_six_rate_headers_are_there_also_where_nothing_is_limited() -> None:
    headers = dict(rate_headers(Decision(True, 0, Level(60, 59, 1.0), None)))
    assert headers == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"59",
        b"x-ratelimit-reset-requests": b"1s",
        b"x-ratelimit-limit-tokens": b"unlimited",
        b"x-ratelimit-remaining-tokens": b"unlimited",
        b"x-ratelimit-reset-tokens": b"0s",
    }


async def test_a_stream_starts_once_and_ends_once() -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    client = Client(send, [(b"x-request-id", b"r")])
    await client.write(b"one")
    await client.write(b"two")
    await client.end_stream(b"three")
    await client.write(b"late")
    await client.end_stream(b"later")
    assert [message["type"] for message in sent] == ["http.response.start"] + [
        "http.response.body"
    ] * 3
    assert [message["more_body"] for message in sent[1:]] == [True, True, False]
    assert client.writing_since is None


async def test_a_whole_answer_says_its_length() -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await Client(send, []).reply(Reply(200, b"{}", [(b"a", b"b")]))
    headers = dict(sent[0]["headers"])
    assert (headers[b"content-length"], headers[b"a"]) == (b"2", b"b")
    assert sent[1]["body"] == b"{}"
