"""Traces by OpenTelemetry: a span for every request that was given a hold, where
`TTONK_TRACES_URL` says whom to send them to. Without it, nothing of OpenTelemetry is imported.

A span says what a usage record says, and never what a prompt or an answer does. The caller's
`traceparent` is its parent, and the upstream is told the span's own.
"""

import time
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

from billing.batches import UsageFacts
from gateway.requests import GatewayRequest

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

EXPORT_SECONDS = 5
# Spans that wait to be sent; what comes on top is dropped, and costs no request anything.
QUEUE_MAX = 2048


class Tracer:
    """One per process. Beginning and ending a span blocks nothing: a thread sends them."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("ttonkapi")
        self._kind = trace.SpanKind.SERVER
        self._failed = trace.Status(trace.StatusCode.ERROR)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, request: GatewayRequest, model: str) -> None:
        """Start the request's span. From here on its `traceparent` is the span's."""
        spent_ns = int((time.monotonic() - request.started) * 1_000_000_000)
        span = self._tracer.start_span(
            f"chat {model}",
            context=self._propagator.extract({"traceparent": request.traceparent}),
            kind=self._kind,
            start_time=time.time_ns() - spent_ns,
        )
        here = span.get_span_context()
        request.span = span
        request.span_parent = (
            f"00-{here.trace_id:032x}-{here.span_id:016x}-{int(here.trace_flags):02x}"
        )

    def end(self, request: GatewayRequest, facts: UsageFacts) -> None:
        """The request is settled: say what it was and what it cost."""
        span: Any = request.span
        if span is None:
            return
        request.span = None
        if span.is_recording():
            span.set_attributes(_attributes(request, facts))
            if facts.status >= 500 or facts.error_code:
                span.set_status(self._failed)
        span.end()

    def stop(self) -> None:
        """Send what waits. Blocks for `EXPORT_SECONDS` at most."""
        self._provider.force_flush(EXPORT_SECONDS * 1000)
        self._provider.shutdown()


def _attributes(request: GatewayRequest, facts: UsageFacts) -> dict[str, Any]:
    found = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": facts.model,
        "gen_ai.provider.name": facts.provider,
        "gen_ai.usage.input_tokens": facts.input_tokens + facts.cached_input_tokens,
        "gen_ai.usage.output_tokens": facts.output_tokens + facts.reasoning_output_tokens,
        "http.response.status_code": facts.status,
        "ttonk.request_id": request.wire_id,
        "ttonk.organization_id": facts.organization_id,
        "ttonk.channel_id": facts.channel_id,
        "ttonk.attempts": facts.attempts,
        "ttonk.charge_nanos": facts.charge_nanos,
        "ttonk.billing_reason": facts.billing_reason,
        "ttonk.is_stream": facts.is_stream,
        "ttonk.first_token_ms": facts.first_token_ms,
        "error.type": facts.error_code or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def open_tracer(url: str, ratio: float) -> Tracer | None:
    """A tracer that sends to `url` (OTLP over HTTP), None where that is empty. Of requests whose
    caller decided nothing, `ratio` are traced."""
    if not url:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise ImproperlyConfigured(
            "TTONK_TRACES_URL needs the packages of requirements/tracing.in"
        ) from error
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        resource=Resource.create({"service.name": "ttonkapi-gateway"}),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE_MAX))
    return Tracer(provider)
