"""Every address the product's pages answer, with its parameters filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
_GROUP = re.compile(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)")


@dataclass(frozen=True)
class Route:
    """One pattern of the site: its name with its namespace, and its path with parameters."""

    name: str
    path: str

    def fill(self, values: Mapping[str, object]) -> str:
        """The path with its parameters filled in; an unknown one is `x`."""
        return _PARAMETER.sub(lambda match: str(values.get(match[1], "x")), self.path)


def routes() -> list[Route]:
    """Every route of the site, as its resolver has it; one without a name is called by its path."""
    return list(_walk(get_resolver("config.urls").url_patterns, "/", ""))


def addresses(values: dict[str, list[str]], *, without: tuple[str, ...] = ()) -> list[str]:
    """Each pattern once for every value of its parameter; an unknown parameter is `x`."""
    found: dict[str, None] = {}
    for route in routes():
        if route.path.startswith(without or ("\0",)):
            continue
        names = _PARAMETER.findall(route.path)
        rest = {name: values.get(name, ["x"])[0] for name in names}
        for value in values.get(names[0], ["x"]) if names else [""]:
            found[route.fill({**rest, names[0]: value} if names else {})] = None
    return list(found)


def _walk(patterns: list[Any], before: str, namespace: str) -> Iterator[Route]:
    for pattern in patterns:
        path = before + _plain(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from _walk(pattern.url_patterns, path, inner)
        else:
            assert isinstance(pattern, URLPattern)
            yield Route(namespace + (pattern.name or path), path)


def _plain(pattern: str) -> str:
    """A regular expression's route as a path's: its groups as parameters, its marks taken away."""
    return _GROUP.sub(r"<\1>", pattern).replace("^", "").replace("$", "").replace("\\", "")
