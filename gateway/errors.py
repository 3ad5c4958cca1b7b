"""One table from what went wrong to the answer a client gets: OpenAI's error envelope."""

import logging
from dataclasses import dataclass, field

import msgspec

from billing.ledger import (
    BudgetExceeded,
    InsufficientFunds,
    LedgerUnavailable,
    ProjectBudgetExceeded,
    SpendCapExceeded,
)
from billing.money import format_usd
from gateway.replies import Reply
from providers.catalog import ModelNotFound
from providers.upstream import Failure, UpstreamFailed
from ratelimits.buckets import Decision

log = logging.getLogger(__name__)

INVALID = "invalid_request_error"
SERVER = "server_error"


class GatewayError(Exception):
    """An answer other than 200, decided by the gateway itself."""

    status = 400
    type = INVALID
    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code if code is not None else type(self).code
        self.headers: list[tuple[bytes, bytes]] = []


class InvalidRequest(GatewayError):
    pass


class InvalidKey(GatewayError):
    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class TooManyWrongKeys(GatewayError):
    status = 429
    type = "rate_limit_error"
    code = "too_many_wrong_keys"

    def __init__(self, seconds: int) -> None:
        super().__init__("Too many unknown API keys from your address. Try again shortly.")
        self.headers = [(b"retry-after", b"%d" % seconds)]


class Forbidden(GatewayError):
    status = 403
    type = "permission_error"


class UnknownRoute(GatewayError):
    status = 404
    code = "unknown_url"


class MethodNotAllowed(GatewayError):
    status = 405
    code = "method_not_allowed"

    def __init__(self, method: str, allowed: list[str]) -> None:
        super().__init__(f"{method} is not allowed here. Use {' or '.join(allowed)}.")
        self.headers = [(b"allow", ", ".join(allowed).encode())]


class PayloadTooLarge(GatewayError):
    status = 413
    code = "request_too_large"

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"The request body exceeds your plan's {bytes_max:,} bytes.")
        # The unread rest of the body must not be taken for a next request.
        self.headers = [(b"connection", b"close")]


class UnsupportedMedia(GatewayError):
    status = 415
    code = "unsupported_media_type"


class BodyTimeout(GatewayError):
    status = 408
    code = "request_timeout"

    def __init__(self) -> None:
        super().__init__("The request body did not arrive in time.")
        self.headers = [(b"connection", b"close")]


class Overloaded(GatewayError):
    status = 503
    type = SERVER
    code = "overloaded"

    def __init__(self, message: str = "The service is busy. Try again shortly.") -> None:
        super().__init__(message)
        self.headers = [(b"retry-after", b"1")]


class TooManyBodies(Overloaded):
    """The bodies of all requests under way are more than this process has room for."""

    def __init__(self) -> None:
        super().__init__()
        # The unread rest of the body must not be taken for a next request.
        self.headers.append((b"connection", b"close"))


class LimitExceeded(GatewayError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(self, decision: Decision) -> None:
        level = decision.requests if decision.refused_by == "requests" else decision.tokens
        limit = level.limit if level else 0
        seconds = decision.retry_after_seconds
        super().__init__(
            f"Rate limit reached: {limit:,} {decision.refused_by} per minute."
            f" Try again in {seconds:.3g} s, or change your plan."
        )
        self.headers = [
            (b"retry-after", str(max(1, -int(-seconds // 1))).encode()),
            (b"retry-after-ms", str(max(1, int(seconds * 1000))).encode()),
        ]


@dataclass(slots=True)
class Shortfall(Exception):
    """The wallet, or the key's cap, does not cover the request; see `pipeline.authorize`."""

    cause: InsufficientFunds
    affordable_tokens: int
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ApiError:
    """An error as the envelope holds it, with its HTTP status and extra headers."""

    status: int
    type: str
    message: str
    param: str | None = None
    code: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def envelope(self) -> bytes:
        """The JSON body; the same object is a stream's error event."""
        return msgspec.json.encode(
            {
                "error": {
                    "message": self.message,
                    "type": self.type,
                    "param": self.param,
                    "code": self.code,
                }
            }
        )

    def reply(self) -> Reply:
        return Reply(self.status, self.envelope(), list(self.headers))


# What a customer is told of an upstream's trouble: the kind of it, and never its words.
_UPSTREAM = {
    Failure.UNREACHABLE: (502, "The model's provider could not answer. Try again shortly."),
    Failure.TIMEOUT: (504, "The model's provider did not answer in time."),
    Failure.OVERLOADED: (503, "The model's provider is overloaded. Try again shortly."),
    Failure.REFUSED: (502, "The model's provider is not available at the moment."),
    Failure.GARBAGE: (502, "The model's provider sent an unusable answer."),
}


def describe(error: BaseException) -> ApiError:
    """The one place where exceptions become answers. Unknown ones are logged and say nothing."""
    match error:
        case GatewayError():
            return ApiError(
                error.status,
                error.type,
                error.message,
                error.param,
                error.code,
                tuple(error.headers),
            )
        case ModelNotFound():
            message = f"The model '{error.name[:100]}' does not exist or you cannot use it."
            return ApiError(404, INVALID, message, "model", "model_not_found")
        case Shortfall():
            return _shortfall(error)
        case LedgerUnavailable():
            message = "The service cannot take requests at the moment. Try again shortly."
            return ApiError(
                503, SERVER, message, None, "ledger_unavailable", ((b"retry-after", b"1"),)
            )
        case UpstreamFailed(failure=Failure.REJECTED):
            return ApiError(400, INVALID, error.message, error.param, "rejected_by_provider")
        case UpstreamFailed():
            status, message = _UPSTREAM[error.failure]
            return ApiError(status, SERVER, message, None, error.failure.value)
    log.error("unexpected error at the gateway", exc_info=error)
    return ApiError(500, SERVER, "Something went wrong on our side.", None, "internal_error")


def _shortfall(error: Shortfall) -> ApiError:
    tokens = max(error.affordable_tokens, 0)
    if isinstance(error.cause, ProjectBudgetExceeded):
        message = (
            f"The budget of this key's project leaves ${format_usd(error.cause.available_nanos)}"
            f" this month: enough for {tokens:,} output tokens of this request."
        )
        return ApiError(402, "insufficient_quota", message, None, "project_budget_reached")
    if isinstance(error.cause, SpendCapExceeded):
        message = (
            f"Your organization's monthly spend cap leaves"
            f" ${format_usd(error.cause.available_nanos)}: enough for {tokens:,} output tokens of"
            " this request."
        )
        return ApiError(402, "insufficient_quota", message, None, "organization_spend_cap_reached")
    if isinstance(error.cause, BudgetExceeded):
        message = (
            f"This key's spend cap leaves ${format_usd(error.cause.available_nanos)}:"
            f" enough for {tokens:,} output tokens of this request."
        )
        return ApiError(402, "insufficient_quota", message, None, "key_spend_cap_reached")
    message = (
        f"Your balance of ${format_usd(error.cause.available_nanos)} does not cover this request:"
        f" it pays for {tokens:,} output tokens after the prompt. Top up, or lower max_tokens."
    )
    return ApiError(402, "insufficient_quota", message, None, "insufficient_quota")
