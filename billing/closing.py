"""Deleting an organization, as far as money is concerned: nothing is lost without a word."""

from django.db import transaction

from accounts import organizations
from accounts.models import Organization
from billing.models import Account
from billing.payments import automatic


class FundsLeft(Exception):
    """There is money in the wallet, and nobody said that it may be left behind."""

    def __init__(self, balance_nanos: int) -> None:
        super().__init__(f"{balance_nanos} left")
        self.balance_nanos = balance_nanos


def close(organization: Organization, *, leaves_balance: bool = False) -> None:
    """Delete the organization for good. Its wallet and every entry of the ledger stay; nothing is
    charged by itself any more, and what is in the wallet can no longer be spent: only an operator
    can pay it back. Raises `FundsLeft` where something is in it and `leaves_balance` is not said.
    """
    with transaction.atomic():
        wallet = Account.objects.select_for_update(no_key=True).get(organization=organization)
        if wallet.balance_nanos > 0 and not leaves_balance:
            raise FundsLeft(wallet.balance_nanos)
        automatic.switch_off(organization)
        organizations.delete(organization, balance_nanos=wallet.balance_nanos)
