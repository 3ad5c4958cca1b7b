"""What every page of a signed-in person needs: their organization, and that they were seen."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from accounts import audit, current, sessions


class CurrentOrganizationMiddleware:
    """Sets `request.membership`, read when first used; falsy for people without one. What the
    request changes is recorded as done by its sender.

    Views behind `accounts.access.member_required` get the membership itself.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.membership = SimpleLazyObject(  # type: ignore[attr-defined]
            lambda: current.membership(request)
        )
        with audit.during(request):
            return self.get_response(request)


class SessionActivityMiddleware:
    """Remembers when a session was last used, for its owner's list of them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        sessions.note_activity(request)
        return response
