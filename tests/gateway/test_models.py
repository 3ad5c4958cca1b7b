"""The public catalog and each model's page."""

from datetime import UTC, datetime

import pytest
from django.core.cache import cache

from billing.models import ModelHour
from gateway.pages import sparks
from providers import seed
from providers.models import Model
from tests import factories, history

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def catalog():
    cache.clear()
    seed.plant({})


def names(client, query: str = "") -> list[str]:
    return [row.listing.name for row in client.get(f"/models{query}").context["rows"]]


def test_the_catalog_lists_every_enabled_model_in_the_operators_order(client) -> None:
    Model.objects.filter(name="qwen-max").update(is_enabled=False)
    assert names(client) == ["qwen-turbo", "qwen-plus", "deepseek-chat", "deepseek-reasoner"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?q=reason", {"deepseek-reasoner"}),
        ("?q=BALANCED+quality", {"qwen-plus"}),
        ("?can=reasoning", {"qwen-turbo", "qwen-plus", "deepseek-reasoner"}),
        ("?by=deepseek", {"deepseek-chat", "deepseek-reasoner"}),
        ("?by=deepseek&can=reasoning", {"deepseek-reasoner"}),
        ("?q=nothing-like-it", set()),
        ("?can=nonsense", set()),
        ("?q=%00", set()),
    ],
)
def test_filters_in_the_address_choose_the_models(client, query, found) -> None:
    assert set(names(client, query)) == found


@pytest.mark.parametrize(
    ("sort", "first"),
    [("price", "qwen-turbo"), ("context", "qwen-turbo"), ("nonsense", "qwen-turbo"),
     ("speed", "deepseek-chat")],
)  # fmt: skip
def test_the_order_is_the_one_asked_for(client, sort, first) -> None:
    history.measure_models(days=2)
    mine = ModelHour.objects.filter(model="deepseek-chat", measure="speed")
    fastest = mine.order_by("-hour")[0]
    mine.exclude(pk=fastest.pk).delete()
    ModelHour.objects.filter(pk=fastest.pk).update(bucket=60)
    assert names(client, f"?sort={sort}")[0] == first


def test_without_measurements_none_are_claimed(client) -> None:
    assert "no measurements yet" in client.get("/models").content.decode()
    page = client.get("/models/qwen-plus").content.decode()
    assert "No measurements yet" in page
    assert "tokens/s" not in page


def test_measured_figures_are_shown_where_there_are_some(client) -> None:
    history.measure_models(days=2)
    page = client.get("/models").content.decode()
    assert "no measurements yet" not in page
    page = client.get("/models/qwen-plus").content.decode()
    assert "median, last 7 days" in page
    assert page.count("<rect") >= 30 * 3


def test_a_models_page_shows_prices_limits_parameters_and_code(client) -> None:
    page = client.get("/models/deepseek-chat").content.decode()
    for text in ("$0.15", "$0.003", "$1.20", "Mon–Fri 01:00–04:00", "2026-01-01", "131,072",
                 "parallel_tool_calls", "/playground?model=deepseek-chat",
                 "&quot;model&quot;: &quot;deepseek-chat&quot;"):  # fmt: skip
        assert text in page, text
    assert "reasoning_effort" not in page


def test_another_name_leads_to_the_model_and_is_named_there(client) -> None:
    Model.objects.filter(name="qwen-max").update(aliases=["qwen-max-2026-01"])
    assert client.get("/models/qwen-max-2026-01").headers["Location"] == "/models/qwen-max"
    assert "qwen-max-2026-01" in client.get("/models/qwen-max").content.decode()


def test_a_model_that_retires_says_when_and_what_to_use_instead(client) -> None:
    Model.objects.filter(name="qwen-max").update(
        deprecated_at=datetime(2026, 10, 1, tzinfo=UTC),
        retires_at=datetime(2027, 1, 31, tzinfo=UTC),
        replacement="qwen-plus",
    )
    page = client.get("/models/qwen-max").content.decode()
    assert "It stops answering on 2027-01-31" in page
    assert 'href="/models/qwen-plus"' in page
    assert "Deprecated" in client.get("/models").content.decode()


def test_the_catalog_needs_no_cache(client, settings) -> None:
    backend = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {"default": backend}
    assert client.get("/models").status_code == 200
    assert client.get("/").status_code == 200


def test_an_unknown_or_disabled_model_is_a_404(client) -> None:
    Model.objects.filter(name="qwen-max").update(is_enabled=False)
    for path in ("/models/nobody", "/models/qwen-max", "/models/a/b"):
        assert client.get(path).status_code == 404


def test_pages_take_the_same_queries_with_a_month_of_measurements(
    client, django_assert_max_num_queries
) -> None:
    history.measure_models()
    factories.cast()
    with django_assert_max_num_queries(6):
        client.get("/models")
    with django_assert_max_num_queries(7):
        client.get("/models/qwen-plus")


def test_a_small_chart_begins_at_zero_and_has_gaps() -> None:
    day = datetime(2026, 11, 20, tzinfo=UTC).date()
    values = {day.replace(day=20 + n): value for n, value in enumerate((50.0, None, 100.0))}
    chart = sparks.draw(values, "{:.0f} ms".format, lambda _value: "c1")
    half, gap, whole = chart.columns
    assert (half.height, whole.height, gap.has_value) == ("24.0", "48.0", False)
    assert whole.tip == "2026-11-22: 100 ms"
    assert "nothing measured" in gap.tip
