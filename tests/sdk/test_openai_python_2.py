"""The suites of test_openai_python* on the newest openai 2.x, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tests import installs
from tests.customers import Customer

SUITES = [f"tests/sdk/test_openai_python{part}.py" for part in ("", "_streams", "_errors")]
TESTS_MIN = 60


def test_the_suites_pass_on_openai_2(customer: Customer):
    path = f"{installs.openai_2()}{os.pathsep}{installs.PROJECT}"
    environment = os.environ | customer.as_environment() | {"PYTHONPATH": path}
    version = _run(["-c", "import openai; print(openai.__version__)"], environment)
    assert version.stdout.startswith("2."), version.stdout + version.stderr
    # Only the plugins it needs: pytest-django's `client` would be taken for ours.
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    options = ["--noconftest", "-o", "addopts=", "--tb=short"]
    for plugin in ("pytest_asyncio.plugin", "tests.sdk.given", "no:cacheprovider"):
        options += ["-p", plugin]
    done = _run(["-m", "pytest", *SUITES, "-q", *options], environment)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    passed = re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) >= TESTS_MIN
    assert "skipped" not in done.stdout


def _run(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=installs.PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
