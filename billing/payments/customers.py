"""Whom a provider knows an organization as, and the cards saved there."""

from accounts import audit
from accounts.models import Membership, Organization, Role
from billing.models import AutoTopUp, PaymentCustomer
from billing.payments import automatic
from billing.payments.gateway import PaymentGateway, SavedMethod


def find(organization: Organization, gateway: PaymentGateway) -> str:
    """The provider's id of the organization; empty where it has none yet."""
    row = PaymentCustomer.objects.filter(organization=organization, provider=gateway.name).first()
    return row.provider_id if row else ""


def find_or_create(organization: Organization, gateway: PaymentGateway) -> str:
    """Asks the provider the first time. Raises what the gateway raises."""
    known = find(organization, gateway)
    if known:
        return known
    owner = (
        Membership.objects.filter(organization=organization, role=Role.OWNER)
        .select_related("user")
        .order_by("pk")
        .first()
    )
    made = gateway.create_customer(organization, owner.user.email if owner else "")
    row, _ = PaymentCustomer.objects.get_or_create(
        organization=organization, provider=gateway.name, defaults={"provider_id": made}
    )
    return row.provider_id


def methods(organization: Organization, gateway: PaymentGateway) -> list[SavedMethod]:
    """The saved cards, as the provider lists them now. Raises what the gateway raises."""
    customer_id = find(organization, gateway)
    return gateway.saved_methods(customer_id) if customer_id else []


def forget(organization: Organization, gateway: PaymentGateway, method_id: str) -> bool:
    """Remove a saved card; False for one that is not this organization's. Automatic top-up with it
    is switched off first."""
    labels = {one.id: one.label for one in methods(organization, gateway)}
    if method_id not in labels:
        return False
    chosen = AutoTopUp.objects.filter(organization=organization, method_id=method_id)
    if chosen.filter(is_on=True).exists():
        automatic.switch_off(organization, "The card was removed.")
    gateway.forget_method(method_id)
    audit.record("card.removed", organization, labels[method_id])
    return True
