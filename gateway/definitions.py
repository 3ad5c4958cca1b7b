"""Every metric of a gateway: its name, what it says, its labels, and a histogram's bounds.

`docs/operations.md` says what to do when one moves; a test compares the two.
"""

from gateway.metrics import BATCH_ITEMS, LONG_SECONDS, SHORT_SECONDS

_CHANNEL = ("channel", "provider", "model")

# Counters end in `_total` on the wire.
COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ttonk_requests": (
        "Settled requests, by how they ended.",
        ("model", "status_class", "billing_reason"),
    ),
    "ttonk_error_answers": ("Answers with an error, of any cause.", ("status", "code")),
    "ttonk_tokens": ("Tokens charged, by disjoint class.", ("model", "token_class")),
    "ttonk_spend_usd": ("Charges, in USD.", ("model",)),
    "ttonk_limiter_decisions": (
        "Requests that the limits let through or refused, and which limit refused.",
        ("decision", "refused_by"),
    ),
    "ttonk_limiter_local_decisions": ("Decisions made while Redis was away.", ()),
    "ttonk_limiter_lane_breaks": ("Times the connection to Redis broke.", ()),
    "ttonk_captures_lost": ("Charges that could be made durable nowhere.", ()),
    "ttonk_retries_refused": ("Second attempts that the bound on them did not allow.", ()),
    "ttonk_channel_attempts": ("Requests sent to a channel.", _CHANNEL),
    "ttonk_channel_failures": ("Requests that a channel failed.", (*_CHANNEL, "failure")),
}
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "ttonk_gateway_processes": ("Processes behind this endpoint.", ()),
    "ttonk_exchanges_in_flight": ("Requests being carried.", ()),
    "ttonk_body_bytes": ("Bytes of the bodies of requests being carried.", ()),
    "ttonk_tasks": ("Tasks of the event loops, of connections and of the processes' own.", ()),
    "ttonk_holds_in_flight": ("Holds whose requests are not settled yet.", ()),
    "ttonk_commit_queue_length": ("Holds and captures waiting for the next commit.", ()),
    "ttonk_ledger_unavailable": ("Processes that cannot reach the ledger.", ()),
    "ttonk_limiter_lane_down": ("Processes that cannot reach Redis.", ()),
    "ttonk_spool_files": ("Files of captures kept outside the database.", ("state",)),
    "ttonk_channel_cooling": ("Processes that try this channel last.", _CHANNEL),
}
HISTOGRAMS: dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "ttonk_request_seconds": ("From first byte in to settled.", ("model",), LONG_SECONDS),
    "ttonk_first_token_seconds": ("To a stream's first token.", ("model",), LONG_SECONDS),
    "ttonk_before_upstream_seconds": ("Added before a channel is asked.", (), SHORT_SECONDS),
    "ttonk_settle_seconds": ("Added after the answer, until it is charged.", (), SHORT_SECONDS),
    "ttonk_commit_seconds": ("One ledger transaction.", (), SHORT_SECONDS),
    "ttonk_commit_items": ("Holds and captures of one transaction.", (), BATCH_ITEMS),
}
