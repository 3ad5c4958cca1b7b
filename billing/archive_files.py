"""A month's rows as compressed CSV files beside a manifest, and the same read back again."""

import csv
import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from django.db import connection
from psycopg import sql

MANIFEST = "manifest.json"
# What is added up over each table's rows, in the database and again in the file.
SUMMED = {
    "billing_transfer": ("held_nanos", "amount_nanos"),
    "billing_usagerecord": (
        "input_tokens",
        "cached_input_tokens",
        "cache_write_tokens",
        "output_tokens",
        "reasoning_output_tokens",
        "charge_nanos",
    ),
}
_BLOCK_BYTES = 1024 * 1024


class Damaged(Exception):
    """A file is not what its manifest says."""


def sums(table: str, partition: str) -> dict[str, int]:
    """How many rows the partition has, and its columns' sums."""
    names = SUMMED[table]
    with connection.cursor() as cursor:
        each = "".join(f", coalesce(sum({name}), 0)::numeric" for name in names)
        cursor.execute(f"SELECT count(*){each} FROM {partition}")
        return {
            name: int(value)
            for name, value in zip(("rows", *names), cursor.fetchone(), strict=True)
        }


def write(table: str, partition: str, folder: Path) -> dict[str, Any]:
    """Copy the partition into `folder`, durably; returns the manifest's entry for it.

    The file appears under its name when it is whole. Raises OSError.
    """
    path = folder / f"{table}.csv.gz"
    partial = path.with_suffix(".part")
    before = sums(table, partition)
    copy = sql.SQL("COPY (SELECT * FROM {} ORDER BY id) TO STDOUT (FORMAT csv, HEADER)").format(
        sql.Identifier(partition)
    )
    with (
        _durable(partial) as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
        connection.cursor() as cursor,
        cursor.copy(copy) as rows,
    ):
        for block in rows:
            packed.write(block)
    partial.rename(path)
    return {"file": path.name, "sha256": _digest(path), "bytes": path.stat().st_size} | before


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    partial = folder / f"{MANIFEST}.part"
    with _durable(partial) as raw:
        raw.write(json.dumps(manifest, indent=1).encode())
    partial.rename(folder / MANIFEST)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        text = (folder / MANIFEST).read_text()
    except FileNotFoundError:
        return None
    try:
        manifest = json.loads(text)
    except ValueError:
        raise Damaged(f"{folder / MANIFEST} is not readable") from None
    if not isinstance(manifest, dict) or set(manifest.get("tables", {})) != set(SUMMED):
        raise Damaged(f"{folder / MANIFEST} does not name both tables")
    return manifest


def verify(table: str, folder: Path, entry: dict[str, Any]) -> None:
    """Read the whole file: its digest, its rows and its sums are the entry's. Raises `Damaged`."""
    path = folder / f"{table}.csv.gz"
    names = SUMMED[table]
    found = {"rows": 0} | dict.fromkeys(names, 0)
    try:
        if _digest(path) != entry["sha256"]:
            raise Damaged(f"{path}: its SHA-256 is not the manifest's")
        with gzip.open(path, "rt", newline="") as text:
            for row in csv.DictReader(text):
                found["rows"] += 1
                for name in names:
                    found[name] += int(row[name])
    except (OSError, EOFError, KeyError, ValueError, TypeError) as error:
        raise Damaged(f"{path}: {error!r}") from None
    for name, value in found.items():
        if value != entry.get(name):
            raise Damaged(f"{path}: {name} is {value}, the manifest says {entry.get(name)}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _durable(path: Path) -> Iterator[IO[bytes]]:
    """A new file that only its owner reads, on the disk when the block ends."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb", buffering=_BLOCK_BYTES) as file:
        yield file
        file.flush()
        os.fsync(descriptor)
