"""What webhooks are told about keys and members, and whether the documentation tells the truth."""

import json
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as project

from accounts import invitations, keys, projects
from accounts.models import Role
from accounts.webhooks import deliveries, endpoints, events, rounds
from accounts.webhooks.models import WebhookEvent
from config import logging as log_config
from tests import factories, installs, webhooks

pytestmark = pytest.mark.django_db
LANGUAGES = ("en", "zh-hans")


def page(language: str) -> str:
    folder = Path(project.BASE_DIR) / "docs" / "pages" / language
    return (folder / "webhooks.md").read_text(encoding="utf-8")


def code(language: str, kind: str) -> str:
    [found] = re.findall(rf"```{kind}\n(.*?)```", page(language), re.DOTALL)
    return found


def told() -> list[tuple[str, dict]]:
    rows = WebhookEvent.objects.order_by("created_at")
    return [(row.type, json.loads(row.body)["data"]) for row in rows]


def test_a_keys_life_is_told_without_its_secret():
    cast = factories.cast()
    webhooks.endpoint(cast.organization)
    made = factories.key(cast.organization, "Nightly", created_by=cast.bob)
    newer = keys.rotate(made.row, timedelta(hours=1), by=cast.bob)
    keys.revoke(newer.row)
    keys.revoke(newer.row)
    created, rotated, revoked = told()
    assert created[0] == "key.created"
    assert created[1]["key"]["name"] == "Nightly"
    assert created[1]["key"]["created_by"] == "bob@example.com"
    assert created[1]["key"]["masked"] == made.row.masked
    assert rotated[0] == "key.rotated"
    assert rotated[1]["key"]["id"] == newer.row.pk
    assert rotated[1]["replaces"]["id"] == made.row.pk
    assert rotated[1]["replaces"]["expires_at"] is not None
    assert revoked[0] == "key.revoked"
    assert revoked[1]["key"]["revoked_at"] is not None
    bodies = "".join(WebhookEvent.objects.values_list("body", flat=True))
    for one in (made, newer):
        assert one.secret not in bodies
        assert one.row.digest not in bodies


def test_archiving_a_project_tells_of_each_key_it_closes():
    organization = factories.OrganizationFactory.create()
    webhooks.endpoint(organization)
    side = projects.create(organization, "Side")
    for name in ("a", "b"):
        keys.create(side, name)
    WebhookEvent.objects.all().delete()
    projects.archive(side)
    assert [(type, data["key"]["name"]) for type, data in told()] == [
        ("key.revoked", "a"), ("key.revoked", "b"),
    ]  # fmt: skip


def test_a_new_member_is_told_once():
    cast = factories.cast()
    webhooks.endpoint(cast.organization)
    owner = cast.organization.memberships.get(role=Role.OWNER)
    invitation = invitations.invite("charlie@example.com", Role.VIEWER, by=owner)
    invitations.accept(invitation, cast.charlie)
    member = {"member": {"email": "charlie@example.com", "role": "viewer"}}
    assert told() == [("member.joined", member)]


def test_other_languages_and_quotes_arrive_as_they_were_written(organization, endpoint, receiver):
    name = '生产 "k" \u2028 \x00 😀'
    events.emit(organization, "plan.changed", {"name": name})
    rounds.run()
    assert json.loads(receiver.got[0].body)["data"]["name"] == name


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_python_of_the_documentation_verifies_what_is_delivered(
    language, organization, made, receiver, monkeypatch
):
    scope: dict = {}
    exec(compile(code(language, "python"), "webhooks.md", "exec"), scope)
    verify = scope["verify"]
    events.emit(organization, "plan.changed", {"name": "生产"})
    rounds.run()
    [got] = receiver.got
    assert verify(made.secret, got.headers, got.body)
    assert not verify(made.secret, got.headers, got.body + b" ")
    assert not verify(made.secret, got.headers | {"webhook-id": "evt_0"}, got.body)
    assert not verify("whsec_" + "A" * 43 + "=", got.headers, got.body)
    assert not verify(made.secret, got.headers | {"webhook-signature": "v1,AAAA"}, got.body)
    stamp = int(got.headers["webhook-timestamp"])
    for seconds in (-301, 301):
        moved = got.headers | {"webhook-timestamp": str(stamp + seconds)}
        assert not verify(made.secret, moved, got.body)
    monkeypatch.setattr(scope["time"], "time", lambda: stamp + 301)
    assert not verify(made.secret, got.headers, got.body), "a replay"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_node_of_the_documentation_verifies_what_is_delivered(
    language, organization, made, receiver, tmp_path
):
    events.emit(organization, "plan.changed", {"name": "生产"})
    rounds.run()
    [got] = receiver.got
    (tmp_path / "verify.mjs").write_text(code(language, "node"), encoding="utf-8")
    (tmp_path / "body").write_bytes(got.body)
    facts = json.dumps([made.secret, got.headers])
    (tmp_path / "ask.mjs").write_text(
        f"""import {{ readFileSync }} from "node:fs";
import {{ verify }} from "./verify.mjs";
const [secret, headers] = {facts};
const body = readFileSync("body");
const sentAt = Number(headers["webhook-timestamp"]);
const old = {{ ...headers, "webhook-timestamp": String(sentAt - 301) }};
console.log(JSON.stringify([
  verify(secret, headers, body),
  verify(secret, headers, Buffer.concat([body, Buffer.from(" ")])),
  verify("whsec_AAAA", headers, body),
  verify(secret, old, body),
  verify(secret, {{ ...headers, "webhook-signature": "v1,AAAA v2,x" }}, body),
]));
""",
        encoding="utf-8",
    )
    answer = subprocess.run(
        [installs.node(), "ask.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == [True, False, False, False, False]


def test_after_a_rotation_either_secret_verifies_until_the_overlap_is_over(
    organization, made, receiver
):
    scope: dict = {}
    exec(compile(code("en", "python"), "webhooks.md", "exec"), scope)
    verify = scope["verify"]
    newer = endpoints.rotate(made.row, timedelta(hours=1))
    events.emit(organization, "plan.changed", {})
    rounds.run()
    got = receiver.got[-1]
    assert len(got.headers["webhook-signature"].split()) == 2
    assert verify(made.secret, got.headers, got.body)
    assert verify(newer.secret, got.headers, got.body)
    newest = endpoints.rotate(made.row, timedelta(0))
    events.emit(organization, "plan.changed", {})
    rounds.run()
    got = receiver.got[-1]
    assert verify(newest.secret, got.headers, got.body)
    assert not verify(newer.secret, got.headers, got.body)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_documentation_names_every_type_and_every_wait(language):
    text = page(language)
    assert [name for name in (*events.TYPES, events.TEST) if f"| `{name}` |" not in text] == []
    units = {"seconds": 1, "秒": 1, "minute": 60, "minutes": 60, "分钟": 60, "hour": 3600,
             "hours": 3600, "小时": 3600}  # fmt: skip
    rows = re.findall(r"^\| (\d+) \| (\d+) (\S+) \|$", text, re.MULTILINE)
    shown = [(int(n), int(amount) * units[unit]) for n, amount, unit in rows]
    waits = [int(wait.total_seconds()) for wait in deliveries.WAITS]
    assert shown == list(enumerate(waits, 1))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_payloads_shown_have_the_fields_that_are_sent(language):
    shown = [json.loads(one) for one in re.findall(r"```json\n(.*?)```", page(language), re.S)]
    organization = factories.OrganizationFactory.create()
    webhooks.endpoint(organization)
    factories.key(organization)
    [sent] = [json.loads(row.body) for row in WebhookEvent.objects.all()]
    assert list(shown[0]) == list(sent)
    assert shown[0]["api_version"] == sent["api_version"]
    assert list(shown[1]["key"]) == list(sent["data"]["key"])


def test_a_secret_is_masked_in_whatever_is_logged(made):
    line = log_config.redact(f"failed with {made.secret} and {{'secret': '{made.secret}'}}")
    assert made.secret.removeprefix("whsec_") not in line
    assert made.secret.removeprefix("whsec_")[:8] not in line
