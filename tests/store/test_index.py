from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.store.outcomes import make_outcome

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.cache_files import remove_database
from daydreaming_dagster.store.generations import GenerationStore, Outcome
from daydreaming_dagster.store.index import Index, find_index_errors
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.states import Status, read_state

LONG_AGO_NS = 1_000_000_000_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> GenerationStore:
    return GenerationStore(DataPaths(tmp_path / "data"))


@pytest.fixture
def index(store: GenerationStore) -> Iterator[Index]:
    opened = Index(store)
    yield opened
    opened.close()


def write(store: GenerationStore, outcome: Outcome, mtime_ns: int = LONG_AGO_NS) -> None:
    store.write_outcome(outcome)
    settle(store, outcome, mtime_ns)


def settle(store: GenerationStore, outcome: Outcome, mtime_ns: int = LONG_AGO_NS) -> None:
    os.utime(store.folder(outcome.metadata.stage, outcome.metadata.gen_id), ns=(mtime_ns, mtime_ns))


def test_the_index_says_of_each_generation_what_its_files_say(store: GenerationStore, index: Index) -> None:
    truncated = {"reason": "truncated", "message": "Cut off.", "code": "", "lasting": True}
    write(store, make_outcome("d_done"))
    write(store, make_outcome("d_failed", parsed=None, failure=truncated))
    write(store, make_outcome("d_silent", text=None, parsed=None, failure={**truncated, "lasting": False}))
    write(store, make_outcome("d_unparsed", parsed=None))
    damages = {"metadata.json": b"{", "raw_metadata.json": b"{", "parsed.txt": b"\xff\xfe", "raw.txt": b"\xff\xfe"}
    for name, damage in damages.items():
        for parsed in ("Read.", None):
            outcome = make_outcome(f"d_{name.partition('.')[0]}_{parsed is None}", parsed=parsed)
            store.write_outcome(outcome)
            (store.folder(Stage.DRAFT, outcome.metadata.gen_id) / name).write_bytes(damage)
            settle(store, outcome)
    for from_where in ("files", "index"):
        state_of = index.states(Stage.DRAFT)
        for gen_id in ("d_missing", *store.iter_gen_ids(Stage.DRAFT)):
            assert state_of(gen_id) == read_state(store, Stage.DRAFT, gen_id), f"{gen_id}, from the {from_where}"
    assert state_of("d_done").status is Status.DONE
    assert state_of("d_missing").status is Status.MISSING


def test_only_folders_that_changed_are_read_again(
    store: GenerationStore, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, make_outcome("d_1"))
    write(store, make_outcome("d_2"))
    index.refresh(Stage.DRAFT)
    (store.folder(Stage.DRAFT, "d_2") / "parsed.txt").unlink()
    read: list[str] = []
    find = GenerationStore.find_raw_metadata
    monkeypatch.setattr(
        GenerationStore,
        "find_raw_metadata",
        lambda self, stage, gen_id: read.append(gen_id) or find(self, stage, gen_id),
    )
    assert index.states(Stage.DRAFT)("d_2").status is Status.UNPARSED
    assert read == ["d_2"]


def test_a_generation_deleted_by_hand_is_gone(store: GenerationStore, index: Index) -> None:
    write(store, make_outcome("d_1"))
    index.refresh(Stage.DRAFT)
    shutil.rmtree(store.folder(Stage.DRAFT, "d_1"))
    assert index.refresh(Stage.DRAFT) == {}


def test_a_folder_changed_just_now_is_not_remembered_because_its_time_may_not_change_again(
    store: GenerationStore, index: Index
) -> None:
    outcome = make_outcome("d_1")
    store.write_outcome(outcome)
    assert index.add([outcome]) == [outcome]
    assert index.refresh(Stage.DRAFT)["d_1"].status == Status.DONE
    mtime_ns = store.folder(Stage.DRAFT, "d_1").stat().st_mtime_ns
    (store.folder(Stage.DRAFT, "d_1") / "parsed.txt").unlink()
    settle(store, outcome, mtime_ns)
    assert index.refresh(Stage.DRAFT)["d_1"].status == Status.UNPARSED


def test_outcomes_can_be_taken_in_without_reading_their_files(
    store: GenerationStore, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = make_outcome(
        "v_1",
        parsed="7.0\n",
        stage=Stage.EVALUATION,
        usage={"prompt_tokens": 5, "completion_tokens": 6},
        cost_usd=0.25,
        duration_s=1.5,
        request_sha256="abc",
    )
    write(store, outcome)
    assert index.add([outcome]) == []
    monkeypatch.setattr(GenerationStore, "find_raw_metadata", lambda *_: pytest.fail("read the files"))
    row = index.refresh(Stage.EVALUATION)["v_1"]
    assert (row.score, row.prompt_tokens, row.cost_usd, row.request_sha256) == (7.0, 5, 0.25, "abc")
    monkeypatch.undo()
    assert find_index_errors(store) == []


def test_some_fields_of_all_generations_are_read_alike_from_the_index_and_anew(
    store: GenerationStore, index: Index
) -> None:
    write(store, make_outcome("d_1", provider="a provider", model_answered="maker/model"))
    write(store, make_outcome("d_2"))
    names = ("gen_id", "provider", "model_answered", "has_versions")
    anew = sorted(index.columns(Stage.DRAFT, names))
    assert anew == [("d_1", "a provider", "maker/model", False), ("d_2", None, None, False)]
    assert sorted(index.columns(Stage.DRAFT, names)) == anew


def test_earlier_responses_are_known_to_the_index_however_it_learnt_of_them(store: GenerationStore) -> None:
    write(store, make_outcome("d_1", text="first", call_id="1"))
    again = make_outcome("d_1", text="second", call_id="2")
    write(store, again)
    told = Index(store)
    told.add([again])
    assert told.columns(Stage.DRAFT, ("gen_id", "has_versions")) == [("d_1", True)]
    told.close()
    assert find_index_errors(store) == []


def test_many_folders_are_read_as_few_are(
    store: GenerationStore, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        write(store, make_outcome(f"d_{number}"))
    few = Index(store, read_only=True)
    monkeypatch.setattr("daydreaming_dagster.store.index._MANY_FOLDERS", 2)
    assert index.refresh(Stage.DRAFT) == few.refresh(Stage.DRAFT)
    few.close()


def test_a_file_rewritten_in_place_is_found_by_the_check(store: GenerationStore, index: Index) -> None:
    outcome = make_outcome("v_1", parsed="7.0\n", stage=Stage.EVALUATION)
    write(store, outcome)
    index.refresh(Stage.EVALUATION)
    (store.folder(Stage.EVALUATION, "v_1") / "parsed.txt").write_text("3.0\n")
    settle(store, outcome)
    (problem,) = find_index_errors(store)
    assert "score = 7.0, the files say 3.0" in problem
    remove_database(store.paths.index)
    assert find_index_errors(store) == []


def test_damaged_metadata_is_a_failed_generation(store: GenerationStore, index: Index) -> None:
    outcome = make_outcome("d_1", parsed=None)
    store.write_outcome(outcome)
    (store.folder(Stage.DRAFT, "d_1") / "raw_metadata.json").write_text("{")
    settle(store, outcome)
    assert index.refresh(Stage.DRAFT)["d_1"].reason == "store"


def test_what_could_not_be_read_is_read_again_when_it_was_mended_in_place(store: GenerationStore, index: Index) -> None:
    outcome = make_outcome("d_1", parsed=None)
    write(store, outcome)
    path = store.folder(Stage.DRAFT, "d_1") / "raw_metadata.json"
    whole = path.read_bytes()
    path.write_text("{")
    settle(store, outcome)
    assert index.states(Stage.DRAFT)("d_1").status is Status.FAILED
    path.write_bytes(whole)
    settle(store, outcome)
    assert index.states(Stage.DRAFT)("d_1").status is Status.UNPARSED


@pytest.mark.parametrize("many", [1, 2000])
def test_odd_folders_are_failed_generations_and_do_not_hide_the_others(
    store: GenerationStore, index: Index, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], many: int
) -> None:
    monkeypatch.setattr("daydreaming_dagster.store.index._MANY_FOLDERS", many)
    for name in ("d_1", "d_2", "d_loop", "d_odd_number"):
        store.write_outcome(make_outcome(name))
    looping = store.folder(Stage.DRAFT, "d_loop") / "parsed.txt"
    looping.unlink()
    looping.symlink_to(looping.name)
    (store.folder(Stage.DRAFT, "d_odd_number") / "metadata.json").write_text('{"replicate": "²"}')
    (store.paths.stage(Stage.DRAFT) / "d_nowhere").symlink_to("d_nowhere")
    found = index.refresh(Stage.DRAFT)
    assert {name: (row.status, row.reason) for name, row in found.items()} == {
        "d_1": (Status.DONE, ""),
        "d_2": (Status.DONE, ""),
        "d_loop": (Status.FAILED, "store"),
        "d_nowhere": (Status.FAILED, "store"),
        "d_odd_number": (Status.DONE, ""),
    }
    assert capfd.readouterr().err == ""


def test_a_stage_that_cannot_be_listed_is_an_error_with_a_fix(store: GenerationStore, index: Index) -> None:
    store.paths.stage(Stage.DRAFT).parent.mkdir(parents=True)
    store.paths.stage(Stage.DRAFT).touch()
    with pytest.raises(StoreError, match="not a directory") as caught:
        index.refresh(Stage.DRAFT)
    assert caught.value.fix


def test_the_command_that_mends_the_index_is_for_one_place_whatever_its_name(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path / "my data")
    paths.index.mkdir(parents=True)
    with pytest.raises(StoreError) as caught:
        Index(GenerationStore(paths))
    command = caught.value.fix.partition(": ")[2].removesuffix("*")
    assert shlex.split(command) == ["rm", str(paths.index)]


def test_a_damaged_index_is_made_anew(store: GenerationStore) -> None:
    write(store, make_outcome("d_1"))
    store.paths.index.parent.mkdir(parents=True)
    store.paths.index.write_bytes(b"this is not a database, whatever its name says" * 100)
    index = Index(store)
    assert list(index.refresh(Stage.DRAFT)) == ["d_1"]
    index.close()


def test_damage_further_back_in_the_index_is_an_error_with_a_fix(store: GenerationStore, index: Index) -> None:
    for number in range(50):
        write(store, make_outcome(f"d_{number}"))
    index.refresh(Stage.DRAFT)
    index.close()
    content = store.paths.index.read_bytes()
    first_page = 4096  # it holds the names of the tables
    store.paths.index.write_bytes(content[:first_page] + b"\xff" * (len(content) - first_page))
    damaged = Index(store)
    for read in (lambda: damaged.refresh(Stage.DRAFT), lambda: damaged.read_history(Stage.DRAFT)):
        with pytest.raises(StoreError, match="cannot be used"):
            read()
    damaged.close()


def test_a_store_that_cannot_be_written_to_is_read_and_nothing_is_left_there(
    store: GenerationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, make_outcome("d_1"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    opened = Index(store)
    assert opened.states(Stage.DRAFT)("d_1").status is Status.DONE
    opened.close()
    assert not store.paths.state.exists()
