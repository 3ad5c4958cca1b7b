"""Every page a signed-in person can open, found by its route, and how long it takes."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

import msgspec

from benchmarks import figures
from benchmarks.goals import Verdict
from benchmarks.load import STUCK_SECONDS

PAGE_MS_MAX = 200.0
ADMIN_MS_MAX = 300.0
BEST_OF = 3
# The query strings a route is asked with beside none.
_PERIODS = ("7d", "30d", "90d")
_QUERIES: dict[str, list[dict[str, str]]] = {
    "usage": [
        {"by": by, "show": show, "period": period}
        for by, show in (("model", "spend"), ("project", "tokens"), ("key", "requests"))
        for period in _PERIODS
    ],
    "models": [{"can": "reasoning", "sort": "speed"}],
    "keys": [{"state": "closed"}, {"state": "all", "q": "Key 9"}, {"q": "nothing like it"}],
    "requests": [
        {"status": "error"},
        {"cost_min": "1000"},
        {"period": "30d", "status": "client"},
        {"q": "{request_id}"},
        {"q": "nothing like an id"},
        {"before": "{before}"},
    ],
}
# What a route's arguments are where they differ from the sample's.
_ARGUMENTS = {name: {"slug": "streaming"} for name in ("docs_page", "docs_source")}
# What operators look for everywhere at once.
_FINDS = ["{request_id}", "owner-77@example.com", "organization-77", "Organization 77", "ttonk_sk_",
          "TT-AAAA-BBBB", "INV-000001", "evt_unknown", "nothing like it"]  # fmt: skip
_FILTERS: dict[str, list[dict[str, str]]] = {
    "billing_usagerecord": [{"status": "server"}, {"status": "client", "time": "7d"},
                            {"q": "organization-1", "status": "server", "time": "30d"}],
    "accounts_auditentry": [{"subject": "key"}],
    "accounts_organization": [{"plan": "own"}, {"suspended_at__isempty": "0"}],
}  # fmt: skip
# Routes that are no pages to read: files, and buttons that only take a POST.
_NOT_READ = {"export", "csv", "try", "switch", "decide", "impersonate", "accept", "verify"}
# Searched for what an operator would paste.
_SEARCHES = {
    "billing_usagerecord": ["{request_id}", "1"],
    "billing_transfer": ["{request_id}"],
    "billing_account": ["organization-1"],
    "accounts_apikey": ["Organization 77"],
    "accounts_organization": ["organization-77"],
    "accounts_user": ["owner-77@example.com"],
}


class Page(msgspec.Struct, frozen=True):
    """One address, in milliseconds until its first byte; `status` 0 where it never came."""

    name: str
    path: str
    status: int
    best_ms: float
    p95_ms: float
    kind: str  # of the operator's: "list", "search" or "row"; empty for a customer's page

    @property
    def is_admin(self) -> bool:
        return bool(self.kind)

    @property
    def is_read(self) -> bool:
        """A page; an operator's search that finds one thing opens it."""
        return self.status == 200 or (self.is_admin and self.status == 302)

    @property
    def allowed_ms(self) -> float:
        return ADMIN_MS_MAX if self.is_admin else PAGE_MS_MAX


def addresses(sample: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each page's name and path. A route whose arguments `sample` does not know has no path."""
    from django.urls import NoReverseMatch, get_resolver, reverse
    from django.urls.resolvers import URLPattern, URLResolver

    def names(resolver: URLResolver) -> Iterator[tuple[str, list[str]]]:
        for one in resolver.url_patterns:
            if isinstance(one, URLPattern) and one.name:
                yield one.name, list(one.pattern.regex.groupindex)
            elif isinstance(one, URLResolver) and one.app_name != "admin":
                yield from names(one)

    for name, arguments in names(get_resolver()):
        known = {**sample, **_ARGUMENTS.get(name, {})}
        try:
            path = reverse(name, kwargs={argument: known[argument] for argument in arguments})
        except (KeyError, NoReverseMatch):
            yield name, ""
            continue
        yield name, path
        for query in _QUERIES.get(name, []):
            values = {key: value.format_map(sample) for key, value in query.items()}
            yield name, f"{path}?{urlencode(values)}"


def admin_addresses(
    sample: Mapping[str, str], newest: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """The kind, name and path of each of the operator's pages: the front page, the search, each
    table's list, filters and searches, and its newest row with every page of that row."""
    from django.contrib import admin
    from django.urls import NoReverseMatch, reverse

    yield "list", "front page", reverse("admin:index")
    for name in ("tables", "catalog_file", "billing_costday_margin"):
        yield "list", name, reverse(f"admin:{name}")
    for text in _FINDS:
        path = f"{reverse('admin:find')}?{urlencode({'q': text.format_map(sample)})}"
        yield "search", "find", path
    for model, here in admin.site._registry.items():
        table = f"{model._meta.app_label}_{model._meta.model_name}"
        path = reverse(f"admin:{table}_changelist")
        yield "list", table, path
        for query in _FILTERS.get(table, []):
            yield "list", table, f"{path}?{urlencode(query)}"
        for text in _SEARCHES.get(table, []):
            yield "search", table, f"{path}?{urlencode({'q': text.format_map(sample)})}"
        for name in sorted({one.name for one in here.urls if one.name} - {f"{table}_changelist"}):
            if name.rpartition("_")[2] in _NOT_READ:
                continue
            try:
                yield "row", table, reverse(f"admin:{name}")
            except NoReverseMatch:
                if model._meta.label_lower in newest:
                    key = [newest[model._meta.label_lower]]
                    yield "row", table, reverse(f"admin:{name}", args=key)


def newest(database_url: str) -> dict[str, str]:
    """The newest row's key of every table that operators can open, where it has one."""
    import psycopg
    from django.contrib import admin

    found = {}
    with psycopg.connect(database_url, autocommit=True) as connection:
        for model in admin.site._registry:
            key = model._meta.pk.column if model._meta.pk else "id"
            statement = f"SELECT {key} FROM {model._meta.db_table} ORDER BY {key} DESC LIMIT 1"
            row = connection.execute(statement.encode()).fetchone()
            if row:
                found[model._meta.label_lower] = str(row[0])
    return found


def sample(database_url: str) -> dict[str, str]:
    """Arguments that lead to something of the large organization's, where it has anything."""
    import psycopg

    def first(statement: str) -> str:
        row = connection.execute(statement.encode()).fetchone()
        return str(row[0]) if row else "0"

    mine = "FROM billing_usagerecord WHERE organization_id = 1 ORDER BY id DESC OFFSET"
    with psycopg.connect(database_url, autocommit=True) as connection:
        return {
            "request_id": "req_" + first(f"SELECT replace(id::text, '-', '') {mine} 500"),
            "before": first(f"SELECT id {mine} 5000"),
            "number": first("SELECT number FROM billing_invoice WHERE organization_id = 1"),
            "slug": "pro",
            "name": first("SELECT name FROM providers_model ORDER BY position LIMIT 1"),
            "bill": first("SELECT id FROM billing_upstreambill"),
            "pk": first("SELECT id FROM accounts_apikey WHERE organization_id = 1"),
        }


def measure(port: int, session: str, sample: Mapping[str, str], times: int) -> list[Page]:
    """Every page of the pages' routes."""
    found = list(addresses(sample))
    return [_page(port, session, name, path, times) for name, path in found if path]


def measure_admin(
    port: int, session: str, database_url: str, sample: Mapping[str, str], times: int
) -> list[Page]:
    return [
        _page(port, session, name, path, times, kind=kind)
        for kind, name, path in admin_addresses(sample, newest(database_url))
    ]


def _page(port: int, session: str, name: str, path: str, times: int, *, kind: str = "") -> Page:
    taken, status = [], 0
    for _ in range(times):
        status, seconds = fetch(port, path, session)
        taken.append(seconds * 1000)
        if status not in (200, 302) or (seconds > 3 and len(taken) >= BEST_OF):
            break
    best = min(taken[:BEST_OF])
    return Page(name, path, status, best, figures.percentile(taken, 95), kind)


def fetch(port: int, path: str, session: str) -> tuple[int, float]:
    """The status, and the seconds until the body's first byte."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=STUCK_SECONDS)
    try:
        began = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": f"sessionid={session}"})
        answer = connection.getresponse()
        answer.read(1)
        seconds = time.perf_counter() - began
        answer.read()
        return answer.status, seconds
    except OSError:
        return 0, STUCK_SECONDS
    finally:
        connection.close()


_GOALS = (
    ("", "dashboard page"),
    ("list", "list of the operator's"),
    ("search", "search of the operator's"),
    ("row", "row and form of the operator's"),
)


def verdicts(found: list[Page]) -> Iterator[Verdict]:
    for kind, word in _GOALS:
        asked = [page for page in found if page.kind == kind]
        shown = [page for page in asked if page.is_read]
        slow = [page for page in shown if page.p95_ms > page.allowed_ms]
        slowest = max(shown, key=lambda page: page.p95_ms, default=None)
        broken = [page for page in asked if page.status == 0 or page.status >= 500]
        yield Verdict(
            goal=f"every {word} on the full database, p95",
            target=f"<= {ADMIN_MS_MAX if kind else PAGE_MS_MAX:.0f} ms",
            figure=f"{len(shown) - len(slow)} of {len(shown) + len(broken)} are"
            + (f"; slowest {slowest.p95_ms:.0f} ms, {slowest.path}" if slowest else "")
            + "".join(f"; {page.path} {page.status}" for page in broken),
            is_met=bool(shown) and not slow and not broken,
        )
