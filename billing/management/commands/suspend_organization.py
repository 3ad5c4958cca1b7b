"""`manage.py suspend_organization ORGANIZATION`."""

from accounts import organizations
from accounts.models import Organization
from billing.management import operator


class Command(operator.StandingCommand):
    help = "Refuse an organization's requests until it is resumed. Gateways learn of it at once."

    def change(self, organization: Organization) -> bool:
        return organizations.suspend(organization)
