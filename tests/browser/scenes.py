"""What the pictures and the tour of the pages look at, written into the database.

Three stories: an organization after 30 days of busy use, one with nothing, and one that is
suspended and out of money. Beside them a person with every second factor, and an operator.
Import it after `django.setup()`; `play_elsewhere` does so in a process of its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from allauth.account.forms import default_token_generator
from allauth.account.models import EmailAddress, EmailConfirmationHMAC
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core.management import call_command
from fido2 import webauthn
from fido2.cose import ES256
from fido2.utils import websafe_encode

from accounts import organizations, projects
from accounts.models import Organization, User
from billing import adjustments, ledger
from billing.models import Invoice, UsageRecord
from providers.models import Channel, Model, Provider
from tests import books, factories, history, payments, webhooks
from tests.browser import papers
from tests.factories import PASSWORD, USD

PROJECT = Path(__file__).resolve().parents[2]
PLAY_SECONDS = 180
_PROGRAM = (
    "import django; django.setup(); from tests.browser import scenes; scenes.tell({!r}, {!r})"
)


def play_elsewhere(
    environment: dict[str, str], stripe_url: str, upstream_url: str
) -> dict[str, Any]:
    """The scenes in a running product's database; whom to sign in as, and ids for addresses."""
    command = [sys.executable, "-c", _PROGRAM.format(stripe_url, upstream_url)]
    done = subprocess.run(
        command, env=environment, cwd=PROJECT, capture_output=True, text=True,
        timeout=PLAY_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def tell(stripe_url: str, upstream_url: str) -> None:
    serve_by(upstream_url)
    print(json.dumps(play(stripe_url)))


def migrate() -> None:
    call_command("migrate", verbosity=0)
    call_command("seed_catalog", stdout=io.StringIO())


def play(stripe_url: str) -> dict[str, Any]:
    """Into a migrated database with a catalog."""
    mark = secrets.token_hex(3)
    history.measure_models()
    history.probe()
    busy = factories.UserFactory.create(email=f"alice-{mark}@example.com")
    organization = factories.OrganizationFactory.create(name="Acme Robotics", owner=busy)
    factories.OrganizationFactory.create(name="Side Project", owner=busy)
    factories.month_of_use(organization)
    fresh = factories.UserFactory.create(email=f"new-{mark}@example.com")
    factories.OrganizationFactory.create(name="New Venture", owner=fresh)
    facts = {
        "busy": busy.email,
        "new": fresh.email,
        "developer": f"bob-{mark}@example.com",
        "password": PASSWORD,
        **factories.team(organization, mark),
        **payments.play_in(organization, stripe_url),
        **webhooks.play_in(organization),
        **_ids(organization),
        **_links(mark),
        **_suspended(mark),
        **_guarded(mark),
        **_operate(organization, mark),
    }
    return {**facts, "papers": papers.write(organization)}


def _ids(organization: Organization) -> dict[str, Any]:
    records = UsageRecord.objects.filter(organization_id=organization.pk)
    latest = records.filter(status=200).order_by("-id")[2]
    failed = records.exclude(status=200).order_by("-id")[0]
    closed = projects.create(organization, "Prototype")
    projects.archive(closed)
    return {
        "key": organization.api_keys.order_by("pk")[0].pk,
        "request": f"req_{latest.pk.hex}",
        "failed_request": f"req_{failed.pk.hex}",
        "invoice": Invoice.objects.get(organization=organization).number,
        "archived_project": closed.pk,
    }


def _links(mark: str) -> dict[str, str]:
    """What two mails to somebody who never signs in would hold."""
    user = User.objects.get(email=f"bella-{mark}@example.com")
    address = EmailAddress.objects.create(user=user, email=f"bella-{mark}@example.org")
    token = default_token_generator.make_token(user)
    return {
        "reset": f"{user_pk_to_url_str(user)}-{token}",
        "confirmation": EmailConfirmationHMAC.create(address).key,
    }


def _suspended(mark: str) -> dict[str, Any]:
    """Used its money up, and was stopped: every page has to say so, and stay usable."""
    owner = factories.UserFactory.create(email=f"sue-{mark}@example.com")
    organization = factories.OrganizationFactory.create(name="Umbra Analytics", owner=owner)
    factories.month_of_use(organization, days=12, seed=11)
    wallet = ledger.open_wallet(organization)
    wallet.refresh_from_db()
    factories.charge(wallet, wallet.available_nanos)
    books.follow(organization)
    organizations.suspend(organization)
    return {"suspended": owner.email}


def _guarded(mark: str) -> dict[str, Any]:
    """An authenticator app, recovery codes and a passkey."""
    user = factories.UserFactory.create(email=f"grace-{mark}@example.com")
    factories.OrganizationFactory.create(name="Hopper Labs", owner=user)
    TOTP.activate(user, generate_totp_secret())
    codes = RecoveryCodes.activate(user).generate_codes()
    passkey = Authenticator.objects.create(
        user=user, type=Authenticator.Type.WEBAUTHN, data=_passkey("Work laptop")
    )
    return {"guarded": user.email, "codes": codes, "passkey": passkey.pk}


def _passkey(name: str) -> dict[str, Any]:
    """A registration as a browser would have sent it, of a key that nobody holds."""
    public = ES256({1: 2, 3: -7, -1: 1, -2: secrets.token_bytes(32), -3: secrets.token_bytes(32)})
    identity = secrets.token_bytes(32)
    attested = webauthn.AttestedCredentialData.create(bytes(16), identity, public)
    flag = webauthn.AuthenticatorData.FLAG
    authenticator = webauthn.AuthenticatorData.create(
        hashlib.sha256(b"127.0.0.1").digest(), flag.UP | flag.UV | flag.AT, 0, attested
    )
    client = webauthn.CollectedClientData.create(
        "webauthn.create", secrets.token_bytes(32), "http://127.0.0.1"
    )
    attestation = webauthn.AttestationObject.create("none", authenticator, {})
    response = {
        "clientDataJSON": websafe_encode(client),
        "attestationObject": websafe_encode(attestation),
    }
    credential = {
        "id": websafe_encode(identity),
        "rawId": websafe_encode(identity),
        "type": "public-key",
        "response": response,
        "clientExtensionResults": {"credProps": {"rk": True}},
    }
    return {"name": name, "credential": credential}


def _operate(organization: Organization, mark: str) -> dict[str, Any]:
    """An operator, who has asked for something of the organization."""
    books.follow(organization)
    bill = books.bill()
    operator = User.objects.create_superuser(f"olga-{mark}@example.com", PASSWORD)
    asked = adjustments.ask(
        organization, 250 * USD, reason="Outage of 2026-11-02", by=operator, form_id=uuid.uuid4()
    )
    return {
        "operator": operator.email,
        "organization": organization.pk,
        "adjustment": asked.pk,
        "bill": bill.pk,
        "model": Model.objects.get(name="qwen-plus").pk,
    }


def serve_by(base_url: str) -> None:
    """Every model by this upstream, before any other."""
    for model in Model.objects.all():
        Channel.objects.create(
            provider=Provider.objects.get(slug="alibaba"), model=model, priority=1,
            base_url=base_url, upstream_model=model.name,
        )  # fmt: skip
