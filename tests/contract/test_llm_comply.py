"""`llm-comply`'s checks of OpenAI's chat completions, all of them, against the running product."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.customers import Customer

PROGRAM = Path(sys.executable).with_name("llm-comply")
CHECKS = [
    "chat-basic-response", "chat-system-prompt", "chat-multi-turn", "chat-tool-calling",
    "chat-streaming-response", "chat-streaming-usage", "chat-image-input",
    "chat-reasoning-summary", "chat-error-handling",
]  # fmt: skip
# Optional in OpenAI's schema, and not ours to invent: providers here do not annotate.
TOLERATED = ["choices[0].message missing 'annotations' field"]


def _comply(customer: Customer, key: str) -> dict[str, dict[str, Any]]:
    # The model's name is one that the suite takes for a reasoning one: else it skips a check.
    done = subprocess.run(
        [PROGRAM, "run", "--format", "openai-chat", "--json", "--timeout", "20",
         "--base-url", customer.base_url, "--api-key", key, "--model", "deepseek-reasoner"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    results = json.loads(done.stdout)["results"]
    return {result["id"]: result for result in results}


@pytest.fixture(scope="module")
def results(customer: Customer) -> dict[str, dict[str, Any]]:
    return _comply(customer, customer.api_key)


def test_these_are_all_the_checks_there_are(results: dict[str, dict[str, Any]]):
    assert sorted(results) == sorted(CHECKS)


@pytest.mark.parametrize("check", CHECKS)
def test_the_running_product_complies(results: dict[str, dict[str, Any]], check: str):
    result = results[check]
    assert result["status"] == "passed", result
    assert [said for said in result.get("warnings", []) if said not in TOLERATED] == []


def test_the_checks_fail_where_nothing_is_answered(customer: Customer):
    failed = _comply(customer, "ttonk_sk_nonsense")
    assert {result["status"] for result in failed.values()} == {"failed"}
