"""The launcher's promises: private stores that last, secrets made once, no stranger ended."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from config.launcher import folder, processes, stores, supervisor


@pytest.fixture
def data(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, and no URL of a server that is already there."""
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name)
    return folder.prepare(tmp_path_factory.mktemp("data"))


def test_secrets_are_made_once_and_are_the_owners_alone(data: Path) -> None:
    first = folder.keep_secrets(data)
    assert folder.keep_secrets(data) == first
    assert stat.S_IMODE((data / "secrets.json").stat().st_mode) == 0o600


def test_a_lock_refuses_a_second_holder_and_names_the_first(data: Path) -> None:
    path = data / "some.lock"
    refused = pytest.raises(folder.Busy, match=f"pid {os.getpid()}")
    with folder.lock(path), refused, folder.lock(path):
        pytest.fail("two held it")


def test_a_process_of_the_same_pid_and_another_start_is_never_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        stranger: processes.Record = {"pid": child.pid, "started": "another"}
        assert processes.end(stranger, (signal.SIGKILL, 1.0))
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_stores_keep_their_rows_through_a_kill_and_end_with_their_last_user(data: Path) -> None:
    with stores.held(data) as up:
        with psycopg.connect(up.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        server = folder.read(data / "stores.json")["postgres"]["process"]
        os.kill(server["pid"], signal.SIGKILL)
        processes.end(server, (signal.SIGKILL, 5.0))
        again = stores.ensure(data)
        assert again.database_url == up.database_url
        with psycopg.connect(again.database_url) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
            durable = connection.execute("SHOW synchronous_commit").fetchone()
            assert durable == ("on",)
    assert not stores.running(data)


def test_a_child_that_keeps_dying_is_given_up(tmp_path: Path) -> None:
    child = supervisor.Child("one", ["false"], tmp_path / "one.log", 1.0)
    child.began_at = time.monotonic()
    waits = [child.note_death() for _ in range(supervisor.RESTARTS_MAX)]
    assert waits[0] == 0.5
    assert max(waits) == supervisor.BACKOFF_SECONDS_MAX
    with pytest.raises(supervisor.GaveUp, match="one died"):
        child.note_death()


def test_a_log_beyond_its_bound_moves_to_one_predecessor(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_bytes(b"x" * (supervisor.LOG_BYTES_MAX + 1))
    supervisor.bound_logs({tmp_path})
    assert log.stat().st_size == 0
    assert (tmp_path / "one.log.1").stat().st_size == supervisor.LOG_BYTES_MAX + 1
