"""A service with a past, for looking at: models measured for a month, probes of ninety days.

Written as rows, as a worker would have left them.
"""

import random
from datetime import timedelta

from django.utils import timezone

from billing.models import Measure, ModelHour
from gateway import history
from gateway.models import Incident, ProbeDay, State
from gateway.probes import Finding
from providers.models import Model, Provider

# First token in buckets of milliseconds, speed in buckets of tokens per second: four to a doubling.
_PACES = {"qwen-turbo": (31, 27), "qwen-plus": (33, 24), "qwen-max": (36, 21),
          "deepseek-chat": (35, 22), "deepseek-reasoner": (38, 23)}  # fmt: skip


def measure_models(days: int = 30, seed: int = 3) -> None:
    rng = random.Random(seed)
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    rows = []
    for model, (first, speed) in _PACES.items():
        for back in range(0, days * 24, 6):
            hour, served = now - timedelta(hours=back), rng.randrange(400, 900)
            failed = rng.choice((0, 0, 0, 1, 2, 14))
            drift = rng.choice((-1, 0, 0, 0, 1))
            rows.append(ModelHour(model=model, hour=hour, measure=Measure.SERVED, bucket=0,
                                  requests=served))  # fmt: skip
            if failed:
                rows.append(ModelHour(model=model, hour=hour, measure=Measure.FAILED, bucket=0,
                                      requests=failed))  # fmt: skip
            for measure, middle in ((Measure.FIRST_TOKEN, first), (Measure.SPEED, speed)):
                for offset, share in ((-1, 5), (0, 2), (1, 4), (3, 9)):
                    rows.append(
                        ModelHour(model=model, hour=hour, measure=measure,
                                  bucket=middle + drift + offset, requests=served // share)
                    )  # fmt: skip
    ModelHour.objects.bulk_create(rows, batch_size=2_000)


def probe(*, seed: int = 5) -> None:
    """Ninety days with a few troubles, and a probe of this minute in which one model has one."""
    rng = random.Random(seed)
    names = ["api", "database", "valkey"]
    names += [f"provider:{slug}" for slug in Provider.objects.values_list("slug", flat=True)]
    names += [f"model:{name}" for name in Model.objects.values_list("name", flat=True)]
    now = timezone.now()
    days = []
    for name in names:
        for back in range(1, 84):
            degraded = rng.choice((0,) * 30 + (12, 4))
            down = rng.choice((0,) * 60 + (3, 47))
            days.append(
                ProbeDay(component=name, day=(now - timedelta(back)).date(), degraded=degraded,
                         down=down, up=1440 - degraded - down)
            )  # fmt: skip
    ProbeDay.objects.bulk_create(days)
    _incident("provider:deepseek", State.DOWN, "2 of 2 channels failing", 47, back=9)
    _incident("model:deepseek-chat", State.DOWN, "71 % of requests failed", 46, back=9)
    _incident("valkey", State.DOWN, "no answer", 3, back=31)
    found = [
        Finding(name, State.DEGRADED, note="8 % of requests failed")
        if name == "model:qwen-max"
        else Finding(name, State.UP, 4)
        for name in names
        if not name.endswith("135m")
    ]
    history.note(found)


def _incident(component: str, state: State, note: str, minutes: int, *, back: int) -> None:
    started = timezone.now().replace(second=0, microsecond=0) - timedelta(back)
    Incident.objects.create(component=component, state=state, note=note, started_at=started,
                            ended_at=started + timedelta(minutes=minutes))  # fmt: skip
