import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import call_command

from billing import pricing
from providers import seed
from providers.models import Channel, Model, Price, PriceRate, Provider
from providers.usage import TokenUsage

pytestmark = pytest.mark.django_db

FIVE = ["qwen-turbo", "qwen-plus", "qwen-max", "deepseek-chat", "deepseek-reasoner"]
LOCAL_URL = "http://127.0.0.1:4001/v1"


@pytest.fixture
def local(settings):
    settings.LOCAL_FALLBACK = True
    settings.LOCAL_MODEL_URL = LOCAL_URL
    return settings


def _charge(name: str, usage: TokenUsage, at: datetime) -> int:
    price = Model.objects.get(name=name).prices.get()
    names = [f.name for f in PriceRate._meta.fields if f.name not in {"id", "price"}]
    rates = tuple(pricing.Rate(*row) for row in price.rates.values_list(*names))
    version = pricing.PriceVersion(price.pk, price.effective_at, rates)
    return pricing.charge(version, at, usage, pricing.MARKUP_NONE_PPM)


def _stand_ins() -> list[str]:
    rows = Channel.objects.filter(is_local_stand_in=True, is_enabled=True)
    return sorted(rows.values_list("model__name", flat=True))


def test_the_five_models_are_planted_in_order_with_their_makers() -> None:
    seed.plant({})
    assert list(Model.objects.values_list("name", flat=True)) == FIVE
    assert dict(Model.objects.values_list("name", "owned_by")) == {
        name: name.partition("-")[0] for name in FIVE
    }
    assert Model.objects.get(name="deepseek-chat").request_defaults == {
        "thinking": {"type": "disabled"}
    }
    assert Model.objects.get(name="deepseek-reasoner").request_defaults == {
        "thinking": {"type": "enabled"}
    }


def test_a_second_run_changes_nothing() -> None:
    assert seed.plant({"DASHSCOPE_API_KEY": "k"}) != []
    before = _everything()
    assert seed.plant({"DASHSCOPE_API_KEY": "k"}) == []
    assert _everything() == before


def _everything() -> list[list[Any]]:
    tables: tuple[Any, ...] = (Provider, Model, Price, PriceRate)
    return [list(table.objects.order_by("pk").values()) for table in tables]


def test_a_run_keeps_what_an_operator_has_changed() -> None:
    seed.plant({"DEEPSEEK_API_KEY": "k"})
    Model.objects.filter(name="qwen-max").update(is_enabled=False, context_tokens=5)
    PriceRate.objects.update(output_nanos=7)
    Channel.objects.update(base_url="http://127.0.0.1:9/v1", is_enabled=False, weight=9)
    assert seed.plant({"DEEPSEEK_API_KEY": "k"}) == []
    assert Model.objects.get(name="qwen-max").context_tokens == 5
    assert set(PriceRate.objects.values_list("output_nanos", flat=True)) == {7}
    assert set(Channel.objects.values_list("base_url", "is_enabled", "weight")) == {
        ("http://127.0.0.1:9/v1", False, 9)
    }


MILLION = 1_000_000
NIGHT = datetime(2026, 11, 23, 0, 30, tzinfo=UTC)  # a Monday, off-peak


@pytest.mark.parametrize(
    ("name", "nanos"),
    [
        ("qwen-turbo", (50_000_000, 10_000_000, 200_000_000, 500_000_000)),
        ("qwen-plus", (400_000_000, 80_000_000, 1_200_000_000, 4_000_000_000)),
        ("qwen-max", (1_600_000_000, 320_000_000, 6_400_000_000, 6_400_000_000)),
        ("deepseek-chat", (150_000_000, 3_000_000, 600_000_000, 600_000_000)),
        ("deepseek-reasoner", (150_000_000, 3_000_000, 600_000_000, 600_000_000)),
    ],
)
def test_a_million_tokens_cost_the_list_price(name: str, nanos: tuple[int, ...]) -> None:
    seed.plant({})
    usages = (
        TokenUsage(input=MILLION),
        TokenUsage(cached_input=MILLION),
        TokenUsage(output=MILLION),
        TokenUsage(reasoning_output=MILLION),
    )
    assert tuple(_charge(name, usage, NIGHT) for usage in usages) == nanos


@pytest.mark.parametrize(
    ("day", "hour", "minute", "is_peak"),
    [
        (23, 0, 59, False),
        (23, 1, 0, True),
        (23, 3, 59, True),
        (23, 4, 0, False),
        (23, 5, 59, False),
        (23, 6, 0, True),
        (27, 9, 59, True),
        (27, 10, 0, False),
        (28, 2, 0, False),
        (29, 7, 0, False),
    ],
)
def test_deepseek_costs_double_in_its_peak_hours(day, hour, minute, is_peak) -> None:
    seed.plant({})
    at = datetime(2026, 11, day, hour, minute, tzinfo=UTC)
    charges = [
        _charge("deepseek-chat", usage, at)
        for usage in (TokenUsage(input=1_000), TokenUsage(output=1_000))
    ]
    assert charges == ([300_000, 1_200_000] if is_peak else [150_000, 600_000])


def test_without_credentials_nothing_is_sent_anywhere() -> None:
    seed.plant({"DASHSCOPE_API_KEY": " "})
    assert not Channel.objects.exists()


def test_a_dashscope_credential_opens_the_qwen_models() -> None:
    seed.plant({"DASHSCOPE_API_KEY": "sk-1"})
    rows = Channel.objects.values_list("model__name", "upstream_model", "provider__adapter")
    assert sorted(rows) == [(name, name, "dashscope") for name in sorted(FIVE[:3])]
    channel = Channel.objects.first()
    assert channel is not None and channel.credential == "sk-1"
    assert channel.base_url == "https://dashscope.aliyuncs.com/compatible-mode/v1"


def test_a_deepseek_credential_opens_both_names_on_one_upstream_model() -> None:
    seed.plant({"DEEPSEEK_API_KEY": "sk-2"})
    rows = Channel.objects.values_list("model__name", "upstream_model", "provider__adapter")
    assert sorted(rows) == [(name, "deepseek-flash", "deepseek") for name in FIVE[3:]]


def test_a_new_credential_and_address_replace_the_old() -> None:
    seed.plant({"DASHSCOPE_API_KEY": "sk-1"})
    environment = {"DASHSCOPE_API_KEY": "sk-2", "DASHSCOPE_BASE_URL": "http://127.0.0.1:9/v1"}
    assert len(seed.plant(environment)) == 3
    assert {(c.credential, c.base_url) for c in Channel.objects.all()} == {
        ("sk-2", "http://127.0.0.1:9/v1")
    }
    assert seed.plant({}) == []  # run elsewhere, without it: nothing is closed
    assert Channel.objects.filter(is_enabled=True).count() == 3


def test_the_local_model_stands_in_for_all_five(local) -> None:
    seed.plant({})
    assert _stand_ins() == sorted(FIVE)
    own = Channel.objects.get(model__name="smollm2-135m")
    assert not own.is_local_stand_in and own.provider.slug == "local"


def test_a_stand_in_leaves_when_a_credential_comes(local) -> None:
    seed.plant({})
    seed.plant({"DASHSCOPE_API_KEY": "sk-1"})
    assert _stand_ins() == FIVE[3:]


def test_a_stand_in_comes_back_when_the_upstream_is_disabled(local) -> None:
    seed.plant({"DASHSCOPE_API_KEY": "sk-1"})
    Channel.objects.filter(model__name="qwen-max").update(is_enabled=False)
    seed.plant({})
    assert _stand_ins() == ["deepseek-chat", "deepseek-reasoner", "qwen-max"]


def test_local_channels_follow_the_servers_port(local) -> None:
    seed.plant({})
    local.LOCAL_MODEL_URL = "http://127.0.0.1:4002/v1"
    assert len(seed.plant({})) == 6
    assert set(Channel.objects.values_list("base_url", flat=True)) == {"http://127.0.0.1:4002/v1"}


def test_without_the_fallback_nothing_stands_in(local) -> None:
    seed.plant({})
    local.LOCAL_FALLBACK = False
    seed.plant({})
    assert _stand_ins() == []
    assert Channel.objects.get().model.name == "smollm2-135m"


def test_without_a_local_server_no_channel_leads_to_it(local) -> None:
    seed.plant({})
    local.LOCAL_MODEL_URL = ""
    seed.plant({})
    assert not Channel.objects.exists()


def test_the_command_prints_one_json_object_and_no_credential(capsys, monkeypatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-secret")
    call_command("seed_catalog", json=True)
    out = capsys.readouterr().out
    assert "sk-secret" not in out
    assert {row["model"] for row in json.loads(out)["channels"]} == set(FIVE[:3])
    call_command("seed_catalog")
    assert capsys.readouterr().out == "Nothing to do: the catalog is complete.\n"
