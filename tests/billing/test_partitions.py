"""Where the months' rows lie: partitions made ahead, and a default that catches the rest."""

import io
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from billing import checks, gauges, ids, partitions, proof, settlements, tasks
from billing.models import Transfer, UsageRecord
from tests.billing import scenes

pytestmark = pytest.mark.django_db

LONG_AGO = date(2001, 3, 1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[datetime]]:
    """The gateway's clock, for ids: the one element of the list says what it shows."""
    shown = [datetime.now(UTC)]
    monkeypatch.setattr(time, "time_ns", lambda: int(shown[0].timestamp() * 1_000) * 1_000_000)
    yield shown


def _partition_of(table: str, row_id: uuid.UUID) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tableoid::regclass::text FROM {table} WHERE id = %s", [row_id])
        return str(cursor.fetchone()[0])


def test_a_migrated_database_has_this_month_and_the_next_three() -> None:
    this_month = datetime.now(UTC).date().replace(day=1)
    wanted = {partitions.after(this_month, count) for count in range(4)}
    for table in partitions.TABLES:
        assert wanted <= partitions.months(table)
    assert partitions.state().ahead >= 3
    assert partitions.state().default_rows == 0


@pytest.mark.parametrize(
    ("moment", "is_within"),
    [
        (datetime(2001, 2, 28, 23, 59, 59, 999_000, UTC), False),
        (datetime(2001, 3, 1, tzinfo=UTC), True),
        (datetime(2001, 3, 31, 23, 59, 59, 999_000, UTC), True),
        (datetime(2001, 4, 1, tzinfo=UTC), False),
    ],
)
def test_a_partition_holds_its_utc_month_to_the_millisecond(
    clock: list[datetime], moment: datetime, is_within: bool
) -> None:
    partitions.make(LONG_AGO)
    clock[0] = moment
    record = scenes.use(scenes.make_organization())
    own = ("billing_transfer_2001_03", "billing_usagerecord_2001_03")
    default = ("billing_transfer_default", "billing_usagerecord_default")
    found = tuple(_partition_of(table, record.pk) for table in partitions.TABLES)
    assert found == (own if is_within else default)


@pytest.mark.parametrize("year", [1970, 2001, 2500])
def test_a_gateway_whose_clock_is_wrong_charges_all_the_same(
    clock: list[datetime], year: int
) -> None:
    organization = scenes.make_organization()
    clock[0] = datetime(year, 3, 2, tzinfo=UTC)
    record = scenes.use(organization)
    assert _partition_of("billing_transfer", record.pk) == "billing_transfer_default"
    assert partitions.state().default_rows == 2
    assert all(check.is_ok for check in proof.prove() if check.name != "invoices")


def test_what_the_default_caught_moves_when_its_month_gets_a_partition(
    clock: list[datetime],
) -> None:
    organization = scenes.make_organization()
    clock[0] = datetime(2001, 3, 2, tzinfo=UTC)
    record = scenes.use(organization)
    pending = scenes.authorize(scenes.Request(organization))
    clock[0] = datetime(2001, 4, 2, tzinfo=UTC)
    stays = scenes.use(organization)
    assert partitions.make(LONG_AGO) == ["billing_transfer_2001_03", "billing_usagerecord_2001_03"]
    assert _partition_of("billing_transfer", record.pk) == "billing_transfer_2001_03"
    assert _partition_of("billing_transfer", pending) == "billing_transfer_2001_03"
    assert _partition_of("billing_usagerecord", record.pk) == "billing_usagerecord_2001_03"
    assert _partition_of("billing_transfer", stays.pk) == "billing_transfer_default"
    scenes.capture(scenes.Request(organization), pending)
    assert UsageRecord.objects.filter(organization_id=organization.pk).count() == 3


def test_making_a_month_twice_makes_it_once() -> None:
    assert partitions.make(LONG_AGO)
    assert partitions.make(LONG_AGO) == []


def test_a_hold_of_last_month_is_captured_beside_one_of_this_month(clock: list[datetime]) -> None:
    partitions.make(LONG_AGO)
    partitions.make(partitions.after(LONG_AGO))
    request = scenes.Request(scenes.make_organization())
    clock[0] = datetime(2001, 3, 31, 23, 59, 59, tzinfo=UTC)
    before = scenes.authorize(request)
    clock[0] = datetime(2001, 4, 1, tzinfo=UTC)
    after = scenes.authorize(request)
    for request_id in (after, before):
        scenes.capture(request, request_id)
    states = Transfer.objects.filter(pk__in=[before, after]).values_list("state", flat=True)
    assert list(states) == ["posted", "posted"]
    assert _partition_of("billing_transfer", before) == "billing_transfer_2001_03"
    assert _partition_of("billing_transfer", after) == "billing_transfer_2001_04"


def test_what_is_booked_beside_a_request_lies_in_its_partition(clock: list[datetime]) -> None:
    partitions.make(LONG_AGO)
    clock[0] = datetime(2001, 3, 31, 23, 59, 59, 999_000, UTC)
    record = scenes.use(scenes.make_organization(), held_nanos=1)
    beside = Transfer.objects.get(pk=ids.excess_of(record.pk))
    assert beside.amount_nanos == record.charge_nanos - 1
    assert _partition_of("billing_transfer", beside.pk) == "billing_transfer_2001_03"


def test_a_new_partition_refuses_what_the_table_refuses(clock: list[datetime]) -> None:
    partitions.make(LONG_AGO)
    clock[0] = datetime(2001, 3, 2, tzinfo=UTC)
    record = scenes.use(scenes.make_organization())
    for table in ("billing_transfer_2001_03", "billing_usagerecord_2001_03"):
        with pytest.raises(IntegrityError, match="refused"), transaction.atomic():
            scenes.execute(f"DELETE FROM {table} WHERE id = %s", record.pk)
        with pytest.raises(IntegrityError, match="duplicate"), transaction.atomic():
            scenes.execute(f"INSERT INTO {table} SELECT * FROM {table}")
    with pytest.raises(IntegrityError, match="never_negative"), transaction.atomic():
        scenes.execute(
            "INSERT INTO billing_transfer_2001_03 (id, debit_account_id, credit_account_id, kind,"
            " state, held_nanos, amount_nanos) VALUES (%s, 1, 2, 'usage', 'pending', -1, 0)",
            settlements.first_id_at(clock[0]),
        )


def test_the_task_makes_the_months_as_time_goes_on() -> None:
    later = datetime(2001, 3, 31, 23, 59, tzinfo=UTC)
    assert len(partitions.make_ahead(later)) == 8
    assert partitions.make_ahead(later) == []
    assert len(partitions.make_ahead(datetime(2001, 4, 1, tzinfo=UTC))) == 2
    assert tasks.make_partitions() == 0


def test_the_check_names_rows_outside_of_every_month_and_months_that_are_missing(
    clock: list[datetime],
) -> None:
    assert checks.check_partitions(databases=["default"]) == []
    organization = scenes.make_organization()
    clock[0] = datetime(2001, 3, 2, tzinfo=UTC)
    scenes.use(organization)
    this_month = datetime.now(UTC).date().replace(day=1)
    scenes.execute(f"DROP TABLE {partitions.name_of('billing_transfer', this_month)}")
    found = {message.id: message.msg for message in checks.check_partitions(databases=["default"])}
    assert set(found) == {"billing.W001", "billing.W002"}
    assert "2 rows" in found["billing.W001"]


def test_the_command_makes_a_past_month_for_rows_to_be_moved_or_restored() -> None:
    out = io.StringIO()
    call_command("make_partitions", "2001-03", "--json", stdout=out)
    assert "billing_usagerecord_2001_03" in out.getvalue()
    assert LONG_AGO in partitions.months("billing_transfer")


@pytest.mark.django_db(transaction=True)
def test_making_a_partition_gives_up_rather_than_hold_a_gateway_back() -> None:
    with scenes.second_connection() as reader:
        reader.execute("SELECT count(*) FROM billing_transfer_default")
        assert partitions.make_ahead(datetime(2001, 3, 2, tzinfo=UTC)) == []
    assert LONG_AGO not in partitions.months("billing_transfer")


def test_the_retention_names_months_that_are_older_and_drops_nothing(
    caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    partitions.make(LONG_AGO)
    assert tasks.report_retention() == 0  # the default keeps everything
    settings.RETENTION_MONTHS = 24
    assert tasks.report_retention() == 1
    assert "2001-03" in caplog.text
    assert gauges.read().partition_months_overdue == 1
    assert LONG_AGO in partitions.months("billing_transfer")


@pytest.mark.parametrize(("day", "count"), [(31, 0), (32, 1)])
def test_a_month_is_kept_whole_until_it_is_older_than_the_retention(day: int, count: int) -> None:
    partitions.make(LONG_AGO)
    now = datetime(2001, 5, 1, tzinfo=UTC) + timedelta(days=day - 1)
    assert len(partitions.overdue(2, now)) == count


def test_the_gauges_tell_of_partitions(clock: list[datetime]) -> None:
    organization = scenes.make_organization()
    before = gauges.read()
    assert (before.partition_default_rows, before.partition_months_overdue) == (0, 0)
    assert before.partition_months_ahead >= 3
    clock[0] = datetime(2001, 3, 2, tzinfo=UTC)
    scenes.authorize(scenes.Request(organization))
    assert gauges.read().partition_default_rows == 1
