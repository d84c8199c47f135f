from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from tests.engine.test_forecast import make_workspace, run_all

from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.cohort_run import count_stale
from daydreaming_dagster.engine.stale_count import CHEAP_MEMBERS, recall_stale_count
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store.paths import METADATA, PARSED, RAW, RAW_METADATA


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = make_workspace(tmp_path / "data", 3)
    run_all(workspace)
    return workspace


def an_hour_later() -> int:
    return time.time_ns() + 3600 * 10**9


def recall(workspace: Workspace, clock: Callable[[], int] = an_hour_later) -> int | None:
    opened = Workspace(workspace.paths, workspace.config, read_only=workspace.read_only)
    return recall_stale_count(opened, opened.require_current_cohort(), clock=clock)


def make_memory_lie(workspace: Workspace) -> None:
    path = workspace.paths.stale_counts
    ((cohort_id, entry),) = orjson.loads(path.read_bytes()).items()
    path.write_bytes(orjson.dumps({cohort_id: {**entry, "stale": 77}}))


def find_file(workspace: Workspace, stage: Stage, name: str) -> Path:
    member = next(m for m in workspace.require_current_cohort().members if m.stage is stage)
    return workspace.store.folder(stage, member.gen_id) / name


def edit_in_place(path: Path) -> None:
    """As spitefully as a file can be edited: as long as before, and with the time of before."""
    before = path.stat()
    text = path.read_bytes()
    path.write_bytes(text[:-2] + b"#\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_what_was_found_once_is_not_looked_for_again(workspace: Workspace) -> None:
    assert recall(workspace) == 0
    make_memory_lie(workspace)
    assert recall(workspace) == 77


EDITS: list[tuple[str, Callable[[Workspace], Path]]] = [
    ("a template", lambda w: w.paths.template(Stage.ESSAY, "essay")),
    ("the text that a prompt shows", lambda w: find_file(w, Stage.DRAFT, PARSED)),
    ("the models", lambda w: w.paths.models_csv),
    ("what was asked", lambda w: find_file(w, Stage.EVALUATION, RAW_METADATA)),
    ("the combinations", lambda w: w.paths.combo_registry_csv),
]


@pytest.mark.parametrize("find", [find for _, find in EDITS], ids=[name for name, _ in EDITS])
def test_after_an_edit_in_place_the_count_is_found_anew(
    workspace: Workspace, find: Callable[[Workspace], Path]
) -> None:
    recall(workspace)
    make_memory_lie(workspace)
    path = find(workspace)
    before = path.read_bytes()
    edit_in_place(path)
    path.write_bytes(before)  # so that the inputs can be read; it is the times that are looked at
    assert recall(workspace) == 0


@pytest.mark.parametrize("name", [RAW, PARSED, RAW_METADATA, METADATA])
def test_after_a_file_was_removed_the_count_is_found_anew(workspace: Workspace, name: str) -> None:
    recall(workspace)
    make_memory_lie(workspace)
    find_file(workspace, Stage.ESSAY, name).unlink()
    assert recall(workspace) == count_stale(workspace, workspace.require_current_cohort())


def test_an_edited_template_and_an_edited_parent_make_what_follows_stale(workspace: Workspace) -> None:
    assert recall(workspace) == 0
    edit_in_place(workspace.paths.template(Stage.EVALUATION, "judge"))
    assert recall(workspace) == 3
    edit_in_place(find_file(workspace, Stage.DRAFT, PARSED))
    assert recall(workspace) == 4


def test_other_settings_have_a_count_of_their_own(workspace: Workspace) -> None:
    recall(workspace)
    stages = {stage: replace(config, temperature=0.123) for stage, config in workspace.config.stages.items()}
    assert recall(replace(workspace, config=replace(workspace.config, stages=stages))) == 9


def test_what_changed_just_now_is_not_remembered(workspace: Workspace) -> None:
    changed_ns = workspace.paths.template(Stage.ESSAY, "essay").stat().st_ctime_ns
    assert recall(workspace, clock=lambda: changed_ns) == 0
    assert not workspace.paths.stale_counts.exists()


def test_a_damaged_memory_is_no_memory(workspace: Workspace) -> None:
    for damage in ("{", "[]", "{}"):
        workspace.paths.stale_counts.write_text(damage)
        assert recall(workspace) == 0
    workspace.paths.stale_counts.write_text(f'{{"{workspace.require_current_cohort().cohort_id}": 7}}')
    assert recall(workspace) == 0


def test_where_nothing_may_be_written_the_count_is_found_and_not_kept(workspace: Workspace) -> None:
    assert recall(replace(workspace, read_only=True)) == 0
    assert not workspace.paths.stale_counts.exists()


def test_nobody_waits_for_the_count_of_a_large_cohort(workspace: Workspace) -> None:
    cohort = workspace.require_current_cohort()
    many: list[Member] = [cohort.members[0]._replace(replicate=number) for number in range(CHEAP_MEMBERS + 1)]
    assert recall_stale_count(workspace, replace(cohort, members=many)) is None
