"""Captures kept on disk while the database is away: JSON lines, fsynced before anyone relies on
them, replayed by the next connection. A capture is idempotent, so a line may be replayed twice.
"""

import fcntl
import logging
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from billing.batches import Capture

log = logging.getLogger(__name__)

BYTES_MAX = 1024 * 1024 * 1024
_decoder = msgspec.json.Decoder(Capture)
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class SpooledBatch:
    """One claimed file: locked by this process until it is released."""

    items: list[Capture]
    path: Path
    descriptor: int
    spool: "Spool"

    def discard(self) -> None:
        """Every item is in the ledger: the file goes."""
        self.spool.forget(os.fstat(self.descriptor).st_size)
        self.path.unlink(missing_ok=True)

    def set_aside(self) -> None:
        """An item can never be replayed: kept for the operator, and not claimed again."""
        self.spool.forget(os.fstat(self.descriptor).st_size)
        self.path.rename(self.path.with_suffix(".refused"))

    def release(self) -> None:
        """Give up the lock. What was not discarded can be claimed again, by any process."""
        os.close(self.descriptor)


class Spool:
    """A folder of files, one per outage and process; a lock says whose a file is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # What waited here at the last look, claimed or not, and what this process did since.
        self._bytes = self._measure()

    def write(self, items: Sequence[Capture]) -> None:
        """Append and fsync. Raises OSError where the disk, or the stated bound, is full."""
        data = b"".join(_encoder.encode(item) + b"\n" for item in items)
        if self._bytes + len(data) > BYTES_MAX:
            raise OSError("the spool is full")
        path = self._folder / f"{uuid.uuid4().hex}.jsonl"
        temporary = path.with_suffix(".tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        temporary.rename(path)
        self._sync_folder()
        self._bytes += len(data)

    def count(self) -> tuple[int, int]:
        """How many files wait for the database, and how many were set aside for the operator."""
        names = os.listdir(self._folder)
        waiting = sum(name.endswith(".jsonl") for name in names)
        return waiting, sum(name.endswith(".refused") for name in names)

    def claim(self) -> list[SpooledBatch]:
        """Every file no other process is replaying, read whole."""
        out = []
        self._bytes = self._measure()
        for path in sorted(self._folder.glob("*.jsonl")):
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            lines = path.read_bytes().splitlines() if path.exists() else []
            batch = SpooledBatch([], path, descriptor, self)
            try:
                batch.items.extend(_decoder.decode(line) for line in lines)
            except msgspec.DecodeError as error:
                log.critical("%s is not readable and set aside: %s", path, error)
                batch.set_aside()
                batch.release()
                continue
            out.append(batch)
        return out

    def forget(self, count: int) -> None:
        """So many bytes wait here no longer."""
        self._bytes -= count

    def _measure(self) -> int:
        sizes = 0
        for path in self._folder.glob("*.jsonl"):
            with suppress(FileNotFoundError):  # another process has just replayed it
                sizes += path.stat().st_size
        return sizes

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
