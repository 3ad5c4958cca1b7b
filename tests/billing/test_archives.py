"""Old months: written, read back, dropped; and the ledger is proven as before."""

import gzip
import io
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Sum

from accounts.models import Organization
from billing import archives, invoices, ledger, partitions, proof, rollups
from billing.models import (
    Account,
    Archive,
    ArchivedAccount,
    ArchivedUsage,
    Invoice,
    Transfer,
    TransferKind,
    UsageDay,
    UsageHour,
    UsageRecord,
)
from providers.usage import TokenUsage
from tests.billing import scenes

pytestmark = pytest.mark.django_db

MONTH = date(2001, 3, 1)
WITHIN = datetime(2001, 3, 20, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Scene:
    organization: Organization
    records: list[UsageRecord]
    folder: Path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[datetime]]:
    shown = [WITHIN]
    monkeypatch.setattr(time, "time_ns", lambda: int(shown[0].timestamp() * 1_000) * 1_000_000)
    yield shown


@pytest.fixture
def scene(clock: list[datetime], tmp_path: Path) -> Scene:
    """A month of one organization, over long ago: paid, failed, above its hold, and lost."""
    partitions.make(MONTH)
    organization = scenes.make_organization(credit_nanos=3 * scenes.PLUS_CHARGE_NANOS)
    wallet = ledger.open_wallet(organization)
    ledger.credit(
        wallet, 1_000_000, kind=TransferKind.TOP_UP, reason="Cash", idempotency_key="cash-1"
    )
    held = scenes.PLUS_CHARGE_NANOS
    records = [
        scenes.use(organization, held_nanos=held),
        scenes.use(organization, held_nanos=held, usage=TokenUsage(), status=502),
        scenes.use(organization, held_nanos=held // 2),
        scenes.use(organization, held_nanos=held, usage=TokenUsage(input=1_000, output=5_000)),
    ]
    for record in records:
        scenes.charge_at(record, WITHIN)
    # The month's last request was charged in the next one.
    clock[0] = datetime(2001, 3, 31, 23, 59, 59, tzinfo=UTC)
    ledger.credit(wallet, 2 * scenes.USD, kind=TransferKind.TOP_UP, reason="More")
    late = scenes.use(organization, held_nanos=held)
    scenes.charge_at(late, datetime(2001, 4, 1, tzinfo=UTC))
    # And one that is of this month: it stays. The database's clock has not been moved, so it must
    # be told that what came before is over.
    with scenes.tampering("billing_transfer"):
        scenes.execute("UPDATE billing_transfer SET created_at = %s", WITHIN)
    scenes.execute("UPDATE billing_account SET usage_month = NULL")
    clock[0] = datetime.now(UTC)
    stays = scenes.use(organization)
    ledger.fold_deltas()
    _roll_up()
    invoices.close_month(MONTH)
    invoices.close_month(date(2001, 4, 1))
    return Scene(organization, [*records, late, stays], tmp_path / "archive")


def _roll_up() -> None:
    """Count what this test's own transaction has written, which a run outside would count later."""
    rollups.rebuild()
    scenes.execute("UPDATE billing_usagerecord SET xid = 0")
    rollups.rebuild()


def _archive(scene: Scene, *options: str) -> dict[str, Any]:
    out = io.StringIO()
    arguments = ["2001-03", "--to", str(scene.folder), *options, "--json"]
    call_command("archive_month", *arguments, stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def _wrong() -> dict[str, list[str]]:
    return {check.name: check.first for check in proof.prove() if not check.is_ok}


def _figures() -> list[Any]:
    """Everything pages and bills show, which archiving leaves as it is."""
    hours = UsageHour.objects.order_by("organization_id", "hour", "model").values_list(
        "organization_id", "hour", "model", "requests", "errors", "charge_nanos", "input_tokens"
    )
    days = UsageDay.objects.order_by("organization_id", "day", "model").values_list(
        "organization_id", "day", "model", "requests", "errors", "charge_nanos", "output_tokens"
    )
    balances = Account.objects.order_by("pk").values_list("debits_posted", "credits_posted")
    return [list(hours), list(days), list(balances)]


def test_the_scene_is_proven_before_anything_is_archived(scene: Scene) -> None:
    assert _wrong() == {}
    assert len(_figures()[0]) == 3


def test_archiving_writes_both_tables_with_a_manifest_and_leaves_the_rows(scene: Scene) -> None:
    answer = _archive(scene)
    assert answer["transfers"] == 5 + 1 + 1 + 1 + 3  # holds; excess and loss; welcome, top-ups
    assert answer["usage_records"] == 5
    assert not answer["is_dropped"]
    own = scene.folder / "2001-03"
    assert sorted(path.name for path in own.iterdir()) == [
        "billing_transfer.csv.gz",
        "billing_usagerecord.csv.gz",
        "manifest.json",
    ]
    entry = json.loads((own / "manifest.json").read_text())["tables"]["billing_usagerecord"]
    assert entry["rows"] == 5
    assert entry["charge_nanos"] == sum(record.charge_nanos for record in scene.records[:5])
    assert UsageRecord.objects.count() == 6
    assert Archive.objects.count() == 0


def test_dropping_keeps_balances_sums_and_invoices_and_the_ledger_is_proven(scene: Scene) -> None:
    before = _figures()
    assert _archive(scene, "--drop")["is_dropped"]
    assert MONTH not in partitions.months("billing_transfer")
    assert MONTH not in partitions.months("billing_usagerecord")
    assert list(UsageRecord.objects.values_list("pk", flat=True)) == [scene.records[-1].pk]
    assert _figures() == before
    assert _wrong() == {}
    _roll_up()
    assert _figures() == before
    for invoice in Invoice.objects.all():
        assert invoices.verify_invoice(invoice) == []
    ledger.debit(scene.organization.wallet, 1, kind=TransferKind.ADJUSTMENT)
    ledger.fold_deltas()
    assert _wrong() == {}


def test_what_is_kept_is_what_the_rows_said(scene: Scene) -> None:
    wallet = scene.organization.wallet
    paid = sum(
        Transfer.objects.filter(debit_account=wallet, id__lt=scene.records[-1].pk).values_list(
            "amount_nanos", flat=True
        )
    )
    _archive(scene, "--drop")
    kept = ArchivedAccount.objects.get(account_id=wallet.pk)
    assert kept.debits_posted == paid
    sums = ArchivedUsage.objects.aggregate(Sum("paid_nanos"), Sum("loss_nanos"), Sum("requests"))
    assert sums["paid_nanos__sum"] == paid
    assert sums["loss_nanos__sum"] > 0
    assert sums["requests__sum"] == 5


@pytest.mark.parametrize(
    ("table", "statement", "check"),
    [
        ("archivedaccount", "SET debits_posted = debits_posted + 1", "accounts"),
        ("archivedaccount", "SET credits_posted = credits_posted + 1", "archives"),
        ("archivedusage", "SET charge_nanos = charge_nanos + 1", "rollups"),
        ("archivedusage", "SET charge_nanos = charge_nanos + 1", "archives"),
        ("archivedusage", "SET paid_nanos = 0", "invoices"),
        ("archivedusage", "SET invoice_id = 0", "invoices"),
        ("archivedusage", "SET requests = requests + 1", "archives"),
    ],
)
def test_the_proof_finds_what_is_kept_and_wrong(
    scene: Scene, table: str, statement: str, check: str
) -> None:
    _archive(scene, "--drop")
    scenes.execute(f"UPDATE billing_{table} {statement}")
    assert check in _wrong()


def test_a_month_with_an_open_hold_is_refused(scene: Scene, clock: list[datetime]) -> None:
    clock[0] = WITHIN
    scenes.authorize(scenes.Request(scene.organization, held_nanos=1))
    with pytest.raises(CommandError, match="1 holds are open"):
        _archive(scene, "--drop")
    assert not scene.folder.exists()


def test_a_month_that_is_in_no_rollup_yet_is_refused(scene: Scene) -> None:
    scenes.execute("UPDATE billing_rollupwatermark SET xid = 0")
    with pytest.raises(CommandError, match="5 usage records are in no rollup"):
        _archive(scene)


def test_a_month_without_its_invoices_is_refused(scene: Scene) -> None:
    with scenes.tampering("billing_invoiceline", "billing_invoice"):
        scenes.execute("DELETE FROM billing_invoiceline")
        scenes.execute("DELETE FROM billing_invoice WHERE month = '2001-04-01'")
    with pytest.raises(CommandError, match="1 usage records are of months without an invoice"):
        _archive(scene)


def test_last_month_is_refused_however_closed_it_is(scene: Scene) -> None:
    with pytest.raises(archives.NotClosed, match="the month after it is not over"):
        archives.write(MONTH, scene.folder, now=datetime(2001, 4, 30, 23, 59, tzinfo=UTC))
    assert archives.write(MONTH, scene.folder, now=datetime(2001, 5, 1, tzinfo=UTC))


def test_a_month_that_has_no_partition_or_is_archived_already_is_refused(scene: Scene) -> None:
    _archive(scene, "--drop")
    with pytest.raises(CommandError, match="there is no billing_transfer_2001_03"):
        _archive(scene)


def test_files_damaged_since_are_found_and_nothing_is_dropped(scene: Scene) -> None:
    _archive(scene)
    path = scene.folder / "2001-03" / "billing_transfer.csv.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CommandError, match="SHA-256"):
        _archive(scene, "--drop")
    assert UsageRecord.objects.count() == 6


def test_rows_that_came_after_the_files_are_found_and_nothing_is_dropped(
    scene: Scene, clock: list[datetime]
) -> None:
    _archive(scene)
    clock[0] = WITHIN
    ledger.credit(scene.organization.wallet, 1, kind=TransferKind.ADJUSTMENT)
    with pytest.raises(CommandError, match="not what was written"):
        _archive(scene, "--drop")
    assert MONTH in partitions.months("billing_transfer")
    assert Archive.objects.count() == 0


def test_an_archived_payment_is_not_credited_again(scene: Scene) -> None:
    _archive(scene, "--drop")
    before = _figures()
    with pytest.raises(CommandError, match="credited before"):
        call_command(
            "top_up",
            scene.organization.slug,
            "5",
            "--reason",
            "Cash",
            "--idempotency-key",
            "cash-1",
        )
    assert _figures() == before


def test_an_archived_request_that_is_booked_again_is_caught_and_reported(scene: Scene) -> None:
    _archive(scene, "--drop")
    scenes.execute(
        "INSERT INTO billing_transfer (id, debit_account_id, credit_account_id, kind, state,"
        " held_nanos, amount_nanos, resolved_at) VALUES (%s, 1, 1, 'adjustment', 'posted', 0, 0,"
        " now())",
        uuid.UUID(int=scene.records[0].pk.int | 3),
    )
    assert partitions.state().default_rows == 1


def test_the_files_read_back_into_a_table_row_for_row(scene: Scene) -> None:
    """As docs/operations.md says to."""
    wanted = {}
    for table in partitions.TABLES:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {partitions.name_of(table, MONTH)} ORDER BY id")
            wanted[table] = cursor.fetchall()
    _archive(scene, "--drop")
    for table, rows in wanted.items():
        path = scene.folder / "2001-03" / f"{table}.csv.gz"
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE old_{table} (LIKE {table} INCLUDING DEFAULTS)")
            with (
                cursor.copy(f"COPY old_{table} FROM STDIN WITH (FORMAT csv, HEADER)") as copy,
                gzip.open(path) as text,
            ):
                copy.write(text.read())
            cursor.execute(f"SELECT * FROM old_{table} ORDER BY id")
            assert cursor.fetchall() == rows
