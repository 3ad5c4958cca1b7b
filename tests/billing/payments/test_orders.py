"""Orders, the bank, and the operator's commands around them."""

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing import ledger, proof
from billing.models import (
    Account,
    EventState,
    OrderState,
    PaymentEvent,
    PaymentOrder,
    RedeemCode,
    TransferKind,
)
from billing.payments import codes, gateways, orders
from tests.billing import scenes
from tests.stack import PROJECT


@pytest.fixture
def bank(settings: Any) -> Any:
    settings.PAYMENT_GATEWAYS = {"bank": "billing.payments.bank_transfer.BankTransfer"}
    settings.BANK_DETAILS = "Example Bank\nAccount 1234"
    return gateways.get("bank")


@pytest.fixture
def order(organization: Any, bank: Any) -> PaymentOrder:
    made = orders.place(organization, bank, 25_000)
    orders.start(made)
    return made


def manage(*arguments: str) -> Any:
    out = io.StringIO()
    call_command(*arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def balance(organization: Any) -> int:
    return Account.objects.get(organization=organization).balance_nanos


def test_a_bank_transfer_waits_and_is_credited_once_when_it_is_confirmed(order, organization):
    assert order.state == OrderState.PENDING
    for _ in range(2):
        answer = manage("confirm_payment", order.reference.lower(), "250", "--statement", "B-17")
        assert answer["amount_usd"] == "250.00"
    assert balance(organization) == 250 * scenes.USD
    assert all(one.is_ok for one in proof.prove())


def test_a_confirmed_amount_that_is_not_the_orders_is_parked(order, organization):
    with pytest.raises(CommandError, match="not credited"):
        manage("confirm_payment", order.reference, "249.99", "--statement", "B-17")
    assert balance(organization) == 0
    manage("confirm_payment", order.reference, "250", "--statement", "B-18")
    assert balance(organization) == 250 * scenes.USD


def test_one_entry_of_a_statement_pays_one_order(order, organization, bank):
    other = orders.place(organization, bank, 25_000)
    manage("confirm_payment", order.reference, "250", "--statement", "B-17")
    with pytest.raises(CommandError, match=order.reference):
        manage("confirm_payment", other.reference, "250", "--statement", "B-17")
    assert balance(organization) == 250 * scenes.USD


def test_a_transfer_that_arrives_after_it_was_given_up_is_still_credited(order, organization):
    assert orders.cancel(order)
    manage("confirm_payment", order.reference, "250", "--statement", "B-17")
    assert balance(organization) == 250 * scenes.USD


def test_a_bank_refund_is_booked_when_the_operator_says_so(order, organization):
    manage("confirm_payment", order.reference, "250", "--statement", "B-17")
    answer = manage("refund_payment", order.reference, "100")
    assert answer["refunded_cents"] == 10_000
    manage("refund_payment", order.reference, "100")
    assert balance(organization) == 50 * scenes.USD
    for amount in ("50.01", "0.001"):
        with pytest.raises(CommandError):
            manage("refund_payment", order.reference, amount)
    ledger.debit(
        Account.objects.get(organization=organization),
        30 * scenes.USD,
        kind=TransferKind.PLAN_FEE,
    )
    with pytest.raises(CommandError, match="balance"):
        manage("refund_payment", order.reference, "50")
    answer = manage("refund_payment", order.reference, "50", "--beyond-balance")
    assert answer["loss_nanos"] == 30 * scenes.USD
    assert all(one.is_ok for one in proof.prove())


def test_what_is_parked_is_tried_again_or_dismissed_by_an_operator(order, organization):
    with pytest.raises(CommandError, match="not credited"):
        manage("confirm_payment", order.reference, "249.99", "--statement", "B-17")
    event = PaymentEvent.objects.get()
    assert manage("resolve_payment", event.event_id, "retry")["state"] == EventState.PARKED
    PaymentOrder.objects.update(amount_minor=24_999)
    assert manage("resolve_payment", str(event.pk), "retry")["state"] == EventState.DONE
    assert balance(organization) == 249_990_000_000
    PaymentEvent.objects.update(state=EventState.PARKED)
    assert manage("resolve_payment", event.event_id, "dismiss")["state"] == EventState.DONE
    assert balance(organization) == 249_990_000_000
    with pytest.raises(CommandError, match="nothing parked"):
        manage("resolve_payment", event.event_id, "retry")


def test_a_parked_charge_is_given_up_and_never_asked_for_again(organization, bank):
    parked = PaymentOrder.objects.create(
        organization=organization, reference="TT-PARK-ED22", provider="bank", amount_minor=500,
        is_automatic=True, state=OrderState.PARKED,
    )  # fmt: skip
    with pytest.raises(CommandError, match="not asked for again"):
        manage("resolve_payment", parked.reference, "retry")
    assert manage("resolve_payment", parked.reference, "dismiss")["state"] == OrderState.FAILED


@pytest.mark.parametrize("cents", [0, -1, 499, 1_000_001])
def test_amounts_out_of_bounds_make_no_order(organization, bank, cents):
    with pytest.raises(ValueError):
        orders.place(organization, bank, cents)
    assert not PaymentOrder.objects.exists()


def test_so_many_orders_may_wait_and_no_more(organization, bank):
    for _ in range(orders.WAITING_MAX):
        orders.place(organization, bank, 500)
    with pytest.raises(orders.TooManyWaiting):
        orders.place(organization, bank, 500)


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    "arguments",
    [
        ("confirm_payment", "TT-0000-0000", "5", "--statement", "x"),
        ("refund_payment", "TT-0000-0000", "5"),
        ("create_codes", "0", "1", "--batch", "x"),
        ("create_codes", "5", "10001", "--batch", "x"),
        ("create_codes", "5", "1", "--batch", " "),
        ("create_codes", "5", "1", "--batch", "x", "--expires", "2001-01-01"),
        ("create_codes", "5", "1", "--batch", "x", "--expires", "soon"),
    ],
)
def test_commands_refuse_what_makes_no_sense(arguments):
    with pytest.raises(CommandError):
        manage(*arguments)
    assert not PaymentEvent.objects.exists()


def test_codes_come_from_a_command_and_work(organization):
    answer = manage("create_codes", "12.50", "3", "--batch", "launch", "--expires", "2099-12-31")
    assert len(answer["codes"]) == 3
    codes.redeem(organization, answer["codes"][0])
    assert balance(organization) == 12_500_000_000
    assert RedeemCode.objects.filter(redeemed_at=None).count() == 2


STRIPE = {
    "STRIPE_SECRET_KEY": "sk_test_x",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_x",
    "STRIPE_WEBHOOK_SECRET": "whsec_" + "x" * 24,
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"STRIPE_WEBHOOK_SECRET": ""}, "STRIPE_WEBHOOK_SECRET"),
        ({"STRIPE_WEBHOOK_SECRET": "   "}, "STRIPE_WEBHOOK_SECRET"),
        ({"STRIPE_WEBHOOK_SECRET": "short"}, "STRIPE_WEBHOOK_SECRET"),
        ({"STRIPE_PUBLISHABLE_KEY": ""}, "STRIPE_PUBLISHABLE_KEY"),
    ],
)
def test_half_a_configuration_does_not_start(changes, said):
    done = subprocess.run(
        [sys.executable, "-c", "from config.settings import base; print(base.PAYMENT_GATEWAYS)"],
        env={**os.environ, **STRIPE, **changes}, cwd=PROJECT, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) is (said == "")
    assert said in done.stderr
    if not said:
        assert "StripeGateway" in done.stdout
