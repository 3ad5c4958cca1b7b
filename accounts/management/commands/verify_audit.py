"""`manage.py verify_audit`: the audit log's chains, whole or broken. Exit status 1 if broken."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts import audit


class Command(BaseCommand):
    help = "Read every chain of the audit log: edited, removed and reordered entries show."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        verdict = audit.verify()
        if options["json"]:
            facts = {
                "ok": verdict.is_whole,
                "chains": verdict.chains,
                "entries": verdict.entries,
                "troubles": verdict.troubles,
            }
            self.stdout.write(json.dumps(facts))
        else:
            for trouble in verdict.troubles:
                self.stdout.write(trouble)
            word = "whole" if verdict.is_whole else "BROKEN"
            counts = f"{verdict.entries:,} entries in {verdict.chains:,} chains"
            self.stdout.write(f"The audit log is {word}: {counts}.")
        if not verdict.is_whole:
            sys.exit(1)
