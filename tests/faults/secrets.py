"""Secrets that must show nowhere: planted, carried through every kind of trouble, then searched.

What is looked for is every key, the upstream's credential, passwords and the product's own
secrets; of prompts and answers, that nobody keeps them. Each also in hexadecimal, Base64 and as
a URL or JSON would write it.
"""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import psycopg
import redis
from psycopg import sql

from benchmarks.goals import Verdict
from tests.faults import targets
from tests.faults.rounds import Effort
from tests.faults.targets import Target
from tests.journeys.books import until
from tests.journeys.members import PASSWORD, sign_up
from tests.scripts import Script
from tests.upstream import CREDENTIAL

ROUNDS = {Effort.SHORT: 1, Effort.FULL: 40}
_SETTINGS = ("SECRET_KEY", "TTONK_KEY_PEPPER", "TTONK_ENCRYPTION_KEYS")


@dataclass
class Planted:
    """The strings to look for, by what they are."""

    secrets: dict[str, str]
    prompt: str
    answer: str
    responses: list[bytes] = field(default_factory=list)  # none that shows a key once

    def keep(self, answer: httpx.Response) -> httpx.Response:
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.responses.append(head.encode() + b"\n\n" + answer.content)
        return answer


def run(effort: Effort, seed: int) -> list[Verdict]:
    with targets.opened("secrets", TTONK_LOG_FORMAT="json") as target:
        target.stack.start_worker()
        planted = _plant(target, Random(f"secrets {seed}"))
        for _ in range(ROUNDS[effort]):
            _carry(target, planted)
        _crash(target, planted)
        until(lambda: target.books.pending() == 0, "no hold is pending", seconds=60)
        return _verdicts(target, planted)


def _plant(target: Target, rng: Random) -> Planted:
    kept = json.loads((target.stack.folder / "secrets.json").read_text())
    secrets = {name: target.stack.environment.get(name) or kept[name] for name in _SETTINGS}
    secrets |= {"key": target.key, "upstream credential": CREDENTIAL, "password": PASSWORD}
    planted = Planted(
        secrets, f"canary-prompt-{rng.getrandbits(64):x}", f"canary-answer-{rng.getrandbits(64):x}"
    )
    member = sign_up(target.stack.base_url, "carol@example.com", "Carol's")
    secrets["first key of a sign-up"] = member.first_key
    secrets["second key"] = member.make_key("another")
    for path in ("/keys", "/overview", "/requests", "/billing", "/welcome", "/account", "/nowhere",
                 "/docs", "/keys/999/revoke", "/openapi.json", "/metrics", "/readyz"):  # fmt: skip
        planted.keep(member.pages.get(path))
    planted.keep(member.submit("/keys/new", name="", project="7"))
    wrong = httpx.Client(base_url=target.stack.base_url, trust_env=False, timeout=30)
    form = {"login": "carol@example.com", "password": PASSWORD}  # no token: refused
    planted.keep(wrong.post("/accounts/login/", data=form))
    return planted


def _carry(target: Target, planted: Planted) -> None:
    """One of each kind of request, with the prompt in it, under a key."""
    leak = f"bad key {CREDENTIAL} in Bearer {CREDENTIAL}; said {planted.prompt}"
    envelope = {"error": {"message": leak, "type": "x", "param": leak, "code": leak}}
    answer = Script(text=planted.answer)
    scripts = [
        answer, Script(text=planted.answer, ending="reset", cut_after=1),
        Script(text=planted.answer, ending="error"), Script(text=planted.answer, ending="garbage"),
        *(Script(status=status, body=envelope) for status in (400, 401, 403, 422, 429, 500, 503)),
        Script(status=502, raw=f"<html>{leak}</html>"), Script(raw=f"not JSON {leak}"),
        Script(status=302, headers={"Location": f"http://127.0.0.1/{CREDENTIAL}"}, body={}),
        Script(body={"error": leak}), Script(body={"choices": [leak]}),
        Script(body={"choices": [{"message": leak}]}), Script(headers={"X-Leak": CREDENTIAL}),
    ]  # fmt: skip
    with httpx.Client(base_url=target.stack.base_url, trust_env=False, timeout=30) as http:
        head = {"Authorization": f"Bearer {target.key}"}
        for script in scripts:
            for is_stream in (False, True):
                body = _body(planted, script, stream=is_stream)
                planted.keep(http.post("/v1/chat/completions", json=body, headers=head))
        with http.stream(
            "POST", "/v1/chat/completions", headers=head,
            json=_body(planted, Script(text="x" * 300, chunks=100, gap_ms=10), stream=True),
        ) as cut:  # fmt: skip
            next(cut.iter_raw())
        for broken in (b'{"model": "%s', b'{"model": {"a": "%s"}}', b'{"%s": NaN}'):
            data = broken.replace(b"%s", f"{planted.prompt} {target.key}".encode())
            planted.keep(http.post("/v1/chat/completions", content=data, headers=head))
        for key in (target.key[:-1], target.key + "x", target.key[::-1]):
            wrong = {"Authorization": f"Bearer {key}"}
            planted.keep(http.get("/v1/models", headers=wrong))
        planted.keep(http.get(f"/v1/models/{'x' * 20}", headers=head))


def _body(planted: Planted, script: Script, **more: Any) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": planted.prompt},
        {"role": "user", "content": script.prompt()},
    ]
    return {"model": "qwen-plus", "messages": messages, "user": planted.prompt, **more}


def _crash(target: Target, planted: Planted) -> None:
    """Tables are gone for a moment: pages and the gateway fail with tracebacks in the log."""
    tables = ("billing_account", "accounts_apikey", "accounts_membership")
    member = sign_up(target.stack.base_url, "dave@example.com", "Dave's")
    planted.secrets["third key"] = member.first_key
    for table in tables:
        target.books.change(f"ALTER TABLE {table} RENAME TO {table}_away")
    try:
        with httpx.Client(base_url=target.stack.base_url, trust_env=False, timeout=30) as http:
            for key in (target.key, member.first_key):
                head = {"Authorization": f"Bearer {key}"}
                body = _body(planted, Script())
                planted.keep(http.post("/v1/chat/completions", json=body, headers=head))
        for path in ("/keys", "/overview", "/billing", "/requests"):
            planted.keep(member.pages.get(path))
    finally:
        for table in tables:
            target.books.change(f"ALTER TABLE {table}_away RENAME TO {table}")


# --- the search ---------------------------------------------------------------------------------


def _verdicts(target: Target, planted: Planted) -> list[Verdict]:
    stored = {**_logs(target), "database dump": _dump(target), "Valkey": _valkey(target)}
    everywhere = {**stored, "responses": b"\n".join(planted.responses)}
    found = [
        f"{what} in {where}"
        for where, data in everywhere.items()
        for what, secret in planted.secrets.items()
        if _holds(data, secret)
    ]
    texts = [
        f"{what} in {where}"
        for where, data in stored.items()
        for what, text in (("prompt", planted.prompt), ("answer", planted.answer))
        if _holds(data, text)
    ]
    for line in [*found, *texts]:
        print(f"  {line}", flush=True)
    size = sum(map(len, everywhere.values()))
    has_traces = b"Traceback" in stored["gateway log"]
    is_seen = planted.answer.encode() in everywhere["responses"]
    return [
        Verdict(
            "secrets (keys, upstream credentials, passwords) in logs, database dump, responses,"
            " Valkey",
            "0",
            f"{len(found)} in {size:,} bytes of {len(everywhere)} places,"
            f" {len(planted.responses)} responses, tracebacks {'among' if has_traces else 'NOT in'}"
            " the log",
            not found and has_traces and bool(stored["Valkey"]),
        ),
        Verdict(
            "secrets (prompts and answers by default) in logs, database dump, Valkey",
            "0",
            f"{len(texts)}; the client {'got' if is_seen else 'did NOT get'} its answers",
            not texts and is_seen,
        ),
    ]


def _holds(data: bytes, secret: str) -> bool:
    return any(form in data for form in _forms(secret))


def _forms(secret: str) -> Iterator[bytes]:
    raw = secret.encode()
    yield raw
    yield raw.hex().encode()
    yield urllib.parse.quote(secret, safe="").encode()
    yield json.dumps(secret)[1:-1].encode()
    for before in range(3):  # Base64 looks different at each of three offsets
        whole = base64.b64encode(b"\0" * before + raw)
        yield whole[4 if before else 0 : -4]


def _logs(target: Target) -> dict[str, bytes]:
    """Every process's log, and what else lies in the data folder but its own secrets."""
    files = [path for path in target.stack.folder.rglob("*") if path.is_file()]
    kept = {"secrets.json", "valkey-server"}
    rest = b"\n".join(path.read_bytes() for path in files if path.name not in kept)
    return {"gateway log": target.stack.log("gateway").encode(), "data folder": rest}


def _dump(target: Target) -> bytes:
    """Every table of every schema that is ours, as text."""
    parts = []
    with psycopg.connect(target.stack.database_url) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ).fetchall()
        assert len(tables) > 20
        for (table,) in tables:
            query = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(sql.Identifier(table))
            with connection.cursor().copy(query) as rows:
                parts += [bytes(row) for row in rows]
    return b"\n".join(parts)


def _valkey(target: Target) -> bytes:
    """Every key with its value, queues and sessions among them."""
    parts: list[bytes] = []
    store = redis.Redis.from_url(target.redis_url)
    readers: dict[bytes, Callable[[Any], Any]] = {
        b"string": store.get, b"hash": store.hgetall, b"set": store.smembers,
        b"list": lambda key: store.lrange(key, 0, -1),
        b"zset": lambda key: store.zrange(key, 0, -1, withscores=True),
        b"stream": store.xrange,
    }  # fmt: skip
    for key in store.scan_iter(count=1000):
        kind: Any = store.type(key)
        value: Any = readers[kind](key)
        parts += [key, value if isinstance(value, bytes) else repr(value).encode()]
    return b"\n".join(parts)
