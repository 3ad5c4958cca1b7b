"""`manage.py resume_organization ORGANIZATION`."""

from accounts import organizations
from accounts.models import Organization
from billing.management import operator


class Command(operator.StandingCommand):
    help = "Serve a suspended organization again. Gateways learn of it at once."

    def change(self, organization: Organization) -> bool:
        return organizations.resume(organization)
