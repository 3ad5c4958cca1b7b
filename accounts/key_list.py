"""An organization's keys, a page at a time: filtered, searched, the newest first.

One may have a million. A page reads what it shows by index; a search by name looks through the
latest `SEARCHED_MAX` only, and says so.
"""

from dataclasses import dataclass

from django.db.models import Q

from accounts import keys
from accounts.models import ApiKey, ApiKeyQuerySet

PAGE = 50
SEARCHED_MAX = 10_000
STATES = ("live", "closed", "all")


@dataclass(frozen=True, slots=True)
class Filters:
    """`text` is part of a name, the end of a key, or a whole secret; zero means any."""

    text: str = ""
    state: str = "live"
    project_id: int = 0
    created_by_id: int = 0

    @property
    def are_set(self) -> bool:
        return self != Filters()


@dataclass(frozen=True, slots=True)
class Page:
    """`older` is the cursor of what follows, None at the end."""

    rows: list[ApiKey]
    older: int | None


def find(organization_id: int, filters: Filters, before: int | None = None) -> Page:
    """At most `PAGE` keys made before the one with the id `before`."""
    mine = ApiKey.objects.lasting().filter(organization_id=organization_id)
    found = _narrowed(mine, filters).select_related("project", "created_by").order_by("-pk")
    if before is not None:
        found = found.filter(pk__lt=before)
    rows = list(found[: PAGE + 1])
    return Page(rows[:PAGE], rows[PAGE - 1].pk if len(rows) > PAGE else None)


def _narrowed(mine: ApiKeyQuerySet, filters: Filters) -> ApiKeyQuerySet:
    if filters.text:
        mine = _matching(mine, filters.text)
    if filters.state == "live":
        mine = mine.live()
    elif filters.state == "closed":
        mine = mine.closed()
    if filters.project_id:
        mine = mine.filter(project_id=filters.project_id)
    if filters.created_by_id:
        mine = mine.filter(created_by_id=filters.created_by_id)
    return mine


def _matching(mine: ApiKeyQuerySet, text: str) -> ApiKeyQuerySet:
    if keys.is_well_formed(text):
        return mine.filter(digest=keys.digest(text))
    latest = mine.order_by("-pk").values("pk")[:SEARCHED_MAX]
    wanted = Q(name__icontains=text)
    if len(text) >= 4:
        wanted |= Q(last_four=text[-4:])
    return mine.filter(pk__in=latest).filter(wanted)
