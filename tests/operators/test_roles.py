"""Every operator's page by everybody who might open it: one table, held against the running views.

A line is the page (its route without `admin:`; `*` matches as in a shell, the first line that fits
counts), what GET answers to each of the eight people, and after a bar what POST answers. A cell is
a status; `in` is the way to sign-in, `.` what GET answers. A route without a line fails, and a
wrong line is printed as it would be right.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.db import transaction
from django.test import Client

from gateway import roles
from tests.gateway.routes import Route, routes
from tests.operators.people import PEOPLE, Desk, gather

TABLE = """
#                                 sup fin spt cat ro  stf own ano | the same people, for POST
index                             200 200 200 200 200 200 in  in
find                              200 200 200 200 200 200 in  in
"""


@dataclass(frozen=True)
class Line:
    name: str
    get: tuple[str, ...]
    post: tuple[str, ...]

    def __str__(self) -> str:
        halves = [" ".join(f"{cell:3}" for cell in half) for half in (self.get, self.post)]
        return f"{self.name:33} {' | '.join(halves)}".rstrip()


def _read(text: str) -> list[Line]:
    lines = []
    for row in text.strip().splitlines():
        if row.startswith("#"):
            continue
        name, _, cells = row.partition(" ")
        get, _, post = cells.partition("|")
        answers = tuple(get.split())
        line = Line(name, answers, tuple(post.split()) or answers)
        assert len(line.get) == len(line.post) == len(PEOPLE), row
        lines.append(line)
    return lines


LINES = _read(TABLE)


def _pages() -> list[Route]:
    found = [route for route in routes() if route.name.startswith("admin:")]
    # Redirects of old addresses to the page of the object.
    return [route for route in found if not route.name.startswith("admin:/")]


def _name(route: Route) -> str:
    return route.name.removeprefix("admin:")


def _line_of(route: Route) -> Line | None:
    return next((line for line in LINES if fnmatchcase(_name(route), line.name)), None)


def _path(desk: Desk, route: Route) -> str:
    app, _, rest = _name(route).partition("_")
    model = rest.partition("_")[0]
    known = {(one._meta.app_label, one._meta.model_name) for one in apps.get_models()}
    pk = desk.pk(f"{app}.{model}") if (app, model) in known else 1
    return route.fill({"object_id": pk, "id": pk, "content_type_id": 1, "app_label": "billing"})


def _ask(cookies: str, method: str, path: str) -> str:
    """One answer as a cell. Whatever it changed is undone."""
    client = Client(raise_request_exception=False)
    client.cookies = SimpleCookie(cookies)
    with transaction.atomic():
        answer = client.post(path) if method == "POST" else client.get(path)
        transaction.set_rollback(True)
    cache.clear()
    where = answer.headers.get("Location", "")
    if answer.status_code == 302 and where.startswith(("/accounts/login/", "/admin/login/")):
        return "in"
    return str(answer.status_code)


@pytest.fixture
def desk(db: None) -> Desk:
    return gather()


def test_every_operators_page_answers_everybody_as_the_table_says(desk: Desk) -> None:
    cookies = {
        who: client.cookies.output(header="", sep=";") for who, client in desk.clients.items()
    }
    wrong = []
    for route in _pages():
        path = _path(desk, route)
        get, post = (
            tuple(_ask(cookies[who], method, path) for who in PEOPLE) for method in ("GET", "POST")
        )
        line = _line_of(route)
        if line is None or (line.get, line.post) != (get, post):
            wrong.append(str(Line(_name(route), get, post)))
    open("/tmp/desk-matrix","w").write("\n".join(wrong))
    assert "\n".join(wrong) == "", "\n".join(wrong)


def test_no_line_of_the_table_is_left_over() -> None:
    used = {line.name for route in _pages() if (line := _line_of(route))}
    assert [line.name for line in LINES if line.name not in used] == []


def test_roles_are_made_once_and_set_right_again(db: None) -> None:
    first = roles.make()
    finance = Group.objects.get(name="Finance")
    finance.permissions.clear()
    assert roles.make() == first
    assert Group.objects.count() == len(roles.ROLES)
    held = {f"{one.content_type.app_label}.{one.codename}" for one in finance.permissions.all()}
    assert {"billing.add_creditnote", "billing.change_paymentorder"} <= held
    assert not {"accounts.change_user", "providers.change_channel", "auth.change_group"} & held


def test_nobody_but_a_superuser_makes_operators(desk: Any) -> None:
    for role in roles.ROLES:
        for permission in ("accounts.change_user", "accounts.add_user", "auth.change_group"):
            assert not role.has(permission), (role.name, permission)
