"""How far a generation has come, read from its files alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from daydreaming_dagster.domain.errors import DayDreamingError, StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.files import explain_os_errors
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.paths import RAW


class Status(StrEnum):
    """Where a generation stands."""

    DONE = "done"
    """Its parsed text is there."""
    UNPARSED = "unparsed"
    """A response is there that has not been judged yet; parsing it is free."""
    FAILED = "failed"
    """The last attempt failed; `reason` says why."""
    MISSING = "missing"
    """Nothing came back so far."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a generation is not done; stored under `failure` in `raw_metadata.json`.

    Attributes:
        reason: stable code (see `domain/errors.py`).
        code: finer code of the parser or server; empty when there is none.
        message: sentence for people.
        lasting: the same request would fail again.
    """

    reason: str
    message: str
    code: str = ""
    lasting: bool = True

    @classmethod
    def of_error(cls, error: DayDreamingError) -> Failure:
        """What is kept of an error."""
        return cls(error.reason, error.what, str(error.culprits.get("code", "")), error.lasting)

    @classmethod
    def of_unreadable(cls, error: StoreError) -> Failure:
        """What is stored cannot be read: it may have been paid for, and is made again only when somebody says so."""
        return replace(cls.of_error(error), lasting=True)

    def to_json(self) -> dict[str, Any]:
        """As `raw_metadata.json` holds it."""
        return asdict(self)

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> Failure:
        """Reads what `to_json` gave; missing keys get their defaults."""
        return cls(
            reason=str(value.get("reason", "unknown")),
            message=str(value.get("message", "")),
            code=str(value.get("code", "")),
            lasting=bool(value.get("lasting", True)),
        )


@dataclass(frozen=True, slots=True)
class GenerationState:
    """Status of one generation.

    Attributes:
        failure: why it is not done; None unless the status is `failed`.
        has_text: a response text is stored, usable or not.
    """

    status: Status
    failure: Failure | None = None
    has_text: bool = False


DONE_STATE = GenerationState(Status.DONE, has_text=True)
MISSING_STATE = GenerationState(Status.MISSING)


def read_state(store: GenerationStore, stage: Stage, gen_id: str) -> GenerationState:
    """The state that the files show. What cannot be read is a failed generation, not an exception."""
    folder = store.folder(stage, gen_id)
    has_text = False
    try:
        with explain_os_errors(folder):
            has_text = (folder / RAW).exists()
        if store.find_parsed(stage, gen_id) is not None:
            return DONE_STATE
        metadata = store.find_raw_metadata(stage, gen_id)
    except StoreError as error:
        return GenerationState(Status.FAILED, Failure.of_unreadable(error), has_text)
    return state_of_metadata(metadata, has_text=has_text)


def state_of_metadata(metadata: dict[str, Any] | None, *, has_text: bool) -> GenerationState:
    """State of a generation without a parsed text."""
    metadata = metadata or {}
    if isinstance(failure := metadata.get("failure"), dict):
        return GenerationState(Status.FAILED, Failure.of_json(failure), has_text)
    if has_text and metadata.get("truncated") is True:
        # Data made before failures were recorded: the flag is all there is.
        return GenerationState(Status.FAILED, Failure("truncated", "The response was cut off."), has_text)
    return GenerationState(Status.UNPARSED, has_text=True) if has_text else MISSING_STATE
