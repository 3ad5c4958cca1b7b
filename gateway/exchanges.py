"""Exchanges: the requests this process is carrying, and the watch over them.

One periodic walk enforces every deadline, saves progress, extends holds and sends keepalives,
instead of a timer per request: setting and cancelling timers would cost more than relaying.
"""

import asyncio
import time
from enum import StrEnum

import msgspec

from billing.batches import Hold
from gateway.metering import Meter
from gateway.payload import ChatRequest
from gateway.principals import Principal
from gateway.replies import Client
from gateway.requests import GatewayRequest
from gateway.routes import Route
from providers.catalog import ChannelFacts


class Interrupt(StrEnum):
    """Why an exchange was stopped from outside its own task."""

    CLIENT_GONE = "client_gone"
    CLIENT_STALLED = "client_stalled"
    TIMEOUT = "timeout"
    REVOKED = "revoked"


class Interrupted(Exception):
    def __init__(self, reason: Interrupt) -> None:
        super().__init__(reason)
        self.reason = reason


class Exchange(msgspec.Struct, eq=False):
    """One chat completion under way."""

    request: GatewayRequest
    principal: Principal
    chat: ChatRequest
    route: Route
    hold: Hold
    meter: Meter
    tokens_reserved: int
    task: "asyncio.Task[None]"
    output_tokens_limit: int | None
    channel: ChannelFacts | None = None
    attempts: int = 0
    # Monotonic, as are the other times here: when the first channel was turned to.
    asked_at: float | None = None
    first_token_at: float | None = None
    # Monotonic; None while nothing upstream is being waited for.
    deadline: float | None = None
    interrupt_reason: Interrupt | None = None
    is_ending: bool = False
    # Its capture is with the ledger, which decides it whatever becomes of the task.
    is_settled: bool = False
    last_write_at: float = msgspec.field(default_factory=time.monotonic)
    prompt_tokens_counted: int | None = None
    # Taken from the limits while it ran, beyond `tokens_reserved`.
    tokens_taken: int = 0

    # Whether a client that hangs up interrupts it, whether that is being listened for, and the
    # task that does where the server does not tell by itself.
    may_listen: bool = False
    is_listening: bool = False
    listener: "asyncio.Task[None] | None" = None

    @property
    def client(self) -> Client:
        return self.request.client

    @property
    def age_seconds(self) -> float:
        return time.monotonic() - self.request.started

    def wait_upstream(self, seconds: float) -> None:
        """From now on, the upstream must say something within `seconds`."""
        self.deadline = time.monotonic() + seconds

    def note_first_token(self) -> None:
        self.first_token_at = time.monotonic()

    def listen(self) -> None:
        """From now on, a client that hangs up interrupts the exchange, where it may."""
        if not self.may_listen or self.is_listening:
            return
        self.is_listening = True
        if not self.client.tell_when_gone(self._lose_client):
            self.listener = asyncio.create_task(self._hear())

    def _lose_client(self) -> None:
        self.interrupt(Interrupt.CLIENT_GONE)

    async def _hear(self) -> None:
        while True:
            message = await self.request.receive()
            if message["type"] == "http.disconnect":
                self._lose_client()
                return

    def stop_listening(self) -> None:
        self.may_listen = False
        if self.listener is not None:
            self.listener.cancel()
        elif self.is_listening:
            self.client.tell_when_gone(None)

    def interrupt(self, reason: Interrupt) -> None:
        """Stop the exchange's task at its next wait, once, unless it is already ending."""
        if self.interrupt_reason is None and not self.is_ending:
            self.interrupt_reason = reason
            self.task.cancel()

    def take_interrupt(self) -> Interrupt | None:
        """The reason of a cancellation that `interrupt` caused, for the task to go on after it."""
        reason = self.interrupt_reason
        if reason is not None:
            self.interrupt_reason = None
            self.task.uncancel()
        return reason

    def begin_ending(self) -> None:
        """From here nothing interrupts: what remains is settling."""
        self.is_ending = True
        self.deadline = None
