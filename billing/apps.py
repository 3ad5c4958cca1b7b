from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class BillingConfig(AppConfig):
    name = "billing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from billing import budgets, checks, onboarding  # noqa: F401  (they register themselves)

        post_migrate.connect(_make_partitions, sender=self)


def _make_partitions(**_: Any) -> None:
    from billing import partitions

    if partitions.exist():
        partitions.make_ahead()
