"""The client for every server that speaks OpenAI's chat completions: OpenRouter, vLLM, Ollama, llama-server, others.

It sends one POST per call and reads what comes back as it is, because error bodies, the provider and the cost matter
here. What bodies say is read in `chat_completions`, what failures mean in `http_failures`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import orjson
from yarl import URL

from daydreaming_dagster.domain.catalogue import Endpoint
from daydreaming_dagster.domain.errors import ConfigurationError, ModelCallError, RefusedError
from daydreaming_dagster.llm.chat_completions import build_body, find_response, merge, parse_failure
from daydreaming_dagster.llm.http_failures import Asked, build_error, build_http_error
from daydreaming_dagster.llm.keys import require_key
from daydreaming_dagster.llm.openrouter_records import (
    GenerationRecord,
    KeyStatus,
    ModelOffer,
    parse_generation,
    parse_key_status,
    parse_models,
)
from daydreaming_dagster.llm.protocol import ChatRequest, ChatResponse

DEFAULT_TIMEOUT_S = 600.0
"""How long one call may take in all. Reasoning models think for minutes."""

_CONNECT_TIMEOUT_S = 30.0
_ENDPOINTS_FILE = "data/1_raw/llm_endpoints.csv"
_CHAT_PATH = "/chat/completions"


class OpenAICompatibleClient:
    """A `ChatClient` over HTTP. It belongs to the event loop of its first call, and has no limits of its own."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        environ: Mapping[str, str],
        timeout_s: float = DEFAULT_TIMEOUT_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Checks the address; reads no key and opens no connection.

        Args:
            endpoint: address, name of the key's variable, and fields merged into each request.
            environ: where the key and proxies are looked up at the first call.
            timeout_s: how long one call may take from connecting to the last byte.
            now: seconds since 1970, for waits that servers give as a moment.

        Raises:
            ConfigurationError: the endpoint has no usable base_url.
        """
        self._endpoint = endpoint
        self._environ = environ
        self._timeout_s = timeout_s
        self._now = now
        self._base_url = _require_base_url(endpoint)
        self._chat_url = URL(self._base_url + _CHAT_PATH, encoded=True)
        self._session: aiohttp.ClientSession | None = None
        self._extra_body = merge({}, endpoint.extra_body)
        self._key = ""
        self._closed = False

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """One POST and its answer.

        Raises:
            ConfigurationError: the endpoint's key is not set.
            ModelCallError: no usable answer; text and usage that came with the failure are kept in it.
        """
        data = build_body(request, self._extra_body)
        status, headers, raw = await self._exchange("POST", self._chat_url, request.model, data)
        body = _find_json(raw)
        if status == 200 and (response := find_response(body)) is not None:
            return response
        raise self._as_error(request.model, status, headers, raw, body)

    async def fetch_key_status(self) -> KeyStatus:
        """What the key may still do today (OpenRouter only).

        Raises:
            ConfigurationError: the endpoint's key is not set.
            ModelCallError: the server does not say.
        """
        return parse_key_status(await self._get("/key"))

    async def fetch_generation(self, response_id: str) -> GenerationRecord | None:
        """What a response cost and who made it (OpenRouter only); None when it is not on record (yet).

        The record appears some seconds after the response.

        Raises:
            ConfigurationError: the endpoint's key is not set.
            ModelCallError: the server does not say.
        """
        try:
            body = await self._get(f"/generation?id={quote(response_id, safe='')}")
        except RefusedError as error:
            if error.culprits.get("status") == 404:
                return None
            raise
        return parse_generation(body)

    async def fetch_models(self) -> list[ModelOffer]:
        """The models one can ask for, with prices where the server tells them.

        Raises:
            ConfigurationError: the endpoint's key is not set.
            ModelCallError: the server does not say.
        """
        return parse_models(await self._get("/models"))

    async def submit_batch(self, model: str, requests: Mapping[str, ChatRequest]) -> Mapping[str, Any]:
        """Hands in a batch (OpenRouter only) and returns what the server says of it: its `id` and `status`.

        Args:
            model: API name; one batch is for one model.
            requests: by an id that its result will carry.

        Raises:
            ConfigurationError: the endpoint's key is not set.
            ModelCallError: the batch was not accepted.
        """
        rows = [
            {"custom_id": name, "body": orjson.loads(build_body(request, self._extra_body))}
            for name, request in requests.items()
        ]
        # The server reads the body as it comes, and wants to know the model before the first request.
        data = orjson.dumps({"endpoint": "/v1/chat/completions", "model": model, "requests": rows})
        status, headers, raw = await self._exchange("POST", URL(self._base_url + "/batches", encoded=True), model, data)
        body = _find_json(raw)
        if 200 <= status < 300 and isinstance(body, dict) and body.get("id"):
            return body
        raise self._as_error(model, status, headers, raw, body)

    async def fetch_batch(self, batch_id: str) -> Mapping[str, Any]:
        """What the server says of a batch; one that has ended carries its `results`.

        Raises:
            ConfigurationError: the endpoint's key is not set.
            ModelCallError: the server does not say.
        """
        return await self._get(f"/batches/{quote(batch_id, safe='')}")

    def read_answer(self, model: str, status: int, body: Any) -> ChatResponse:
        """The answer in a body that came by other ways than `complete`.

        Raises:
            ModelCallError: it holds none.
        """
        if status == 200 and (response := find_response(body)) is not None:
            return response
        raise self._as_error(model, status, {}, b"", body)

    async def aclose(self) -> None:
        """Closes all connections."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        """Reads the key and makes the session; must run inside the event loop."""
        if self._closed:
            raise RuntimeError("This client has been closed; open another one.")
        headers = {"Content-Type": "application/json", "User-Agent": "daydreaming-dagster"}
        self._key = require_key(self._endpoint, self._environ)
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=_CONNECT_TIMEOUT_S),
            proxy=_find_proxy(self._base_url, self._environ),
        )
        return self._session

    async def _get(self, path: str) -> Mapping[str, Any]:
        url = URL(self._base_url + path, encoded=True)
        status, headers, raw = await self._exchange("GET", url, "", None)
        body = _find_json(raw)
        if status == 200 and isinstance(body, dict) and not body.get("error"):
            return body
        raise self._as_error("", status, headers, raw, body)

    async def _exchange(
        self, method: str, url: URL, model: str, data: bytes | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body; a connection that fails in any way is an error that says how."""
        session = self._session or self._open_session()
        try:
            async with session.request(method, url, data=data, allow_redirects=False) as response:
                return response.status, response.headers, await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # Nothing was sent, so nothing can have been charged.
            what = f"{self._base_url} cannot be reached, {_describe(error)}"
            raise self._build_error(model, "unreachable", what) from error
        except TimeoutError as error:
            raise self._build_error(model, "timeout", f"no complete answer within {self._timeout_s:g} s") from error
        except aiohttp.ClientPayloadError as error:
            raise self._build_error(model, "bad_response", "the connection broke inside the answer") from error
        except (aiohttp.ClientError, OSError) as error:
            what = f"{self._base_url} hung up, {_describe(error)}"
            raise self._build_error(model, "connection", what) from error

    def _as_error(self, model: str, status: int, headers: Mapping[str, str], raw: bytes, body: Any) -> ModelCallError:
        failure = parse_failure(body)
        error = failure.error
        if status == 200 and error is None:
            what = f"the answer is not JSON: {_excerpt(raw)}" if body is None else "the answer is empty"
            return self._build_error(model, "bad_response", what, usage=failure.usage)
        if error is None:
            error = f"redirected to {headers['Location']}" if "Location" in headers else _excerpt(raw)
        return build_http_error(
            self._asked(model),
            status=status,
            headers=headers,
            error=error,
            now=self._now,
            partial_text=failure.partial_text,
            usage=failure.usage,
        )

    def _build_error(
        self, model: str, reason: str, message: str, usage: Mapping[str, Any] | None = None
    ) -> ModelCallError:
        return build_error(self._asked(model), reason=reason, message=message, usage=usage)

    def _asked(self, model: str) -> Asked:
        return Asked(self._endpoint.endpoint, model, self._endpoint.api_key_env, self._key)


def _find_json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _excerpt(raw: bytes) -> str:
    return " ".join(raw[:200].decode("utf-8", "replace").split())


def _require_base_url(endpoint: Endpoint) -> str:
    base_url = endpoint.base_url.strip().rstrip("/").removesuffix(_CHAT_PATH)
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"Endpoint '{endpoint.endpoint}' has no usable base_url (found {endpoint.base_url!r}).",
            fix=f"Write one like https://openrouter.ai/api/v1 into its row of {_ENDPOINTS_FILE}.",
            culprits={"endpoint": endpoint.endpoint, "base_url": endpoint.base_url},
        )
    return base_url


def _describe(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _find_proxy(base_url: str, environ: Mapping[str, str]) -> str | None:
    """The HTTP proxy that the usual variables name for this address; None when there is none."""
    parts = urlsplit(base_url)
    variables = {name.lower(): value.strip() for name, value in environ.items()}
    proxy = variables.get(f"{parts.scheme}_proxy") or variables.get("all_proxy") or ""
    host = f".{parts.hostname}"
    for name in variables.get("no_proxy", "").split(","):
        if (spared := name.strip().lstrip(".")) and (spared == "*" or host.endswith(f".{spared}")):
            return None
    return proxy if proxy.startswith("http") else None
