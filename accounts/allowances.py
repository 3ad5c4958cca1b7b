"""How many members and open projects an organization may have: what its plan says, within a bound
that holds for everybody.

Whoever adds one asks inside the transaction that holds the organization's row, so that two at
once do not pass the bound. What was there before a smaller plan stays.
"""

from collections.abc import Callable
from dataclasses import dataclass

from accounts.models import Organization

MEMBERS_MAX = 500
PROJECTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Allowance:
    """None: the plan sets no bound."""

    members_max: int | None = None
    projects_max: int | None = None


class AllowanceReached(Exception):
    """There are `maximum` already; `is_plans` where another plan allows more."""

    def __init__(self, maximum: int, *, is_plans: bool) -> None:
        super().__init__(f"{maximum} at most")
        self.maximum = maximum
        self.is_plans = is_plans


class TooManyMembers(AllowanceReached):
    """Members and open invitations together."""


class TooManyProjects(AllowanceReached):
    """Projects that are not archived."""


Reader = Callable[[Organization], Allowance]
_readers: list[Reader] = []


def read_from(reader: Reader) -> Reader:
    """Whoever knows about plans says here what an organization's allows."""
    _readers[:] = [reader]
    return reader


def check_members(organization: Organization, invited: int = 0) -> None:
    """Raises `TooManyMembers` where one more is too many; `invited` have a place kept already."""
    count = organization.memberships.count() + invited
    bound = _of(organization).members_max
    if bound is not None and bound <= count:
        raise TooManyMembers(bound, is_plans=True)
    if count >= MEMBERS_MAX:
        raise TooManyMembers(MEMBERS_MAX, is_plans=False)


def check_projects(organization: Organization) -> None:
    """Raises `TooManyProjects` where one more is too many."""
    count = organization.projects.filter(archived_at=None).count()
    bound = _of(organization).projects_max
    if bound is not None and bound <= count:
        raise TooManyProjects(bound, is_plans=True)
    if count >= PROJECTS_MAX:
        raise TooManyProjects(PROJECTS_MAX, is_plans=False)


def _of(organization: Organization) -> Allowance:
    return _readers[0](organization) if _readers else Allowance()
