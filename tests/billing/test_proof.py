import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import InternalError, connection
from django.db.models import F
from django.utils import timezone

from billing import ids, invoices, ledger, proof
from billing.models import Account, Transfer, TransferKind
from providers.usage import TokenUsage
from tests.billing import scenes

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return scenes.make_organization()


def _failed(**options) -> set[str]:
    return {check.name for check in proof.prove(**options) if not check.is_ok}


def _tamper(table: str, statement: str, *parameters: object) -> None:
    with scenes.tampering(table):
        assert scenes.execute(statement, *parameters) >= 1


def test_a_sound_ledger_is_proven_with_every_kind_of_ending(organization) -> None:
    scenes.use(organization)
    scenes.use(organization, usage=TokenUsage(), billing_reason="upstream_failed")
    scenes.use(organization, held_nanos=100_000)  # the rest is taken above the hold
    scenes.authorize(scenes.Request(organization))  # still running
    poor = scenes.make_organization("Poor", credit_nanos=300_000)
    scenes.use(poor, held_nanos=200_000)  # and 220,000 nobody can pay
    wallet = Account.objects.get(organization=organization)
    ledger.credit(wallet, 5, kind=TransferKind.ADJUSTMENT)
    ledger.debit(wallet, 5, kind=TransferKind.PLAN_FEE)
    checks = {check.name: check for check in proof.prove()}
    assert {name for name, check in checks.items() if not check.is_ok} == set()
    assert checks["charges"].checked == 4
    assert checks["wallets"].checked == 2
    loss = Transfer.objects.get(kind="usage_loss")
    assert loss.amount_nanos == scenes.PLUS_CHARGE_NANOS - 300_000


def test_it_stays_proven_after_deltas_are_folded(organization) -> None:
    scenes.use(organization)
    ledger.fold_deltas()
    assert _failed() == set()
    revenue = Account.objects.get(kind="revenue")
    assert revenue.credits_posted == scenes.PLUS_CHARGE_NANOS


def test_a_changed_charge_is_detected(organization) -> None:
    record = scenes.use(organization)
    _tamper(
        "billing_usagerecord",
        "UPDATE billing_usagerecord SET charge_nanos = charge_nanos - 1 WHERE id = %s",
        record.pk,
    )
    assert _failed() == {"charges", "settlements"}


def test_changed_tokens_are_detected_and_named(organization) -> None:
    record = scenes.use(organization)
    _tamper("billing_usagerecord", "UPDATE billing_usagerecord SET output_tokens = 101")
    [check] = [check for check in proof.prove() if not check.is_ok]
    assert check.name == "charges"
    assert check.first == [f"request {record.pk}: charged 520000, recomputed 521200"]


def test_a_changed_amount_is_detected(organization) -> None:
    record = scenes.use(organization)
    _tamper(
        "billing_transfer",
        "UPDATE billing_transfer SET amount_nanos = amount_nanos + 1 WHERE id = %s",
        record.pk,
    )
    assert _failed() == {"accounts", "settlements"}


def test_a_removed_transfer_is_detected(organization) -> None:
    record = scenes.use(organization)
    _tamper("billing_transfer", "DELETE FROM billing_transfer WHERE id = %s", record.pk)
    assert _failed() == {"accounts", "settlements"}


def test_a_removed_usage_record_is_detected(organization) -> None:
    record = scenes.use(organization)
    _tamper("billing_usagerecord", "DELETE FROM billing_usagerecord WHERE id = %s", record.pk)
    assert _failed() == {"settlements"}


@pytest.mark.parametrize(
    "column", ["debits_pending", "debits_posted", "credits_pending", "credits_posted"]
)
def test_a_changed_balance_is_detected(organization, column: str) -> None:
    Account.objects.filter(organization=organization).update(**{column: F(column) + 1})
    assert _failed() == {"balanced", "accounts"}


def test_money_taken_from_another_wallet_is_detected(organization) -> None:
    scenes.use(organization)
    other = scenes.make_organization("Other")
    _tamper("billing_usagerecord", "UPDATE billing_usagerecord SET organization_id = %s", other.pk)
    assert _failed() == {"settlements"}


def test_an_amount_above_its_hold_is_detected(organization) -> None:
    scenes.use(organization)
    _tamper("billing_transfer", "UPDATE billing_transfer SET held_nanos = 1 WHERE kind = 'usage'")
    assert _failed() == {"settlements"}


def test_a_transfer_into_the_wrong_account_is_detected(organization) -> None:
    record = scenes.use(organization)
    _tamper(
        "billing_transfer",
        "UPDATE billing_transfer SET credit_account_id ="
        " (SELECT id FROM billing_account WHERE kind = 'payments') WHERE id = %s",
        record.pk,
    )
    assert _failed() == {"accounts", "transfers"}


def test_a_lost_delta_is_detected(organization) -> None:
    scenes.use(organization)
    scenes.execute("DELETE FROM billing_accountdelta WHERE kind = 'revenue'")
    assert _failed() == {"balanced", "accounts"}


def test_a_second_terminal_transfer_for_a_request_is_detected(organization) -> None:
    record = scenes.use(organization)
    first = Transfer.objects.get(pk=record.pk)
    first.pk = ids.excess_of(record.pk)
    first.save(force_insert=True)
    assert "transfers" in _failed()


def test_an_invoice_that_does_not_recompute_is_detected(organization) -> None:
    scenes.use(organization)
    [invoice] = invoices.close_month(timezone.now().date(), allow_current=True).invoices
    assert _failed() == set()
    with scenes.tampering("billing_invoiceline"):
        invoice.lines.update(amount_nanos=1)
    assert _failed() == {"invoices"}


def test_a_hold_is_reported_90_s_after_it_should_have_been_settled(organization) -> None:
    scenes.authorize(scenes.Request(organization), hold_seconds=-80)
    assert _failed() == set()
    scenes.authorize(scenes.Request(organization), hold_seconds=-100)
    assert _failed() == {"holds"}


def test_since_leaves_out_older_requests_and_still_checks_balances(organization) -> None:
    scenes.use(organization)
    _tamper("billing_usagerecord", "UPDATE billing_usagerecord SET output_tokens = 101")
    tomorrow = timezone.now() + timedelta(days=1)
    assert _failed(since=tomorrow) == set()
    Account.objects.filter(organization=organization).update(credits_posted=11 * scenes.USD)
    assert _failed(since=tomorrow) == {"balanced", "accounts"}


def test_only_the_first_offenders_are_listed_and_all_are_counted(organization) -> None:
    for _ in range(12):
        scenes.use(organization)
    _tamper("billing_usagerecord", "UPDATE billing_usagerecord SET markup_ppm = 2000000")
    [check] = [check for check in proof.prove() if not check.is_ok]
    assert (check.offenders, len(check.first)) == (12, 10)


def test_the_command_prints_one_json_object_and_succeeds(organization, capsys) -> None:
    scenes.use(organization)
    call_command("prove_ledger", json=True)
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert {check["name"] for check in answer["checks"]} >= {"balanced", "charges", "invoices"}


def test_the_command_exits_with_1_when_anything_fails(organization, capsys) -> None:
    scenes.use(organization)
    _tamper("billing_usagerecord", "UPDATE billing_usagerecord SET output_tokens = 101")
    with pytest.raises(SystemExit) as exit:
        call_command("prove_ledger")
    assert exit.value.code == 1
    out = capsys.readouterr().out
    assert "FAILED (1)" in out and "The ledger is WRONG." in out


@pytest.mark.django_db(transaction=True)
def test_the_proof_reads_one_snapshot_and_writes_nothing() -> None:
    scenes.use(scenes.make_organization())
    assert _failed() == set()
    with proof._snapshot(), pytest.raises(InternalError, match="read-only"):
        connection.cursor().execute("DELETE FROM billing_accountdelta")
