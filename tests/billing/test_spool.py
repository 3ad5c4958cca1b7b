"""Captures on disk: durable before they are relied on, replayed once, never in another's way."""

import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from billing import spool
from billing.batches import Capture, UsageFacts
from billing.spool import Spool


def _capture(**changes: object) -> Capture:
    facts = {
        "id": uuid.uuid4(), "organization_id": 1, "project_id": 1, "api_key_id": 1,
        "model": "qwen-plus", "provider": "p", "channel_id": None, "price_id": 1,
        "markup_ppm": 1_000_000, "input_tokens": 1, "cached_input_tokens": 0,
        "cache_write_tokens": 0, "output_tokens": 2, "reasoning_output_tokens": 0,
        "charge_nanos": 5, "billing_reason": "completed", "is_estimated": False,
        "is_stream": True, "status": 200, "error_code": "", "attempts": 1,
        "first_token_ms": None, "duration_ms": 3, "started_at": datetime.now(UTC), **changes,
    }  # fmt: skip
    return Capture(UsageFacts(**facts), 1, 10, False, datetime.now(UTC))  # type: ignore[arg-type]


def test_what_was_written_is_claimed_as_it_was(tmp_path: Path) -> None:
    items = [_capture(), _capture(model='a "quoted"\nname')]
    Spool(tmp_path).write(items)
    (batch,) = Spool(tmp_path).claim()
    assert batch.items == items
    batch.discard()
    batch.release()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_claimed_by_one_at_a_time_and_again_once_released(tmp_path: Path) -> None:
    mine = Spool(tmp_path)
    mine.write([_capture()])
    (batch,) = mine.claim()
    assert Spool(tmp_path).claim() == []
    assert mine.claim() == []
    batch.release()
    (again,) = mine.claim()
    assert again.items == batch.items
    again.release()


def test_a_process_that_died_holding_a_file_leaves_it_to_the_next(tmp_path: Path) -> None:
    Spool(tmp_path).write([_capture()])
    holder = (
        "import fcntl, glob, os, sys\n"
        "handle = os.open(glob.glob(sys.argv[1] + '/*.jsonl')[0], os.O_RDONLY)\n"
        "fcntl.flock(handle, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert Spool(tmp_path).claim() == []
        other.kill()
    (batch,) = Spool(tmp_path).claim()
    batch.release()


def test_a_file_is_synced_before_it_has_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[list[str]] = []
    real = os.fsync

    def watched(descriptor: int) -> None:
        names.append([path.suffix for path in tmp_path.iterdir()])
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    Spool(tmp_path).write([_capture()])
    assert names == [[".tmp"], [".jsonl"]]


def test_above_its_bound_it_refuses_and_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Spool(tmp_path)
    mine.write([_capture()])
    monkeypatch.setattr(spool, "BYTES_MAX", 1_000)
    with pytest.raises(OSError, match="full"):
        mine.write([_capture()])
    assert len(list(tmp_path.iterdir())) == 1


def test_a_write_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        Spool(tmp_path).write([_capture()])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_set_aside_and_the_others_are_claimed(
    tmp_path: Path,
) -> None:
    mine = Spool(tmp_path)
    mine.write([_capture()])
    (tmp_path / "0.jsonl").write_bytes(b'{"facts": 7}\n')
    (batch,) = mine.claim()
    assert len(batch.items) == 1
    assert (tmp_path / "0.refused").exists()
    batch.release()


def test_claimed_files_count_towards_the_bound_until_they_are_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Spool(tmp_path)
    mine.write([_capture()])
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    monkeypatch.setattr(spool, "BYTES_MAX", size + size // 2)
    for other in (mine, Spool(tmp_path)):
        with pytest.raises(OSError, match="full"):
            other.write([_capture()])
    (batch,) = mine.claim()
    with pytest.raises(OSError, match="full"):
        mine.write([_capture()])
    batch.discard()
    batch.release()
    mine.write([_capture()])
