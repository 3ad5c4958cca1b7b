"""Make a database the product's, with customers in it: `python -m tests.faults.furnish`.

One process for all of it, because each start of Django costs what a short round has. It reads
JSON on standard input and prints JSON: `{organization: api key}`.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import django


def furnish(url: str, channels: int, customers: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Migrate, seed, give each model so many channels to the upstream at `url`, the first tried
    first, and each customer `credit` (USD), no plan limits, and one key with the options in
    `key`."""
    from django.core.management import call_command

    from billing.models import Plan
    from tests.journeys.callers import NANOS
    from tests.upstream import CREDENTIAL_VARIABLE

    call_command("migrate", verbosity=0)
    _call("seed_catalog")
    Plan.objects.create(
        slug="unlimited", name="Unlimited", fee_nanos_per_month=0, markup_ppm=1_000_000,
        body_bytes_max=1_000_000, is_public=False, position=100,
    )  # fmt: skip
    for model in NANOS:
        for number in range(1, channels + 1):
            # What makes a channel another one is the upstream's name for the model.
            name = model if number == 1 else f"{model}-{number}"
            _call(
                "add_channel", model, "--base-url", url, "--upstream-model", name,
                "--credential-env", CREDENTIAL_VARIABLE, "--priority", str(10 * number),
            )  # fmt: skip
    return {name: _enrol(name, **facts) for name, facts in customers.items()}


def _enrol(name: str, credit: str, key: list[str]) -> str:
    made = _call("create_organization", name, "--owner", "bob@example.com",
                 "--plan", "unlimited", "--credit", credit)  # fmt: skip
    return str(_call("create_key", made["organization"], *key)["api_key"])


def _call(*arguments: str) -> Any:
    from django.core.management import call_command

    said = io.StringIO()
    call_command(*arguments, "--json", stdout=said)
    return json.loads(said.getvalue()) if said.getvalue().strip() else None


if __name__ == "__main__":
    django.setup()
    print(json.dumps(furnish(**json.load(sys.stdin))))
