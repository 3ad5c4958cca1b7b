"""`python -m config.serve --port 8000`: one gateway process, until SIGTERM or Ctrl-C.

The server's options stand here once, for every deployment. On SIGTERM it takes no new
connection, lets what runs finish for `--drain-seconds`, and exits with 0.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

import uvicorn

# Longer than a load balancer keeps its own idle connections, so that it is never the gateway
# that hangs up on a request just being sent.
KEEP_ALIVE_SECONDS = 75
DRAIN_SECONDS = 60
# Every page runs in a thread of its own, which would keep a connection of its own.
PAGE_CONNECTIONS_MAX = 6


def command(
    port: int, *, host: str = "127.0.0.1", drain_seconds: float = DRAIN_SECONDS
) -> list[str]:
    """The command that runs a gateway with the interpreter that runs us."""
    return [
        sys.executable, "-m", "config.serve", "--host", host, "--port", str(port),
        "--drain-seconds", str(int(drain_seconds)),
    ]  # fmt: skip


def configure(host: str, port: int, drain_seconds: int) -> uvicorn.Config:
    """Every option that differs from uvicorn's own."""
    return uvicorn.Config(
        "config.asgi:application",
        host=host,
        port=port,
        loop="uvloop",
        http="gateway.protocol:BoundedProtocol",
        lifespan="on",
        access_log=False,
        server_header=False,
        # Forwarded addresses are believed by TTONK_TRUSTED_PROXIES only; see gateway.requests.
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=drain_seconds,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m config.serve", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--drain-seconds", type=int, default=DRAIN_SECONDS)
    chosen = parser.parse_args()
    os.environ.setdefault("TTONK_PAGE_CONNECTIONS_MAX", str(PAGE_CONNECTIONS_MAX))
    server = uvicorn.Server(configure(chosen.host, chosen.port, chosen.drain_seconds))

    def leave(*_: object) -> None:
        """The server sends itself its signal again once it has drained; before it listens to
        signals at all there is nothing to drain."""
        if not server.started:
            raise SystemExit(0)

    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, leave)
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
