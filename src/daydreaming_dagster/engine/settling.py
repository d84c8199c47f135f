"""Finds out what calls cost that nobody here knows.

Providers are asked about answers without a cost, and lost ones whose id came through. And a call that went into a batch
is not lost with the process that sent it: the run that takes its answer from the batch pays for it, once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, runtime_checkable

from daydreaming_dagster.domain.errors import DayDreamingError
from daydreaming_dagster.llm.openrouter_records import GenerationRecord
from daydreaming_dagster.llm.protocol import ChatClient
from daydreaming_dagster.store.ledger import CallRow, CallState, Ledger

_MOST_LOOKUPS = 200
_LONGEST_GATHERING_S = 600.0
"""How long a call may have waited before its batch was handed in."""


@runtime_checkable
class CostRecords(Protocol):
    """A client whose provider keeps records of past responses."""

    async def fetch_generation(self, response_id: str) -> GenerationRecord | None:
        """What a response cost; None when it is not on record."""
        ...


@runtime_checkable
class ResumedBatches(Protocol):
    """A client that may have taken answers from batches of earlier runs."""

    @property
    def resumed(self) -> tuple[float, float] | None:
        """When those batches were handed in, the first and the last, seconds since 1970; None when there were none."""
        ...


async def settle_unknown(ledger: Ledger, find_client: Callable[[str], ChatClient | None]) -> int:
    """Looks up the cost of calls whose response id is known, and corrects ledger and budgets.

    A provider that keeps no records, or does not answer, is left alone for this time: what is unknown stays unknown
    and counts at its worst case.

    Args:
        ledger: the calls.
        find_client: the client of an endpoint; None for endpoints that are not asked.

    Returns:
        How many calls were settled.
    """
    unsettled = ledger.find_unsettled()
    settled = [row for row in map(_find_superseded(ledger, find_client), unsettled) if row is not None]
    silent: set[str] = set()
    rows = [row for row in unsettled if row.response_id]
    for row in rows[:_MOST_LOOKUPS]:
        client = None if row.endpoint in silent else find_client(row.endpoint)
        if not isinstance(client, CostRecords) or row.response_id is None:
            continue
        try:
            record = await client.fetch_generation(row.response_id)
        except DayDreamingError:
            silent.add(row.endpoint)
            continue
        if record is not None and record.cost_usd is not None:
            settled.append(_apply(row, record))
    ledger.record(settled)
    return len(settled)


def _find_superseded(
    ledger: Ledger, find_client: Callable[[str], ChatClient | None]
) -> Callable[[CallRow], CallRow | None]:
    """What becomes of a lost call whose batch was taken up again: it cost nothing of its own."""

    def find(row: CallRow) -> CallRow | None:
        client = find_client(row.endpoint)
        resumed = client.resumed if isinstance(client, ResumedBatches) else None
        if resumed is None or row.response_id or row.state != CallState.UNKNOWN:
            return None
        if not resumed[0] - _LONGEST_GATHERING_S <= row.sent_at <= resumed[1]:
            return None
        later = (call for call in ledger.find_calls(row.gen_id) if call.sent_at > row.sent_at)
        if any(call.state == CallState.ANSWERED and call.endpoint == row.endpoint for call in later):
            return replace(row, state=CallState.FAILED.value, reason="resumed", cost_usd=0.0)
        return None

    return find


def _apply(row: CallRow, record: GenerationRecord) -> CallRow:
    return replace(
        row,
        state=CallState.ANSWERED.value if row.state == CallState.ANSWERED else CallState.FAILED.value,
        cost_usd=record.cost_usd,
        prompt_tokens=record.native_prompt_tokens if row.prompt_tokens is None else row.prompt_tokens,
        completion_tokens=record.native_completion_tokens if row.completion_tokens is None else row.completion_tokens,
    )
