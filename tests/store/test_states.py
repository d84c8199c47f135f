from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tests.store.outcomes import make_outcome

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.states import Status, read_state

FAILURE = {"reason": "truncated", "message": "Cut off.", "code": "", "lasting": True}


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (make_outcome(), Status.DONE),
        (make_outcome(parsed=None), Status.UNPARSED),
        (make_outcome(parsed=None, failure=FAILURE), Status.FAILED),
        (make_outcome(text=None, parsed=None, failure=FAILURE), Status.FAILED),
        (make_outcome(parsed=None, truncated=True), Status.FAILED),
    ],
)
def test_the_files_show_how_far_a_generation_has_come(tmp_path: Path, outcome, status: Status) -> None:  # type: ignore[no-untyped-def]
    store = GenerationStore(DataPaths(tmp_path))
    assert read_state(store, Stage.DRAFT, "d_1").status is Status.MISSING
    store.write_outcome(outcome)
    assert read_state(store, Stage.DRAFT, "d_1").status is status


def test_a_folder_that_nobody_lets_us_into_is_a_failed_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    state = read_state(GenerationStore(DataPaths(tmp_path)), Stage.DRAFT, "d_1")
    assert state.failure is not None
    assert (state.status, state.failure.reason) == (Status.FAILED, "store")
    assert "permission denied" in state.failure.message
