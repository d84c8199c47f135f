"""The one place where this project's errors become Dagster failures: the sentence, the fix, and the data behind it."""

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import Failure, MetadataValue

from daydreaming_dagster.domain.errors import DayDreamingError


@contextmanager
def explain_failures() -> Iterator[None]:
    """Raises a `Failure` with description and metadata instead of a `DayDreamingError`."""
    try:
        yield
    except DayDreamingError as error:
        raise to_failure(error) from error


def to_failure(error: DayDreamingError) -> Failure:
    """What Dagster shows of an error. Trying again at once is the engine's business, never Dagster's."""
    return Failure(
        description=str(error),
        metadata={
            "reason": error.reason,
            "fix": error.fix,
            **{
                name: MetadataValue.json(value) if isinstance(value, list | dict) else str(value)
                for name, value in error.culprits.items()
            },
        },
        allow_retries=False,
    )
