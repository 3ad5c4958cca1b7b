"""One small request through a channel, as the gateway would send it: does it answer?"""

import asyncio
import time
import uuid
from dataclasses import dataclass

import msgspec

from providers import catalog
from providers.catalog import ChannelFacts
from providers.models import Channel
from providers.upstream import Timeouts, Upstream, UpstreamFailed

TRIAL_SECONDS = 20.0
_LIMITS = Timeouts(connect_seconds=5.0, answer_bytes_max=1 << 20, event_bytes_max=1 << 18)
_ASKED = {"messages": [{"role": "user", "content": "Answer with the word OK."}], "max_tokens": 16}


@dataclass(frozen=True, slots=True)
class Trial:
    is_good: bool
    milliseconds: int
    said: str


def run(channel: Channel) -> Trial:
    """Asks in an event loop of its own, so not from within one; ends within `TRIAL_SECONDS`. What
    went wrong is said without the credential."""
    started = time.monotonic()
    try:
        is_good, said = asyncio.run(_ask(catalog.channel_facts(channel)))
    except ValueError as error:
        is_good, said = False, f"Its address is none: {error}"
    return Trial(is_good, round((time.monotonic() - started) * 1000), said)


async def _ask(facts: ChannelFacts) -> tuple[bool, str]:
    upstream = Upstream(_LIMITS)
    await upstream.start()
    try:
        body = {"model": facts.upstream_model, **_ASKED}
        sent = msgspec.json.encode(facts.dialect.request(body, "trial"))
        async with (
            asyncio.timeout(TRIAL_SECONDS),
            upstream.send(facts, sent, f"trial-{uuid.uuid4().hex}") as exchange,
        ):
            answer = await exchange.json()
    except UpstreamFailed as error:
        return False, f"It failed: {error}"
    except TimeoutError:
        return False, f"No answer within {TRIAL_SECONDS:.0f} seconds"
    finally:
        await upstream.stop()
    choices = answer.get("choices")
    if not (isinstance(choices, list) and choices):
        return False, "It answered, but not with a completion"
    return True, "It answers"
