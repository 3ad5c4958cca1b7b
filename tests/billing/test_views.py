"""Overview, usage, requests and billing, by everybody of the cast."""

from datetime import date, timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from billing import charts, history, ledger, periods, proration, receipts, spending, usage_charts
from billing.models import Invoice, Plan, TransferKind, UsageDay, UsageHour, UsageRecord
from billing.pages.requests import parse_id
from billing.templatetags import figures
from providers import seed
from tests import factories

pytestmark = pytest.mark.django_db

PATHS = ["/overview", "/usage", "/requests", "/billing"]


@pytest.fixture(autouse=True)
def catalog():
    cache.clear()
    seed.plant({})


@pytest.fixture
def cast():
    return factories.cast()


@pytest.fixture
def busy(cast):
    factories.month_of_use(cast.organization)
    return cast


@pytest.mark.parametrize("path", [*PATHS, "/requests/req_" + "0" * 32, "/billing/plans/pro"])
def test_strangers_are_sent_to_sign_in(client, path):
    assert client.get(path).headers["Location"].startswith("/accounts/login/")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("who", ["alice", "bob", "bella", "victor", "charlie"])
def test_every_member_sees_their_own_organization_even_an_empty_one(client, cast, path, who):
    client.force_login(getattr(cast, who))
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(("path", "most"), [*zip(PATHS, (12, 12, 9, 11), strict=True)])
def test_a_busy_page_takes_a_bounded_number_of_queries(
    client, busy, path, most, django_assert_max_num_queries
):
    client.force_login(busy.alice)
    client.get(path)
    with django_assert_max_num_queries(most):
        assert client.get(path).status_code == 200


def test_pages_read_rollups_and_never_sum_raw_records(client, busy, django_assert_max_num_queries):
    client.force_login(busy.alice)
    with django_assert_max_num_queries(20) as captured:
        client.get("/usage")
    assert not [q for q in captured.captured_queries if "billing_usagerecord" in q["sql"]]


@pytest.mark.parametrize("by", ["model", "project", "key", "nonsense"])
@pytest.mark.parametrize("show", ["spend", "tokens", "requests", "nonsense"])
def test_usage_stacks_by_each_group_in_each_measure(client, busy, by, show):
    client.force_login(busy.alice)
    page = client.get("/usage", {"by": by, "show": show})
    assert page.status_code == 200
    assert "<svg" in page.content.decode()


def test_charlie_sees_nothing_of_a_busy_organization(client, busy):
    record = UsageRecord.objects.filter(organization_id=busy.organization.pk)[0]
    invoice = Invoice.objects.get(organization=busy.organization)
    client.force_login(busy.charlie)
    assert client.get(f"/requests/req_{record.pk.hex}").status_code == 404
    assert client.get(f"/billing/invoices/{invoice.number}").status_code == 404
    assert "No request with this id" in (
        client.get("/requests", {"q": f"req_{record.pk.hex}"}).content.decode()
    )
    assert not client.get("/requests").context["rows"]
    assert client.get("/usage").context["total"].now.requests == 0


def test_a_request_is_found_by_its_wire_id_and_by_its_uuid(client, cast):
    record = factories.record(cast.organization)
    client.force_login(cast.victor)
    for text in (f"req_{record.pk.hex}", f" {record.pk} ", record.pk.hex.upper()):
        answer = client.get("/requests", {"q": text})
        assert answer.headers["Location"] == f"/requests/req_{record.pk.hex}"


@pytest.mark.parametrize("text", ["", "req_", "req_xyz", "0" * 31, "\0", "req_" + "0" * 33])
def test_what_is_no_id_is_none(text):
    assert parse_id(text) is None


def test_requests_page_by_cursor_and_end(client, cast):
    made = [factories.record(cast.organization).pk for _ in range(60)]
    client.force_login(cast.alice)
    first = client.get("/requests")
    rest = client.get("/requests", {"before": first.context["older"]})
    seen = [row.pk for row in [*first.context["rows"], *rest.context["rows"]]]
    assert seen == sorted(made, reverse=True)
    assert rest.context["older"] is None


def test_the_receipt_recomputes_the_charge(client, cast):
    record = factories.record(
        cast.organization,
        model="deepseek-reasoner",
        input_tokens=1_234,
        cached_input_tokens=99,
        output_tokens=7,
        reasoning_output_tokens=321,
    )
    receipt = receipts.make(record)
    assert receipt.agrees
    assert [line.tokens for line in receipt.lines] == [1_234, 99, 7, 321]
    client.force_login(cast.bob)
    page = client.get(f"/requests/req_{record.pk.hex}").content.decode()
    assert "Recomputed, agrees" in page


def test_a_request_without_a_price_still_has_a_page(client, cast):
    record = factories.record(cast.organization, charge_nanos=0, status=502, price_id=None)
    client.force_login(cast.bob)
    assert client.get(f"/requests/req_{record.pk.hex}").status_code == 200


def test_owner_and_billing_change_the_plan_and_pay_its_fee(client, cast):
    ledger.credit(cast.organization.wallet, 50 * factories.USD, kind=TransferKind.TOP_UP)
    client.force_login(cast.bella)
    month_nanos = Plan.objects.get(slug="pro").fee_nanos_per_month
    fee = proration.share(month_nanos, timezone.now().date())
    assert figures.money_exact(fee) in client.get("/billing/plans/pro").content.decode()
    answer = client.post("/billing/plans/pro/change", follow=True)
    assert "You are on the Pro plan" in answer.content.decode()
    cast.organization.wallet.refresh_from_db()
    cast.organization.subscription.refresh_from_db()
    assert cast.organization.subscription.plan.slug == "pro"
    assert cast.organization.wallet.balance_nanos == 51 * factories.USD - fee


def test_a_plan_the_balance_cannot_pay_is_not_changed_to(client, cast):
    client.force_login(cast.alice)
    page = client.post("/billing/plans/business/change", follow=True).content.decode()
    assert "Top up first" in page
    cast.organization.subscription.refresh_from_db()
    assert cast.organization.subscription.plan.slug == "starter"


@pytest.mark.parametrize("who", ["bob", "victor"])
def test_other_roles_may_not_change_the_plan(client, cast, who):
    client.force_login(getattr(cast, who))
    assert "/billing/plans/" not in client.get("/billing/plans").content.decode()
    assert client.get("/billing/plans/pro").status_code == 403
    assert client.post("/billing/plans/pro/change").status_code == 403


def test_a_plan_that_is_not_public_is_404(client, cast):
    Plan.objects.filter(slug="pro").update(is_public=False)
    client.force_login(cast.alice)
    assert client.post("/billing/plans/pro/change").status_code == 404


def test_the_invoice_shows_its_lines(client, busy):
    client.force_login(busy.victor)
    number = Invoice.objects.get().number
    page = client.get(f"/billing/invoices/{number}").content.decode()
    assert "$45.312118204" in page


@pytest.mark.parametrize(
    ("nanos", "shown"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (3_120, "$0.00000312"),
        (4_200_000, "$0.0042"),
        (50_000_000, "$0.05"),
        (12_500_000_000, "$12.50"),
        (1_234_567_890_000_000, "$1,234,567.89"),
        (-935_000_000, "−$0.935"),
        (999_999_999, "$1.00"),
        (None, "–"),
    ],
)
def test_money_shows_what_it_needs_and_never_zero_for_a_charge(nanos, shown):
    assert figures.money(nanos) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (9_999, "9,999"), (12_345, "12.3\u00a0K"), (1_200_000, "1.2\u00a0M")],
)
def test_tokens_read_short(count, shown):
    assert figures.tokens(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(3, "just now"), (185, "3 minutes ago"), (3_600, "1 hour ago"), (-7_200, "in 2 hours")],
)
def test_times_read_as_people_say_them(seconds, shown):
    now = timezone.now()
    assert figures.relative(now - timedelta(seconds=seconds), now) == shown


@pytest.mark.parametrize(
    ("key", "first", "last"),
    [
        ("7d", date(2026, 3, 3), date(2026, 3, 9)),
        ("month", date(2026, 3, 1), date(2026, 3, 9)),
        ("last-month", date(2026, 2, 1), date(2026, 2, 28)),
        ("2026-03-04", date(2026, 3, 4), date(2026, 3, 4)),
        ("2026-02-27..2026-03-02", date(2026, 2, 27), date(2026, 3, 2)),
        ("2026-03-08..2027-01-01", date(2026, 3, 8), date(2026, 3, 9)),
        ("1999-01-01..2026-01-01", date(2026, 2, 8), date(2026, 3, 9)),
        ("nonsense", date(2026, 2, 8), date(2026, 3, 9)),
    ],
)
def test_a_period_is_what_its_url_says(key, first, last):
    period = periods.parse(key, date(2026, 3, 9))
    assert (period.first, period.last) == (first, last)


def test_a_chart_folds_what_is_beyond_eight_series_into_other():
    series = [charts.Series(f"m{n}", [n + 1, n + 1]) for n in range(12)]
    chart = charts.stacked(["a", "b"], series, str)
    assert [one.name for one in chart.series][-1] == "other"
    assert len(chart.series) == 8
    assert sum(one.total for one in chart.series) == sum(one.total for one in series)


def _use_by_many_keys(organization, count: int) -> None:
    """Yesterday and today, key n with n requests each day."""
    today = timezone.now().date()
    facts = {"organization_id": organization.pk, "model": "qwen-plus"}
    for n in range(1, count + 1):
        same = {**facts, "api_key_id": n, "requests": n, "charge_nanos": n * 1_000}
        UsageDay.objects.create(day=today - timedelta(1), **same)
        UsageHour.objects.create(hour=timezone.now(), **same)


@pytest.mark.parametrize(("count", "series"), [(8, 8), (9, 8), (120, 8)])
def test_usage_by_key_adds_up_whatever_the_number_of_keys(cast, count, series):
    _use_by_many_keys(cast.organization, count)
    table = spending.table(cast.organization.pk, periods.parse("7d"), "key", "requests")
    assert table.total.requests == count * (count + 1)
    assert sum(one.requests for one in table.by_slot.values()) == table.total.requests
    assert table.groups("requests")[0] == count
    chart = usage_charts.make(table, "requests", {})
    assert chart is not None and len(chart.series) == series
    assert sum(one.total for one in chart.series) == table.total.requests
    assert (chart.series[-1].name == "other") is (count > 8)


def test_usage_by_key_lists_the_largest_hundred_and_says_how_many_more_there_are(client, cast):
    _use_by_many_keys(cast.organization, 103)
    client.force_login(cast.alice)
    page = client.get("/usage", {"by": "key", "show": "requests", "period": "7d"})
    assert len(page.context["rows"]) == 100
    assert page.context["rows"][0].now.requests == 206
    assert "3 more are in the total" in page.content.decode()


def test_the_history_has_both_sides_of_the_wallet_newest_first_and_no_single_request(busy):
    wallet = ledger.open_wallet(busy.organization)
    ledger.debit(wallet, 1_000, kind=TransferKind.PLAN_FEE, reason="fee")
    ledger.credit(wallet, 2_000, kind=TransferKind.TOP_UP, reason="later")
    found = history.page(wallet, 100).entries
    single = [one for one in found if one.at]
    assert [(one.amount_nanos, one.note) for one in single[:2]] == [
        (2_000, "later"),
        (-1_000, "fee"),
    ]
    assert [one.at for one in single] == sorted((one.at for one in single if one.at), reverse=True)
    assert all(one.usage_day or one.at for one in found)


def test_a_chart_starts_at_zero_and_its_tallest_bar_fits():
    chart = charts.stacked(["a"], [charts.Series("m", [5_100_000_000])], figures.money)
    assert chart.ticks[0].label == "$0.00"
    assert chart.ticks[-1].label == "$6.00"
    assert all(float(one.y) >= 0 for slot in chart.slots for one in slot.segments)
