"""No page asks more of the database because there is more to show.

Every address a member can open with GET is asked for in a small organization, which has two of
everything, and again after it has grown: the second answer may not take one query more.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Project
from accounts.webhooks import endpoints
from billing import ids, ledger
from billing.models import (
    Invoice,
    InvoiceLine,
    Issuer,
    LatencyDay,
    TransferKind,
    UsageDay,
    UsageHour,
)
from tests import factories, webhooks
from tests.gateway.routes import routes
from tests.gateway.test_access import World

MODELS = ("qwen-turbo", "qwen-plus", "qwen-max", "deepseek-chat")
# What pages are asked for beside nothing.
QUERIES: dict[str, list[dict[str, str]]] = {
    "overview": [{"by": "project"}, {"by": "key"}],
    "usage": [
        {"by": "key", "compare": "1"},
        {"by": "project", "show": "tokens"},
        {"by": "member", "period": "today"},
    ],
    "keys": [{"state": "all"}, {"q": "Key"}],
    "requests": [{"status": "error"}, {"period": "24h", "model": "qwen-plus"}],
}
# Answers that are not pages, and pages that end the session they are asked in.
_LEFT_OUT = ("admin:", "account_logout")


def grow(world: World, count: int) -> None:
    """`count` more of each kind of thing the organization has."""
    organization, now = world.organization, timezone.now()
    mark = organization.api_keys.count()
    for n in range(mark, mark + count):
        person = factories.UserFactory.create(email=f"member{n}@example.com")
        factories.MembershipFactory.create(organization=organization, user=person)
        project = Project.objects.create(organization=organization, name=f"Project {n}")
        key = factories.key(organization, f"Key {n}", created_by=person).row
        model = MODELS[n % len(MODELS)]
        facts = {"project_id": project.pk, "api_key_id": key.pk, "model": model}
        for status in (200, 502):
            factories.record(organization, id=ids.uuid7(), status=status, **facts)
        sums = {
            "organization_id": organization.pk,
            "requests": n + 1,
            "charge_nanos": 1_000,
            **facts,
        }
        for back in range(2):
            UsageDay.objects.create(day=(now - timedelta(back)).date(), **sums)
            UsageDay.objects.create(day=(now - timedelta(30 + back)).date(), **sums)
        UsageHour.objects.create(hour=now.replace(minute=0, second=0, microsecond=0), **sums)
        LatencyDay.objects.create(
            organization_id=organization.pk, day=now.date(), bucket=n, requests=n + 1
        )
        if organization.webhook_endpoints.count() < endpoints.ENDPOINTS_MAX:
            webhooks.endpoint(organization)
        webhooks.answer(organization, "plan.changed", {"n": n}, webhooks.REFUSED, webhooks.TAKEN)
        ledger.credit(organization.wallet, 1_000, kind=TransferKind.TOP_UP, reason=f"Top-up {n}")
        month = (now.date().replace(day=1) - timedelta(31 * (n + 1))).replace(day=1)
        invoice = Invoice.objects.create(
            issuer=Issuer.default(),
            number=100 + n,
            organization=organization,
            month=month,
            total_nanos=1,
            total_minor=0,
        )
        for invoiced in (invoice, world.invoice):
            InvoiceLine.objects.create(
                invoice=invoiced, project_name=project.name, model=model, requests=1,
                input_tokens=1, output_tokens=1, amount_nanos=1,
            )  # fmt: skip


def addresses(world: World) -> list[str]:
    found = []
    for route in routes():
        if route.name.startswith(_LEFT_OUT):
            continue
        path = route.fill(world.values(route.name))
        found += [path, *(f"{path}?{urlencode(query)}" for query in QUERIES.get(route.name, []))]
    return found


def count(client: Client, path: str) -> int | None:
    """The queries of one page, asked for once before; None where it is none for this person."""
    cache.clear()
    answer = client.get(path)
    if answer.status_code != 200 or "text/html" not in answer.headers.get("Content-Type", ""):
        return None
    with CaptureQueriesContext(connection) as captured:
        client.get(path)
    return len(captured)


@pytest.mark.django_db
def test_no_page_takes_more_queries_when_there_is_more_to_show(settings: Any) -> None:
    world = World()
    grow(world, 3)
    client = Client(raise_request_exception=False)
    client.force_login(world.cast.alice)
    paths = addresses(world)
    small = {path: count(client, path) for path in paths}
    grow(world, 25)
    large = {path: count(client, path) for path in paths}
    more = {
        path: (before, large[path])
        for path, before in small.items()
        if before is not None and (large[path] or 0) > before
    }
    assert more == {}
    opened = [path for path, queries in small.items() if queries is not None]
    assert {"/overview", "/usage", "/keys", "/requests", "/billing"} <= set(opened)
    assert max(queries or 0 for queries in large.values()) <= 20
