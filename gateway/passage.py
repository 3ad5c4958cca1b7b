"""The way of one attempt's events to the client, walked inside the upstream's reads.

A paced stream is thousands of small reads, and waking a task for each would cost more than all
that is done with it. So `Passage.take` is called by the connection itself, and the exchange's
task sleeps until there is something to wait for or to decide: the first token, a client that
reads slowly, a bad event, the end.
"""

from gateway.exchanges import Exchange
from gateway.relaying import Relay
from gateway.requests import PROVIDER_HEADER
from providers.catalog import ChannelFacts
from providers.upstream import StreamDied


class Passage:
    """From one channel's payloads to the client's bytes."""

    def __init__(
        self, exchange: Exchange, channel: ChannelFacts, relay: Relay, idle_seconds: float
    ) -> None:
        self._exchange = exchange
        self._channel = channel
        self._relay = relay
        self._idle_seconds = idle_seconds
        # Translated, and not yet with the client.
        self._data = b""
        self._texts: list[str] = []
        self._error: StreamDied | None = None

    def glance(self, data: bytes) -> bool:
        """Pass on what one read brought, where that is one event of a known shape, and nothing
        stands in its way: nearly every read of a stream is so. False where nothing was done."""
        shape, exchange = self._relay.shape, self._exchange
        if shape is None or self._data or exchange.first_token_at is None:
            return False
        told = shape.retell(data)
        if told is None or not exchange.client.write_at_once(told[1]):
            return False
        exchange.meter.relayed([told[0]])
        exchange.deadline = exchange.client.written_at + self._idle_seconds
        return True

    def take(self, payloads: list[bytes]) -> bool:
        """Pass on what one read brought. True where the task must `settle` something first."""
        data, texts, self._error = self._relay.translate(payloads)
        if self._data:
            data, texts = self._data + data, self._texts + texts
        exchange = self._exchange
        if exchange.first_token_at is not None and data and exchange.client.write_at_once(data):
            self._note(texts)
            self._data, self._texts = b"", []
        else:
            self._data, self._texts = data, texts
        return self._error is not None or (bool(self._data) and self._relay.has_token)

    async def settle(self) -> None:
        """Write what could not be written at once: nothing before the first token, and not
        faster than the client reads. Raises `StreamDied` after what came before a bad event."""
        exchange = self._exchange
        if self._data and self._relay.has_token:
            if exchange.first_token_at is None:
                exchange.note_first_token()
                if not exchange.client.is_started:
                    name = self._channel.provider.encode()
                    exchange.client.add_headers([(PROVIDER_HEADER, name)])
            data, self._data = self._data, b""
            await exchange.client.write(data)
            self._note(self._texts)
            self._texts = []
        if self._error is not None:
            raise self._error

    def _note(self, texts: list[str]) -> None:
        self._exchange.meter.relayed(texts)
        self._exchange.wait_upstream(self._idle_seconds)
