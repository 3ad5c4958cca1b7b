"""Every filter by tenant, taken away one at a time in a copy of the product: the tests must tell.

A filter is a keyword such as `organization=` of a query, or a relation such as
`organization.projects`. They are found in the syntax tree, so a new one is tried by itself.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from benchmarks.goals import Verdict
from tests.faults.rounds import Effort
from tests.stack import PROJECT

COUNTS = {Effort.SHORT: 1, Effort.FULL: 1_000}
APPS = ("accounts", "billing", "gateway")
# Run by an operator or a worker, for all organizations.
_OPERATORS = {"admin.py", "tasks.py", "management", "migrations", "invoices.py", "proof.py"}
_KEYWORDS = {"organization", "organization_id", "user_id", "memberships__user"}
_QUERIES = {"filter", "get", "exclude", "get_object_or_404"}
_RELATIONS = {"projects": "Project", "api_keys": "ApiKey"}
# Those that compare pages and recipients; the others need longer, or a product of their own.
TESTS = ["tests/gateway/test_tenants.py", "tests/billing/test_twins.py",
         "-k", "no_page or shows or chosen or mailed or test_twins"]  # fmt: skip
SECONDS_MAX = 400


@dataclass(frozen=True)
class Filter:
    """One place where a query is kept to a tenant, and the source without it."""

    path: Path
    line: int
    text: str
    source: str


def run(effort: Effort, seed: int) -> list[Verdict]:
    found = list(find())
    chosen = Random(seed).sample(found, min(COUNTS[effort], len(found)))
    with tempfile.TemporaryDirectory() as made:
        copy = _copy(Path(made))
        is_sound = effort is Effort.SHORT or _passes(copy)
        unnoticed = [one for one in chosen if _is_unnoticed(copy, one)]
        _drop(os.environ["DATABASE_URL"], f"test_{_database()}")
    return [
        Verdict(
            "removing one tenant filter fails the tests",
            "each of them",
            f"{len(chosen) - len(unnoticed)} of {len(chosen)} noticed, {len(found)} there are;"
            f" without a removal the tests {'pass' if is_sound else 'FAIL'}",
            bool(chosen) and not unnoticed and is_sound,
        )
    ]


def find() -> Iterator[Filter]:
    for app in APPS:
        for path in sorted((PROJECT / app).rglob("*.py")):
            if _OPERATORS.isdisjoint(path.relative_to(PROJECT).parts):
                yield from _filters_of(path)


def _filters_of(path: Path) -> Iterator[Filter]:
    source = path.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _name(node.func) in _QUERIES:
            for keyword in node.keywords:
                if keyword.arg in _KEYWORDS:
                    yield _without(path, source, keyword, "")
        elif isinstance(node, ast.Attribute) and node.attr in _RELATIONS:
            every = f"__import__('accounts.models').models.{_RELATIONS[node.attr]}.objects"
            yield _without(path, source, node, every)


def _without(path: Path, source: str, node: ast.keyword | ast.Attribute, instead: str) -> Filter:
    lines = source.encode().split(b"\n")
    assert node.end_lineno is not None and node.end_col_offset is not None
    start = sum(len(line) + 1 for line in lines[: node.lineno - 1]) + node.col_offset
    end = sum(len(line) + 1 for line in lines[: node.end_lineno - 1]) + node.end_col_offset
    whole = source.encode()
    after = whole[end:]
    if not instead:  # an argument takes its comma along
        after = after.lstrip().removeprefix(b",")
    changed = whole[:start] + instead.encode() + after
    ast.parse(changed)
    return Filter(path, node.lineno, whole[start:end].decode(), changed.decode())


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _copy(folder: Path) -> Path:
    def unwanted(_: str, names: list[str]) -> list[str]:
        return [name for name in names if name.startswith(".") or name == "__pycache__"]

    return Path(shutil.copytree(PROJECT, folder / "copy", ignore=unwanted))


def _is_unnoticed(copy: Path, one: Filter) -> bool:
    target = copy / one.path.relative_to(PROJECT)
    kept = target.read_text()
    target.write_text(one.source)
    try:
        passed = _passes(copy)
        told = "UNNOTICED" if passed else "noticed"
        print(f"  {told} {one.path.relative_to(PROJECT)}:{one.line} {one.text}", flush=True)
        return passed
    finally:
        target.write_text(kept)


def _passes(copy: Path) -> bool:
    """Whether the tenants' tests pass there. Anything but passed and failed is an error."""
    outer = urlsplit(os.environ["DATABASE_URL"])
    environment = os.environ | {
        "DATABASE_URL": urlunsplit(outer._replace(path=f"/{_database()}")),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    # No removal changes a migration: one database serves them all.
    done = subprocess.run(
        [*command, "--reuse-db", *TESTS], cwd=copy, env=environment, capture_output=True, text=True,
        timeout=SECONDS_MAX, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout[-3000:] + done.stderr[-3000:]
    return done.returncode == 0


def _database() -> str:
    return f"ttonkapi_tenants_{os.getpid()}"


def _drop(server_url: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        quoted = sql.Identifier(name)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(quoted))
