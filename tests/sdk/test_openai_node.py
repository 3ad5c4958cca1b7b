"""The official Node client: its suite runs under Node's own test runner."""

from __future__ import annotations

import os
import re
import subprocess

from tests import installs
from tests.customers import Customer

TESTS_MIN = 16


def test_the_suite_passes_on_the_openai_client_for_node(customer: Customer):
    done = subprocess.run(
        [installs.node(), "--test", "--test-reporter", "tap", "openai.test.mjs"],
        cwd=installs.openai_node(),
        env=os.environ | customer.as_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    counts = dict(re.findall(r"^# (pass|fail|skipped|todo|cancelled) (\d+)$", done.stdout, re.M))
    assert int(counts.pop("pass")) >= TESTS_MIN
    assert set(counts.values()) == {"0"}
