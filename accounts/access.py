"""Who may see and do what on a page: signed in, a member, in a role."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts import current
from accounts.models import Membership, Role, User

P = ParamSpec("P")

KEY_ROLES = frozenset({Role.OWNER, Role.ADMIN, Role.DEVELOPER})
BILLING_ROLES = frozenset({Role.OWNER, Role.ADMIN, Role.BILLING})
# Members, invitations, projects, the organization's name, and who may read the audit log.
ADMIN_ROLES = frozenset({Role.OWNER, Role.ADMIN})
OWNER_ROLES = frozenset({Role.OWNER})


class MemberRequest(HttpRequest):
    """A request `member_required` let through."""

    user: User
    membership: Membership


def member_required(
    view: Callable[Concatenate[MemberRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Signed in and a member somewhere; else to sign-in, or to naming an organization."""

    @login_required
    @wraps(view)
    def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        membership = current.membership(request)
        if membership is None:
            return redirect("organization_new")
        request.membership = membership  # type: ignore[attr-defined]
        response = view(cast(MemberRequest, request), *args, **kwargs)
        # A shared cache must not keep it, and "back" after signing out must not show it.
        response.headers.setdefault("Cache-Control", "private, no-store")
        return response

    return cast("Callable[Concatenate[HttpRequest, P], HttpResponse]", guarded)


def require(membership: Membership, roles: Collection[str]) -> None:
    """Raises PermissionDenied (a 403 page) unless the member has one of `roles`."""
    if membership.role not in roles:
        raise PermissionDenied


@contextmanager
def gone_is_404() -> Iterator[None]:
    """What a verb no longer finds went away after the page had found it: a 404."""
    try:
        yield
    except ObjectDoesNotExist:
        raise Http404 from None
