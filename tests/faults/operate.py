"""`python -m tests.faults.operate`: several of the operator's commands in one process.

Commands come as JSON lists of words on stdin, their answers go out as one JSON list: starting an
interpreter for each would take longer than a short round.
"""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any


def main() -> None:
    from django.core.management import call_command

    answers: list[Any] = []
    for command in json.load(sys.stdin):
        out = io.StringIO()
        if command == ["expire_due"]:
            answers.append(_expire_due())
            continue
        call_command(*command, stdout=out, json=True)
        answers.append(json.loads(out.getvalue() or "null"))
    print(json.dumps(answers))


def _expire_due() -> int:
    """What a worker does every few seconds: settle the holds that nobody extends any more."""
    from billing import ledger

    total = 0
    while settled := ledger.expire_due():
        total += settled
    return total


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    django.setup()
    main()
