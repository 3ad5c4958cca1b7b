"""What operators' roles may do: groups of Django's, made and kept up by `manage.py make_roles`.

A permission is written `app.verb_table`; `*` stands for every table of the app. Reading is
`view`; the other verbs are those the operator's pages ask for.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from django.contrib.auth.models import Group, Permission
from django.db import transaction

# Where somebody who answers customers has to look. Not the operators' own roles.
_READ = ("accounts.view_*", "billing.view_*", "providers.view_*")
_SECRETS = ("billing.view_idempotencykey", "accounts.view_audithead")


@dataclass(frozen=True, slots=True)
class Role:
    name: str
    allows: tuple[str, ...]
    forbids: tuple[str, ...] = _SECRETS

    def has(self, permission: str) -> bool:
        return any(fnmatchcase(permission, one) for one in self.allows) and not any(
            fnmatchcase(permission, one) for one in self.forbids
        )


ROLES = (
    Role("Read only", _READ),
    # Answers customers: stops and serves them again, sees what they see, closes their keys.
    Role("Support", (*_READ, "accounts.change_organization", "accounts.change_apikey",
                     "accounts.change_membership", "accounts.change_project",
                     "accounts.delete_invitation")),
    # Money in and out, terms and documents; a second operator still decides on large amounts.
    Role("Finance", (*_READ, "billing.change_paymentorder", "billing.change_paymentevent",
                     "billing.add_adjustmentrequest",
                     "billing.change_adjustmentrequest", "billing.add_redeemcode",
                     "billing.add_creditnote", "billing.add_upstreambill",
                     "billing.change_upstreambill", "billing.*_issuer", "billing.*_taxrule",
                     "billing.add_plan", "billing.change_plan", "billing.change_subscription")),
    # Who serves what, at which price.
    Role("Catalog manager", (*_READ, "providers.*")),
)  # fmt: skip


def make() -> dict[str, int]:
    """Give each group exactly its permissions; returns how many each has. Groups of other names
    stay as they are."""
    everything = Permission.objects.select_related("content_type")
    named = {f"{one.content_type.app_label}.{one.codename}": one for one in everything}
    counts = {}
    with transaction.atomic():
        for role in ROLES:
            group, _is_new = Group.objects.get_or_create(name=role.name)
            chosen = [one for name, one in named.items() if role.has(name)]
            group.permissions.set(chosen)
            counts[role.name] = len(chosen)
    return counts
