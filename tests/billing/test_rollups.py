import pytest
from django.db import connection, transaction

from billing import rollups
from billing.models import RollupWatermark, UsageDay, UsageHour, UsageRecord
from tests.billing import scenes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def organization():
    return scenes.make_organization()


def _copy_in(other, record: UsageRecord) -> None:
    """Insert a copy of `record` from another session, under that session's transaction id."""
    names = [f.attname for f in UsageRecord._meta.fields if f.attname not in {"id", "xid"}]
    columns = ", ".join(names)
    other.execute(
        f"INSERT INTO billing_usagerecord (id, xid, {columns}) SELECT gen_random_uuid(),"
        f" pg_current_xact_id()::text::bigint, {columns} FROM billing_usagerecord WHERE id = %s",
        [record.pk],
    )


def _counted() -> tuple[int, int]:
    hours = sum(UsageHour.objects.values_list("requests", flat=True))
    days = sum(UsageDay.objects.values_list("requests", flat=True))
    return hours, days


def _catch_up() -> int:
    """Roll up every record there is now."""
    scenes.wait_until_visible()
    return rollups.roll_up()


def test_roll_up_sums_per_hour_and_day_and_counts_errors(organization) -> None:
    for status in (200, 399, 400):
        scenes.use(organization, status=status)
    assert _catch_up() == 3
    day = UsageDay.objects.get()
    assert (day.requests, day.errors, day.input_tokens, day.output_tokens) == (3, 1, 3_000, 300)
    assert day.charge_nanos == 3 * scenes.PLUS_CHARGE_NANOS
    assert day.project_id == organization.projects.get().pk
    hour = UsageHour.objects.get()
    assert (hour.requests, hour.charge_nanos) == (3, 3 * scenes.PLUS_CHARGE_NANOS)
    assert (hour.hour.minute, hour.hour.second) == (0, 0)


def test_roll_up_again_adds_only_what_is_new(organization) -> None:
    scenes.use(organization)
    assert _catch_up() == 1
    assert rollups.roll_up() == 0
    scenes.use(organization)
    assert _catch_up() == 1
    assert _counted() == (2, 2)


def test_each_record_is_counted_once_whatever_the_order_of_commits(organization) -> None:
    record = scenes.use(organization)
    assert _catch_up() == 1
    with scenes.second_connection() as early:
        _copy_in(early, record)  # the lower transaction id, and the later commit
        scenes.use(organization)
        rollups.roll_up()
        assert _counted() == (1, 1)  # the finished one waits behind the open one
        early.commit()
    _catch_up()
    assert _counted() == (3, 3)
    _catch_up()
    assert _counted() == (3, 3)


def test_what_a_rolled_back_transaction_inserted_is_never_counted(organization) -> None:
    record = scenes.use(organization)
    with scenes.second_connection() as other:
        _copy_in(other, record)
        other.rollback()
    assert _catch_up() == 1
    assert _counted() == (1, 1)


def test_a_run_does_nothing_while_another_rolls_up(organization) -> None:
    scenes.use(organization)
    with scenes.second_connection() as other:
        other.execute("SELECT * FROM billing_rollupwatermark FOR UPDATE")
        assert rollups.roll_up() == 0
    assert _catch_up() == 1


def test_a_run_is_bounded_and_the_next_goes_on(organization, monkeypatch) -> None:
    for _ in range(5):
        scenes.use(organization)
    monkeypatch.setattr(rollups, "XIDS_PER_STEP", 1)
    assert rollups.roll_up(steps_max=1) < 5
    monkeypatch.undo()
    _catch_up()
    assert _counted() == (5, 5)


def test_rebuild_sums_everything_anew(organization) -> None:
    scenes.use(organization)
    scenes.use(organization)
    _catch_up()
    UsageDay.objects.update(requests=77)
    UsageHour.objects.all().delete()
    assert rollups.rebuild() == 2
    assert _counted() == (2, 2)
    scenes.use(organization)
    _catch_up()
    assert _counted() == (3, 3)


def test_a_restored_database_is_rebuilt_and_its_old_ids_are_met_only_once(organization) -> None:
    record = scenes.use(organization)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        here = cursor.fetchone()[0]
    with scenes.tampering("billing_usagerecord"):  # as if written by a cluster that was ahead
        scenes.execute("UPDATE billing_usagerecord SET xid = %s", here + 30)
    RollupWatermark.objects.update(xid=here + 1_000_000)
    assert rollups.roll_up() == 1
    assert _counted() == (1, 1)
    for _ in range(40):  # our own ids pass the old one
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()")
    scenes.use(organization)
    assert _catch_up() == 1
    assert _counted() == (2, 2)
    record.refresh_from_db()
    assert record.xid == 0
