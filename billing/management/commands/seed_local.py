"""`manage.py seed_local`: a sign-in and a key to try a local copy with; safe to run again.

A key cannot be read back from the database, so what was made is kept in a file that only its
owner can read, and used again for as long as it still opens the door.
"""

import json
import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts import keys, organizations, users
from accounts.models import ApiKey, Membership, Organization, Role, User

EMAIL = "operator@localhost"
_SLUG = "demo"
_KEY_NAME = "demo"
_CREDIT_NANOS = 25_000_000_000


class Command(BaseCommand):
    help = "Make an operator's sign-in and a demo organization with a key; prints them as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="the default, and the only form")

    def handle(self, *args: Any, **options: Any) -> None:
        path = _locate()
        kept = _read(path)
        with transaction.atomic():
            operator, password = _operator(kept.get("password"))
            organization = _organization(operator)
            secret = _key(organization, operator, kept.get("api_key"))
        facts = {
            "email": operator.email,
            "password": password,
            "api_key": secret,
            "organization": organization.slug,
        }
        if facts != kept:
            _write(path, facts)
        self.stdout.write(json.dumps(facts))


def _operator(kept: str | None) -> tuple[User, str | None]:
    """The superuser and a password that signs in; None where someone has chosen another since."""
    chosen = os.environ.get("TTONK_OPERATOR_PASSWORD")
    made = users.find_or_create(EMAIL, password=chosen, is_operator=True)
    if made.password:
        return made.user, made.password
    if chosen and not made.user.check_password(chosen):
        made.user.set_password(chosen)
        made.user.save(update_fields=["password"])
    password = chosen or kept
    return made.user, password if password and made.user.check_password(password) else None


def _organization(operator: User) -> Organization:
    organization = Organization.objects.filter(slug=_SLUG).first()
    if organization is None:
        return organizations.create("Demo", operator, plan="pro", credit_nanos=_CREDIT_NANOS)
    Membership.objects.get_or_create(
        organization=organization, user=operator, defaults={"role": Role.OWNER}
    )
    return organization


def _key(organization: Organization, operator: User, kept: str | None) -> str:
    """The kept key while it is live, else a new one in place of the lost one."""
    live = ApiKey.objects.live().filter(organization=organization, name=_KEY_NAME)
    if kept and live.filter(digest=keys.digest(kept)).exists():
        return kept
    for lost in live:
        keys.revoke(lost)
    project = organization.projects.order_by("pk").first()
    if project is None:
        raise CommandError(f"{organization.slug} has no project")
    return keys.create(project, _KEY_NAME, created_by=operator, announce=False).secret


def _locate() -> Path:
    if path := os.environ.get("TTONK_SEED_FILE"):
        return Path(path)
    if folder := os.environ.get("TTONK_DATA"):
        return Path(folder) / "seed.json"
    raise CommandError("set TTONK_SEED_FILE or TTONK_DATA: the key made here must be kept")


def _read(path: Path) -> dict[str, str | None]:
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, facts: dict[str, str | None]) -> None:
    """Replace the file at once, readable by its owner alone."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(facts, file, indent=2)
    fresh.replace(path)
