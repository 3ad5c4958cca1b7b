"""What ends up in a log line, and what never does."""

import json
import logging
from collections.abc import Callable

import pytest
import structlog

from config.logging import MASK, Formatter, configure, redact

Write = Callable[..., str]
KEY = "ttonk_sk_4f9aQ2mZ8xW1"


@pytest.fixture(params=[True, False], ids=["json", "text"])
def write(request: pytest.FixtureRequest) -> Write:
    """Logs one message as the processes do; the line as the sink gets it."""
    formatter = Formatter(is_json=request.param)

    def line(message: str, *arguments: object, exc_info: object = None, **fields: object) -> str:
        logger = logging.getLogger("tests.logging")
        record = logger.makeRecord(
            logger.name, logging.WARNING, __file__, 1, message, arguments,
            exc_info,  # type: ignore[arg-type]
            extra=fields,
        )  # fmt: skip
        return formatter.format(record)

    return line


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        "ttonk_sk_test_4f9aQ2mZ8xW1",
        "sk-3b1f0c9d8e7a6b5c",
        "sk-proj-abc_DEF-123456",
        "Bearer eyJhbGciOi.J9x-y_z",
        "postgres://ttonkapi:hunter22@db:5432/x",
        "redis://:hunter22@valkey:6379/0",
        "{'credential': 'hunter22'}",
        '{"password": "hunter22"}',
        "api_key=hunter22&x=1",
        "SECRET_KEY: hunter22",
    ],
)
def test_a_secret_comes_out_masked_wherever_it_stands(write: Write, secret: str) -> None:
    try:
        raise ValueError(f"in a traceback {secret}")
    except ValueError as error:
        failed = (ValueError, error, error.__traceback__)
    lines = write("in an argument %s", secret) + write(f"in the message {secret}")
    lines += write("in a field", header=secret) + write("raised", exc_info=failed)
    for part in ("hunter22", "4f9aQ2mZ8xW1", "3b1f0c9d8e7a6b5c", "DEF-123456", "eyJhbGciOi"):
        assert part not in lines
    assert lines.count(MASK) >= 4


def test_a_structlog_line_is_masked_too(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter(is_json=True))
    logger = logging.getLogger("tests.structured")
    logger.addHandler(handler)
    try:
        structlog.get_logger("tests.structured").warning("refused", key=KEY, status=401)
    finally:
        logger.removeHandler(handler)
    line = json.loads(capsys.readouterr().err.splitlines()[0])
    assert (line["event"], line["status"], line["key"]) == ("refused", 401, "ttonk_sk_" + MASK)
    assert (line["level"], line["logger"]) == ("warning", "tests.structured")


def test_a_json_line_carries_the_request_it_is_of() -> None:
    record = logging.makeLogRecord({"name": "x", "levelname": "INFO", "msg": "as it went"})
    with structlog.contextvars.bound_contextvars(request_id="req_1"):
        line = json.loads(Formatter(is_json=True).format(record))
    assert (line["request_id"], line["event"]) == ("req_1", "as it went")


def test_a_traceback_shows_no_local_variables(write: Write) -> None:
    def fail() -> None:
        prompt = "tell nobody"
        raise ValueError(len(prompt))

    try:
        fail()
    except ValueError as error:
        line = write("failed", exc_info=(ValueError, error, error.__traceback__))
    assert "ValueError" in line
    assert "'tell nobody'" not in line.replace('prompt = "tell nobody"', "")


@pytest.mark.parametrize(
    "line", ["50 tokens of qwen-plus", "task-based", "channel 7 of sk", "http://host:80/v1"]
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert redact(line) == line


def test_no_server_keeps_a_handler_of_its_own() -> None:
    loggers = configure(is_json=True, level="INFO")["loggers"]
    assert loggers["uvicorn"] == {"handlers": [], "propagate": True}
