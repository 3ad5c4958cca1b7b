"""`manage.py prove_ledger`: the whole ledger, proven or refuted. Exit status 1 if it is wrong."""

import json
import sys
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing import proof
from billing.management import operator


class Command(operator.OperatorCommand):
    help = "Check sums and balances, and recompute every charge and invoice, in one snapshot."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since", help="leave out requests before this ISO date or time (UTC); sums stay whole"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        checks = proof.prove(_read_time(options["since"]))
        is_ok = all(check.is_ok for check in checks)
        if options["json"]:
            self.stdout.write(json.dumps({"ok": is_ok, "checks": [_facts(c) for c in checks]}))
        else:
            for check in checks:
                self._write(check)
            self.stdout.write("The ledger is proven." if is_ok else "The ledger is WRONG.")
        if not is_ok:
            sys.exit(1)

    def _write(self, check: proof.Check) -> None:
        verdict = "ok" if check.is_ok else f"FAILED ({check.offenders:,})"
        self.stdout.write(f"{check.name:<12} {check.checked:>12,}  {verdict:<10} {check.promise}")
        for line in check.first:
            self.stdout.write(f"    {line}")


def _facts(check: proof.Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "promise": check.promise,
        "ok": check.is_ok,
        "checked": check.checked,
        "offenders": check.offenders,
        "first": check.first,
    }


def _read_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text!r} is no ISO date or time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
