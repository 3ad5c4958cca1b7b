"""Which organization a signed-in person is working in."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


class CurrentOrganizationMiddleware:
    """Sets `request.membership`: the chosen membership, or None."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)
