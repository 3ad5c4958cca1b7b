"""Stores of a run's own: the command again, under the launcher, on a folder deleted after it."""

from __future__ import annotations

import os
import signal
import sys

# The caller's stores and providers are never touched.
_FOREIGN = {
    *("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "TTONK_DATA", "TTONK_SPOOL_DIR"),
    *("DASHSCOPE_API_KEY", "DEEPSEEK_API_KEY", "TTONK_LOCAL_MODEL_URL"),
}
_INSIDE = "TTONK_BENCHMARK_INSIDE"


def enter(module: str) -> None:
    """Become the launcher with `python -m module` under it, or return where that has happened."""
    if _INSIDE not in os.environ:
        environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        command = [sys.executable, "-m", "config.launcher", "exec", "--throwaway", "--"]
        command += [sys.executable, "-m", module, *sys.argv[1:]]
        print("== starting PostgreSQL and Valkey on a throw-away folder", flush=True)
        os.execve(sys.executable, command, environment | {_INSIDE: "1"})
    # The stores are stopped by the launcher above us once we end, which is what a signal asks for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.local"
