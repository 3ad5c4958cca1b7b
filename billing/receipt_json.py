"""A request as a document: what its page shows, for programs and for asking about it."""

from typing import Any

from billing.models import UsageRecord
from billing.money import format_usd
from billing.receipts import Receipt


def describe(
    record: UsageRecord, receipt: Receipt, key: str | None, project: str | None
) -> dict[str, Any]:
    """Amounts in USD as decimal strings and in nanos as integers; times in UTC."""
    return {
        "id": f"req_{record.pk.hex}",
        "started_at": record.started_at.isoformat(),
        "charged_at": record.charged_at.isoformat(),
        "model": record.model,
        "provider": record.provider or None,
        "project": project,
        "key": key,
        "status": record.status,
        "error_code": record.error_code or None,
        "billing_reason": record.billing_reason,
        "is_stream": record.is_stream,
        "is_estimated": record.is_estimated,
        "attempts": record.attempts,
        "first_token_ms": record.first_token_ms,
        "duration_ms": record.duration_ms,
        "tokens_per_second": speed(record),
        "tokens": {
            "input": record.input_tokens,
            "cached_input": record.cached_input_tokens,
            "cache_write": record.cache_write_tokens,
            "output": record.output_tokens,
            "reasoning_output": record.reasoning_output_tokens,
        },
        "price_version": record.price_id,
        "lines": [
            {
                "class": line.name,
                "tokens": line.tokens,
                "usd_per_million": _usd(line.rate_nanos),
                "amount_usd": _usd(line.amount_nanos),
            }
            for line in receipt.lines
        ],
        "plan_factor": receipt.markup_factor,
        "charge_usd": format_usd(record.charge_nanos),
        "charge_nanos": record.charge_nanos,
    }


def speed(record: UsageRecord) -> float | None:
    """Completion tokens per second after the first one; None where that says nothing."""
    seconds = (record.duration_ms - (record.first_token_ms or 0)) / 1000
    if not record.is_stream or not record.completion_tokens or seconds <= 0:
        return None
    return round(record.completion_tokens / seconds, 1)


def _usd(nanos: int | None) -> str | None:
    return None if nanos is None else format_usd(nanos)
