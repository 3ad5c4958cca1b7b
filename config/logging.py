"""What every process logs, and how: one JSON object per line, or lines for a reader.

Prompts and answers are never logged. Secrets are masked in the finished line, whoever wrote it
and wherever in it they stand: the message, a field, a traceback.
"""

import logging
import re
from typing import Any

import structlog

MASK = "…"
_SECRETS = [
    # API keys, ours and the providers'. What says which kind a key is stays readable.
    (re.compile(r"\b(ttonk_sk_(?:test_)?|sk-(?:ant-|or-|proj-)?)[A-Za-z0-9_\-]{6,}"), r"\1" + MASK),
    (re.compile(r"\b(whsec_)[A-Za-z0-9+/=_\-]{6,}"), r"\1" + MASK),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9_\-.~+/=:]{6,}", re.IGNORECASE), r"\1 " + MASK),
    # The password of a URL.
    (re.compile(r"(\b[a-z][a-z0-9+]*://[^\s:/@\"']*):[^\s@/\"']+@"), r"\1:" + MASK + "@"),
    # A named value, as Python, JSON (also inside a JSON string) or a query writes it.
    (
        re.compile(
            r"((?:credential|password|passwd|secret|secret_key|api_key|apikey|pepper|cookie|"
            r"access_token|refresh_token)s?\\?[\"']?\s*[=:]\s*\\?[\"']?)[^\s\"'\\,;&})\]]+",
            re.IGNORECASE,
        ),
        r"\1" + MASK,
    ),
]
_STAMP = structlog.processors.TimeStamper(fmt="iso", utc=True)
# For our own lines and for everybody else's.
_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    _STAMP,
]


def redact(line: str) -> str:
    """The line without anything that opens something."""
    for pattern, replacement in _SECRETS:
        line = pattern.sub(replacement, line)
    return line


class Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders a record, then masks: the last thing before the sink."""

    def __init__(self, *, is_json: bool) -> None:
        # Plain tracebacks: the prettier ones show local variables, which hold prompts and keys.
        plain: list[Any] = (
            [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
            if is_json
            else [
                structlog.dev.ConsoleRenderer(
                    colors=False, exception_formatter=structlog.dev.plain_traceback
                )
            ]
        )
        super().__init__(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *plain],
            foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder(), _drop_colours],
        )

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def _drop_colours(_: Any, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The server's messages come a second time, for terminals."""
    line.pop("color_message", None)
    return line


def configure(*, is_json: bool, level: str) -> dict[str, Any]:
    """Set structlog up, and say the same to the standard library: Django's `LOGGING`."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # These bring handlers of their own, which would mask nothing.
    bare = {"handlers": [], "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": Formatter, "is_json": is_json}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "uvicorn": bare,
            "uvicorn.error": bare,
            # A line per request that went well is for no one to read.
            "uvicorn.access": {"handlers": [], "propagate": False},
            "aiohttp.access": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
            "django": bare,
            "django.server": bare,
            "httpx": {"level": "WARNING"},
        },
    }
