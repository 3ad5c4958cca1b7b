"""Platform accounts and plans for every test: a transactional test's flush takes them away."""

from importlib import import_module
from typing import Any

from django.apps import apps
from django.db.models.signals import post_migrate
from django.dispatch import receiver


@receiver(post_migrate)
def lay_again(sender: Any, **_: Any) -> None:
    """After the first migration, and after each flush, which sends the same signal."""
    if sender.name == "billing":
        import_module("billing.migrations.0003_accounts_and_plans").lay(apps)
