"""What the operator's commands share: finding things by name, and answering in text or JSON."""

import argparse
import json
import re
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import organizations
from accounts.models import Organization, User
from billing import money
from billing.models import Invoice, Plan

_MONTH = re.compile(r"(2[0-9]{3})-(0[1-9]|1[0-2])")


class OperatorCommand(BaseCommand):
    """A command that answers with one object: lines to read, or JSON with `--json`."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
        return parser

    def answer(self, options: dict[str, Any], facts: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(facts))
            return
        for name, value in facts.items():
            if value not in (None, []):
                self.stdout.write(f"{name.replace('_', ' ')}: {value}")


class StandingCommand(OperatorCommand):
    """Suspends an organization, or serves it again: what `change` does, which says whether it
    had to."""

    def change(self, organization: Organization) -> bool:
        raise NotImplementedError

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="slug, id or name")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = find_organization(options["organization"])
        is_changed = self.change(organization)
        suspended_at = organization.suspended_at
        self.answer(
            options,
            {
                "organization": organization.slug,
                "is_changed": is_changed,
                "suspended_at": suspended_at.isoformat() if suspended_at else None,
            },
        )


def find_organization(name: str) -> Organization:
    """By slug, id or exact name. Raises CommandError, with the choices where several fit."""
    try:
        return organizations.find(name)
    except Organization.DoesNotExist:
        raise CommandError(f"there is no organization {name!r}") from None
    except Organization.MultipleObjectsReturned:
        slugs = ", ".join(Organization.objects.filter(name=name).values_list("slug", flat=True))
        raise CommandError(f"several organizations are named {name!r}: {slugs}") from None


def find_user(email: str) -> User:
    """Raises CommandError."""
    user = User.objects.filter(email__iexact=email.strip()).first()
    if user is None:
        raise CommandError(f"there is no user {email!r}")
    return user


def find_plan(slug: str) -> Plan:
    plan = Plan.objects.filter(slug=slug.lower()).first()
    if plan is None:
        slugs = ", ".join(Plan.objects.values_list("slug", flat=True))
        raise CommandError(f"there is no plan {slug!r}; there are: {slugs}")
    return plan


def find_invoice(reference: str) -> Invoice:
    """By what stands on it, or the digits of the first issuer's. Raises CommandError."""
    invoice = Invoice.objects.named(reference).select_related("organization").first()
    if invoice is None:
        raise CommandError(f"there is no invoice {reference!r}")
    return invoice


def read_usd(text: str) -> int:
    """Nanos, zero included. Raises CommandError."""
    try:
        return money.parse_usd(str(text))
    except money.NotMoney as error:
        raise CommandError(str(error)) from None


def read_positive_usd(text: str) -> int:
    nanos = read_usd(text)
    if not nanos:
        raise CommandError("the amount must be above zero")
    return nanos


def positive_integer(text: str) -> int:
    """An argparse type: an integer that fits the database's columns."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 0 < int(text) < 2**31):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def month(text: str) -> date:
    """An argparse type: `2026-01` as the month's first day."""
    parts = _MONTH.fullmatch(text)
    if parts is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no month; write it like 2026-11")
    return date(int(parts[1]), int(parts[2]), 1)
