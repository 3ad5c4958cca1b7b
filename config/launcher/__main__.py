"""`python -m config.launcher`: run the product, or only its stores."""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.launcher import cluster, folder, postgres, programs, run, stores, tools, valkey


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m config.launcher", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("run", help="everything, until Ctrl-C")
    clustering = actions.add_parser("cluster", help="two gateways behind a load balancer")
    clustering.add_argument("what", nargs="?", choices=("run", "restart"), default="run")
    keeping = actions.add_parser("stores", help="only PostgreSQL and Valkey, in the background")
    keeping.add_argument("what", nargs="?", choices=("start", "stop", "status"), default="start")
    executing = actions.add_parser("exec", help="one command with the stores up and the URLs set")
    executing.add_argument("--throwaway", action="store_true", help="on a data folder of its own")
    executing.add_argument("command", nargs=argparse.REMAINDER)
    actions.add_parser("tools", help="what only the checks need: Node and Chromium")
    chosen = parser.parse_args()
    _allow_many_files()
    try:
        if chosen.action == "stores":
            return _stores(chosen.what)
        if chosen.action == "exec":
            command = chosen.command[1:] if chosen.command[:1] == ["--"] else chosen.command
            return _execute(command, throwaway=chosen.throwaway)
        if chosen.action == "tools":
            tools.ensure()
            return 0
        if chosen.action == "cluster":
            return cluster.restart() if chosen.what == "restart" else cluster.run()
        return run.run()
    except (postgres.Failed, valkey.Failed, programs.Missing, tools.Absent) as error:
        print(f"ttonkapi: {error}", file=sys.stderr)
        return 1


def _allow_many_files() -> None:
    """A connection is an open file, and a gateway has one for each client and each upstream; what
    we start inherits the limit. Ordinary users begin with 1,024 and may raise it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _stores(what: str) -> int:
    data = folder.locate()
    if what == "start":
        up = stores.keep(data)
        print(f"DATABASE_URL={up.database_url}\nREDIS_URL={up.redis_url}")
        return 0
    if what == "stop":
        if not stores.stop_unused(data):
            print("ttonkapi: another command still uses the stores", file=sys.stderr)
            return 1
        return 0
    up_now = stores.running(data)
    print("running" if up_now else "stopped")
    return 0 if up_now else 1


def _execute(command: list[str], *, throwaway: bool) -> int:
    """Run `command`; its exit status is ours. Ctrl-C and SIGTERM are the command's to answer."""
    if not command:
        print("ttonkapi: exec needs a command after --", file=sys.stderr)
        return 2
    with _throwaway() if throwaway else _located() as data, stores.held(data):
        env = folder.environment(data) | os.environ | {"TTONK_DATA": str(data)}
        env.pop("DJANGO_SETTINGS_MODULE", None)  # the command's own to choose
        child = subprocess.Popen(command, env=env)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the command too
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        return child.wait()


@contextmanager
def _located() -> Iterator[Path]:
    yield folder.locate()


@contextmanager
def _throwaway() -> Iterator[Path]:
    """A data folder that is gone after the block; those of killed commands are swept first."""
    prefix = f"ttonkapi-{os.geteuid()}-"
    base = Path(tempfile.gettempdir())
    for old in base.glob(f"{prefix}*"):
        mine = old.stat().st_uid == os.geteuid() and (old / "users.lock").exists()
        if mine and stores.stop_unused(old):
            shutil.rmtree(old, ignore_errors=True)
    data = Path(tempfile.mkdtemp(prefix=prefix))
    data.chmod(0o711)
    try:
        yield data
    finally:
        shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
