"""A key that changes, or may do less than all: the running gateway knows at once."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest

from tests.journeys.books import until
from tests.journeys.callers import Caller, count, counted_prompt, price, request_id
from tests.journeys.laboratory import Laboratory
from tests.journeys.members import Member
from tests.scripts import PROMPT_TOKENS, Script

# The promise is one second; a machine busy with other tests gets as much again.
TOLD_SECONDS = 2.0


@pytest.fixture
def make(lab: Laboratory, alice: Member) -> Callable[..., Caller]:
    """A key made on the page for it, with these limits, that has been used once."""

    def _make(name: str, **limits: str | list[str]) -> Caller:
        return lab.caller(alice.make_key(name, **limits))

    return _make


def test_a_revoked_key_is_refused_within_a_second_on_the_running_gateway(
    lab: Laboratory, alice: Member, make: Callable[..., Caller]
) -> None:
    caller = make("revoked")
    assert caller.ask().status_code == 200
    alice.revoke(_key_id(lab, "revoked"))
    answer = _refused(caller, 401)
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert "revoked" in answer.json()["error"]["message"]
    calls = len(lab.upstream.received)
    assert caller.ask().status_code == 401
    assert len(lab.upstream.received) == calls


def test_the_running_stream_of_a_revoked_key_is_cut_and_charged_for_what_came(
    lab: Laboratory, alice: Member, make: Callable[..., Caller]
) -> None:
    caller = make("cut")
    script = Script(chunks=400, gap_ms=50)
    with caller.stream(script) as stream:
        stream.read(3)
        revoked_at = time.monotonic()
        alice.revoke(_key_id(lab, "cut"))
        stream.read()
    assert time.monotonic() - revoked_at < 5
    assert not stream.is_done
    assert stream.error is not None
    assert stream.error["code"] == "invalid_api_key"
    record = lab.books.record(stream.request_id)
    assert (record["billing_reason"], record["error_code"]) == ("client_gone", "revoked")
    prompt, output = counted_prompt(script.prompt()), count(stream.text)
    assert (record["input_tokens"], record["output_tokens"]) == (prompt, output)
    assert lab.books.charged(stream.request_id) == price("qwen-plus", prompt, output)
    lab.upstream.wait_for(lambda entry: entry.disconnected_at is not None)


def test_a_key_that_expires_is_refused_from_then_on(
    lab: Laboratory, make: Callable[..., Caller]
) -> None:
    caller = make("expiring")
    assert caller.ask().status_code == 200
    # The page offers days; what is left of them is shortened here.
    lab.books.change(
        "UPDATE accounts_apikey SET expires_at = now() + interval '1 second' WHERE id = %(id)s",
        id=_key_id(lab, "expiring"),
    )
    answer = _refused(caller, 401, seconds=TOLD_SECONDS + 1)
    assert "expired" in answer.json()["error"]["message"]


def test_a_suspended_organization_is_refused_and_comes_back(lab: Laboratory) -> None:
    member = lab.sign_up("erin@example.com", "Suspended Ltd")
    caller = lab.caller(member.first_key)
    organization = lab.books.organization("Suspended Ltd")
    assert caller.ask().status_code == 200
    change = "UPDATE accounts_organization SET suspended_at = {} WHERE id = %(id)s"
    lab.books.change(change.format("now()"), id=organization)
    answer = _refused(caller, 403)
    assert answer.json()["error"]["type"] == "permission_error"
    assert answer.json()["error"]["code"] == "organization_suspended"
    lab.books.change(change.format("NULL"), id=organization)
    _refused(caller, 200)


def test_a_key_for_one_model_is_refused_another(
    lab: Laboratory, make: Callable[..., Caller]
) -> None:
    caller = make("turbo only", allowed_models=["qwen-turbo"])
    assert caller.ask(model="qwen-turbo").status_code == 200
    calls = len(lab.upstream.received)
    answer = caller.ask(model="qwen-plus")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")
    assert len(lab.upstream.received) == calls
    listed = caller.http.get("/models").json()["data"]
    assert [model["id"] for model in listed] == ["qwen-turbo"]


def test_a_key_for_other_addresses_is_refused_here(make: Callable[..., Caller]) -> None:
    answer = make("elsewhere", allowed_addresses="203.0.113.0/24, 2001:db8::1").ask()
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "address_not_allowed")
    assert make("here", allowed_addresses="127.0.0.0/8").ask().status_code == 200


def test_a_key_stops_at_its_spend_cap_while_the_wallet_is_full(
    lab: Laboratory, make: Callable[..., Caller]
) -> None:
    # 600,000 nanos a day: room for one hold of about 400,000, then for what one charge leaves.
    caller = make("capped", spend_cap_day_nanos="0.0006")
    first = caller.ask(Script(usage={"prompt_tokens": 900, "completion_tokens": 50}))
    assert first.status_code == 200, first.text
    calls = len(lab.upstream.received)
    answer = caller.ask()
    assert answer.status_code == 402, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "key_spend_cap_reached")
    left = 600_000 - price("qwen-plus", 900, 50)
    assert f"${left / 10**9:.9f}".rstrip("0") in error["message"]
    assert len(lab.upstream.received) == calls
    small = caller.ask(max_tokens=3)
    assert small.status_code == 200, small.text
    assert lab.books.charged(request_id(small)) == price("qwen-plus", PROMPT_TOKENS, 3)


def test_all_keys_of_a_project_stop_at_its_budget_and_go_on_with_a_larger_one(
    lab: Laboratory,
) -> None:
    member = lab.sign_up("frank@example.com", "Budget Ltd")
    callers = [lab.caller(member.first_key), lab.caller(member.make_key("second"))]
    organization = lab.books.organization("Budget Ltd")
    (project,) = lab.books.rows(
        "SELECT id FROM accounts_project WHERE organization_id = %(id)s", id=organization
    )
    path = f"/settings/projects/{project['id']}"
    assert callers[0].ask().status_code == 200
    assert member.submit(path, name="Default", budget_month_nanos="0.000001").status_code == 200
    for caller in callers:
        error = _refused(caller, 402).json()["error"]
        assert (error["type"], error["code"]) == ("insufficient_quota", "project_budget_reached")
        assert "leaves $0.000001 this month" in error["message"]
    assert member.submit(path, name="Default", budget_month_nanos="1").status_code == 200
    answer = _refused(callers[1], 200)
    charge = lab.books.charged(request_id(answer))
    (budget,) = lab.books.rows(
        "SELECT month_nanos FROM billing_projectbudget WHERE project_id = %(id)s", id=project["id"]
    )
    assert budget["month_nanos"] == charge > 0


def test_a_deleted_organizations_keys_are_refused_within_a_second(lab: Laboratory) -> None:
    member = lab.sign_up("grace@example.com", "Short Lived Ltd")
    caller = lab.caller(member.first_key)
    assert caller.ask().status_code == 200
    answer = member.submit("/settings/delete", name="Short Lived Ltd", leaves_balance="on")
    assert "Short Lived Ltd is deleted" in answer.text
    assert _refused(caller, 401).json()["error"]["code"] == "invalid_api_key"


def test_the_ledger_is_proven_after_all_of_it(lab: Laboratory, alice: Member) -> None:
    lab.prove()


def _key_id(lab: Laboratory, name: str) -> int:
    (row,) = lab.books.rows("SELECT id FROM accounts_apikey WHERE name = %(name)s", name=name)
    return int(row["id"])


def _refused(caller: Caller, status: int, *, seconds: float = TOLD_SECONDS) -> httpx.Response:
    """The first answer with this status. Raises `TimeoutError`."""

    def ask() -> httpx.Response | None:
        answer = caller.ask()
        return answer if answer.status_code == status else None

    return until(ask, f"an answer with {status}", seconds=seconds)


def test_an_organization_stops_at_its_monthly_cap_with_all_its_keys(lab: Laboratory) -> None:
    member = lab.sign_up("henry@example.com", "Capped Ltd")
    callers = [lab.caller(member.first_key), lab.caller(member.make_key("second"))]
    organization = lab.books.organization("Capped Ltd")
    charge = lab.books.charged(request_id(callers[0].ask()))
    member.set_cap("0.000001")
    for caller in callers:
        # At once, and without a notice: the cap stands in the wallet itself.
        answer = caller.ask()
        error = answer.json()["error"]
        assert answer.status_code == 402, answer.text
        assert (error["type"], error["code"]) == (
            "insufficient_quota", "organization_spend_cap_reached",
        )  # fmt: skip
        assert "monthly spend cap leaves $0" in error["message"]
    until(lambda: "The monthly cap refuses requests." in member.read("/overview"), "it is noted")
    member.set_cap("1")
    charge += lab.books.charged(request_id(callers[1].ask()))
    (wallet,) = lab.books.rows(
        "SELECT usage_month_nanos FROM billing_account WHERE organization_id = %(id)s",
        id=organization,
    )
    assert wallet["usage_month_nanos"] == charge > 0
    lab.prove()
