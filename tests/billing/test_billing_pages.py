"""Billing's pages by everybody of the cast: paying in, cards, limits, history, details."""

import csv
import io
from datetime import date, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from accounts import organizations
from accounts.models import AuditEntry
from billing import countries, history, invoice_issue, ledger, thresholds
from billing.models import (
    Account,
    AutoTopUp,
    BillingDetails,
    Invoice,
    Issuer,
    OrderState,
    PaymentOrder,
    SpendAlert,
    TransferKind,
    UsageDay,
)
from billing.payments import codes, customers, events, gateways, orders
from billing.payments.gateway import Unavailable
from billing.payments.messages import Paid, Received
from tests import factories
from tests.billing.payments.till import FakeGateway

pytestmark = pytest.mark.django_db

BANK = {"bank": "billing.payments.bank_transfer.BankTransfer"}
FAKE = {"fake": "tests.billing.payments.till.FakeGateway"}


@pytest.fixture
def cast():
    cache.clear()
    return factories.cast()


@pytest.fixture
def alice(client, cast):
    client.force_login(cast.alice)
    return client


@pytest.fixture
def bank(settings: Any) -> None:
    settings.PAYMENT_GATEWAYS = BANK
    settings.BANK_DETAILS = "Example Bank\nIBAN XX00 1234"


@pytest.fixture
def fake(settings: Any) -> type[FakeGateway]:
    settings.PAYMENT_GATEWAYS = FAKE
    FakeGateway.reset()
    return FakeGateway


def text(answer: Any) -> str:
    return str(answer.content.decode())


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))


# --- topping up -------------------------------------------------------------------------------


def test_without_a_provider_the_page_says_whom_to_ask(alice, settings):
    settings.PAYMENT_GATEWAYS = {}
    page = text(alice.get("/billing/top-up"))
    assert "No payment provider is configured" in page
    assert 'name="amount"' not in page
    assert alice.post("/billing/top-up", {"amount": "25", "provider": "bank"}).status_code == 422
    assert not PaymentOrder.objects.exists()
    assert "Cards are not taken here" in text(alice.get("/billing/payment"))


def test_a_bank_transfer_is_ordered_explained_and_canceled(alice, bank):
    answer = alice.post("/billing/top-up", {"amount": "250.50", "provider": "bank"}, follow=True)
    order = PaymentOrder.objects.get()
    assert (order.amount_minor, order.state) == (25_050, OrderState.PENDING)
    for words in (order.reference, "$250.50", "IBAN XX00 1234"):
        assert words in text(answer)
    assert order.reference in text(alice.get("/billing"))
    assert "js.stripe.com" not in answer.headers["Content-Security-Policy"]
    alice.post(f"/billing/top-up/{order.reference}/cancel")
    order.refresh_from_db()
    assert order.state == OrderState.CANCELED
    assert actions()[-2:] == ["top_up.started", "top_up.canceled"]


def test_a_paid_top_up_says_that_it_is_on_the_balance(alice, fake, cast):
    alice.post("/billing/top-up", {"amount": "25", "provider": "fake"})
    order = PaymentOrder.objects.get()
    path = f"/billing/top-up/{order.reference}"
    assert f"secret_{order.reference}" in text(alice.get(path))
    back = alice.get(path, {"redirect_status": "succeeded"})
    assert "being confirmed" in text(back)
    assert back.headers["Refresh"]
    told = Paid(f"pay_{order.reference}", order.reference, 2_500, "usd")
    events.process(events.record("fake", Received("evt_1", told)).pk)
    paid = alice.get(path, {"redirect_status": "succeeded"})
    assert "$25.00 is on your balance" in text(paid)
    assert "Refresh" not in paid.headers
    assert f"Fake payment {order.reference}" in text(alice.get("/billing/history"))


@pytest.mark.parametrize(
    "form",
    [
        {"amount": "4.99", "provider": "bank"},
        {"amount": "10000.01", "provider": "bank"},
        {"amount": "25.001", "provider": "bank"},
        {"amount": "-25", "provider": "bank"},
        {"amount": "NaN", "provider": "bank"},
        {"amount": "1e3000", "provider": "bank"},
        {"amount": "25", "provider": "paypal"},
        {"amount": "25"},
    ],
)
def test_a_form_that_makes_no_sense_is_shown_again_with_what_is_wrong(alice, bank, form):
    answer = alice.post("/billing/top-up", form)
    assert answer.status_code == 422
    assert 'class="error"' in text(answer) or "note-bad" in text(answer)
    assert not PaymentOrder.objects.exists()


def test_a_suspended_organization_cannot_top_up(alice, bank, cast):
    organizations.suspend(cast.organization)
    answer = alice.post("/billing/top-up", {"amount": "25", "provider": "bank"})
    assert answer.status_code == 422
    assert not PaymentOrder.objects.exists()


def test_top_ups_are_rate_limited(alice, bank):
    """Twenty an hour: forty where the hour is over in between."""
    form = {"amount": "1", "provider": "bank"}
    statuses = [alice.post("/billing/top-up", form).status_code for _ in range(41)]
    assert statuses[:20] == [422] * 20
    assert statuses[-1] == 429


def test_stripes_script_is_allowed_on_the_page_that_pays_and_nowhere_else(
    alice, settings, cast, monkeypatch
):
    settings.PAYMENT_GATEWAYS = {"stripe": "billing.payments.stripe_gateway.StripeGateway"}
    settings.STRIPE_SECRET_KEY, settings.STRIPE_PUBLISHABLE_KEY = "sk_test_x", "pk_test_x"
    monkeypatch.setattr(
        "billing.payments.stripe_gateway.StripeGateway.create_intent",
        lambda *_: FakeGateway().create_intent(PaymentOrder.objects.get(), ""),
    )
    monkeypatch.setattr(
        "billing.payments.stripe_gateway.StripeGateway.create_customer", lambda *_: "cus_1"
    )
    alice.post("/billing/top-up", {"amount": "25", "provider": "stripe"})
    pay = alice.get(f"/billing/top-up/{PaymentOrder.objects.get().reference}")
    policy = pay.headers["Content-Security-Policy"]
    assert "script-src 'self' https://js.stripe.com" in policy
    assert "https://api.stripe.com" in policy
    assert "unsafe-inline" not in policy
    assert 'src="https://js.stripe.com/v3/"' in text(pay)
    for path in ("/billing", "/billing/top-up", "/billing/limits"):
        answer = alice.get(path)
        assert "stripe" not in answer.headers["Content-Security-Policy"]
        assert "js.stripe.com" not in text(answer)


def test_a_provider_that_is_away_is_said_so_and_nothing_is_lost(alice, fake, monkeypatch):
    def away(*_: object) -> None:
        raise Unavailable("no")

    alice.post("/billing/top-up", {"amount": "25", "provider": "fake"})
    monkeypatch.setattr(FakeGateway, "create_intent", away)
    monkeypatch.setattr(FakeGateway, "saved_methods", away)
    path = f"/billing/top-up/{PaymentOrder.objects.get().reference}"
    answer = alice.get(path)
    assert answer.status_code == 503
    assert "cannot be reached" in text(answer)
    customers.find_or_create(PaymentOrder.objects.get().organization, gateways.get("fake"))
    assert "cannot be listed now" in text(alice.get("/billing/payment"))


# --- codes --------------------------------------------------------------------------------------


def test_a_code_is_redeemed_once_on_its_page(alice, cast):
    (code,) = codes.create(1, 7 * factories.USD, batch="launch")
    before = Account.objects.get(organization=cast.organization).balance_nanos
    assert "$7.00 is on your balance" in text(
        alice.post("/billing/redeem", {"code": code.lower()}, follow=True)
    )
    again = alice.post("/billing/redeem", {"code": code})
    assert again.status_code == 422
    assert "not valid" in text(again)
    after = Account.objects.get(organization=cast.organization).balance_nanos
    assert after - before == 7 * factories.USD
    assert actions()[-1] == "code.redeemed"
    assert code not in str(AuditEntry.objects.values())


def test_guessing_codes_ends_in_429(alice):
    """Ten a minute: twenty where the minute is over in between."""
    statuses = [
        alice.post("/billing/redeem", {"code": f"AAAA-AAAA-AAAA-{n:04}"}).status_code
        for n in range(21)
    ]
    assert statuses[:10] == [422] * 10
    assert statuses[-1] == 429


# --- cards and automatic top-up ---------------------------------------------------------------

AUTO = {"threshold_nanos": "10", "amount_minor": "25", "cap_minor": "100", "method_id": "pm_1"}


def test_automatic_top_up_is_set_shown_and_switched_off(alice, fake, cast):
    customers.find_or_create(cast.organization, gateways.get("fake"))
    assert "Visa …4242" in text(alice.get("/billing/payment"))
    assert alice.post("/billing/payment", AUTO).status_code == 302
    row = AutoTopUp.objects.get()
    assert (row.threshold_nanos, row.amount_minor, row.cap_minor) == (10**10, 2_500, 10_000)
    assert (row.is_on, row.method_label) == (True, "Visa …4242")
    assert "Visa …4242" in text(alice.get("/billing"))
    assert 'value="100.00"' in text(alice.get("/billing/payment"))
    alice.post("/billing/payment/automatic-off")
    assert not AutoTopUp.objects.get().is_on
    assert actions()[-2:] == ["auto_top_up.set", "auto_top_up.stopped"]


@pytest.mark.parametrize(
    "change",
    [
        {"method_id": "pm_of_somebody_else"},
        {"cap_minor": "24.99"},
        {"amount_minor": "1"},
        {"threshold_nanos": "-1"},
        {"threshold_nanos": "10000000000"},
    ],
)
def test_automatic_top_up_refuses_what_makes_no_sense(alice, fake, cast, change):
    customers.find_or_create(cast.organization, gateways.get("fake"))
    assert alice.post("/billing/payment", {**AUTO, **change}).status_code == 422
    assert not AutoTopUp.objects.exists()


def test_only_ones_own_card_is_removed(alice, fake, cast):
    customers.find_or_create(cast.organization, gateways.get("fake"))
    alice.post("/billing/payment/cards/remove", {"method": "pm_of_somebody_else"})
    assert fake.calls == []
    alice.post("/billing/payment/cards/remove", {"method": "pm_1"})
    assert fake.calls == [("forget_method", "pm_1")]


def test_a_card_form_is_asked_for_by_post_only(alice, fake):
    assert alice.get("/billing/payment/cards/new").status_code == 302
    assert alice.post("/billing/payment/cards/new").status_code == 200


# --- limits -------------------------------------------------------------------------------------


def test_alerts_are_added_and_removed(alice, cast):
    alice.post("/billing/limits", {"threshold_nanos": "50"})
    alert = SpendAlert.objects.get()
    assert alert.threshold_nanos == 50 * factories.USD
    assert "$50.00" in text(alice.get("/billing/limits"))
    alice.post(f"/billing/limits/alerts/{alert.pk}/remove")
    assert not SpendAlert.objects.exists()
    assert actions()[-2:] == ["spend_alert.added", "spend_alert.removed"]


@pytest.mark.parametrize("typed", ["0", "-1", "x", "1000001", ""])
def test_an_alert_that_makes_no_sense_is_refused(alice, typed):
    assert alice.post("/billing/limits", {"threshold_nanos": typed}).status_code == 422
    assert not SpendAlert.objects.exists()


def test_a_sixth_alert_is_refused_with_words(alice, cast):
    for usd in range(1, thresholds.ALERTS_MAX + 1):
        thresholds.add_alert(cast.organization, usd * factories.USD)
    answer = alice.post("/billing/limits", {"threshold_nanos": "50"})
    assert answer.status_code == 422
    assert "Remove one first" in text(answer)


# --- history ------------------------------------------------------------------------------------


def test_the_history_pages_by_cursor_and_misses_nothing(alice, cast):
    wallet = Account.objects.get(organization=cast.organization)
    for n in range(1, 131):
        ledger.credit(wallet, n, kind=TransferKind.ADJUSTMENT, reason=f"n{n}")
    today = timezone.now().date()
    for back in range(40):
        UsageDay.objects.create(
            organization_id=cast.organization.pk, model="qwen-plus", requests=1,
            day=today - timedelta(days=back), charge_nanos=back + 1,
        )  # fmt: skip
    seen: list[history.Entry] = []
    query: dict[str, str] = {}
    for _ in range(9):
        answer = alice.get("/billing/history", query)
        seen += answer.context["page"].entries
        if not answer.context["older"]:
            break
        query = {"before": answer.context["older"]}
    assert len(seen) == 130 + 1 + 40  # the welcome credit too
    assert len({one.position for one in seen}) == len(seen)
    positions = [one.position for one in seen]
    assert positions == sorted(positions, reverse=True)
    assert [one.usage_day for one in seen if one.usage_day] == [
        today - timedelta(days=back) for back in range(40)
    ]


def test_a_reason_that_only_repeats_the_kind_is_not_shown_in_another_language(alice, cast):
    wallet = ledger.open_wallet(cast.organization)
    ledger.credit(wallet, 1_000_000, kind=TransferKind.WELCOME, reason="Welcome credit")
    answer = alice.get("/billing/history", headers={"accept-language": "zh-hans"})
    assert "欢迎赠金" in text(answer)
    assert "Welcome credit" not in text(answer)


def test_the_csv_is_exact_and_runs_no_formula(alice, cast):
    wallet = Account.objects.get(organization=cast.organization)
    ledger.credit(wallet, 1, kind=TransferKind.ADJUSTMENT, reason="=cmd()")
    ledger.debit(wallet, 10**9, kind=TransferKind.PLAN_FEE, reason="fee")
    answer = alice.get("/billing/history.csv")
    body = b"".join(answer).decode()
    rows = list(csv.DictReader(io.StringIO(body)))
    assert [(row["what"], row["in_usd"], row["out_usd"]) for row in rows] == [
        ("Plan fee", "", "1.00"),
        ("Adjustment", "0.000000001", ""),
        ("Welcome credit", "1.00", ""),
    ]
    assert rows[1]["note"] == "'=cmd()"
    assert "attachment" in answer.headers["Content-Disposition"]


def test_a_cursor_of_nonsense_is_the_first_page(alice):
    for text_ in ("x", "0" * 99, "\0", "-1"):
        assert alice.get("/billing/history", {"before": text_}).status_code == 200


def test_invoices_page_by_month(alice, cast):
    issuer = Issuer.default()
    for number in range(1, 31):
        month = (timezone.now().date().replace(day=1) - timedelta(days=31 * number)).replace(day=1)
        Invoice.objects.create(
            number=number,
            organization=cast.organization,
            month=month,
            total_nanos=number,
            total_minor=0,
            issuer=issuer,
        )
    first = alice.get("/billing/invoices")
    rest = alice.get("/billing/invoices", {"before": first.context["older"]})
    numbers = [one.number for one in [*first.context["invoices"], *rest.context["invoices"]]]
    assert numbers == list(range(1, 31))
    assert rest.context["older"] is None


# --- details ------------------------------------------------------------------------------------

DETAILS = {"company": "Acme GmbH", "line_1": "Hauptstr. 1", "postal_code": "10115",
           "city": "Berlin", "country": "DE", "vat_id": "de 123 456 789"}  # fmt: skip


def test_billing_details_are_kept_clean_and_stand_on_invoices(alice, cast):
    assert alice.post("/billing/details", DETAILS).status_code == 302
    row = BillingDetails.objects.get()
    assert (row.company, row.vat_id) == ("Acme GmbH", "DE123456789")
    invoice_issue.issue(
        date(2026, 1, 1), timezone.now(), [invoice_issue.Group(cast.organization.pk)]
    )
    invoice = Invoice.objects.get()
    page = text(alice.get(f"/billing/invoices/{invoice.number}"))
    for words in ("Acme GmbH", "10115 Berlin", "Germany", "DE123456789"):
        assert words in page
    assert alice.post("/billing/details", {"company": "Other"}).status_code == 302
    assert BillingDetails.objects.get().vat_id == ""
    assert actions()[-1] == "billing_details.changed"


@pytest.mark.parametrize(
    "change",
    [{"vat_id": "DE12345678"}, {"country": ""}, {"country": "XX"}, {"company": "x" * 121}],
)
def test_details_that_make_no_sense_are_refused(alice, change):
    assert alice.post("/billing/details", {**DETAILS, **change}).status_code == 422
    assert not BillingDetails.objects.exists()


@pytest.mark.parametrize(
    ("country", "typed", "clean"),
    [
        ("DE", "DE 123.456.789", "DE123456789"),
        ("DE", "123456789", "DE123456789"),
        ("GR", "EL123456789", "EL123456789"),
        ("NL", "nl123456789b01", "NL123456789B01"),
        ("FR", "FRXX123456789", "FRXX123456789"),
        ("CH", "CHE-123.456.789 MWST", "CHE123456789MWST"),
        ("GB", "GB123456789", "GB123456789"),
        ("SG", "200312345A", "200312345A"),
        ("BR", "12.345.678/0001-95", "12345678000195"),
    ],
)
def test_a_vat_number_is_read_as_people_type_it(country, typed, clean):
    assert countries.clean_vat(country, typed) == clean


@pytest.mark.parametrize(
    ("country", "typed"),
    [("DE", "AT123456789"), ("AT", "U1234567"), ("IT", "١٢٣٤٥٦٧٨٩٠١"), ("US", "<b>"), ("BR", "")],
)
def test_what_is_no_vat_number_is_refused(country, typed):
    with pytest.raises(countries.NotVat):
        countries.clean_vat(country, typed)


def test_charlie_sees_no_order_and_changes_nothing_of_alices(client, cast, bank):
    order = orders.place(cast.organization, gateways.get("bank"), 2_500)
    client.force_login(cast.charlie)
    assert client.get(f"/billing/top-up/{order.reference}").status_code == 404
    assert client.post(f"/billing/top-up/{order.reference}/cancel").status_code == 404
    alert = thresholds.add_alert(cast.organization, factories.USD)
    assert client.post(f"/billing/limits/alerts/{alert.pk}/remove").status_code == 404
    order.refresh_from_db()
    assert order.state == OrderState.OPEN
