"""`manage.py probe_components`: how everything is right now, also for the status page."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from gateway import history, probes
from gateway.models import State


class Command(BaseCommand):
    help = "Probe every component now, write down what is found, and say it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        found = probes.look()
        history.note(found)
        if options["json"]:
            states = {one.component: State(one.state).name.lower() for one in found}
            self.stdout.write(json.dumps(states))
            return
        for one in found:
            after = f" ({one.note})" if one.note else ""
            self.stdout.write(f"{one.component}: {State(one.state).name.lower()}{after}")
