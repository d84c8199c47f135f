"""Whether servers accept our keys, and what the keys may still do: asked of the servers, no model is called."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from daydreaming_dagster.domain.catalogue import Endpoint
from daydreaming_dagster.domain.errors import DayDreamingError, RefusedError
from daydreaming_dagster.llm.openai_compatible import OpenAICompatibleClient
from daydreaming_dagster.llm.openrouter_records import KeyStatus

_PATIENCE_S = 10.0
_TURNED_AWAY = frozenset({"unauthorized", "forbidden"})


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """What came of asking one server.

    Attributes:
        error: why it cannot be used with this key; None when it can, as far as it says.
        status: what the key may still do, as far as the server tells.
    """

    error: DayDreamingError | None = None
    status: KeyStatus = field(default_factory=KeyStatus)

    def describe(self) -> str:
        """What the server said, in a few words and without the key."""
        if self.error is not None:
            return self.error.what.removesuffix(".")
        status = self.status
        parts = ["the server accepts it"]
        if status.limit_remaining_usd is not None:
            limit = f" of ${status.limit_usd:,.2f}" if status.limit_usd is not None else ""
            parts.append(f"${status.limit_remaining_usd:,.2f}{limit} left to spend")
        elif status.usage_usd is not None:
            parts.append(f"no spending limit, ${status.usage_usd:,.2f} spent so far")
        if status.free_requests_remaining is not None:
            limit = f" of {status.free_requests_limit:,}" if status.free_requests_limit is not None else ""
            parts.append(f"{status.free_requests_remaining:,}{limit} requests to free models left today")
            if status.is_free_tier:
                parts.append("more of them a day once credits are bought")
        return ", ".join(parts)


def check_keys(endpoints: Iterable[Endpoint], environ: Mapping[str, str]) -> dict[str, KeyCheck]:
    """Asks the servers of these endpoints, all at once; those without one are left out."""

    async def check_all() -> dict[str, KeyCheck]:
        asked = [endpoint for endpoint in endpoints if endpoint.has_server]
        found = await asyncio.gather(*(_check(endpoint, environ) for endpoint in asked))
        return {endpoint.endpoint: check for endpoint, check in zip(asked, found, strict=True)}

    return asyncio.run(check_all())


async def _check(endpoint: Endpoint, environ: Mapping[str, str]) -> KeyCheck:
    try:
        client = OpenAICompatibleClient(endpoint, environ=environ, timeout_s=_PATIENCE_S)
    except DayDreamingError as error:
        return KeyCheck(error)
    try:
        return KeyCheck(status=await client.fetch_key_status())
    except RefusedError as error:
        return KeyCheck(error) if error.reason in _TURNED_AWAY else await _check_by_models(client)
    except DayDreamingError as error:
        return KeyCheck(error)
    finally:
        await client.aclose()


async def _check_by_models(client: OpenAICompatibleClient) -> KeyCheck:
    """For servers that keep no records of keys: whoever may see the models has the right key."""
    try:
        await client.fetch_models()
    except RefusedError as error:
        return KeyCheck(error if error.reason in _TURNED_AWAY else None)
    except DayDreamingError as error:
        return KeyCheck(error)
    return KeyCheck()
