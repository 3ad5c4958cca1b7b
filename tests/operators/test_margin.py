"""Revenue and margin: exact sums of the period, told apart, for those who may see them."""

import csv
import io
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.translation import override

from billing import ledger, margins, periods, tasks
from billing.bills import imports
from billing.models import (
    AccountKind,
    DayState,
    ReconciledDay,
    Transfer,
    TransferKind,
    UpstreamBill,
)
from billing.periods import today
from gateway import operations
from providers import seed
from providers.models import Channel, Model, Provider
from tests import books, factories
from tests.billing import scenes
from tests.operators.conftest import allow, signed_in

pytestmark = pytest.mark.django_db
USD = factories.USD
PAGE, FILE = "admin:billing_costday_margin", "admin:billing_costday_csv"


def _report(period: str = "30d") -> margins.Report:
    return margins.read(periods.parse(period))


def _rows(client, by: str, period: str = "30d") -> list[list[str]]:
    answer = client.get(reverse(FILE), {"by": by, "period": period})
    return list(csv.reader(io.StringIO(answer.content.decode())))


def test_it_adds_up_models_channels_days_and_customers(cast):
    books.day(6 * USD, 4 * USD, cast.organization, errors=1)
    books.day(3 * USD, 1 * USD, cast.outside, model="deepseek-chat", provider="deepseek",
              day=books.yesterday())  # fmt: skip
    books.day(500 * USD, USD, cast.outside, day=today() - timedelta(30))  # before the period
    found = _report()
    total = found.total
    assert (total.charge_nanos, total.cost_nanos, total.margin_nanos) == (9 * USD, 5 * USD, 4 * USD)
    assert round(total.margin_percent or 0, 2) == 44.44
    assert (total.requests, total.errors_percent) == (20, 5.0)
    assert [(one.name, one.margin_nanos) for one in found.models] == [
        ("qwen-plus", 2 * USD), ("deepseek-chat", 2 * USD),
    ]  # fmt: skip
    assert len(found.days) == 30
    assert [(one.name, one.cost_nanos) for one in found.days[-2:]] == [
        (str(books.yesterday()), USD), (str(today()), 4 * USD),
    ]  # fmt: skip
    assert [(one.name, one.margin_nanos) for one in found.customers] == [
        ("Acme Robotics", 2 * USD), ("Charlie's", 2 * USD),
    ]  # fmt: skip


def test_a_channel_is_named_and_one_that_is_gone_by_what_it_was_for(cast):
    seed.plant({})
    channel = Channel.objects.create(
        provider=Provider.objects.get(slug="alibaba"), model=Model.objects.get(name="qwen-plus"),
        base_url="https://example.com", upstream_model="qwen-plus", name="first",
    )  # fmt: skip
    books.day(3 * USD, USD, channel_id=channel.pk)
    books.day(2 * USD, USD, channel_id=channel.pk + 1)
    books.day(0, 0, provider="", model="qwen-max", errors=10)
    assert [(one.name, one.pk) for one in _report().channels] == [
        (str(channel), channel.pk), ("qwen-plus via alibaba", 0),
        ("qwen-max via –", 0),
    ]  # fmt: skip


def test_a_cost_above_the_revenue_is_a_margin_below_zero(olga):
    books.day(USD, 3 * USD)
    assert _report().total.margin_nanos == -2 * USD
    assert "−$2.00" in signed_in(olga).get(reverse(PAGE)).content.decode()


def test_losses_are_told_by_day_and_cause(cast):
    poor = scenes.make_organization("Poor", credit_nanos=100_000)
    for _ in range(2):
        scenes.use(poor, held_nanos=50_000)  # 520,000 each: at first 100,000 of it are paid
        poor.wallet.refresh_from_db()
        if poor.wallet.available_nanos < 50_000:
            ledger.credit(poor.wallet, 50_000, kind=TransferKind.ADJUSTMENT, reason="")
    lost = Transfer.objects.filter(debit_account__kind=AccountKind.OPERATOR_LOSS)
    expected = sum(lost.values_list("amount_nanos", flat=True))
    assert expected == 420_000 + 470_000
    [loss] = _report().losses
    assert (loss.day, loss.count, loss.amount_nanos) == (today(), 2, expected)
    assert loss.cause == "Charged above what was held, and the balance was empty"
    with override("zh-hans"):  # kept in English, read in Chinese
        [loss] = _report().losses
        assert loss.cause == "费用超出预留金额，而余额已空"
    assert _report("last-month").losses == []


def test_the_page_shows_all_of_it_and_the_files_are_exact(olga, cast):
    books.day(6 * USD + 1, 4 * USD, cast.organization, unrated=2)
    client = signed_in(olga)
    text = client.get(reverse(PAGE), {"period": "7d"}).content.decode()
    for words in ("$6.00", "$4.00", "$2.00", "33.3 % of the revenue", "not known of 2 requests",
                  "Acme Robotics", "Nothing was lost.", "<svg"):  # fmt: skip
        assert words in text, words
    header, row = _rows(client, "model")
    assert header[:4] == ["model", "requests", "errors", "revenue_usd"]
    assert row == ["qwen-plus", "10", "0", "6.000000001", "4.00", "2.000000001", "2", "0"]
    assert _rows(client, "customer")[1][0] == "Acme Robotics"
    assert len(_rows(client, "day")) == 31
    assert _rows(client, "loss") == [["day", "cause", "count", "lost_usd"]]
    assert client.get(reverse(FILE), {"by": "secrets"}).status_code == 404


def test_a_name_is_no_formula_in_the_file(olga, cast):
    cast.organization.name = "=cmd|' /C calc'!A0"
    cast.organization.save()
    books.day(USD, USD, cast.organization)
    assert _rows(signed_in(olga), "customer")[1][0] == "'=cmd|' /C calc'!A0"


def test_a_worker_reads_what_pages_offer_ahead_of_them(olga, cast):
    books.day(6 * USD, 4 * USD, cast.organization)
    assert tasks.keep_margins() == len(periods.CHOICES)
    client = signed_in(olga)
    client.get(reverse(PAGE), {"period": "today"})
    for period, _ in periods.CHOICES:
        with CaptureQueriesContext(connection) as asked:
            assert client.get(reverse(PAGE), {"period": period}).status_code == 200
        read = [one["sql"] for one in asked]
        assert not [one for one in read if "organizationday" in one or "costday" in one], period


def test_a_day_says_whether_it_is_reconciled_with_its_bills(olga, cast):
    seed.plant({})
    yesterday = books.yesterday()
    books.day(USD, USD, cast.organization, day=yesterday)
    rows = "\n".join(f"{yesterday},{model},0" for model in ("m", "n"))
    terms = imports.Terms()
    bill, _ = imports.run("deepseek", "b.csv", f"day,model,cost\n{rows}".encode(), terms)
    text = signed_in(olga).get(reverse(PAGE)).content.decode()
    assert (">Reconciled</span>" in text, ">Drifts</span>" in text) == (True, False)
    ReconciledDay.objects.filter(bill=bill, model="n").update(state=DayState.DRIFT)
    cache.clear()
    text = signed_in(olga).get(reverse(PAGE)).content.decode()
    assert (">Reconciled</span>" in text, ">Drifts</span>" in text) == (False, True)
    UpstreamBill.objects.update(superseded_by=bill)
    cache.clear()
    assert _report().billed == {}


def test_an_empty_platform_has_the_page(olga):
    text = signed_in(olga).get(reverse(PAGE)).content.decode()
    assert "Nothing was used in this period." in text


@pytest.mark.parametrize("period", ["today", "90d", "2026-11-01..2026-11-03", "nonsense", "9999"])
def test_any_period_in_the_address_answers(olga, period):
    assert signed_in(olga).get(reverse(PAGE), {"period": period}).status_code == 200


@pytest.mark.parametrize("name", [PAGE, FILE])
def test_staff_without_the_permission_is_refused(stan, cast, name):
    books.day(USD, USD, cast.organization)
    address = reverse(name) + "?by=model"
    assert signed_in(stan).get(address).status_code == 403
    allow(stan, "view_costday")
    assert signed_in(stan).get(address).status_code == 200


@pytest.mark.parametrize("name", [PAGE, FILE])
def test_a_customer_gets_nowhere(cast, client, name):
    client.force_login(cast.charlie)
    assert client.get(reverse(name)).status_code == 302


def test_the_front_page_tells_cost_and_margin(olga, cast):
    books.day(6 * USD, 4 * USD, cast.organization)
    books.day(USD, 0, model="qwen-max", unrated=10)
    found = operations.read()
    assert (found.cost_nanos, found.margin_nanos, found.unrated) == (4 * USD, 3 * USD, 10)
    text = signed_in(olga).get("/admin/").content.decode()
    assert "$3.00" in text
    assert reverse(PAGE) in text


def test_more_models_and_days_take_no_more_queries(olga, cast):
    client = signed_in(olga)

    def asked() -> int:
        cache.clear()
        with CaptureQueriesContext(connection) as queries:
            assert client.get(reverse(PAGE)).status_code == 200
        return len(queries)

    books.day(USD, USD, cast.organization)
    few = asked()
    for n in range(12):
        books.day(USD, USD, cast.outside if n < 1 else None, model=f"m{n}", channel_id=n,
                  day=today() - timedelta(n))  # fmt: skip
    assert asked() <= few
