"""What waits for an operator in the morning, written into a running product's database.

A customer with a bank transfer under way, an automatic payment nobody knows the end of and an
invoice; and a day of use 45 days ago, before whatever other stories tell, with what it cost.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from accounts.models import Organization, User
from billing.models import Invoice, Issuer, OrderState, PaymentOrder
from billing.payments import gateways, orders
from billing.periods import today
from tests import books, factories
from tests.billing.bills import files
from tests.factories import PASSWORD, USD

PROJECT = Path(__file__).resolve().parents[2]
_SECONDS = 120
_PROGRAM = "import django; django.setup(); from tests.browser import desk; desk.tell()"


def set_elsewhere(environment: dict[str, str]) -> dict[str, Any]:
    """In a process of its own; who the operators are, and what lies on their desk."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=environment, cwd=PROJECT, capture_output=True,
        text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def tell() -> None:
    print(json.dumps(lay()))


def lay() -> dict[str, Any]:
    mark = secrets.token_hex(3)
    people = {
        name: User.objects.create_superuser(f"{name}-{mark}@example.com", PASSWORD).email
        for name in ("olga", "otto")
    }
    owner = factories.UserFactory.create(email=f"freya-{mark}@example.com")
    organization = factories.OrganizationFactory.create(name=f"Freight {mark}", owner=owner)
    return {
        **people,
        "password": PASSWORD,
        "organization": organization.name,
        "owner": owner.email,
        "key": factories.key(organization).secret,
        "invoice": _invoice(organization),
        **_payments(organization),
        **_used(organization),
    }


def _invoice(organization: Organization) -> str:
    last = Invoice.objects.order_by("-number").first()
    invoice = Invoice.objects.create(
        issuer=Issuer.default(), number=last.number + 1 if last else 1, organization=organization,
        month=(today().replace(day=1) - timedelta(1)).replace(day=1), total_nanos=40 * USD,
        total_minor=4_000,
    )  # fmt: skip
    return str(invoice)


def _payments(organization: Organization) -> dict[str, str]:
    transfer = orders.place(organization, gateways.get("bank"), 25_000)
    orders.start(transfer)
    parked = PaymentOrder.objects.create(
        organization=organization, reference=orders.new_reference(), provider="stripe",
        amount_minor=5_000, is_automatic=True, state=OrderState.PARKED,
    )  # fmt: skip
    return {"transfer": transfer.reference, "parked": parked.reference}


def _used(organization: Organization) -> dict[str, str]:
    """Two dollars that cost one and a half; and one request whose bill is at hand."""
    day = today() - timedelta(45)
    books.day(2 * USD, 3 * USD // 2, organization, day=day)
    noon = datetime.combine(day, time(12), UTC)
    books.hour(noon, metered=1, input_tokens=400, cached_input_tokens=600, output_tokens=100,
               cost_nanos=121_800)  # fmt: skip
    return {"day": f"{day}", "bill": files.deepseek_amounts(f"{day}").decode()}
