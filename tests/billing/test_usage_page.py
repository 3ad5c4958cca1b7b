"""Usage told apart, narrowed, compared and exported: from the rollups, days and hours."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection, transaction

from billing import charts, latency, periods, rollups, spending
from billing.figures import SUMS, change_percent
from billing.models import LatencyDay, UsageDay, UsageHour
from billing.periods import Span
from tests import factories
from tests.billing import scenes

NOW = datetime(2026, 11, 20, 14, 25, tzinfo=UTC)
TODAY = NOW.date()


@pytest.fixture(autouse=True)
def clock():
    cache.clear()
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def cast(db):
    return factories.cast()


def use(cast: factories.Cast, at: datetime, **facts: Any) -> None:
    """As a roll-up leaves it: the hour, and added to its day."""
    same = {"organization_id": cast.organization.pk, "model": "qwen-plus", "requests": 1, **facts}
    UsageHour.objects.create(hour=at, **same)
    key = {name: same.get(name, 0) for name in ("project_id", "api_key_id")}
    day, _ = UsageDay.objects.get_or_create(
        organization_id=same["organization_id"], day=at.date(), model=same["model"], **key
    )
    for name in SUMS:
        setattr(day, name, getattr(day, name) + same.get(name, 0))
    day.save()


def hour(days_ago: int, at: int) -> datetime:
    return datetime(2026, 11, 20, at, tzinfo=UTC) - timedelta(days_ago)


def look(client: Any, who: Any, **asked: Any) -> Any:
    client.force_login(who)
    page = client.get("/usage", asked)
    assert page.status_code == 200
    return page


@pytest.mark.parametrize(
    ("key", "start", "end"),
    [
        ("7d", "2026-11-07T00", "2026-11-13T15"),
        ("today", "2026-11-19T00", "2026-11-19T15"),
        ("month", "2026-10-01T00", "2026-10-20T15"),
        ("last-month", "2026-09-01T00", "2026-10-01T00"),
        ("2026-11-02..2026-11-04", "2026-10-30T00", "2026-11-02T00"),
    ],
)
def test_what_comes_before_a_period_is_as_long_and_cut_at_the_same_hour(key, start, end) -> None:
    read = "%Y-%m-%dT%H"
    expected = [datetime.strptime(text, read).replace(tzinfo=UTC) for text in (start, end)]
    assert periods.parse(key, TODAY).before(NOW) == Span(*expected)


def test_a_short_period_is_shown_by_the_hour_and_a_longer_one_by_the_day(client, cast) -> None:
    use(cast, hour(0, 9), requests=3)
    use(cast, hour(0, 13), requests=2)
    today = look(client, cast.alice, period="today", show="requests")
    assert [one.total for one in today.context["chart"].slots][8:15] == list("0300020")[:7]
    assert len(today.context["chart"].slots) == 15
    assert "hours in UTC" in today.content.decode()
    assert len(look(client, cast.alice, period="7d").context["chart"].slots) == 7


def test_hours_and_days_add_up_to_the_same(cast) -> None:
    for days_ago in range(3):
        for at in (0, 7, 14):
            use(cast, hour(days_ago, at), charge_nanos=10**days_ago, input_tokens=at)
    pk = cast.organization.pk
    span = periods.parse("2026-11-18..2026-11-20").span
    by_hour = spending.by_slot(pk, span, "slot_hour")
    by_day = spending.by_slot(pk, span, "slot_day")
    assert sum(one.charge_nanos for one in by_hour.values()) == 333
    assert {day: one.charge_nanos for day, one in by_day.items()} == {
        TODAY - timedelta(n): 3 * 10**n for n in range(3)
    }
    assert spending.total(pk, span).charge_nanos == 333


def test_usage_by_member_is_by_who_made_the_key(client, cast) -> None:
    bobs = factories.key(cast.organization, "B", created_by=cast.bob).row
    alices = [factories.key(cast.organization, n, created_by=cast.alice).row for n in ("A", "C")]
    for row, requests in ((bobs, 5), (alices[0], 3), (alices[1], 4)):
        use(cast, hour(1, 9), api_key_id=row.pk, requests=requests)
    use(cast, hour(1, 9), requests=1)
    page = look(client, cast.victor, by="member", show="requests")
    assert [(row.name, row.now.requests) for row in page.context["rows"]] == [
        ("alice@example.com", 7), ("bob@example.com", 5), ("(none)", 1)]  # fmt: skip
    only = look(client, cast.victor, by="key", member=cast.alice.pk)
    assert only.context["total"].now.requests == 7
    assert "alice@example.com" in only.content.decode()


@pytest.mark.parametrize(
    ("name", "value"), [("model", "qwen-max"), ("project", 7), ("key", 9), ("member", 0)]
)
def test_a_filter_narrows_everything_on_the_page(client, cast, name, value) -> None:
    use(cast, hour(1, 9), requests=5)
    use(cast, hour(1, 9), model="qwen-max", project_id=7, api_key_id=9, requests=2)
    page = look(client, cast.alice, **{name: value, "show": "requests"})
    expected = 2 if value else 0
    assert page.context["total"].now.requests == expected
    assert [name_ for name_, _, _ in page.context["chips"]] == [name]
    assert ("Nothing fits these filters" in page.content.decode()) is not expected


@pytest.mark.parametrize(
    "asked",
    [
        {"key": "x"},
        {"key": "9" * 30},
        {"model": "\0"},
        {"from": "2026-13-01"},
        {"from": "0001-01-01", "to": "0001-01-02"},
        {"from": "2026-11-20", "to": "2026-11-01"},
        {"compare": "maybe"},
        {"by": "charge_nanos; --"},
    ],
)
def test_nonsense_in_the_address_is_the_default(client, cast, asked) -> None:
    use(cast, hour(1, 9), requests=5)
    page = look(client, cast.alice, **asked)
    assert page.context["total"].now.requests == 5
    assert page.context["period"].key == "30d"


def test_comparing_tells_the_change_of_each_row_and_of_the_whole(client, cast) -> None:
    use(cast, hour(7, 9), charge_nanos=100)
    use(cast, hour(7, 15), charge_nanos=50)  # after the hour it is now: not compared
    use(cast, hour(7, 14), model="gone", charge_nanos=60)
    use(cast, hour(0, 9), charge_nanos=130)
    use(cast, hour(0, 9), model="fresh", charge_nanos=30)
    page = look(client, cast.alice, period="7d", compare="1")
    rows = {row.name: row for row in page.context["rows"]}
    assert (rows["qwen-plus"].change, rows["fresh"].is_new, rows["gone"].change) == (30, True, -100)
    assert page.context["total"].change == 0
    marks = [slot.before.shown for slot in page.context["chart"].slots]
    assert marks == ["$0.00"] * 6 + ["$0.00000016"]
    assert "+30 %" in page.content.decode()


@pytest.mark.parametrize(
    ("now", "before", "percent"), [(15, 10, 50), (5, 10, -50), (0, 10, -100), (3, 0, None)]
)
def test_a_change_is_in_percent_of_what_was(now, before, percent) -> None:
    assert change_percent(now, before) == percent


def read(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(b"".join(answer).decode())))


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous")
def test_the_file_has_the_days_and_groups_of_the_page(client, cast) -> None:
    bobs = factories.key(cast.organization, "=cmd()", created_by=cast.bob).row
    use(cast, hour(1, 9), api_key_id=bobs.pk, charge_nanos=1_500_000_001, requests=2)
    use(cast, hour(0, 9), requests=3)
    client.force_login(cast.victor)
    lines = read(client.get("/usage.csv", {"period": "7d", "by": "key"}))
    assert [(one["start_utc"], one["group"], one["requests"]) for one in lines] == [
        ("2026-11-19T00:00:00Z", f"'=cmd() …{bobs.last_four}", "2"),
        ("2026-11-20T00:00:00Z", "(none)", "3"),
    ]
    assert lines[0]["spend_usd"] == "1.500000001"
    hourly = read(client.get("/usage.csv", {"period": "today"}))
    assert [one["start_utc"] for one in hourly] == ["2026-11-20T09:00:00Z"]
    client.force_login(cast.charlie)
    assert read(client.get("/usage.csv", {"period": "7d", "by": "key"})) == []


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous")
def test_the_file_adds_up_what_is_beyond_the_largest_groups(client, cast, monkeypatch) -> None:
    monkeypatch.setattr("billing.pages.exports._GROUPS_MAX", 2)
    for n in range(1, 6):
        use(cast, hour(1, 9), model=f"m{n}", charge_nanos=n * 10**9, requests=n)
    client.force_login(cast.alice)
    lines = read(client.get("/usage.csv"))
    assert [(one["group"], one["requests"], one["spend_usd"]) for one in lines] == [
        ("m5", "5", "5.00"), ("m4", "4", "4.00"), ("(other)", "6", "6.00")]  # fmt: skip


def test_percentiles_are_read_from_counts_to_within_a_bucket() -> None:
    counts = {28: 10, 32: 80, 40: 10}  # 128, 256 and 1,024 ms and up to a fifth more
    assert 256 <= (latency.milliseconds(counts, 0.5) or 0) <= 305
    assert 1_024 <= (latency.milliseconds(counts, 0.95) or 0) <= 1_218
    assert latency.milliseconds({}, 0.5) is None


def test_a_line_is_broken_where_there_is_nothing_and_starts_at_zero() -> None:
    chart = charts.lines(list("abcd"), [("median", [100, None, 300, 400])], str)
    assert len(chart.strokes) == 1
    assert [len(slot.points) for slot in chart.slots] == [1, 0, 1, 1]
    assert chart.ticks[0].label == "0"
    assert chart.slots[1].cells == ("–",)


def test_overview_tells_the_median_time_to_the_first_token(client, cast) -> None:
    LatencyDay.objects.create(
        organization_id=cast.organization.pk, day=date(2026, 11, 18), bucket=32, requests=9
    )
    use(cast, hour(2, 9), requests=9, errors=1)
    client.force_login(cast.bob)
    page = client.get("/overview", {"by": "key"})
    assert 256 <= page.context["median_ms"] <= 305
    assert page.context["latency_chart"].series[0].name == "median"
    client.force_login(cast.charlie)
    assert client.get("/overview").context["median_ms"] is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("again", [rollups.rebuild, rollups.roll_up])
def test_roll_up_counts_the_first_tokens_of_streams_once(again) -> None:
    with time_machine.travel(datetime.now(UTC)):
        organization = factories.OrganizationFactory.create()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()::text::bigint")
            [xid] = cursor.fetchone() or [0]
            for ms, is_stream in ((300, True), (310, True), (300, False), (None, True)):
                factories.record(organization, first_token_ms=ms, is_stream=is_stream, xid=xid)
        scenes.wait_until_visible()
        rollups.roll_up()
        again()
        mine = LatencyDay.objects.filter(organization_id=organization.pk)
        assert {row.bucket: row.requests for row in mine} == {32: 1, 33: 1}
