"""`manage.py make_roles`: the operators' roles as groups. Run it after every upgrade."""

from typing import Any

from django.core.management.base import BaseCommand

from gateway import roles


class Command(BaseCommand):
    help = "Make the operators' roles, or set them right: support, finance, catalog, read only."

    def handle(self, *args: Any, **options: Any) -> None:
        for name, count in roles.make().items():
            self.stdout.write(f"{name}: {count} permissions")
