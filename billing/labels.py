"""What the ids of projects, keys and members are called, of one organization."""

from collections.abc import Collection
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import ApiKey, Project, User


def of(organization_id: int, group: str, ids: Collection[Any]) -> dict[Any, str]:
    """Names by id for a group of `spending.GROUPS`; models are called what they are."""
    if group == "project":
        projects = Project.objects.filter(organization_id=organization_id, pk__in=ids)
        named = dict(projects.values_list("pk", "name"))
    elif group == "key":
        keys = ApiKey.objects.filter(organization_id=organization_id, pk__in=ids)
        named = {key.pk: f"{key.name} …{key.last_four}" for key in keys}
    elif group == "member":
        # People who left are named too: what their keys used stays theirs.
        makers = ApiKey.objects.filter(organization_id=organization_id).values("created_by_id")
        people = User.objects.filter(pk__in=ids).filter(pk__in=makers)
        named = dict(people.values_list("pk", "email"))
    else:
        return {}
    return {0: _("(none)"), **named}
