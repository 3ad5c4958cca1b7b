"""`manage.py create_organization NAME --owner EMAIL`: a tenant, whole, with its wallet and plan."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction

from accounts import organizations, users
from accounts.models import Organization
from billing import ledger, money
from billing.management import operator

_NAME_CHARS_MAX = Organization._meta.get_field("name").max_length or 0


class Command(operator.OperatorCommand):
    help = "Make an organization; its owner is made too if absent, with a password shown once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--owner", required=True, metavar="EMAIL")
        parser.add_argument("--plan", help="the configured default plan without it")
        parser.add_argument(
            "--credit", metavar="USD", help="first credit; the configured welcome credit without it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name, email = options["name"].strip(), options["owner"].strip()
        _check(name, email)
        wishes: dict[str, object] = {}
        if options["plan"]:
            wishes["plan"] = operator.find_plan(options["plan"]).slug
        if options["credit"] is not None:
            wishes["credit_nanos"] = operator.read_usd(options["credit"])
        with transaction.atomic():
            owner = users.find_or_create(email)
            organization = organizations.create(name, owner.user, **wishes)
        wallet = ledger.open_wallet(organization)
        self.answer(
            options,
            {
                "organization": organization.slug,
                "id": organization.pk,
                "name": organization.name,
                "owner": owner.user.email,
                "password": owner.password,
                "plan": organization.subscription.plan.slug,
                "balance_usd": money.format_usd(wallet.balance_nanos),
                "balance_nanos": wallet.balance_nanos,
            },
        )


def _check(name: str, email: str) -> None:
    if not name or len(name) > _NAME_CHARS_MAX or not name.isprintable():
        raise CommandError(f"a name has 1 to {_NAME_CHARS_MAX} printable characters")
    try:
        validate_email(email)
    except ValidationError:
        raise CommandError(f"{email!r} is not an email address") from None
