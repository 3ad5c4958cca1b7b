"""Which organization a signed-in person is working in."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from accounts import audit, current


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
