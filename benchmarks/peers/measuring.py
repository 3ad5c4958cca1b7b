"""Every case through every gateway in turn, so that a disturbance hits all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from benchmarks import cases, figures, seed
from benchmarks.cases import Case
from benchmarks.figures import Figures
from benchmarks.load import Job, Result
from benchmarks.peers.catalog import CHAT, MODELS
from benchmarks.peers.running import Running
from benchmarks.product import Product

OURS, DIRECT = "ttonkapi", "direct"
CASES = [*cases.WHOLE, *cases.BODIES, *cases.BURSTS, *cases.PACED]
QUICK_CASES = [cases.WHOLE[0], cases.WHOLE_64, cases.BURSTS[1], *cases.PACED]


class Pace(msgspec.Struct, frozen=True):
    """How long a run takes."""

    rounds: int
    seconds: float
    warm_seconds: float


QUICK = Pace(rounds=1, seconds=1.0, warm_seconds=0.4)
FULL = Pace(rounds=3, seconds=1.6, warm_seconds=0.4)


class Target(msgspec.Struct, frozen=True):
    """What one gateway is asked, and how."""

    name: str
    port: int
    models: Mapping[str, str]  # by what the upstream does with a stream
    headers: dict[str, str] = {}
    keys: Sequence[str] = ("",)
    pid: int = 0  # 0: nobody's CPU time
    patience: float = 1.0


class Side(msgspec.Struct, frozen=True):
    """One case through one target."""

    figures: Figures
    resident_bytes: int


def targets(product: Product, peers: Sequence[Running]) -> list[Target]:
    """The upstream alone first, then ours, then theirs."""
    ours = {script: model for model, script in seed.MODELS.items()}
    return [
        Target(DIRECT, product.upstream_port, MODELS),
        Target(OURS, product.gateway_port, ours, keys=product.keys[:1], pid=product.gateway_pid),
        *(
            Target(one.name, one.port, MODELS, one.headers, pid=one.pid, patience=one.patience)
            for one in peers
        ),
    ]


def measure(
    product: Product,
    chosen: Sequence[Target],
    todo: Sequence[Case],
    pace: Pace,
    say: Callable[[str], None],
) -> dict[str, dict[str, Side]]:
    """By case, then by target."""
    taken: dict[tuple[str, str], list[Result]] = {}
    for number in range(pace.rounds):
        for case in todo:
            for target in chosen:
                result = product.measure(_job(product, chosen, target, case, pace))
                taken.setdefault((case.name, target.name), []).append(result)
            say(f"round {number + 1} of {pace.rounds}: {case.name}")
    return {
        case.name: {target.name: _side(taken[case.name, target.name]) for target in chosen}
        for case in todo
    }


def _job(product: Product, chosen: Sequence[Target], target: Target, case: Case, pace: Pace) -> Job:
    is_paced = case in cases.PACED
    seconds = max(pace.seconds, cases.PACED_SECONDS_MIN) if is_paced else pace.seconds
    warm = max(pace.warm_seconds, cases.PACED_WARM_SECONDS) if is_paced else pace.warm_seconds
    # The idle ones are watched too: what they do meanwhile is no stranger's work.
    watched = product.watched | {one.name: one.pid for one in chosen if one.pid}
    watched.pop("gateway")
    if target.pid:
        watched.pop(target.name)
        watched["gateway"] = target.pid
    return Job(
        port=target.port,
        path=CHAT,
        model=target.models[seed.MODELS[case.model]],
        body_bytes=case.body_bytes,
        is_stream=case.is_stream,
        concurrent=case.concurrent,
        seconds=seconds,
        warm_seconds=warm * target.patience,
        keys=list(target.keys),
        watched=watched,
        watch_memory="gateway" if target.pid else "",
        headers=target.headers,
        completed_min=case.concurrent * (1 if is_paced else 2),
    )


def _side(rounds: Sequence[Result]) -> Side:
    return Side(figures.summarize(rounds), max(result.resident_bytes for result in rounds))
