"""What is measured, in which order, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from benchmarks import figures, kernel, seed
from benchmarks.figures import Figures
from benchmarks.load import Job, Result
from benchmarks.product import Product

KIB = 1024
CHAT = "/v1/chat/completions"


class Case(msgspec.Struct, frozen=True):
    """One kind of load."""

    name: str
    model: str
    concurrent: int
    body_bytes: int = 1_000
    is_stream: bool = False
    all_keys: bool = False
    has_direct: bool = True


WHOLE = [Case(f"whole-{n}", seed.BURST, n) for n in (1, 16, 64, 256)]
WHOLE_64 = WHOLE[2]
WALLETS = [Case("wallets-64", seed.BURST, 64, all_keys=True, has_direct=False)]
BURSTS = [Case(f"burst-{n}", seed.BURST, n, is_stream=True) for n in (16, 64)]
PACED = [Case("paced-16", seed.PACED, 16, is_stream=True)]
BODIES = [
    Case(f"body-{size // 1000}k", seed.BURST, 16, body_bytes=size) for size in (20_000, 200_000)
]
CASES = [*WHOLE, *WALLETS, *BURSTS, *PACED, *BODIES]


# Beside these, what more streams take is measured.
STREAMS_FEW = 20


class Pace(msgspec.Struct, frozen=True):
    """How long a run takes: a quick look, or figures to quote."""

    rounds: int
    seconds: float
    warm_seconds: float
    organizations: int
    open_streams: int


QUICK = Pace(rounds=1, seconds=1.0, warm_seconds=0.3, organizations=101, open_streams=200)
FULL = Pace(rounds=4, seconds=2.3, warm_seconds=0.4, organizations=201, open_streams=500)
# A paced stream lasts a second: a shorter time would see only beginnings.
PACED_SECONDS_MIN = 2.2
PACED_WARM_SECONDS = 1.2


class Measured(msgspec.Struct, frozen=True):
    """One case: through the gateway, and its upstream called directly in the same rounds."""

    case: Case
    gateway: Figures
    direct: Figures | None

    @property
    def added_p50_ms(self) -> float:
        return self.gateway.p50_ms - self.direct.p50_ms if self.direct else float("nan")

    @property
    def added_p99_ms(self) -> float:
        return self.gateway.p99_ms - self.direct.p99_ms if self.direct else float("nan")

    @property
    def added_first_byte_ms(self) -> float:
        if self.direct is None:
            return float("nan")
        return self.gateway.first_byte_p50_ms - self.direct.first_byte_p50_ms


class Memory(msgspec.Struct, frozen=True):
    """Resident memory of the gateway's processes, in bytes, idle and with streams open."""

    idle: int
    with_few: int
    with_streams: int
    streams: int
    at_end: int = 0

    @property
    def per_stream(self) -> float:
        """What one more stream takes: the tokenizer, which the first long stream starts, is no
        part of it."""
        return (self.with_streams - self.with_few) / (self.streams - STREAMS_FEW)


def measure(product: Product, pace: Pace, say: Callable[[str], None]) -> list[Measured]:
    """Every case, direct and through the gateway in turn, so that a disturbance hits both."""
    taken: dict[tuple[str, bool], list[Result]] = {}
    for number in range(pace.rounds):
        for case in CASES:
            for is_direct in (True, False) if case.has_direct else (False,):
                result = product.measure(_job(product, case, pace, is_direct=is_direct))
                taken.setdefault((case.name, is_direct), []).append(result)
            say(f"round {number + 1} of {pace.rounds}: {case.name}")
    return [_measured(case, taken) for case in CASES]


def measure_memory(product: Product, pace: Pace) -> Memory:
    """Idle after a first warm-up, then with many streams open, each somewhere in its middle."""
    product.measure(_job(product, BURSTS[0], QUICK, is_direct=False))
    idle = kernel.resident_bytes(product.gateway_pid)
    _open(product, STREAMS_FEW)  # the first long streams start the tokenizer, which takes a while
    with_few = _open(product, STREAMS_FEW)
    with_streams = _open(product, pace.open_streams)
    return Memory(idle, with_few, with_streams, pace.open_streams)


def _open(product: Product, streams: int) -> int:
    """Resident bytes with so many streams open, each in its middle."""
    case = Case("slow", seed.SLOW, streams, is_stream=True)
    # 20 tokens, one every 200 ms: four seconds, sampled after the third.
    job = _job(product, case, Pace(1, 1.0, 2.0, 1, 1), is_direct=False)
    result = product.measure(msgspec.structs.replace(job, watch_memory="gateway"))
    return result.resident_bytes


def _job(product: Product, case: Case, pace: Pace, *, is_direct: bool) -> Job:
    is_paced = case.model != seed.BURST
    seconds = max(pace.seconds, PACED_SECONDS_MIN) if case.model == seed.PACED else pace.seconds
    warm = max(pace.warm_seconds, PACED_WARM_SECONDS) if is_paced else pace.warm_seconds
    keys = product.keys[1:] if case.all_keys else product.keys[:1]
    return Job(
        port=product.upstream_port if is_direct else product.gateway_port,
        path=f"/{seed.MODELS[case.model]}{CHAT}" if is_direct else CHAT,
        model=case.model,
        body_bytes=case.body_bytes,
        is_stream=case.is_stream,
        concurrent=case.concurrent,
        seconds=seconds,
        warm_seconds=warm,
        keys=[""] if is_direct else keys,
        watched=product.watched,
    )


def _measured(case: Case, taken: dict[tuple[str, bool], list[Result]]) -> Measured:
    def summary(is_direct: bool) -> Figures:
        return figures.summarize(taken[case.name, is_direct])

    return Measured(case, summary(False), summary(True) if case.has_direct else None)


def failures(measured: list[Measured]) -> Iterator[str]:
    """What makes a figure worthless, one line each."""
    for one in measured:
        for side, found in (("gateway", one.gateway), ("direct", one.direct)):
            if found is not None and (found.failed or not found.completed):
                yield f"{one.case.name}, {side}: {found.failed} failed {found.statuses}"
