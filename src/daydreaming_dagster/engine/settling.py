"""Asks providers what calls cost that nobody here knows: answers without a cost, lost ones whose id came through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, runtime_checkable

from daydreaming_dagster.domain.errors import DayDreamingError
from daydreaming_dagster.llm.openrouter_records import GenerationRecord
from daydreaming_dagster.llm.protocol import ChatClient
from daydreaming_dagster.store.ledger import CallRow, CallState, Ledger

_MOST_LOOKUPS = 200


@runtime_checkable
class CostRecords(Protocol):
    """A client whose provider keeps records of past responses."""

    async def fetch_generation(self, response_id: str) -> GenerationRecord | None:
        """What a response cost; None when it is not on record."""
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
    settled: list[CallRow] = []
    silent: set[str] = set()
    rows = [row for row in ledger.find_unsettled() if row.response_id]
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


def _apply(row: CallRow, record: GenerationRecord) -> CallRow:
    return replace(
        row,
        state=CallState.ANSWERED.value if row.state == CallState.ANSWERED else CallState.FAILED.value,
        cost_usd=record.cost_usd,
        prompt_tokens=record.native_prompt_tokens if row.prompt_tokens is None else row.prompt_tokens,
        completion_tokens=record.native_completion_tokens if row.completion_tokens is None else row.completion_tokens,
    )
