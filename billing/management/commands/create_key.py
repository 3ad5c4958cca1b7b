"""`manage.py create_key ORGANIZATION`: an API key, printed this once."""

import ipaddress
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from accounts import keys
from accounts.models import ApiKey, Organization, Project
from billing.management import operator
from providers.models import Model

_SPAN = re.compile(r"([0-9]{1,5})([hd])")
_NAME_CHARS_MAX = ApiKey._meta.get_field("name").max_length or 0


class Command(operator.OperatorCommand):
    help = "Make an API key. It is printed once and cannot be read back."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="slug, id or name")
        parser.add_argument("--project", default="Default", help="made if absent")
        parser.add_argument("--name", default="Made by an operator")
        parser.add_argument("--models", default="", help="only these, separated by commas")
        parser.add_argument("--addresses", default="", help="only from these addresses or networks")
        parser.add_argument("--expires", help="30d, 12h, or an ISO date or time (UTC)")
        parser.add_argument("--day-cap", metavar="USD")
        parser.add_argument("--month-cap", metavar="USD")
        parser.add_argument("--rpm", type=operator.positive_integer, help="requests per minute")
        parser.add_argument("--tpm", type=operator.positive_integer, help="tokens per minute")
        parser.add_argument("--test", action="store_true", help="a ttonk_sk_test_ key")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = operator.find_organization(options["organization"])
        limits: dict[str, Any] = {
            "expires_at": _read_expiry(options["expires"]),
            "allowed_models": _read_models(options["models"]),
            "allowed_addresses": _read_addresses(options["addresses"]),
            "spend_cap_day_nanos": _read_cap(options["day_cap"]),
            "spend_cap_month_nanos": _read_cap(options["month_cap"]),
            "requests_per_minute": options["rpm"],
            "tokens_per_minute": options["tpm"],
        }
        name = options["name"].strip()
        if not name or len(name) > _NAME_CHARS_MAX:
            raise CommandError(f"a key's name has 1 to {_NAME_CHARS_MAX} characters")
        with transaction.atomic():
            project = _find_or_create_project(organization, options["project"].strip())
            made = keys.create(project, name, test=options["test"], **limits)
        expires_at = made.row.expires_at
        self.answer(
            options,
            {
                "api_key": made.secret,
                "id": made.row.pk,
                "name": name,
                "organization": organization.slug,
                "project": project.name,
                "allowed_models": made.row.allowed_models or None,
                "allowed_addresses": made.row.allowed_addresses or None,
                "expires_at": expires_at.isoformat() if expires_at else None,
            },
        )


def _find_or_create_project(organization: Organization, name: str) -> Project:
    if not name or len(name) > _NAME_CHARS_MAX:
        raise CommandError(f"a project's name has 1 to {_NAME_CHARS_MAX} characters")
    return Project.objects.get_or_create(organization=organization, name=name)[0]


def _split(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _read_models(text: str) -> list[str]:
    names = _split(text)
    known = set(Model.objects.filter(name__in=names).values_list("name", flat=True))
    if unknown := [name for name in names if name not in known]:
        raise CommandError(f"not in the catalog: {', '.join(unknown)}")
    return names


def _read_addresses(text: str) -> list[str]:
    try:
        networks = [ipaddress.ip_network(part, strict=False) for part in _split(text)]
    except ValueError as error:
        raise CommandError(f"{error}") from None
    return [
        str(network.network_address if network.num_addresses == 1 else network)
        for network in networks
    ]


def _read_cap(text: str | None) -> int | None:
    return None if text is None else operator.read_positive_usd(text)


def _read_expiry(text: str | None) -> datetime | None:
    if text is None:
        return None
    expires_at = _parse_time(text)
    if expires_at is None:
        raise CommandError(f"{text!r} is no time; write 30d, 12h, 2027-01-31 or 2027-01-31T12:00Z")
    if expires_at <= timezone.now():
        raise CommandError(f"{text!r} has passed already")
    return expires_at


def _parse_time(text: str) -> datetime | None:
    """A span from now, a day's beginning or a time; UTC where it names no zone."""
    if span := _SPAN.fullmatch(text):
        hours = int(span[1]) * (24 if span[2] == "d" else 1)
        return timezone.now() + timedelta(hours=hours)
    try:
        if day := parse_date(text):
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        moment = parse_datetime(text)
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
