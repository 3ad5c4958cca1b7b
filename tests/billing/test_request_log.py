"""The log of requests: filters without an index, cursors, the live rows, and files."""

import csv
import io
import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from billing import ids, request_log
from billing.models import UsageRecord
from billing.settlements import first_id_at
from providers import seed
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def catalog():
    cache.clear()
    seed.plant({})


@pytest.fixture
def cast():
    return factories.cast()


def record(cast: factories.Cast, minutes_ago: int = 0, **facts: Any) -> UsageRecord:
    """A request whose id and times say that it began then."""
    at = timezone.now() - timedelta(minutes=minutes_ago)
    pk = uuid.UUID(int=first_id_at(at).int | (ids.uuid7().int & ((1 << 80) - 1)))
    return factories.record(cast.organization, id=pk, started_at=at, **facts)


def shown(page: Any) -> list[uuid.UUID]:
    return [row.pk for row in page.context["rows"]]


def read(answer: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(b"".join(answer).decode())))


@pytest.mark.parametrize(
    ("asked", "facts"),
    [
        ({"status": "error"}, {"status": 502}),
        ({"status": "client"}, {"status": 499}),
        ({"status": "provider"}, {"status": 502}),
        ({"status": "ok"}, {"status": 200}),
        ({"model": "qwen-plus"}, {"model": "qwen-plus"}),
        ({"reason": "client_gone"}, {"billing_reason": "client_gone"}),
        ({"cost_min": "0.5"}, {"charge_nanos": 500_000_000}),
    ],
)
def test_a_filter_keeps_what_fits_and_only_that(client, cast, asked, facts):
    others = {"status": 404} if asked.get("status") == "ok" else {"status": 200}
    others |= {"status": 400} if asked == {"status": "provider"} else {}
    fits = record(cast, 3, **facts)
    record(cast, 2, **others, charge_nanos=499_999_999)
    client.force_login(cast.victor)
    assert shown(client.get("/requests", asked)) == [fits.pk]


def test_filters_of_key_and_project_are_ids_of_the_organization(client, cast):
    key = factories.key(cast.organization).row
    mine = record(cast, api_key_id=key.pk, project_id=key.project_id)
    record(cast)
    theirs = factories.key(cast.outside).row
    client.force_login(cast.alice)
    assert shown(client.get("/requests", {"key": key.pk})) == [mine.pk]
    assert shown(client.get("/requests", {"project": key.project_id})) == [mine.pk]
    page = client.get("/requests", {"key": theirs.pk})
    assert "key" in page.context["form"].errors
    assert len(shown(page)) == 2


def test_a_period_is_a_range_of_ids(client, cast):
    new, old = record(cast, 30), record(cast, 60 * 26)
    client.force_login(cast.alice)
    assert shown(client.get("/requests", {"period": "1h"})) == [new.pk]
    assert shown(client.get("/requests", {"period": "24h"})) == [new.pk]
    assert shown(client.get("/requests", {"period": "7d"})) == [new.pk, old.pk]
    day = f"{old.started_at:%Y-%m-%d}"
    assert old.pk in shown(client.get("/requests", {"period": day}))


@pytest.mark.parametrize(
    "asked",
    [
        {"period": "nonsense"},
        {"status": "\0"},
        {"key": "9" * 40},
        {"cost_min": "-1"},
        {"cost_min": "NaN"},
        {"before": "x"},
        {"model": "' OR 1=1 --"},
    ],
)
def test_what_is_no_filter_filters_nothing(client, cast, asked):
    made = record(cast)
    client.force_login(cast.alice)
    page = client.get("/requests", asked)
    assert page.status_code == 200
    assert shown(page) == [made.pk]


def test_a_page_looks_through_a_bounded_number_and_goes_on_from_there(client, cast, monkeypatch):
    monkeypatch.setattr(request_log, "LOOKED_THROUGH_MAX", 5)
    wanted = record(cast, 30, status=502)
    for n in range(8):
        record(cast, n + 1)
    client.force_login(cast.alice)
    first = client.get("/requests", {"status": "error"})
    assert shown(first) == []
    assert "Look further back" in first.content.decode()
    rest = client.get("/requests", {"status": "error", "before": first.context["older"]})
    assert shown(rest) == [wanted.pk]
    assert rest.context["older"] is None


def test_filtered_pages_follow_each_other_without_a_gap(cast, monkeypatch):
    monkeypatch.setattr(request_log, "LOOKED_THROUGH_MAX", 7)
    wanted = [record(cast, n, status=502 if n % 3 else 200).pk for n in range(40)]
    filters = request_log.Filters(status="error")
    found: list[uuid.UUID] = []
    before = None
    for _ in range(40):
        page = request_log.find(cast.organization.pk, filters, before, limit=2)
        found += [row.pk for row in page.rows]
        before = page.older
        if before is None:
            break
    assert found == [pk for n, pk in enumerate(wanted) if n % 3]


def test_the_live_rows_are_the_first_page_under_the_same_filters(client, cast):
    record(cast, 1)
    failed = record(cast, 2, status=502)
    client.force_login(cast.victor)
    rows = client.get("/requests/latest", {"status": "error"}).content.decode()
    assert rows.count("<tr") == 1 and f'data-id="{failed.pk.hex}"' in rows
    client.force_login(cast.charlie)
    assert "<tr" not in client.get("/requests/latest").content.decode()


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous")
def test_the_file_holds_what_is_filtered_newest_first(client, cast):
    first, second = record(cast, 2, status=502), record(cast, 1, status=500)
    record(cast, 3)
    client.force_login(cast.victor)
    answer = client.get("/requests.csv", {"status": "error"})
    header, *lines = read(answer)
    assert [line[0] for line in lines] == [f"req_{one.pk.hex}" for one in (second, first)]
    assert dict(zip(header, lines[1], strict=True))["status"] == "502"
    assert "Link" not in answer.headers
    client.force_login(cast.charlie)
    assert len(read(client.get("/requests.csv"))) == 1


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous")
@pytest.mark.parametrize("asked", [{}, {"status": "ok"}])
def test_files_follow_each_other_by_their_links(client, cast, monkeypatch, asked):
    monkeypatch.setattr("billing.pages.exports._REQUESTS_MAX", 4)
    monkeypatch.setattr(request_log, "PIECE", 2)
    made = [f"req_{record(cast, n).pk.hex}" for n in range(9)]
    client.force_login(cast.alice)
    found: list[str] = []
    answer = client.get("/requests.csv", asked)
    for _ in range(9):
        found += [line[0] for line in read(answer)[1:]]
        if "Link" not in answer.headers:
            break
        answer = client.get(answer.headers["Link"].partition(">")[0][1:])
    assert found == made


def test_the_detail_shows_the_request_as_json(client, cast):
    key = factories.key(cast.organization, "<Backend>").row
    made = record(cast, model="qwen-plus", api_key_id=key.pk, is_stream=True, duration_ms=1_220)
    client.force_login(cast.bob)
    page = client.get(f"/requests/req_{made.pk.hex}")
    facts = json.loads(page.context["json"])
    assert facts["charge_nanos"] == made.charge_nanos
    assert facts["key"] == "<Backend>"
    assert facts["tokens_per_second"] == 200.0
    assert [line["class"] for line in facts["lines"]] == ["input", "output"]
    assert "<Backend>" not in page.content.decode()
