"""No operator's page asks more of the database because there is more to show.

Every list, row and form is asked for with a few rows of each kind, and again with many: the second
answer may not take one query more.
"""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Invitation, User
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
    Plan,
    RedeemCode,
    UsageDay,
)
from billing.periods import today
from providers.models import Channel, Model, Price, PriceRate, Provider
from tests import factories
from tests.operators.people import Desk, gather
from tests.operators.test_roles import _pages, _path

# Beside each page: what it is asked for.
QUERIES = {
    "find": ["?q=Acme", "?q=example.com", "?q=ABCD"],
    "accounts_organization_changelist": ["?q=Acme", "?plan=own"],
    "billing_usagerecord_changelist": ["?status=server&time=7d", "?q={slug}&model=qwen-plus"],
    "billing_paymentorder_changelist": ["?q=acme-robotics&state__exact=paid"],
    "providers_price_changelist": ["?state=scheduled"],
}
QUERIES_MAX = 30


def grow(count: int) -> None:
    """`count` more customers with one of each thing an operator looks at, and as much catalog."""
    operator = User.objects.get(email="superuser@example.com")
    mark = User.objects.count()
    for number in range(mark, mark + count):
        organization = factories.OrganizationFactory.create()
        factories.key(organization)
        factories.record(organization)
        UsageDay.objects.create(
            organization_id=organization.pk, day=today(), model="qwen-plus", requests=1
        )
        Invitation.objects.create(
            organization=organization, email=f"new{number}@example.com", digest=f"d{number}",
            expires_at=timezone.now() + timedelta(days=1),
        )  # fmt: skip
        _pay(organization, number)
        adjustments.ask(
            organization, 500 * factories.USD, reason="Outage", by=operator, form_id=uuid.uuid4()
        )
        Plan.objects.create(slug=f"plan-{number}", name="Own", organization=organization)
        _sell(number)


def _pay(organization, number: int) -> None:
    order = PaymentOrder.objects.create(
        organization=organization, reference=f"TT-MANY-{number:04}", provider="bank",
        amount_minor=2_500, state=OrderState.PENDING,
    )  # fmt: skip
    PaymentEvent.objects.create(
        provider="bank", event_id=f"evt_{number}x", kind="paid", facts={}, order=order,
        state=EventState.PARKED,
    )  # fmt: skip
    Dispute.objects.create(
        order=order, provider="bank", provider_id=f"dp_{number}x", amount_minor=1
    )
    issuer = Issuer.default()
    invoice = Invoice.objects.create(
        number=number + 10, organization=organization, month=today().replace(day=1),
        total_nanos=10**9, total_minor=100, issuer=issuer,
    )  # fmt: skip
    CreditNote.objects.create(
        number=number + 10, issuer=issuer, invoice=invoice, reason="A mistake", total_minor=1,
        tax_minor=0, transfer_id=uuid.uuid4(),
    )  # fmt: skip
    RedeemCode.objects.create(
        digest=f"code{number}", last_four="ABCD", batch="launch", amount_nanos=1
    )


def _sell(number: int) -> None:
    model = Model.objects.create(
        name=f"model-{number}", owned_by="x", context_tokens=1, output_tokens_max=1
    )
    provider = Provider.objects.create(slug=f"provider-{number}", name="P")
    Channel.objects.create(
        provider=provider, model=model, base_url="http://127.0.0.1:1", upstream_model="m"
    )
    price = Price.objects.create(model=model, effective_at=timezone.now())
    PriceRate.objects.create(
        price=price, input_nanos=1, cached_input_nanos=1, output_nanos=1, reasoning_output_nanos=1
    )


def addresses(desk: Desk) -> list[str]:
    found = []
    for route in _pages():
        path = _path(desk, route)
        name = route.name.removeprefix("admin:")
        if name == "logout":
            continue
        slug = desk.cast.organization.slug
        found += [path, *(path + one.format(slug=slug) for one in QUERIES.get(name, []))]
    return found


def count(client: Client, path: str) -> int | None:
    """The queries of one page, asked for once before; None where it is no page to read."""
    cache.clear()
    answer = client.get(path)
    if answer.status_code != 200 or "text/html" not in answer.headers.get("Content-Type", ""):
        return None
    with CaptureQueriesContext(connection) as captured:
        client.get(path)
    return len(captured)


@pytest.mark.django_db
def test_no_operators_page_takes_more_queries_when_there_is_more_to_show() -> None:
    desk = gather()
    grow(2)
    client = desk.clients["superuser"]
    paths = addresses(desk)
    small = {path: count(client, path) for path in paths}
    grow(12)
    large = {path: count(client, path) for path in paths}
    more = {
        path: (before, large[path])
        for path, before in small.items()
        if before is not None and (large[path] or 0) > before
    }
    assert more == {}
    opened = [path for path, queries in small.items() if queries is not None]
    assert {"/admin/", "/admin/accounts/organization/", "/admin/billing/usagerecord/"} <= set(
        opened
    )
    assert len(opened) > 150
    assert max(queries or 0 for queries in large.values()) <= QUERIES_MAX
