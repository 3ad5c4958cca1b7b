"""Upstreams' bills in the admin: uploaded, checked, compared, accepted, by those who may."""

from datetime import UTC, datetime

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from accounts.models import AuditEntry
from billing.bills import imports, sheets
from billing.bills.imports import Terms
from billing.models import UpstreamBill
from gateway import operations
from providers import seed
from providers.models import Channel, Model, Provider, UpstreamPrice
from tests import books
from tests.billing.bills import files
from tests.operators.conftest import allow, signed_in

pytestmark = pytest.mark.django_db
ADD = reverse("admin:billing_upstreambill_add")
NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
USED = {"metered": 1, "input_tokens": 400, "cached_input_tokens": 600, "output_tokens": 100,
        "cost_nanos": 121_800}  # fmt: skip


@pytest.fixture(autouse=True)
def _catalog(db):
    seed.plant({})


def _upload(client, data: bytes, **facts):
    file = SimpleUploadedFile("amount-2026-11.csv", data, "text/csv")
    return client.post(ADD, {"provider": "deepseek", "file": file, **facts}, follow=True)


def _bill(data: bytes = b"") -> UpstreamBill:
    return imports.run("deepseek", "a.csv", data or files.deepseek_amounts(), Terms())[0]


def _page(bill: UpstreamBill, name: str = "change") -> str:
    return reverse(f"admin:billing_upstreambill_{name}", args=[bill.pk])


def test_a_file_is_uploaded_and_its_comparison_shown(olga):
    books.hour(NOON, **USED)
    answer = _upload(signed_in(olga), files.deepseek_amounts())
    bill = UpstreamBill.objects.get()
    assert answer.redirect_chain == [(_page(bill), 302)]
    assert bill.imported_by == olga
    text = answer.content.decode()
    for words in ("Imported and compared.", "Reconciled", "deepseek-flash", "$0.000122"):
        assert words in text, words
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.actor_email) == ("bill.imported", "olga@example.com")


def test_the_same_file_again_leads_to_its_bill(olga):
    client = signed_in(olga)
    _upload(client, files.deepseek_amounts())
    answer = _upload(client, files.deepseek_amounts())
    assert "This file is here already." in answer.content.decode()
    assert UpstreamBill.objects.count() == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (files.csv(files.COST, "u,2026-11-03,m,Paid,=1+1,USD"), "row 2: cost is"),
        (files.csv("a,b", "1,2"), "columns are no bill"),
        (b"\x00" * 50, "NUL bytes"),
        (b"", "empty"),
    ],
)
def test_what_is_no_bill_is_refused_beside_the_field(olga, data, words):
    answer = _upload(signed_in(olga), data)
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not UpstreamBill.objects.exists()


def test_a_file_too_large_is_refused_unread(olga, monkeypatch):
    monkeypatch.setattr(sheets, "BYTES_MAX", 100)
    answer = _upload(signed_in(olga), files.deepseek_amounts())
    assert "It is larger than 0 MB." in answer.content.decode()


def test_names_in_a_file_are_text_on_the_page(olga):
    data = files.csv("day,model,cost", '2026-11-03,"<script>alert(1)</script>",5')
    text = _upload(signed_in(olga), data).content.decode()
    assert "<script>alert" not in text
    assert "&lt;script&gt;" in text


def test_drift_waits_on_the_front_page_until_it_is_accepted(olga):
    bill = _bill(files.csv("day,model,cost", "2026-11-03,m,250"))
    client = signed_in(olga)
    assert operations.read().waiting["bills"] == 1
    text = client.get(_page(bill)).content.decode()
    for words in ("1 day and model is further apart", "Missing here", "$250.00", "−$250.00"):
        assert words in text, words
    answer = client.post(_page(bill, "accept"), {"note": "Their credit comes."}, follow=True)
    assert "Their credit comes." in answer.content.decode()
    assert AuditEntry.objects.latest("id").action == "bill.accepted"
    bill.refresh_from_db()
    assert bill.accepted_at is not None


def test_a_drift_is_not_accepted_without_a_reason(olga):
    bill = _bill(files.csv("day,model,cost", "2026-11-03,m,250"))
    client = signed_in(olga)
    assert client.get(_page(bill, "accept")).status_code == 405
    client.post(_page(bill, "accept"), {"note": ""})
    bill.refresh_from_db()
    assert bill.accepted_at is None


def test_what_differs_is_said_by_class(olga):
    books.hour(NOON, **USED | {"output_tokens": 150})
    text = signed_in(olga).get(_page(_bill())).content.decode()
    assert "150 here, 100 billed (50)" in text


def test_each_act_needs_its_permission(stan):
    bill = _bill()
    client = signed_in(stan)
    lists = reverse("admin:billing_upstreambill_changelist")
    for path in (lists, _page(bill), ADD):
        assert client.get(path).status_code == 403, path
    assert _upload(client, files.deepseek_amounts("2026-11-04")).status_code == 403
    assert client.post(_page(bill, "accept"), {"note": "x"}).status_code == 403
    assert UpstreamBill.objects.count() == 1
    allow(stan, "view_upstreambill")
    assert client.get(lists).status_code == 200
    assert client.get(_page(bill)).status_code == 200
    assert client.get(ADD).status_code == 403
    assert client.post(_page(bill, "accept"), {"note": "x"}).status_code == 403
    allow(stan, "add_upstreambill")
    client = signed_in(stan)
    assert client.get(ADD).status_code == 200
    assert (
        client.post(reverse("admin:billing_upstreambill_delete", args=[bill.pk])).status_code == 403
    )


def test_a_customer_gets_nowhere(client, django_user_model):
    charlie = django_user_model.objects.create_user("charlie@example.com", "secret")
    client.force_login(charlie)
    for path in (ADD, _page(_bill()), _page(_bill(), "accept")):
        assert client.get(path).status_code == 302


# --- what upstreams charge ----------------------------------------------------------------------

COST = reverse("admin:providers_upstreamprice_add")


def _price(client, at: str, **facts):
    day, _, moment = at.partition(" ")
    rate = {f"rates-0-{name}_nanos": "5" for name in
            ("input", "cached_input", "cache_write", "output", "reasoning_output")}  # fmt: skip
    return client.post(COST, {
        "provider": "alibaba", "model": "qwen-plus", "channel_id": "", "note": "",
        "effective_at_0": day, "effective_at_1": moment, "rates-TOTAL_FORMS": "1",
        "rates-INITIAL_FORMS": "0", "rates-0-context_tokens_min": "0",
        "rates-0-start_minute": "00:00", "rates-0-end_minute": "24:00", **rate, **facts,
    }, follow=True)  # fmt: skip


def test_a_new_cost_begins_later_and_is_written_down(olga):
    client = signed_in(olga)
    answer = _price(client, "2030-01-01 00:00:00")
    assert answer.status_code == 200
    price = UpstreamPrice.objects.get(effective_at__year=2030)
    assert price.rates.get().output_nanos == 5_000_000_000
    assert AuditEntry.objects.latest("id").action == "catalog.added"
    change = reverse("admin:providers_upstreamprice_change", args=[price.pk])
    assert client.post(change, {"note": "x"}).status_code == 403


def test_a_cost_never_begins_before_now_but_the_first(olga):
    client = signed_in(olga)
    assert "It begins later than now" in _price(client, "2026-01-02 00:00:00").content.decode()
    Provider.objects.create(slug="third", name="Third")
    answer = _price(client, "2026-01-02 00:00:00", provider="third")
    assert "rebuild_rollups --costs" in answer.content.decode()
    assert UpstreamPrice.objects.filter(provider="third").count() == 1


def test_a_channels_cost_is_of_its_own_provider_and_model(olga):
    channel = Channel.objects.create(
        provider=Provider.objects.get(slug="deepseek"), base_url="https://example.com",
        model=Model.objects.get(name="deepseek-chat"), upstream_model="deepseek-flash",
    )  # fmt: skip
    answer = _price(signed_in(olga), "2030-01-01 00:00:00", channel_id=str(channel.pk))
    assert "another provider" in answer.content.decode()


def test_staff_without_the_permission_sets_no_cost(stan):
    assert _price(signed_in(stan), "2030-01-01 00:00:00").status_code == 403
