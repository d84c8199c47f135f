from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.store.outcomes import make_outcome

from daydreaming_dagster.domain.errors import MissingParentError, StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.generations import GenerationMetadata, GenerationStore
from daydreaming_dagster.store.paths import DataPaths

FILES = {"metadata.json", "prompt.txt", "raw.txt", "raw_metadata.json", "parsed.txt", "parsed_metadata.json"}


@pytest.fixture
def store(tmp_path: Path) -> GenerationStore:
    return GenerationStore(DataPaths(tmp_path / "data"))


def names(store: GenerationStore, gen_id: str = "d_1") -> set[str]:
    return {path.name for path in store.folder(Stage.DRAFT, gen_id).iterdir()}


def test_an_outcome_becomes_the_six_files(store: GenerationStore) -> None:
    store.write_outcome(make_outcome())
    assert names(store) == FILES
    assert [path.name for path in store.paths.stage(Stage.DRAFT).iterdir()] == ["d_1"], "no temporary folder is left"


@given(
    prompt=st.text(),
    text=st.one_of(st.none(), st.text()),
    parsed=st.one_of(st.none(), st.text()),
)
def test_texts_come_back_as_they_were(
    prompt: str, text: str | None, parsed: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = GenerationStore(DataPaths(tmp_path_factory.mktemp("root")))
    outcome = make_outcome(text=text, parsed=parsed if text is not None else None)
    store.write_outcome(outcome)
    assert store.find_raw(Stage.DRAFT, "d_1") == text
    assert store.find_parsed(Stage.DRAFT, "d_1") == outcome.parsed


def test_writing_an_outcome_twice_changes_nothing(store: GenerationStore) -> None:
    for _ in range(2):
        store.write_outcome(make_outcome())
    assert names(store) == FILES
    assert store.versions(Stage.DRAFT, "d_1") == []


def test_a_new_response_moves_the_older_one_aside_with_its_metadata(store: GenerationStore) -> None:
    store.write_outcome(make_outcome(text="First.", parsed="First.", call_id="call-1"))
    store.write_outcome(make_outcome(text="Second.", parsed=None, call_id="call-2", failure={"reason": "truncated"}))
    (version,) = store.versions(Stage.DRAFT, "d_1")
    assert version.text_path.name == "d_1_v1.txt"
    assert version.text_path.read_text() == "First."
    assert orjson.loads(version.metadata_path.read_bytes())["call_id"] == "call-1"
    assert store.find_raw(Stage.DRAFT, "d_1") == "Second."
    assert store.find_parsed(Stage.DRAFT, "d_1") is None, "a parsed text never outlives its response"


def test_versions_are_numbered_beyond_nine(store: GenerationStore) -> None:
    for number in range(12):
        store.write_outcome(make_outcome(text=f"Text {number}.", parsed=None, call_id=f"call-{number}"))
    assert [version.number for version in store.versions(Stage.DRAFT, "d_1")] == list(range(1, 12))


def test_the_same_text_from_another_call_is_a_version_too(store: GenerationStore) -> None:
    store.write_outcome(make_outcome(call_id="call-1"))
    store.write_outcome(make_outcome(call_id="call-2"))
    assert len(store.versions(Stage.DRAFT, "d_1")) == 1


def test_a_new_response_is_stored_beside_damaged_metadata_of_an_earlier_one_which_become_a_version(
    store: GenerationStore,
) -> None:
    store.write_outcome(make_outcome(text="First.", parsed=None, call_id="call-1"))
    (store.folder(Stage.DRAFT, "d_1") / "raw_metadata.json").write_text("{")
    store.write_outcome(make_outcome(text="Second.", call_id="call-2"))
    (version,) = store.versions(Stage.DRAFT, "d_1")
    assert (version.text_path.read_text(), version.metadata_path.read_text()) == ("First.", "{")
    assert store.find_raw(Stage.DRAFT, "d_1") == "Second."
    assert (store.find_raw_metadata(Stage.DRAFT, "d_1") or {})["call_id"] == "call-2"


def test_a_call_that_brought_nothing_leaves_an_earlier_response_as_it_is(store: GenerationStore) -> None:
    store.write_outcome(make_outcome())
    store.write_outcome(make_outcome(text=None, parsed=None, call_id="call-2", failure={"reason": "transport"}))
    assert store.find_parsed(Stage.DRAFT, "d_1") == "A response."
    assert (store.find_raw_metadata(Stage.DRAFT, "d_1") or {})["call_id"] == "call-1"


def test_a_generation_keeps_the_cohort_that_made_it_first(store: GenerationStore) -> None:
    first = GenerationMetadata(Stage.DRAFT, "d_1", "cohort-0", "cartesian", "t", "c", "", "m", 1)
    store.write_metadata(first)
    store.write_outcome(make_outcome())
    assert store.find_metadata(Stage.DRAFT, "d_1") == first


def test_a_name_that_could_leave_the_store_is_no_gen_id(store: GenerationStore) -> None:
    for name in ("../d_1", "d/1", "", ".hidden", "a\0b"):
        with pytest.raises(StoreError, match="is no gen_id"):
            store.folder(Stage.DRAFT, name)


def test_half_written_folders_are_no_generations(store: GenerationStore) -> None:
    store.write_outcome(make_outcome())
    (store.paths.stage(Stage.DRAFT) / ".d_2.1.0.tmp").mkdir()
    assert list(store.iter_gen_ids(Stage.DRAFT)) == ["d_1"]


def test_a_missing_parent_is_told_with_its_place(store: GenerationStore) -> None:
    with pytest.raises(MissingParentError) as caught:
        store.require_parent_text(Stage.ESSAY, "e_1", "d_1")
    assert "gens/draft/d_1/parsed.txt" in caught.value.what
    assert "--partition" in caught.value.fix


def test_older_metadata_keys_are_read(store: GenerationStore) -> None:
    folder = store.folder(Stage.ESSAY, "e_1")
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text('{"essay_template": "old", "replicate": "2", "unknown": 1}')
    metadata = store.find_metadata(Stage.ESSAY, "e_1")
    assert metadata is not None
    assert (metadata.template_id, metadata.replicate) == ("old", 2)


def test_what_cannot_be_looked_at_is_not_missing(store: GenerationStore) -> None:
    assert store.find_metadata(Stage.DRAFT, "d_1") is None
    store.write_outcome(make_outcome())
    path = store.folder(Stage.DRAFT, "d_1") / "metadata.json"
    path.unlink()
    assert store.find_metadata(Stage.DRAFT, "d_1") is None
    path.symlink_to(path.name)
    with pytest.raises(StoreError) as caught:
        store.find_metadata(Stage.DRAFT, "d_1")
    assert caught.value.fix
    (store.paths.stage(Stage.DRAFT) / "d_file").touch()
    assert store.find_metadata(Stage.DRAFT, "d_file") is None
