"""Which endpoints, models and pools get no further call in a run: each would fail as one before it did."""

from __future__ import annotations

from collections import Counter

from daydreaming_dagster.domain.catalogue import Model
from daydreaming_dagster.domain.errors import DayDreamingError, ModelCallError, RateLimitedError, RefusedError
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.retries import LONGEST_WAIT_S

_HALTS_ENDPOINT = frozenset({"unauthorized", "payment_required"})
_HALTS_MODEL = frozenset({"model_unknown"})


def find_halted_place(error: ModelCallError, model: Model) -> str | None:
    """What the failure of a call of this model halts; None when other calls need not fail as this one did."""
    if isinstance(error, RefusedError):
        if error.reason in _HALTS_ENDPOINT:
            return _show_endpoint(model.endpoint)
        return _show_model(model) if error.reason in _HALTS_MODEL else None
    if isinstance(error, RateLimitedError) and (error.retry_after_s or 0.0) > LONGEST_WAIT_S:
        return _show_pool(model.pool)
    return None


class Halts:
    """The halts of one run, and who has answered in it at all.

    Args:
        progress: told of each halt.
        errors: the first error of each reason, for people.
    """

    def __init__(self, progress: Progress, errors: dict[str, DayDreamingError]) -> None:
        self._progress = progress
        self._errors = errors
        self._halted: dict[str, DayDreamingError] = {}
        self._answers: Counter[str] = Counter()

    def add(self, place: str, error: DayDreamingError) -> None:
        """No further calls to a place, as `find_halted_place` names it."""
        self._halted.setdefault(place, error)
        self._errors.setdefault(error.reason, error)
        self._progress.notice = f"No further calls to {place}: {error.what}"

    def add_endpoint(self, endpoint: str, error: DayDreamingError) -> None:
        """No further calls to an endpoint."""
        self.add(_show_endpoint(endpoint), error)

    def add_pool(self, pool: str, error: DayDreamingError) -> None:
        """No further calls to models of a pool."""
        self.add(_show_pool(pool), error)

    def find(self, model: Model) -> DayDreamingError | None:
        """Why the model is not to be called; None when it may be."""
        places = (_show_endpoint(model.endpoint), _show_model(model), _show_pool(model.pool))
        return next((self._halted[place] for place in places if place in self._halted), None)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is halted, as nearly always."""
        return not self._halted

    def note_answered(self, endpoint: str) -> None:
        """The endpoint has answered a call."""
        self._answers[endpoint] += 1

    def count_answers(self, endpoint: str) -> int:
        """How often the endpoint has answered."""
        return self._answers[endpoint]


def _show_endpoint(endpoint: str) -> str:
    return f"endpoint {endpoint}"


def _show_model(model: Model) -> str:
    return f"model {model.id}"


def _show_pool(pool: str) -> str:
    return f"pool {pool}"
