"""Requests on both sides in turn: with and without a history, one wallet and many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from subprocess import Popen

import msgspec

from benchmarks import figures, product, seed
from benchmarks.figures import Figures
from benchmarks.goals import Verdict
from benchmarks.load import Result
from benchmarks.scale.sides import Running

CONCURRENT = (16, 64)
RATIO_MAX = 1.2
WALLET_RATIO_MIN = 0.95


class Pace(msgspec.Struct, frozen=True):
    """How long and how often. Rounds of all cases in turn, so that a disturbance hits each."""

    rounds: int
    seconds: float


class Compared(msgspec.Struct, frozen=True):
    """One load on both sides, and on the full one with a single wallet where that was asked."""

    concurrent: int
    empty: Figures
    full: Figures
    one_wallet: Figures | None

    def ratio(self, name: str) -> float:
        """The full side's figure by the empty one's."""
        return float(getattr(self.full, name) / getattr(self.empty, name))


def measure(
    load: Popen[str],
    empty: Running,
    full: Running,
    watched: Mapping[str, int],
    pace: Pace,
    say: Callable[[str], None],
) -> list[Compared]:
    taken: dict[tuple[int, str], list[Result]] = {}
    for number in range(pace.rounds):
        for concurrent in CONCURRENT:
            for name, running in (("empty", empty), ("full", full), ("one wallet", full)):
                if name == "one wallet" and concurrent != CONCURRENT[-1]:
                    continue
                keys = running.side.filled.keys
                job = running.job(
                    model=seed.BURST, concurrent=concurrent, seconds=pace.seconds,
                    keys=keys[1:2] if name == "one wallet" else keys[1:],
                    # Long enough for every key to have been looked up once.
                    warm=1.5 if number == 0 else 0.4, watched=dict(watched),
                )  # fmt: skip
                product.send(load, job)
                taken.setdefault((concurrent, name), []).append(product.receive(load))
        say(f"requests, round {number + 1} of {pace.rounds}")
    return [_compared(concurrent, taken) for concurrent in CONCURRENT]


def _compared(concurrent: int, taken: Mapping[tuple[int, str], list[Result]]) -> Compared:
    one = taken.get((concurrent, "one wallet"))
    return Compared(
        concurrent,
        figures.summarize(taken[concurrent, "empty"]),
        figures.summarize(taken[concurrent, "full"]),
        figures.summarize(one) if one else None,
    )


def failures(compared: list[Compared]) -> int:
    return sum(
        side.failed for one in compared for side in (one.empty, one.full, one.one_wallet) if side
    )


def verdicts(compared: list[Compared], wallets: int) -> Iterator[Verdict]:
    names = {"p50_ms": "p50", "p99_ms": "p99", "gateway_cpu_us": "gateway CPU"}
    for one in compared:
        ratios = {word: one.ratio(name) for name, word in names.items()}
        yield Verdict(
            goal=f"request latency, {one.concurrent} concurrent, full against empty database",
            target=f"p50 and p99 <= {RATIO_MAX}x",
            figure=", ".join(f"{word} {ratio:.2f}x" for word, ratio in ratios.items()),
            is_met=max(ratios["p50"], ratios["p99"]) <= RATIO_MAX,
        )
        if one.one_wallet:
            ratio = one.one_wallet.per_second / one.full.per_second
            yield Verdict(
                goal=f"one wallet against {wallets:,} wallets, requests/s",
                target=f">= {WALLET_RATIO_MIN}x",
                figure=f"{ratio:.2f}x",
                is_met=ratio >= WALLET_RATIO_MIN,
            )
