"""The organization a signed-in person is working in: chosen in the session, else their first."""

from django.http import HttpRequest

from accounts.models import Membership, Organization

SESSION_KEY = "organization_id"


def membership(request: HttpRequest) -> Membership | None:
    """The current membership with its organization, read once per request; None for strangers."""
    if not hasattr(request, "_membership"):
        request._membership = _find(request)  # type: ignore[attr-defined]
    found: Membership | None = request._membership  # type: ignore[attr-defined]
    return found


def choices(request: HttpRequest) -> list[Membership]:
    """Every membership of the signed-in person, by organization name, read once per request."""
    if not hasattr(request, "_memberships"):
        request._memberships = (  # type: ignore[attr-defined]
            list(
                Membership.objects.filter(user_id=request.user.pk)
                .select_related("organization")
                .order_by("created_at", "pk")
            )
            if request.user.is_authenticated
            else []
        )
    found: list[Membership] = request._memberships  # type: ignore[attr-defined]
    return found


def choose(request: HttpRequest, organization: Organization) -> None:
    """Work in `organization` from now on; membership is checked on every request anyway."""
    request.session[SESSION_KEY] = organization.pk
    for name in ("_membership", "_memberships"):
        if hasattr(request, name):
            delattr(request, name)


def see_as(request: HttpRequest, membership: Membership) -> None:
    """For this request, the pages are those of somebody else's membership, and of no other."""
    request._membership = membership  # type: ignore[attr-defined]
    request._memberships = [membership]  # type: ignore[attr-defined]


def _find(request: HttpRequest) -> Membership | None:
    mine = choices(request)
    chosen = request.session.get(SESSION_KEY) if mine else None
    return next((one for one in mine if one.organization_id == chosen), mine[0] if mine else None)
