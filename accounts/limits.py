"""How often a page's form may be sent: django-ratelimit, typed. Above it: the 429 page."""

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
    decorator: Any = ratelimit(key=key, rate=rate, method="POST")
    return decorator  # type: ignore[no-any-return]


def gets(
    rate: str,
) -> Callable[
    [Callable[Concatenate[RequestT, P], HttpResponse]],
    Callable[Concatenate[RequestT, P], HttpResponse],
]:
    """The same for GETs of a signed-in user that are dear to answer."""
    decorator: Any = ratelimit(key="user", rate=rate, method="GET")
    return decorator  # type: ignore[no-any-return]
