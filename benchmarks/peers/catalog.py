"""The peers: where each comes from, how it is started at its best, and what cannot be had.

Every one gets the scripted upstream as its only provider, answers on loopback, and logs as little
as it can. "At its best" is what its own manuals advise for speed; where a peer keeps accounts at
all, it is told to keep them in memory.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.peers import packages
from config.launcher import ports

KEY = "sk-benchmark"
CHAT = "/v1/chat/completions"
# What the scripted upstream does with a stream stands at the end of the model's name.
MODELS = {script: f"scripted-{script}" for script in ("50x0", "50x20")}


class Start(msgspec.Struct, frozen=True):
    """How one peer is run: what to execute, and what its requests carry."""

    command: list[str]
    environment: dict[str, str] = {}
    headers: dict[str, str] = {}


class Peer(msgspec.Struct, frozen=True):
    """One gateway of somebody else's. `install` raises `packages.Absent`."""

    name: str
    about: str
    install: Callable[[], Path]
    # (what `install` returned, own folder, own port, upstream's port)
    start: Callable[[Path, Path, int, int], Start]
    # Called once the port answers; (own port, upstream's port).
    prepare: Callable[[int, int], None] | None = None
    # A slow gateway needs a longer warm-up until answers come evenly.
    patience: float = 1.0


def _nginx(program: Path, folder: Path, port: int, upstream_port: int) -> Start:
    lines = [
        *(["user root;"] if os.geteuid() == 0 else []),
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;",
        "events { worker_connections 4096; }",
        "http { access_log off; client_max_body_size 32m; client_body_buffer_size 1m;",
        "keepalive_timeout 300s; keepalive_requests 1000000000;",
        *(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi")),
        *(f"{kind}_temp_path {folder}/{kind};" for kind in ("uwsgi", "scgi")),
        f"upstream scripted {{ server 127.0.0.1:{upstream_port};",
        "keepalive 512; keepalive_requests 1000000000; }",
        f"server {{ listen 127.0.0.1:{port} backlog=4096; location / {{",
        "proxy_pass http://scripted; proxy_http_version 1.1; proxy_set_header Connection '';",
        # A stream's events must not wait for a full buffer.
        "proxy_buffering off; } } }",
    ]
    (folder / "nginx.conf").write_text("\n".join(lines))
    return Start([str(program), "-p", str(folder), "-c", str(folder / "nginx.conf")])


def _litellm(environment: Path, folder: Path, port: int, upstream_port: int) -> Start:
    models = [
        {
            "model_name": model,
            "litellm_params": {
                "model": f"openai/{model}",
                "api_base": f"http://127.0.0.1:{upstream_port}/v1",
                "api_key": "unused",
            },
        }
        for model in MODELS.values()
    ]
    settings = {"model_list": models, "general_settings": {"master_key": KEY}}
    (folder / "config.yaml").write_text(json.dumps(settings))  # JSON is YAML
    return Start(
        [
            str(environment / "bin" / "litellm"), "--config", str(folder / "config.yaml"),
            "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1",
        ],
        {
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        {"Authorization": f"Bearer {KEY}"},
    )  # fmt: skip


def _portkey(modules: Path, folder: Path, port: int, upstream_port: int) -> Start:
    script = modules / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    return Start(
        ["node", str(script), f"--port={port}", "--headless"],
        {"NODE_ENV": "production"},
        {
            "Authorization": f"Bearer {KEY}",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://127.0.0.1:{upstream_port}/v1",
        },
    )


def _ferrogw(environment: Path, folder: Path, port: int, upstream_port: int) -> Start:
    names = {model: model for model in MODELS.values()}
    settings = {
        "strategy": {"mode": "single"},
        "targets": [{"virtual_key": "openai", "model_map": names}],
    }
    (folder / "config.yaml").write_text(json.dumps(settings))
    return Start(
        [str(environment / "bin" / "ferrogw"), "serve"],
        {
            "PORT": str(port), "MASTER_KEY": KEY, "LOG_LEVEL": "error",
            "RATE_LIMIT_RPS": "0",  # none
            "GATEWAY_CONFIG": str(folder / "config.yaml"),
            "OPENAI_API_KEY": "unused", "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream_port}",
        },
        {"Authorization": f"Bearer {KEY}"},
    )  # fmt: skip


def _smg(environment: Path, folder: Path, port: int, upstream_port: int) -> Start:
    return Start(
        [
            str(environment / "bin" / "smg"), "launch", "--host", "127.0.0.1",
            "--port", str(port), "--worker-urls", f"http://127.0.0.1:{upstream_port}",
            "--backend", "openai", "--policy", "round_robin", "--log-level", "error",
            "--disable-health-check", "--prometheus-host", "127.0.0.1",
            "--prometheus-port", str(ports.pick()),
        ],
        {},
        {"Authorization": f"Bearer {KEY}"},
    )  # fmt: skip


def _one_api(program: Path, folder: Path, port: int, upstream_port: int) -> Start:
    # It counts tokens with tables it fetches at start; LiteLLM's package ships the same ones.
    tables = next(_install_litellm().glob("lib/*/site-packages/litellm/**/tokenizers"))
    return Start(
        [str(program), "--port", str(port), "--log-dir", str(folder)],
        {
            "TIKTOKEN_CACHE_DIR": str(tables), "SQLITE_PATH": str(folder / "one-api.db"),
            "MEMORY_CACHE_ENABLED": "true", "BATCH_UPDATE_ENABLED": "true",
            "SYNC_FREQUENCY": "5", "GLOBAL_API_RATE_LIMIT": "1000000000",
            "INITIAL_ROOT_TOKEN": KEY.removeprefix("sk-"), "INITIAL_ROOT_ACCESS_TOKEN": KEY,
        },
        {"Authorization": f"Bearer {KEY}"},
    )  # fmt: skip


def _prepare_one_api(port: int, upstream_port: int) -> None:
    """One provider, and no row per request; its cache sees both within `SYNC_FREQUENCY` seconds."""
    channel = {
        "type": 1, "name": "scripted", "key": "unused", "group": "default", "status": 1,
        "base_url": f"http://127.0.0.1:{upstream_port}", "models": ",".join(MODELS.values()),
    }  # fmt: skip
    quiet = {"key": "LogConsumeEnabled", "value": "false"}
    for method, path, body in (("POST", "channel", channel), ("PUT", "option", quiet)):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/{path}/",
            json.dumps(body).encode(),
            {"Authorization": KEY, "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()


def _install_litellm() -> Path:
    # OpenTelemetry and httptools are optional to it, and it is slower or noisier without them.
    return packages.python("litellm", "litellm[proxy]>=1.106,<2", "opentelemetry-sdk", "httptools")


def _install_portkey() -> Path:
    # Its streams fail on newer versions of the server it names as a range.
    wanted = {"@portkey-ai/gateway": "~1.15.2"}
    return packages.node("portkey", wanted, {"@hono/node-server": "1.13.3"})


PEERS = [
    Peer(
        "nginx",
        "a plain proxy: no keys, no limits, nothing read",
        lambda: packages.debian("nginx", "nginx-light"),
        _nginx,
    ),
    Peer(
        "LiteLLM",
        "Python; a master key, one worker, no database",
        _install_litellm,
        _litellm,
        patience=2.5,
    ),
    Peer("Portkey", "Node; no keys of its own, no state", _install_portkey, _portkey),
    Peer(
        "ferrogw",
        "Go; a master key, everything in memory",
        lambda: packages.python("ferrogw", "ferrogw>=1.5,<2"),
        _ferrogw,
    ),
    Peer(
        "smg",
        "Rust; no keys, one worker behind it",
        lambda: packages.python("smg", "smg>=1.13,<2"),
        _smg,
    ),
    Peer(
        "one-api",
        "Go; a key and a quota kept in memory, written to SQLite every 5 s",
        lambda: packages.go("one-api", "github.com/songquanpeng/one-api", "v0.6.10"),
        _one_api,
        _prepare_one_api,
    ),
]
# Why these are not here, whatever the machine.
NOT_TO_BE_HAD = {
    "new-api": "no registry serves it built, and its Go module is served without the pages that it"
    " embeds, or not at all; one-api, which it was forked from, stands in",
    "Bifrost": "its Go module is refused by the module proxy, and its npm package only downloads a"
    " program from elsewhere",
}
