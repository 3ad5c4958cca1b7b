"""What usage cost upstream: exact to the nano, by the version and window of its start, once."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction

from billing import costs, proof, rollups
from billing.models import Archive, CostDay, OrganizationDay, UpstreamHour, UsageDay, UsageRecord
from providers import seed
from providers.models import Channel, Model, Provider, UpstreamPrice, UpstreamRate
from providers.usage import TokenUsage
from tests.billing import scenes

pytestmark = pytest.mark.django_db(transaction=True)

_OF_REQUESTS = ("usage", "status", "billing_reason", "held_nanos", "markup_ppm")
MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)  # a Wednesday


@pytest.fixture
def organization():
    return scenes.make_organization()


def _used(organization, **changes: Any) -> UsageRecord:
    """One request, whose record then says what `changes` do."""
    wanted = {name: changes.pop(name) for name in _OF_REQUESTS if name in changes}
    record = scenes.use(organization, **wanted)
    if changes:
        names = ", ".join(f"{name} = %s" for name in changes)
        with scenes.tampering("billing_usagerecord"):
            scenes.execute(
                f"UPDATE billing_usagerecord SET {names} WHERE id = %s",
                *changes.values(), record.pk,
            )  # fmt: skip
    return record


def _catch_up() -> None:
    scenes.wait_until_visible()
    rollups.roll_up()


def _price(
    provider: str, model: str, at: datetime, *rates: dict[str, int], channel: int | None = None
) -> UpstreamPrice:
    price = UpstreamPrice.objects.create(
        provider=provider, model=model, channel_id=channel, effective_at=at
    )
    for rate in rates:
        UpstreamRate.objects.create(price=price, **_rate(**rate))
    return price


def _rate(usd: int = 0, **more: int) -> dict[str, int]:
    """So many nanos per million tokens of every class."""
    nanos = usd * scenes.USD
    return {
        "input_nanos": nanos, "cached_input_nanos": nanos, "cache_write_nanos": nanos,
        "output_nanos": nanos, "reasoning_output_nanos": nanos, **more,
    }  # fmt: skip


def _costs_check() -> proof.Check:
    [check] = [one for one in proof.prove() if one.name == "costs"]
    return check


def test_a_request_costs_the_list_price_whatever_the_customer_pays(organization) -> None:
    _used(organization, markup_ppm=1_500_000)
    _catch_up()
    day = CostDay.objects.get()
    # 1,000 x 0.40 + 100 x 1.20 USD per million; the customer pays half as much again.
    assert (day.cost_nanos, day.charge_nanos) == (520_000, 780_000)
    assert (day.provider, day.model, day.channel_id) == ("alibaba", "qwen-plus", 0)
    assert (day.requests, day.errors, day.unrated, day.untold) == (1, 0, 0, 0)
    assert (day.input_tokens, day.output_tokens) == (1_000, 100)
    mine = OrganizationDay.objects.get()
    assert (mine.organization_id, mine.cost_nanos, mine.charge_nanos) == (
        organization.pk, 520_000, 780_000,
    )  # fmt: skip
    hour = UpstreamHour.objects.get()
    assert (hour.cost_nanos, hour.upstream_model) == (520_000, "qwen-plus")


def test_every_class_of_token_has_its_own_rate_and_a_part_of_a_nano_counts_whole(
    organization,
) -> None:
    usage = TokenUsage(input=7, cached_input=3, cache_write=2, output=5, reasoning_output=1)
    _used(organization, usage=usage, model="m", provider="p")
    _price("p", "m", MIDNIGHT - timedelta(900), {
        "input_nanos": 1_000_000, "cached_input_nanos": 100_000, "cache_write_nanos": 2_000_000,
        "output_nanos": 3_000_000, "reasoning_output_nanos": 4_500_001,
    })  # fmt: skip
    _catch_up()
    # 7,000,000 + 300,000 + 4,000,000 + 15,000,000 + 4,500,001 = 30,800,001 millionths: 31 nanos.
    assert CostDay.objects.get().cost_nanos == 31


@pytest.mark.parametrize(
    ("at", "nanos"),
    [
        (MIDNIGHT + timedelta(minutes=59, seconds=59), 1_000_000),  # before the window
        (MIDNIGHT + timedelta(hours=1), 2_000_000),  # its first minute
        (MIDNIGHT + timedelta(hours=3, minutes=59, seconds=59), 2_000_000),
        (MIDNIGHT + timedelta(hours=4), 1_000_000),  # its end is not in it
        (MIDNIGHT + timedelta(days=3, hours=1), 1_000_000),  # a Saturday
    ],
)
def test_a_weekly_window_is_that_of_the_start(organization, at, nanos) -> None:
    peak = {"usd": 2, "weekdays": 31, "start_minute": 60, "end_minute": 240}
    _price("p", "m", MIDNIGHT - timedelta(9), {"usd": 1}, peak)
    usage = TokenUsage(input=1_000)
    _used(organization, usage=usage, model="m", provider="p", started_at=at,
          charged_at=at + timedelta(hours=2))  # fmt: skip
    _catch_up()
    assert CostDay.objects.get().cost_nanos == nanos


@pytest.mark.parametrize(("prompt", "nanos"), [(99, 99_000), (100, 300_000)])
def test_a_longer_prompt_falls_into_its_tier(organization, prompt, nanos) -> None:
    _price("p", "m", MIDNIGHT - timedelta(9), {"usd": 1}, {"usd": 3, "context_tokens_min": 100})
    _used(
        organization, usage=TokenUsage(input=prompt), model="m", provider="p", started_at=MIDNIGHT
    )
    _catch_up()
    assert CostDay.objects.get().cost_nanos == nanos


def test_a_cost_that_changes_at_midnight_rates_each_request_by_its_start(organization) -> None:
    _price("p", "m", MIDNIGHT - timedelta(9), {"usd": 1})
    _price("p", "m", MIDNIGHT, {"usd": 5})
    usage = TokenUsage(input=1_000)
    last, first = MIDNIGHT - timedelta(microseconds=1), MIDNIGHT
    for start in (last, first):  # both are charged on the new day
        _used(organization, usage=usage, model="m", provider="p", started_at=start,
              charged_at=MIDNIGHT + timedelta(seconds=30))  # fmt: skip
    _catch_up()
    day = CostDay.objects.get()
    assert (day.day, day.requests, day.cost_nanos) == (MIDNIGHT.date(), 2, 6_000_000)
    hours = UpstreamHour.objects.order_by("hour").values_list("hour", "cost_nanos")
    assert list(hours) == [(MIDNIGHT - timedelta(hours=1), 1_000_000), (MIDNIGHT, 5_000_000)]


def test_a_channels_own_price_comes_before_its_providers(organization) -> None:
    _price("p", "m", MIDNIGHT - timedelta(9), {"usd": 1})
    _price("p", "m", MIDNIGHT, {"usd": 7}, channel=42)
    usage = TokenUsage(input=1_000)
    for channel, start in ((42, MIDNIGHT), (41, MIDNIGHT), (42, MIDNIGHT - timedelta(hours=1))):
        _used(organization, usage=usage, model="m", provider="p", channel_id=channel,
              started_at=start)  # fmt: skip
    _catch_up()
    found = dict(UpstreamHour.objects.filter(hour=MIDNIGHT).values_list("channel_id", "cost_nanos"))
    assert found == {42: 7_000_000, 41: 1_000_000}
    before = UpstreamHour.objects.get(hour=MIDNIGHT - timedelta(hours=1))
    assert before.cost_nanos == 1_000_000  # the channel's own had not begun


def test_what_no_version_covers_is_counted_and_never_taken_for_free(organization) -> None:
    _used(organization, provider="nobody")
    _used(organization, provider="alibaba", started_at=seed.PRICED_AT - timedelta(seconds=1))
    _used(organization)
    _catch_up()
    assert sum(CostDay.objects.values_list("unrated", flat=True)) == 2
    assert sum(CostDay.objects.values_list("cost_nanos", flat=True)) == 520_000


def test_what_nobody_pays_for_costs_all_the_same(organization) -> None:
    """A client that left is charged what it got; a loss is booked beside a charge: both cost."""
    poor = scenes.make_organization("Poor", credit_nanos=100_000)
    _used(poor, held_nanos=50_000)  # 520,000 charged: 100,000 paid, the rest operator_loss
    _used(organization, billing_reason="client_gone", usage=TokenUsage(input=500, output=10))
    channel = {"channel_id": 3, "provider": "alibaba"}
    _used(organization, billing_reason="client_gone_early", usage=TokenUsage(), **channel)
    _used(organization, billing_reason="upstream_failed", usage=TokenUsage(), status=502, **channel)
    _catch_up()
    rows = CostDay.objects.all()
    # 500 x 0.40 + 10 x 1.20 = 212 millionths of a USD for the client that left.
    assert sum(row.cost_nanos for row in rows) == 520_000 + 212_000
    assert sum(row.untold for row in rows) == 1
    assert sum(row.errors for row in rows) == 1
    assert {row.unrated for row in rows} == {0}


def test_each_record_is_rated_once_and_the_sums_agree_with_usage(organization) -> None:
    for _ in range(3):
        _used(organization)
        _catch_up()
    rollups.roll_up()
    assert CostDay.objects.get().cost_nanos == 3 * 520_000
    usage = UsageDay.objects.get()
    assert (usage.requests, usage.charge_nanos) == (3, CostDay.objects.get().charge_nanos)


def test_many_keys_are_written_in_parts(organization, monkeypatch) -> None:
    monkeypatch.setattr(costs, "_KEYS_MAX", 1)
    for channel in (1, 2, 1):
        _used(organization, channel_id=channel)
    _catch_up()
    assert dict(CostDay.objects.values_list("channel_id", "requests")) == {1: 2, 2: 1}


def test_an_hour_remembers_what_the_channel_called_the_model(organization) -> None:
    seed.plant({})
    channel = Channel.objects.create(
        provider=Provider.objects.get(slug="deepseek"),
        model=Model.objects.get(name="deepseek-chat"),
        base_url="https://example.com",
        upstream_model="deepseek-flash",
    )
    _used(organization, provider="deepseek", model="deepseek-chat", channel_id=channel.pk)
    _catch_up()
    channel.upstream_model = "another"
    channel.save()
    assert UpstreamHour.objects.get().upstream_model == "deepseek-flash"
    assert _costs_check().is_ok


def test_a_version_cannot_be_edited_or_deleted() -> None:
    price = _price("p", "m", MIDNIGHT, {"usd": 1})
    for attempt in (
        lambda: UpstreamPrice.objects.update(effective_at=MIDNIGHT + timedelta(1)),
        lambda: UpstreamRate.objects.update(input_nanos=0),
        lambda: UpstreamRate.objects.all().delete(),
        lambda: UpstreamPrice.objects.filter(pk=price.pk)._raw_delete("default"),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            attempt()
    assert UpstreamRate.objects.get().input_nanos == scenes.USD


def test_the_same_version_twice_is_refused() -> None:
    _price("p", "m", MIDNIGHT)
    with pytest.raises(IntegrityError), transaction.atomic():
        _price("p", "m", MIDNIGHT)


# --- the proof ----------------------------------------------------------------------------------


def test_the_proof_rates_every_record_again(organization) -> None:
    _used(organization)
    _used(organization, provider="nobody")
    _catch_up()
    check = _costs_check()
    assert (check.is_ok, check.checked) == (True, 2)


@pytest.mark.parametrize(
    "change",
    [
        "costday SET cost_nanos = cost_nanos + 1",
        "costday SET input_tokens = input_tokens - 1",
        "organizationday SET cost_nanos = cost_nanos - 1",
        "upstreamhour SET requests = requests + 1",
    ],
)
def test_the_proof_finds_one_nano(organization, change) -> None:
    _used(organization)
    _catch_up()
    scenes.execute(f"UPDATE billing_{change}")
    check = _costs_check()
    assert check.offenders == 1
    assert "recomputed" in check.first[0]


def test_the_proof_finds_rows_too_many_and_too_few(organization) -> None:
    _used(organization)
    _catch_up()
    CostDay.objects.all().delete()
    OrganizationDay.objects.create(
        organization_id=77, day=date.today(), month=date.today().replace(day=1), requests=1
    )
    assert _costs_check().offenders == 2


def test_verify_costs_recomputes_a_day(organization, capsys) -> None:
    _used(organization)
    _catch_up()
    today = datetime.now(UTC).date()
    call_command("verify_costs", "--day", today.isoformat(), "--json")
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["differences"]) == (True, 0)
    CostDay.objects.update(cost_nanos=1)
    with pytest.raises(SystemExit):
        call_command("verify_costs", "--day", today.isoformat(), "--json")
    answer = json.loads(capsys.readouterr().out)
    assert "cost_nanos 1, recomputed 520000" in answer["first"][0]
    yesterday = (today - timedelta(1)).isoformat()
    call_command("verify_costs", "--day", yesterday)  # nothing wrong there


def test_a_first_price_that_came_late_rates_what_was_unrated(organization) -> None:
    _used(organization, provider="p", model="m", usage=TokenUsage(input=1_000))
    _catch_up()
    assert CostDay.objects.get().unrated == 1
    _price("p", "m", MIDNIGHT - timedelta(900), {"usd": 1})
    assert not _costs_check().is_ok
    call_command("rebuild_rollups", "--costs")
    day = CostDay.objects.get()
    assert (day.unrated, day.cost_nanos, day.requests) == (0, 1_000_000, 1)
    assert _costs_check().is_ok
    _used(organization)
    _catch_up()
    assert _costs_check().is_ok


def test_a_rebuild_rates_all_records_anew_and_keeps_archived_months(organization) -> None:
    _used(organization)
    _catch_up()
    archived = date(2026, 1, 1)
    Archive.objects.create(month=archived, transfers=0, usage_records=0, manifest={})
    CostDay.objects.create(day=archived, month=archived, model="old", requests=5, cost_nanos=9)
    CostDay.objects.filter(model="qwen-plus").update(cost_nanos=0)
    assert rollups.rebuild() == 1
    kept = dict(CostDay.objects.values_list("model", "cost_nanos"))
    assert kept == {"old": 9, "qwen-plus": 520_000}
    assert _costs_check().is_ok


def test_an_id_without_a_time_is_rated_as_any_other(organization) -> None:
    """Such rows lie in the default partition."""
    record = _used(organization)
    with scenes.tampering("billing_usagerecord"):
        scenes.execute(
            "UPDATE billing_usagerecord SET id = 'ffffffff-ffff-4fff-8fff-ffffffffffff'"
            " WHERE id = %s", record.pk,
        )  # fmt: skip
    _catch_up()
    assert CostDay.objects.get().month == costs.LAST_MONTH
    assert _costs_check().is_ok
    CostDay.objects.update(cost_nanos=0)
    assert _costs_check().offenders == 1
