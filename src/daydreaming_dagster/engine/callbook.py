"""Keeps book of calls: each is written down before it is sent, counted against the budget, and closed when it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Protocol

from daydreaming_dagster.domain.errors import ConfigurationError, DayDreamingError, ModelCallError, TransportError
from daydreaming_dagster.engine.budget import Budget
from daydreaming_dagster.engine.prices import compute_worst_case, find_answer_bound, require_priced
from daydreaming_dagster.engine.records import Attempt, RunInfo
from daydreaming_dagster.store.generations import Outcome
from daydreaming_dagster.store.journal import Entry
from daydreaming_dagster.store.ledger import Amount, CallRow, CallState

_CHARGE_UNKNOWN = frozenset({"timeout", "connection", "bad_response", "transport"})
"""Ends of a connection after which the server may have answered, and charged."""


class CallRecorder(Protocol):
    """Where calls are written down (`engine/writer.py`)."""

    def note(self, call: CallRow) -> None:
        """Writes down at once that a call is about to be sent."""
        ...

    def record(self, entry: Entry) -> None:
        """Writes down soon what became of a call of which nothing is stored."""
        ...


@dataclass(slots=True)
class Call:
    """A call under way.

    Attributes:
        row: as it was written down before it was sent.
        worst: what the budget keeps for it.
        is_settled: the budget has what it kept back, and counts what was spent.
    """

    row: CallRow
    worst: Amount
    is_settled: bool = False


class CallBook:
    """The calls of one run. Use it from the loop's thread.

    Args:
        recorder: where they are written down.
        run_info: whose calls they are.
        owner: the run's id.
        budget: what may be spent; None for as much as it takes.
    """

    def __init__(self, recorder: CallRecorder, run_info: RunInfo, owner: str, budget: Budget | None = None) -> None:
        self._recorder = recorder
        self._run_info = run_info
        self._owner = owner
        self._budget = budget
        self._count = 0

    def compute_worst_case(self, attempt: Attempt) -> Amount:
        """The most that the attempt's call can use.

        Raises:
            ConfigurationError: there is a budget, and the call cannot be bounded.
        """
        model, endpoint, request = attempt.model, attempt.endpoint, attempt.request
        if model is None or endpoint is None or request is None:
            return Amount()
        worst = compute_worst_case(request, model, endpoint)
        if self._budget is None:
            return worst
        if self._budget.bounds_money:
            require_priced(model, endpoint)
        if find_answer_bound(request) is None:
            raise ConfigurationError(
                f"Calls of the model '{model.id}' have no max_tokens, so no budget can hold for them.",
                fix=f"Set DD_{attempt.member.stage.upper()}_MAX_TOKENS, or max_tokens in the model's params.",
                reason="unbounded",
                lasting=False,
            )
        return self._budget.scale(model.id, worst)

    def try_reserve(self, worst: Amount) -> float | None:
        """Sets the worst case aside; 0.0 when that was possible (see `Budget.try_reserve`).

        Raises:
            BudgetExhaustedError: the budget is reached.
        """
        return 0.0 if self._budget is None else self._budget.try_reserve(worst)

    def cancel(self, worst: Amount) -> None:
        """The call was not sent after all."""
        if self._budget is not None:
            self._budget.cancel(worst)

    def open(self, attempt: Attempt, worst: Amount) -> Call:
        """Writes down that the call is about to be sent.

        Raises:
            StoreError: the disk refuses; the call must not be sent.
        """
        self._count += 1
        attempt.start(f"{self._owner}-{self._count}")
        member = attempt.member
        row = CallRow(
            call_id=attempt.call_id,
            owner=self._owner,
            gen_id=member.gen_id,
            stage=member.stage.value,
            run_id=self._run_info.run_id,
            cohort_id=self._run_info.cohort_id,
            template_id=member.template_id,
            llm_model_id=member.llm_model_id,
            endpoint=attempt.endpoint.endpoint if attempt.endpoint is not None else "",
            pool=attempt.model.pool if attempt.model is not None else "",
            sent_at=attempt.started_at,
            reserved_usd=worst.usd,
            reserved_tokens=worst.tokens,
        )
        self._recorder.note(row)
        return Call(row, worst)

    def close_answered(self, call: Call, outcome: Outcome) -> CallRow:
        """The call brought an answer. The row goes to the disk together with it."""
        raw = outcome.raw_metadata
        usage = raw["usage"]
        return self._settle(
            call,
            replace(
                call.row,
                state=CallState.ANSWERED.value,
                ended_at=time.time(),
                response_id=raw.get("response_id"),
                prompt_tokens=usage.get("prompt_tokens"),
                completion_tokens=usage.get("completion_tokens"),
                cost_usd=raw.get("cost_usd"),
            ),
        )

    def close_failed(self, call: Call, error: DayDreamingError, cost_usd: float | None) -> CallRow:
        """The call brought none; what it cost is unknown where the server may have answered nevertheless."""
        usage = error.usage if isinstance(error, ModelCallError) else {}
        unknown = cost_usd is None and isinstance(error, TransportError) and error.reason in _CHARGE_UNKNOWN
        return self._settle(
            call,
            replace(
                call.row,
                state=(CallState.UNKNOWN if unknown else CallState.FAILED).value,
                ended_at=time.time(),
                reason=error.reason,
                response_id=error.culprits.get("response_id"),
                prompt_tokens=usage.get("prompt_tokens"),
                completion_tokens=usage.get("completion_tokens"),
                cost_usd=cost_usd,
            ),
        )

    def close_unseen(self, call: Call) -> None:
        """Nobody waits for the call's end any more; what it cost stays unknown."""
        self.record(self._settle(call, replace(call.row, ended_at=time.time(), reason="given_up")))

    def record(self, row: CallRow) -> None:
        """Writes down a closed call of which nothing is stored."""
        self._recorder.record(Entry(row))

    def _settle(self, call: Call, row: CallRow) -> CallRow:
        if self._budget is not None and not call.is_settled:
            self._budget.settle(call.worst, row.spent, row.llm_model_id)
        call.is_settled = True
        return row
