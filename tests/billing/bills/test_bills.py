"""Bills: kept once, superseded only where asked for, and compared both ways."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import audit
from accounts.models import AuditEntry, OutgoingMail, User
from billing import gauges, tasks
from billing.bills import imports, matching
from billing.bills.imports import NotImported, Overlaps, Terms
from billing.models import DayState, ReconciledDay, UpstreamBill, UpstreamBillLine, UpstreamHour
from providers import seed
from providers.models import Channel, Model, Provider
from tests import books
from tests.billing.bills import files

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 3)
NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
USD = 10**9
# What `files.deepseek_amounts` bills.
USED = {
    "metered": 1, "input_tokens": 400, "cached_input_tokens": 600, "output_tokens": 100,
    "cost_nanos": 121_800,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _catalog(db):
    seed.plant({})


def _import(data: bytes = b"", provider: str = "deepseek", **terms) -> UpstreamBill:
    bill, _ = imports.run(provider, "bill.csv", data or files.deepseek_amounts(), Terms(**terms))
    return UpstreamBill.objects.get(pk=bill.pk)


def _states(bill: UpstreamBill) -> dict[tuple[date, str], str]:
    rows = ReconciledDay.objects.filter(bill=bill).values_list("day", "model", "state")
    return {(day, model): state for day, model, state in rows}


def _plain(*rows: str) -> bytes:
    header = "day,model,requests,input_tokens,cached_input_tokens,output_tokens,cost"
    return files.csv(header, *rows)


# --- importing ----------------------------------------------------------------------------------


def test_a_bill_is_kept_with_its_lines_and_written_down() -> None:
    bill = _import()
    assert (bill.first_day, bill.last_day, bill.rows, bill.currency) == (DAY, DAY, 4, "USD")
    [line] = bill.lines.all()
    assert (line.key, line.first_row, line.rows) == ("prod", 2, 4)
    assert (line.requests, line.input_tokens, line.cached_input_tokens) == (1, 400, 600)
    assert (line.cache_write_tokens, line.cost_nanos) == (None, 121_800)
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.details["sha256"]) == ("bill.imported", bill.sha256)
    assert audit.ACTIONS[entry.action]


def test_the_same_file_twice_is_one_bill() -> None:
    first = _import()
    again, is_new = imports.run("deepseek", "other-name.csv", files.deepseek_amounts(), Terms())
    assert (again.pk, is_new) == (first.pk, False)
    assert (UpstreamBill.objects.count(), UpstreamBillLine.objects.count()) == (1, 1)


def test_another_file_of_the_same_days_is_refused_unless_it_supersedes() -> None:
    first = _import()
    other = files.deepseek_amounts() + b"\n"
    with pytest.raises(Overlaps, match=r"have a bill already: bill\.csv"):
        _import(other)
    assert UpstreamBill.objects.count() == 1
    second = _import(other, supersedes=True)
    first.refresh_from_db()
    assert first.superseded_by == second
    assert AuditEntry.objects.latest("id").details["superseded"] == [first.pk]
    _import(files.deepseek_amounts("2026-11-04"))  # another day stands beside them
    with pytest.raises(Overlaps):  # the one that counts, not the superseded
        _import(files.deepseek_amounts(model="x"))


def test_costs_stand_beside_usage_of_the_same_days() -> None:
    day = "u,2026-11-03,deepseek-flash"
    usage = _import(files.csv(files.AMOUNT, f"{day},k,sk,output_tokens,,100"))
    cost = _import(files.csv(files.COST, f"{day},Paid,0.5,USD"))
    assert (usage.has_usage, usage.has_cost) == (True, False)
    assert (cost.has_usage, cost.has_cost) == (False, True)


def test_one_accounts_bill_is_part_of_one_for_all_of_them() -> None:
    for name in ("first", "second"):
        Channel.objects.create(
            provider=Provider.objects.get(slug="deepseek"), name=name,
            model=Model.objects.get(name="deepseek-chat"), base_url="https://example.com",
            upstream_model="deepseek-flash",
        )  # fmt: skip
    _import(account="first")
    _import(files.deepseek_amounts() + b"\n", account="second")
    with pytest.raises(Overlaps) as caught:
        _import(files.deepseek_amounts() + b"\n\n")
    assert len(caught.value.bills) == 2
    with pytest.raises(NotImported, match="is called 'third'"):
        _import(files.deepseek_amounts() + b"\n\n", account="third")


def test_another_currency_is_taken_at_what_the_operator_says() -> None:
    data = files.csv(files.COST, "u,2026-11-03,deepseek-flash,Paid,10.50,CNY")
    with pytest.raises(NotImported, match="say what one of it is in USD"):
        _import(data)
    with pytest.raises(NotImported, match="not in USD"):
        _import(data, currency="usd")
    for wrong in ("0", "-1", "1e-12", "5000"):
        with pytest.raises(NotImported, match="cannot be"):
            _import(data, usd_per_unit=Decimal(wrong))
    bill = _import(data, usd_per_unit=Decimal("0.14"))
    assert bill.lines.get().cost_nanos == 1_470_000_000
    assert (bill.nanos_per_unit, bill.cost_step_nanos) == (140_000_000, 1_400_000)
    with pytest.raises(NotImported, match="one US dollar"):
        _import(usd_per_unit=Decimal(2))


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(NotImported, match="no provider 'nobody'"):
        _import(provider="nobody")


def test_a_bill_and_its_lines_are_never_edited() -> None:
    bill = _import()
    for attempt in (
        lambda: UpstreamBill.objects.update(rows=5),
        lambda: UpstreamBillLine.objects.update(cost_nanos=5),
        lambda: UpstreamBillLine.objects.all()._raw_delete("default"),
        lambda: UpstreamBill.objects.filter(pk=bill.pk)._raw_delete("default"),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            attempt()


# --- comparing ----------------------------------------------------------------------------------


def test_what_is_equal_is_reconciled() -> None:
    books.hour(NOON, **USED)
    assert _states(_import()) == {(DAY, "deepseek-flash"): DayState.MATCHED}


def test_hours_and_channels_are_added_up_and_errors_are_not_billed() -> None:
    books.hour(NOON, metered=1, input_tokens=400, cost_nanos=60_000)
    books.hour(NOON + timedelta(hours=11), channel_id=7, model="deepseek-reasoner", requests=4,
               metered=0, errors=3, cached_input_tokens=600, output_tokens=90,
               reasoning_output_tokens=10, cost_nanos=61_800)  # fmt: skip
    assert _states(_import()) == {(DAY, "deepseek-flash"): DayState.MATCHED}


@pytest.mark.parametrize(
    ("name", "by"),
    [("metered", 1), ("input_tokens", -1), ("cached_input_tokens", 1), ("output_tokens", -5),
     ("cost_nanos", 500), ("cost_nanos", -500)],
)  # fmt: skip
def test_one_token_or_a_part_of_a_cent_more_or_less_is_drift(name, by) -> None:
    books.hour(NOON, **USED | {name: USED[name] + by})
    bill = _import()
    assert _states(bill) == {(DAY, "deepseek-flash"): DayState.DRIFT}
    day = ReconciledDay.objects.get(bill=bill)
    if name == "cost_nanos":
        assert day.cost_here_nanos - (day.cost_there_nanos or 0) == by
    else:
        called = "requests" if name == "metered" else name
        assert day.here[called] - day.there[called] == by


def test_rounding_is_no_drift() -> None:
    """A nano for each request, and a unit of the last decimal for each row."""
    row = f"{DAY},m,3,30,0,3,0.01"
    books.hour(NOON, upstream_model="m", metered=3, input_tokens=30, output_tokens=3,
               cost_nanos=20_000_003)  # fmt: skip
    bill = _import(_plain(row), "deepseek")
    assert _states(bill) == {(DAY, "m"): DayState.MATCHED}
    UpstreamHour.objects.update(cost_nanos=20_000_004)
    matching.compare(bill)
    assert _states(bill) == {(DAY, "m"): DayState.DRIFT}


def test_what_only_one_side_knows_is_missing_on_the_other() -> None:
    books.hour(NOON, upstream_model="only-here", metered=1, output_tokens=5, cost_nanos=9)
    bill = _import()
    assert _states(bill) == {
        (DAY, "deepseek-flash"): DayState.MISSING_HERE,
        (DAY, "only-here"): DayState.MISSING_THERE,
    }
    books.hour(NOON - timedelta(1), **USED)  # before the bill's days
    books.hour(NOON, provider="alibaba", **USED)  # another provider's
    matching.compare(bill)
    assert len(_states(bill)) == 2


def test_days_begin_where_the_bill_says() -> None:
    """A day of UTC+8 begins at 16:00 UTC of the day before."""
    midnight = datetime(2026, 11, 2, 16, tzinfo=UTC)
    kinds = (("input_token", "400"), ("output_token", "100"))
    rows = [files.alibaba_row(kind, usage, "Token", "0.01") for kind, usage in kinds]
    for at in (midnight, midnight + timedelta(hours=23)):
        books.hour(at, provider="alibaba", upstream_model="qwen-plus", metered=1, input_tokens=200,
                   output_tokens=50, cost_nanos=1_400_000)  # fmt: skip
    for at in (midnight - timedelta(hours=1), midnight + timedelta(hours=24)):
        books.hour(at, provider="alibaba", upstream_model="qwen-plus", metered=1, input_tokens=1)
    bill = _import(files.alibaba(*rows).encode("gb18030"), "alibaba", usd_per_unit=Decimal("0.14"))
    assert _states(bill) == {(DAY, "qwen-plus"): DayState.MATCHED}
    assert "requests" not in ReconciledDay.objects.get(bill=bill).there  # the bill has none


def test_what_a_bill_does_not_tell_apart_is_added_up_on_our_side() -> None:
    books.hour(NOON, upstream_model="m", metered=1, input_tokens=1, cached_input_tokens=20,
               cache_write_tokens=300, output_tokens=4, reasoning_output_tokens=50)  # fmt: skip
    bill = _import(files.csv("day,model,input_tokens,output_tokens", f"{DAY},m,321,54"))
    assert _states(bill) == {(DAY, "m"): DayState.MATCHED}


def test_an_accounts_bill_is_compared_with_its_channels_alone() -> None:
    channel = Channel.objects.create(
        provider=Provider.objects.get(slug="deepseek"), name="mine",
        model=Model.objects.get(name="deepseek-chat"), base_url="https://example.com",
        upstream_model="deepseek-flash",
    )  # fmt: skip
    books.hour(NOON, channel_id=channel.pk, **USED)
    books.hour(NOON, channel_id=channel.pk + 1, **USED)
    assert _states(_import(account="mine")) == {(DAY, "deepseek-flash"): DayState.MATCHED}


# --- alarms -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "there", "is_alarming"),
    [
        (100 * USD, "98.9", True),  # 1.1 % and $1.10, less on the bill
        ("98.9", "100", True),  # and more
        (100 * USD, "99.1", False),  # 0.9 %
        (50 * USD, "49.1", False),  # 1.8 %, and only 90 cents
        (2 * USD, "0", True),
        (0, "1", True),
        (0, "0.99", False),
    ],
)
def test_what_is_above_both_thresholds_alarms(here, there, is_alarming) -> None:
    nanos = here if isinstance(here, int) else int(Decimal(here) * USD)
    if nanos:
        books.hour(NOON, upstream_model="m", metered=1, output_tokens=5, cost_nanos=nanos)
    bill = _import(_plain(f"{DAY},m,1,0,0,5,{there}"))
    day = ReconciledDay.objects.get(bill=bill)
    assert (day.is_open, day.is_alarming) == (False, is_alarming)
    assert matching.drifting().exists() is is_alarming
    assert gauges.read().bill_days_drifting == int(is_alarming)


def test_tokens_alarm_where_a_bill_has_no_cost(settings) -> None:
    books.hour(NOON, upstream_model="m", metered=1, output_tokens=1_000)
    usage = "day,model,output_tokens"
    assert not _drifts(files.csv(usage, f"{DAY},m,990"))
    assert _drifts(files.csv(usage, f"{DAY},m,989"))
    settings.RECONCILIATION_ALARM_PPM = 20_000
    assert not _drifts(files.csv(usage, f"{DAY},m,980"))


def _drifts(data: bytes) -> bool:
    bill = _import(data, supersedes=True)
    return bool(matching.drifting().filter(pk=bill.pk).exists())


def test_a_day_that_is_not_settled_yet_alarms_nobody() -> None:
    today = timezone.now().date()
    bill = _import(_plain(f"{today},m,1,0,0,5,99"))
    day = ReconciledDay.objects.get(bill=bill)
    assert (day.state, day.is_open, day.is_alarming) == (DayState.MISSING_HERE, True, False)


def test_late_records_settle_and_the_daily_task_compares_again() -> None:
    recent = timezone.now().date() - timedelta(5)
    bill = _import(files.deepseek_amounts(recent.isoformat()))
    assert _states(bill) == {(recent, "deepseek-flash"): DayState.MISSING_HERE}
    books.hour(datetime(recent.year, recent.month, recent.day, 9, tzinfo=UTC), **USED)
    old = _import(files.deepseek_amounts("2026-01-03"))
    before = UpstreamBill.objects.get(pk=old.pk).evaluated_at
    assert tasks.compare_bills() == 1
    assert _states(bill) == {(recent, "deepseek-flash"): DayState.MATCHED}
    assert UpstreamBill.objects.get(pk=old.pk).evaluated_at == before  # settled for good


def test_operators_are_mailed_once_for_each_bill() -> None:
    User.objects.create_superuser("olga@example.com", "secret")
    User.objects.create_user("stan@example.com", "secret", is_staff=True)  # may not see bills
    bill = _import(_plain(f"{DAY},m,1,0,0,5,250"))
    tasks.compare_bills()
    tasks.compare_bills()
    mail = OutgoingMail.objects.get()
    assert mail.recipient == "olga@example.com"
    assert mail.subject == "The bill of deepseek drifts: 2026-11-03 to 2026-11-03"
    for words in ("$0.00 here, $250.00 on the bill", f"/admin/billing/upstreambill/{bill.pk}/"):
        assert words in mail.text
    books.hour(NOON, upstream_model="m", metered=1, output_tokens=5, cost_nanos=250 * USD)
    tasks.compare_bills()  # right now
    UpstreamHour.objects.update(cost_nanos=1)
    tasks.compare_bills()  # and wrong again
    assert OutgoingMail.objects.count() == 2


def test_an_accepted_or_superseded_bill_alarms_nobody() -> None:
    bill = _import(_plain(f"{DAY},m,1,0,0,5,250"))
    assert imports.accept(bill, "Their outage credit comes next month.")
    assert not imports.accept(bill, "again")
    assert not matching.drifting().exists()
    assert gauges.read().bill_days_drifting == 0
    assert AuditEntry.objects.latest("id").details["note"].startswith("Their outage")
    second = _import(_plain(f"{DAY},m,1,0,0,5,251"), supersedes=True)
    assert list(matching.drifting()) == [second]
    _import(_plain(f"{DAY},m,1,0,0,5,0.1"), supersedes=True)
    assert not matching.drifting().exists()


# --- the command --------------------------------------------------------------------------------


def test_import_bill_imports_and_says_how_it_compares(tmp_path) -> None:
    books.hour(NOON, **USED)
    path = tmp_path / "usage_data.zip"
    path.write_bytes(files.deepseek_zip())
    out = StringIO()
    call_command("import_bill", "deepseek", str(path), "--json", stdout=out)
    answer = json.loads(out.getvalue())
    assert (answer["is_new"], answer["matched"], answer["rows"]) == (True, 1, 5)
    out = StringIO()
    call_command("import_bill", "deepseek", str(path), "--json", stdout=out)
    assert json.loads(out.getvalue())["is_new"] is False


def test_import_bill_says_what_is_wrong_and_where(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(files.csv(files.COST, "u,2026-11-03,m,Paid,-1,USD"))
    with pytest.raises(CommandError, match="row 2: cost is '-1', which is no amount"):
        call_command("import_bill", "deepseek", str(path))
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_bill", "deepseek", str(tmp_path / "none.csv"))
    with pytest.raises(CommandError, match="is no number"):
        call_command("import_bill", "deepseek", str(path), "--usd-per-unit", "NaN")
    assert not UpstreamBill.objects.exists()
