#!/usr/bin/env python
"""Django's commands, on the servers and secrets of the copy that `make run` started."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if "connection" not in str(error):
            raise
        sys.exit(
            "ttonkapi: the database does not answer. Start it with `make run` (the whole product) "
            "or `make stores` (only the servers), or set DATABASE_URL."
        )


if __name__ == "__main__":
    main()
