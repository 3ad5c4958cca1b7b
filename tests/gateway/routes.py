"""Every address the product's pages answer, with its parameters filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
_GROUP = re.compile(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)")


def addresses(values: dict[str, list[str]], *, without: tuple[str, ...] = ()) -> list[str]:
    """Each pattern once for every value of its parameter; an unknown parameter is `x`."""
    found: dict[str, None] = {}
    for route in _routes(get_resolver("config.urls").url_patterns, "/"):
        if route.startswith(without or ("\0",)):
            continue
        names = _PARAMETER.findall(route)
        for value in values.get(names[0], ["x"]) if names else [""]:
            first = _PARAMETER.sub(value, route, count=1)
            found[_PARAMETER.sub(lambda match: values.get(match[1], ["x"])[0], first)] = None
    return list(found)


def _routes(patterns: list[Any], before: str) -> Iterator[str]:
    for pattern in patterns:
        route = before + _plain(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, route)
        else:
            assert isinstance(pattern, URLPattern)
            yield route


def _plain(pattern: str) -> str:
    """A regular expression's route as a path's: its groups as parameters, its marks taken away."""
    return _GROUP.sub(r"<\1>", pattern).replace("^", "").replace("$", "").replace("\\", "")
