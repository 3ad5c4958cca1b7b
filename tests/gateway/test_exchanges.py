"""One exchange at a time, in this process: the upstream is real, the ledger writes it down."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings

from billing.batches import Capture, Hold
from billing.pricing import PriceVersion, Rate
from gateway import attempts, estimates, payload, pipeline, watch
from gateway.errors import InvalidKey
from gateway.estimates import Estimates
from gateway.exchanges import Exchange, Interrupt
from gateway.metrics import Metrics
from gateway.principals import Principal
from gateway.requests import ClientGone, GatewayRequest
from gateway.retries import RetryBudget
from gateway.routes import Route
from gateway.watch import Watch
from providers.adapters import DIALECTS
from providers.catalog import ChannelFacts, ChannelHealth, ModelFacts
from providers.http1 import Target
from providers.upstream import Timeouts, Upstream, UpstreamFailed
from ratelimits.buckets import Decision, Limits
from tests.scripts import Script, refused
from tests.upstream import ScriptedUpstream

INPUT, OUTPUT = 1_000_000, 10_000_000  # nanos per million tokens: 1 and 10 a token


class Ledger:
    """Grants every hold, and keeps the captures."""

    is_available = True

    def __init__(self) -> None:
        self.captured: list[Capture] = []
        self.delay_seconds = 0.0

    async def authorize(self, item: Any) -> Hold:
        return Hold(item.id, item.wallet_id, item.amount_nanos, 1, False, datetime.now(UTC))

    async def capture(self, item: Capture) -> None:
        self.captured.append(item)
        await asyncio.sleep(self.delay_seconds)


class Limiter:
    def __init__(self) -> None:
        self.used: list[int] = []

    async def reserve(self, limits: Limits, *, tokens: int) -> Decision:
        return Decision(True, 0.0, None, None)

    def correct(self, limits: Limits, *, requests: int = 0, reserved: int, used: int) -> None:
        self.used.append(used)


class Counter:
    """A token for every word."""

    async def count(self, texts: list[str]) -> int:
        return sum(len(text.split()) for text in texts)


class Caller:
    """A client in memory."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()


class Scene:
    """Everything around `pipeline.complete`, with the model served by these upstream models."""

    def __init__(self, server: ScriptedUpstream, upstream_models: list[str], adapter: str) -> None:
        self.server = server
        self.ledger, self.limiter = Ledger(), Limiter()
        self.channels = [
            ChannelFacts(
                number, f"p{number}", DIALECTS[adapter],
                Target.of(f"{server.base_url}/chat/completions",
                          {"Content-Type": "application/json"}),
                name, "", number, 1, False, ChannelHealth(),
            )
            for number, name in enumerate(upstream_models)
        ]  # fmt: skip
        self.model = ModelFacts(
            1, "m", "o", 1, 100_000, 1_000, {}, False, tuple(self.channels)
        )  # fmt: skip
        self.upstream = Upstream(Timeouts(2, 1 << 20, 1 << 20))
        self.watch = Watch(self.ledger, Counter(), self.limiter)  # type: ignore[arg-type]
        self.services: Any = SimpleNamespace(
            options=settings.GATEWAY,
            ledger=self.ledger, limiter=self.limiter, counter=Counter(), upstream=self.upstream,
            watch=self.watch, metrics=Metrics(), routes=SimpleNamespace(resolve=self._resolve),
            retries=RetryBudget(processes=1), tracer=None, estimates=Estimates(),
        )  # fmt: skip
        self.caller = Caller()

    def _resolve(self, name: str, principal: Principal, at: datetime) -> Route:
        rate = Rate(0, 0, 0, 0, INPUT, INPUT, INPUT, OUTPUT, OUTPUT)
        return Route(self.model, PriceVersion(1, at, (rate,)), self.channels, at)

    async def complete(self, content: str = "two words", **fields: Any) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": content}], **fields}
        scope: dict[str, Any] = {
            "method": "POST",
            "path": "/v1/chat/completions",
            "headers": [],
            "client": None,
        }
        caller = self.caller
        request = GatewayRequest(scope, caller.receive, caller.send, self.services)
        principal = Principal(
            1, 1, 1, "d", 1, Limits(1, None, 1_000_000), 1_000_000, 1 << 20, frozenset(), (), None,
            None, None, None, None, False,
        )  # fmt: skip
        await self.upstream.start()
        try:
            chat = payload.parse(json.dumps(body).encode())
            await pipeline.complete(request, principal, chat, self.services)
        finally:
            await self.upstream.stop()

    async def running(self) -> Exchange:
        async with asyncio.timeout(3):
            while not self.watch.running():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self.watch.running()[0]

    async def relayed(self) -> Exchange:
        exchange = await self.running()
        async with asyncio.timeout(3):
            while not exchange.meter.has_relayed:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return exchange

    @property
    def record(self) -> Any:
        (capture,) = self.ledger.captured
        return capture.facts


@pytest.fixture
def server() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


def _scene(server: ScriptedUpstream, *scripts: Script, adapter: str = "openai") -> Scene:
    names = [f"u{number}" for number in range(len(scripts))]
    server.by_model.update(zip(names, scripts, strict=True))
    return Scene(server, names, adapter)


EMPTY = Script(raw=": nothing\n\n")  # a stream that ends before it began


async def test_after_an_empty_stream_the_next_channel_can_still_be_interrupted(
    server: ScriptedUpstream,
) -> None:
    scene = _scene(server, EMPTY, Script(silent=True))
    task = asyncio.ensure_future(scene.complete(stream=True))
    async with asyncio.timeout(3):
        while len(server.received) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not (await scene.running()).is_ending
    scene.caller.gone.set()
    with pytest.raises(ClientGone):
        await asyncio.wait_for(task, 3)
    assert (scene.record.billing_reason, scene.record.charge_nanos) == ("client_gone_early", 0)


async def test_what_a_failed_attempt_reported_is_not_charged(server: ScriptedUpstream) -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":999,"completion_tokens":999}}\n\n'
    scene = _scene(server, Script(raw=usage.decode()), Script(chunks=3, usage="absent"))
    await scene.complete(stream=True)
    assert scene.record.is_estimated
    assert scene.record.output_tokens == 3
    assert scene.record.attempts == 2


async def test_an_error_before_the_first_token_is_followed_by_the_next_channel(
    server: ScriptedUpstream,
) -> None:
    raw = 'data: {"choices":[{"index":0,"delta":{"role":"x"}}]}\n\ndata: {"error":"no"}\n\n'
    scene = _scene(server, Script(raw=raw), Script(chunks=2))
    await scene.complete(stream=True)
    assert scene.caller.text.endswith("data: [DONE]\n\n")
    assert '"x"' not in scene.caller.text
    assert scene.record.billing_reason == "completed"


async def test_a_client_that_leaves_is_not_charged_a_report_of_more_than_it_got(
    server: ScriptedUpstream,
) -> None:
    usage = '"usage":{"prompt_tokens":9,"completion_tokens":500}'
    raw = 'data: {"choices":[{"index":0,"delta":{"content":"one two"}}],' + usage + "}\n\n"
    scene = _scene(server, Script(raw=raw))
    await scene.complete(stream=True)
    # The stream broke off: two words were relayed, whatever the provider says it made.
    assert scene.record.billing_reason == "upstream_died"
    assert (scene.record.input_tokens, scene.record.output_tokens) == (9, 2)
    assert scene.record.charge_nanos == 9 * 1 + 2 * 10


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_stop_that_would_not_wait_settles_what_was_relayed(
    server: ScriptedUpstream, is_stream: bool
) -> None:
    scene = _scene(server, Script(chunks=100, gap_ms=50, first_token_ms=0 if is_stream else 5000))
    task = asyncio.ensure_future(scene.complete(stream=is_stream))
    await (scene.relayed() if is_stream else scene.running())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    record = scene.record
    assert (record.billing_reason, record.error_code) == ("gateway_lost", "gateway_lost")
    assert (record.charge_nanos > 0) is is_stream
    assert len(scene.watch) == 0


async def test_a_mistake_of_ours_leaves_no_hold(
    server: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = _scene(server, Script())

    def mistaken(*_: object, **__: object) -> bytes:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(attempts, "upstream_body", mistaken)
    with pytest.raises(RuntimeError):
        await scene.complete()
    assert (scene.record.billing_reason, scene.record.charge_nanos) == ("gateway_lost", 0)
    assert scene.limiter.used == [0]


async def test_a_cancellation_while_the_capture_is_decided_makes_no_second_one(
    server: ScriptedUpstream,
) -> None:
    scene = _scene(server, Script())
    scene.ledger.delay_seconds = 0.5
    task = asyncio.ensure_future(scene.complete())
    async with asyncio.timeout(3):
        while not scene.ledger.captured:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scene.record.billing_reason == "completed"


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_key_revoked_before_the_first_token_is_a_401(
    server: ScriptedUpstream, is_stream: bool
) -> None:
    scene = _scene(server, Script(silent=True))
    task = asyncio.ensure_future(scene.complete(stream=is_stream))
    exchange = await scene.running()
    await asyncio.sleep(0.1)
    exchange.interrupt(Interrupt.REVOKED)
    with pytest.raises(InvalidKey):
        await asyncio.wait_for(task, 3)
    assert (scene.record.status, scene.record.charge_nanos) == (401, 0)
    assert scene.caller.sent == []


async def test_a_key_revoked_mid_stream_is_an_error_event_and_costs_what_was_relayed(
    server: ScriptedUpstream,
) -> None:
    scene = _scene(server, Script(chunks=100, gap_ms=50))
    task = asyncio.ensure_future(scene.complete(stream=True))
    (await scene.relayed()).interrupt(Interrupt.REVOKED)
    await asyncio.wait_for(task, 3)
    last = json.loads(scene.caller.text.split("data: ")[-1])
    assert last["error"]["type"] == "authentication_error"
    assert "[DONE]" not in scene.caller.text
    assert scene.record.charge_nanos > 0


async def test_a_streamed_answer_put_together_is_no_answer_where_it_was_cut(
    server: ScriptedUpstream,
) -> None:
    scene = _scene(server, Script(chunks=5, cut_after=2, ending="close"), adapter="dashscope")
    with pytest.raises(UpstreamFailed):
        await scene.complete(enable_thinking=True)
    assert (scene.record.billing_reason, scene.record.charge_nanos) == ("upstream_failed", 0)


@pytest.mark.parametrize("thinking", [{"enable_thinking": True}, {"reasoning_effort": "high"}])
async def test_thinking_is_streamed_upstream_and_put_together(
    server: ScriptedUpstream, thinking: dict[str, Any]
) -> None:
    scene = _scene(server, Script(chunks=2, reasoning="so it is"), adapter="dashscope")
    await scene.complete(**thinking)
    body = json.loads(scene.caller.text)
    assert server.last().body["stream"] is True
    assert server.last().body["enable_thinking"] is True
    assert body["choices"][0]["message"]["reasoning_content"] == "so it is "
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3


async def test_a_legacy_function_call_is_relayed_as_it_comes_and_counted(
    server: ScriptedUpstream,
) -> None:
    deltas = [{"function_call": {"name": "f", "arguments": ""}},
              {"function_call": {"arguments": '{"a": 1}'}}]  # fmt: skip
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    raw = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    scene = _scene(server, Script(raw=raw))
    await scene.complete(stream=True)
    assert scene.caller.text.count("function_call") == 2
    assert (scene.record.billing_reason, scene.record.output_tokens) == ("upstream_died", 2)


async def test_nothing_is_written_after_the_end(server: ScriptedUpstream) -> None:
    scene = _scene(server, Script())
    task = asyncio.ensure_future(scene.complete(stream=True))
    exchange = await scene.running()
    await task
    count = len(scene.caller.sent)
    await exchange.client.write(b": keep-alive\n\n")
    await exchange.client.end_stream(b"data: {}\n\n")
    assert len(scene.caller.sent) == count


async def test_last_words_that_nobody_takes_do_not_hold_the_exchange_for_ever(
    server: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings.GATEWAY, "CLIENT_STALL_SECONDS", 0.1)
    scene = _scene(server, Script())
    real = scene.caller.send

    async def send(message: dict[str, Any]) -> None:
        await real(message)
        if message.get("more_body") is False:
            await asyncio.sleep(3600)

    scene.caller.send = send  # type: ignore[method-assign]
    scene.watch.start()
    task = asyncio.ensure_future(scene.complete(stream=True))
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    await scene.watch.stop()
    assert scene.record.billing_reason == "completed"


@pytest.mark.parametrize("code", ["Arrearage", "invalid_api_key"])
async def test_the_operators_trouble_in_a_400_is_not_the_clients(
    server: ScriptedUpstream, code: str
) -> None:
    refusal = refused(400, "Access denied, please pay your bill", code=code)
    scene = _scene(server, refusal, Script())
    await scene.complete()
    assert "bill" not in scene.caller.text
    assert (scene.record.billing_reason, scene.record.attempts) == ("completed", 2)


def test_an_exchange_shows_no_secret() -> None:
    target = Target.of("http://h/v1", {"Authorization": "Bearer sk-secret"})
    channel = ChannelFacts(
        1, "p", DIALECTS["openai"], target, "m", "sk-secret", 1, 1, False, ChannelHealth()
    )
    assert "secret" not in repr(channel)
    assert "secret" not in repr(target)


async def test_what_a_stream_uses_beyond_its_estimate_is_taken_while_it_runs(
    server: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LIMITS_SECONDS", 0.0)
    monkeypatch.setattr(watch, "TICK_SECONDS", 0.02)
    scene = _scene(server, Script(chunks=20, gap_ms=20))
    monkeypatch.setattr(estimates, "_UNKNOWN", estimates.Habit(output_tokens=1))
    scene.watch.start()
    await scene.complete(stream=True)
    await scene.watch.stop()
    *taken, last = scene.limiter.used
    assert sum(taken) > 5
    assert all(tokens > 0 for tokens in taken)
    # All of it together, with what was taken before the answer, is what was used.
    assert sum(taken) + last == scene.record.input_tokens + scene.record.output_tokens
