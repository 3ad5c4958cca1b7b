"""Group commits under test: one running, what it is given, and a network to cut."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from asgiref.sync import sync_to_async
from django.db import connection

from accounts import keys
from accounts.models import ApiKey, Organization
from billing import ids
from billing.batches import Authorization, Capture, Hold, UsageFacts
from billing.group_commit import GroupCommit
from billing.models import Account, Transfer
from billing.spool import Spool


def own_dsn() -> str:
    options = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    return psycopg.conninfo.make_conninfo(
        **{name: options[name] for name in names if options.get(name) is not None}
    )


@asynccontextmanager
async def running(tmp_path: Path, dsn: str = "") -> AsyncIterator[GroupCommit]:
    commit = GroupCommit(
        dsn or await sync_to_async(own_dsn)(),
        Spool(tmp_path / "spool"),
        hold_seconds=45,
        authorize_timeout_seconds=0.9,
    )
    await commit.start()
    try:
        yield commit
    finally:
        await commit.stop()


def make_key(organization: Organization, **caps: int) -> ApiKey:
    project = organization.projects.get(name="Default")
    return keys.create(project, "k", **caps).row  # type: ignore[arg-type]


def wallet_of(organization: Organization) -> Account:
    return Account.objects.get(organization=organization)


def authorization(wallet: Account, amount: int, **changes: int) -> Authorization:
    fields = {"minimum_nanos": amount, "api_key_id": 1, **changes}
    return Authorization(ids.uuid7(), wallet.pk, amount, **fields)


def capture_of(hold: Hold, organization: Organization, charge: int) -> Capture:
    facts = UsageFacts(
        hold.id, organization.pk, 0, hold.api_key_id, "qwen-plus", "p", None, 0, 1_000_000,
        0, 0, 0, 0, 0, charge, "completed", False, False, 200, 'a "quoted" \\ text', 1, None, 5,
        datetime.now(UTC),
    )  # fmt: skip
    return Capture(
        facts,
        hold.wallet_id,
        hold.amount_nanos,
        hold.is_capped,
        hold.held_at,
        hold.is_project_capped,
    )


async def state_of(request_id: uuid.UUID) -> tuple[str, int]:
    row = await Transfer.objects.aget(pk=request_id)
    return row.state, row.amount_nanos


def fields_of(facts: UsageFacts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in facts.__struct_fields__}


async def until(condition: object, seconds: float = 6) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def until_async(question: object, wanted: object, seconds: float = 6) -> None:
    async with asyncio.timeout(seconds):
        while await question() != wanted:  # type: ignore[operator]  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class Proxy:
    """A TCP proxy that can cut its connections and refuse new ones."""

    def __init__(self, dsn: str) -> None:
        self._parts = psycopg.conninfo.conninfo_to_dict(dsn)
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self.dsn = ""

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.dsn = psycopg.conninfo.make_conninfo(
            **{**self._parts, "host": "127.0.0.1", "port": port}
        )
        return server

    def cut(self) -> None:
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self._is_cut = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        host, port = str(self._parts.get("host")), self._parts.get("port", 5432)
        if host.startswith("/"):
            other = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            other = await asyncio.open_connection(host, int(str(port)))
        self._writers |= {writer, other[1]}
        await asyncio.gather(pump(reader, other[1]), pump(other[0], writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(dsn)
    server = await proxy.start()
    try:
        yield proxy
    finally:
        server.close()
