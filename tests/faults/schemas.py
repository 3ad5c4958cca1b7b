"""Requests that schemathesis makes from the product's own OpenAPI document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.goals import Verdict
from tests.faults.rounds import Effort
from tests.faults.targets import Target

EXAMPLES = {Effort.SHORT: 5, Effort.FULL: 400}
PHASES = {Effort.SHORT: "examples,fuzzing", Effort.FULL: "examples,coverage,fuzzing"}
SECONDS_MAX = 300
# Not `positive_data_acceptance`: some rules stand between fields, where no schema says them.
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,negative_data_rejection,"
    "unsupported_method,allow_header_conformance,ignored_auth"
)


def run(target: Target, effort: Effort, seed: int) -> Verdict:
    """Valid and invalid requests alike; every answer must be one that the document knows."""
    report = target.stack.folder / "schemathesis.json"
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "run", f"{target.stack.base_url}/openapi.json", "--checks", CHECKS,
            "--header", f"Authorization: Bearer {target.key}", "--seed", str(seed),
            "--max-examples", str(EXAMPLES[effort]), "--phases", PHASES[effort],
            "--suppress-health-check", "all", "--continue-on-failure", "--no-shrink",
            "--generation-database", "none", "--report", "json", "--report-json-path", report,
        ],
        capture_output=True, text=True, timeout=SECONDS_MAX, check=False, cwd=target.stack.folder,
    )  # fmt: skip
    if done.returncode:
        print(done.stdout[-6_000:], done.stderr[-1_000:], flush=True)
    told: dict[str, Any] = json.loads(report.read_text())
    cases, tested = told["test_cases"], told["operations"]["tested"]
    return Verdict(
        "malformed inputs made from the OpenAPI document",
        "every answer is one the document knows, no 5xx, what its schemas refuse is refused",
        f"{cases['generated']:,} requests to {tested} operations, {cases['with_failures']} failed",
        done.returncode == 0 and tested == told["operations"]["total"] > 0,
    )
