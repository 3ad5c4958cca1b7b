"""How often a page's form may be sent: django-ratelimit, typed. Above it: the 429 page.

Every view has a count of its own, class views too: by itself the package would count all class
views of a module together, because the functions that `as_view` makes share one name.
"""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.http import HttpRequest, HttpResponse
from django_ratelimit.decorators import ratelimit

P = ParamSpec("P")
RequestT = TypeVar("RequestT", bound=HttpRequest)


def posts(
    rate: str, key: str = "user"
) -> Callable[
    [Callable[Concatenate[RequestT, P], HttpResponse]],
    Callable[Concatenate[RequestT, P], HttpResponse],
]:
    """At most `rate` POSTs (such as `20/m`) per signed-in user, or per address with `key="ip"`."""

    def decorate(view: Any) -> Any:
        return ratelimit(group=_name(view), key=key, rate=rate, method="POST")(view)

    return decorate


def gets(
    rate: str,
) -> Callable[
    [Callable[Concatenate[RequestT, P], HttpResponse]],
    Callable[Concatenate[RequestT, P], HttpResponse],
]:
    """The same for GETs of a signed-in user that are dear to answer."""

    def decorate(view: Any) -> Any:
        return ratelimit(group=_name(view), key="user", rate=rate, method="GET")(view)

    return decorate


def _name(view: Any) -> str:
    """What nothing else counts under."""
    named = getattr(view, "view_class", view)
    return f"{named.__module__}.{named.__qualname__}"
