"""What cannot live in the suite's own environment, installed beside it from its locks.

Each is made once for each state of its lock, in a folder that appears only when it is whole, so
two runs at the same time do no harm.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from config.launcher import tools

PROJECT = Path(__file__).resolve().parents[1]
CHECKS = Path(sys.prefix) / "checks"
NODE_SUITE = PROJECT / "tests" / "sdk" / "node"
AXE = PROJECT / "tests" / "browser" / "node"
INSTALL_SECONDS = 300.0


def openai_2() -> Path:
    """A folder for PYTHONPATH that holds openai 2.x and what it needs."""
    lock = PROJECT / "requirements" / "openai2.txt"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return _made("openai-2", [lock], [*pip, "--require-hashes", "-r", str(lock), "--target", "."])


def openai_node() -> Path:
    """A folder that holds the Node suite with its `node_modules`."""
    folder = _packages("openai-node", NODE_SUITE)
    for path in NODE_SUITE.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    return folder


def axe() -> str:
    """The program that finds what people with other eyes, ears and hands cannot use."""
    return (_packages("axe", AXE) / "node_modules/axe-core/axe.min.js").read_text("utf-8")


def _packages(name: str, suite: Path) -> Path:
    """A folder with the `node_modules` of the suite's lock."""
    locks = sorted(suite.glob("package*.json"))
    npm = tools.find_node()[1]
    return _made(name, locks, [*npm, "ci", "--no-audit", "--no-fund"], copies=locks)


def node() -> str:
    """The program that runs the Node suite."""
    return str(tools.find_node()[0])


def _made(name: str, locks: list[Path], command: list[str], copies: Sequence[Path] = ()) -> Path:
    state = hashlib.sha256(b"".join(path.read_bytes() for path in locks)).hexdigest()[:12]
    folder = CHECKS / f"{name}-{sys.version_info.major}.{sys.version_info.minor}-{state}"
    if folder.exists():
        return folder
    CHECKS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CHECKS, prefix=f".{name}-") as made:
        for path in copies:
            shutil.copy(path, made)
        done = subprocess.run(
            command,
            cwd=made,
            # npm's own scripts call `node` by name.
            env=os.environ | {"PATH": f"{Path(node()).parent}{os.pathsep}{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"{name} cannot be installed:\n{(done.stdout + done.stderr)[-3000:]}"
            )
        try:
            Path(made).rename(folder)
        except OSError:
            if not folder.exists():  # else another run was faster
                raise
        else:
            Path(made).mkdir()  # what the block removes
    return folder
