"""What one failure says of the calls that would come after it."""

from __future__ import annotations

import pytest

from daydreaming_dagster.domain.catalogue import Model
from daydreaming_dagster.domain.errors import (
    DayDreamingError,
    ModelCallError,
    RateLimitedError,
    RefusedError,
    TransportError,
)
from daydreaming_dagster.engine.halts import Halts, find_halted_place
from daydreaming_dagster.engine.progress import Progress

WRITER = Model("writer", "lab/writer", "Lab", "Writer", True, True, "", "near", "paid", "lab")
JUDGE = Model("judge", "lab/judge", "Lab", "Judge", True, True, "", "far", "paid", "lab")


def refused(reason: str) -> RefusedError:
    return RefusedError("No.", fix="Ask again.", reason=reason)


def busy(retry_after_s: float | None) -> RateLimitedError:
    return RateLimitedError("Too many.", fix="Wait.", retry_after_s=retry_after_s)


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (refused("unauthorized"), "endpoint near"),
        (refused("payment_required"), "endpoint near"),
        (refused("model_unknown"), "model writer"),
        (refused("bad_request"), None),
        (busy(4000.0), "pool paid"),
        (busy(20.0), None),
        (busy(None), None),
        (TransportError("Gone.", fix="Wait.", reason="connection"), None),
    ],
)
def test_a_failure_halts_what_would_fail_as_it_did(error: ModelCallError, place: str | None) -> None:
    assert find_halted_place(error, WRITER) == place


def test_a_halt_holds_for_its_place_alone_with_the_first_of_its_reasons() -> None:
    errors: dict[str, DayDreamingError] = {}
    halts = Halts(progress := Progress(), errors)
    assert halts.is_empty
    first, second = refused("unauthorized"), refused("payment_required")
    halts.add_endpoint("near", first)
    halts.add_endpoint("near", second)
    assert halts.find(WRITER) is first
    assert halts.find(JUDGE) is None
    assert errors == {"unauthorized": first, "payment_required": second}
    assert progress.notice == "No further calls to endpoint near: No."
    halts.add_pool("paid", busy(4000.0))
    assert halts.find(JUDGE) is not None
