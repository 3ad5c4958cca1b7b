"""Everybody who might open an operator's page, and one of each thing that pages are about."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group
from django.db import models
from django.test import Client
from django.utils import timezone

from accounts.models import Invitation, OutgoingMail, User
from billing import adjustments
from billing.models import (
    CreditNote,
    Dispute,
    EventState,
    Invoice,
    Issuer,
    OrderState,
    PaymentEvent,
    PaymentOrder,
    RedeemCode,
    TaxRule,
)
from gateway import roles
from providers import seed
from providers.models import Channel, Model, Price, PriceRate, Provider
from tests import factories

PEOPLE = ("superuser", "Finance", "Support", "Catalog manager", "Read only", "staff", "owner",
          "anonymous")  # fmt: skip


@dataclass
class Desk:
    """The cast of an operator's day."""

    cast: Any
    clients: dict[str, Client]
    rows: dict[str, Any] = field(default_factory=dict)

    def pk(self, label: str) -> Any:
        """Of a row of this table ("billing.invoice"); of one without rows: none there is."""
        row = self.rows.get(label) or apps.get_model(label).objects.order_by("pk").first()
        return row.pk if row is not None else 0


def gather() -> Desk:
    seed.plant({})
    roles.make()
    cast = factories.cast()
    clients = {name: Client(raise_request_exception=False) for name in PEOPLE}
    for name in PEOPLE[:-2]:
        email = f"{name.replace(' ', '-').lower()}@example.com"
        is_superuser = name == "superuser"
        user = User.objects.create_user(email, "secret", is_staff=True, is_superuser=is_superuser)
        user.groups.set(Group.objects.filter(name=name))
        clients[name].force_login(user)
    clients["owner"].force_login(cast.alice)
    desk = Desk(cast, clients)
    _money(desk, User.objects.get(email="superuser@example.com"))
    _catalog(desk)
    factories.key(cast.organization)
    factories.month_of_use(cast.organization, days=1)
    Invitation.objects.create(
        organization=cast.organization, email="new@example.com", digest="d",
        expires_at=timezone.now() + timedelta(days=1),
    )  # fmt: skip
    OutgoingMail.objects.create(recipient="a@example.com", subject="s", text="t", html="h")
    _one_of_each()
    return desk


def _one_of_each() -> None:
    """A row in every table that has none yet, of whatever its columns take."""
    plain: dict[str, Any] = {
        "BigIntegerField": 1, "IntegerField": 1, "PositiveIntegerField": 1,
        "PositiveSmallIntegerField": 1, "SmallIntegerField": 1, "BooleanField": False,
        "CharField": "x", "TextField": "x", "JSONField": {}, "ArrayField": [],
        "DateField": timezone.now().date(),
        "DateTimeField": timezone.now(),
    }  # fmt: skip
    for app in ("accounts", "billing"):
        for model in apps.get_app_config(app).get_models():
            if model._default_manager.exists():
                continue
            facts: dict[str, Any] = {}
            for one in model._meta.concrete_fields:
                if isinstance(one, models.AutoField):
                    continue
                if one.get_internal_type() == "UUIDField":
                    facts[one.attname] = uuid.uuid4()
                elif isinstance(one, models.ForeignKey):
                    facts[one.name] = one.related_model._default_manager.order_by("pk").first()
                elif not one.null and (not one.has_default() or one.primary_key):
                    facts[one.attname] = plain.get(one.get_internal_type(), 1)
            model._default_manager.create(**facts)


def _money(desk: Desk, superuser: User) -> None:
    organization = desk.cast.organization
    issuer = Issuer.default()
    invoice = Invoice.objects.create(
        number=1, organization=organization, month=timezone.now().date().replace(day=1),
        total_nanos=10**9, total_minor=100, issuer=issuer,
    )  # fmt: skip
    CreditNote.objects.create(
        number=1, issuer=issuer, invoice=invoice, reason="A mistake", total_minor=1, tax_minor=0,
        transfer_id=uuid.uuid4(),
    )  # fmt: skip
    order = PaymentOrder.objects.create(
        organization=organization, reference="TT-TEST-0001", provider="bank",
        amount_minor=2_500, state=OrderState.PENDING,
    )  # fmt: skip
    event = PaymentEvent.objects.create(
        provider="bank", event_id="evt_1", kind="paid", facts={}, state=EventState.PARKED,
        note="another amount", order=order,
    )  # fmt: skip
    Dispute.objects.create(order=order, provider="bank", provider_id="dp_1", amount_minor=1)
    RedeemCode.objects.create(digest="d", last_four="ABCD", batch="launch", amount_nanos=1)
    TaxRule.objects.create(issuer=issuer, country="DE", rate_ppm=190_000)
    asked = adjustments.ask(
        organization, 500 * factories.USD, reason="Outage", by=superuser, form_id=uuid.uuid4()
    )
    desk.rows |= {
        "accounts.organization": organization, "billing.invoice": invoice,
        "billing.paymentorder": order, "billing.paymentevent": event,
        "billing.adjustmentrequest": asked, "billing.subscription": organization.subscription,
        "accounts.user": desk.cast.bob,
        "accounts.membership": organization.memberships.get(user=desk.cast.bob),
    }  # fmt: skip


def _catalog(desk: Desk) -> None:
    model = Model.objects.get(name="qwen-turbo")
    channel = Channel.objects.create(
        provider=Provider.objects.get(slug="alibaba"), model=model, upstream_model="m",
        base_url="http://127.0.0.1:1/v1",
    )  # fmt: skip
    price = Price.objects.create(model=model, effective_at=timezone.now() + timedelta(days=1))
    PriceRate.objects.create(
        price=price, input_nanos=1, cached_input_nanos=1, output_nanos=1, reasoning_output_nanos=1
    )
    desk.rows |= {"providers.channel": channel, "providers.price": price}
