"""The table of scores says what the files say, though it is read through the index beside them."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest
from tests.experiments.rated_root import RatedRoot, evaluations, score

from daydreaming_dagster.analysis.parsed_scores import build_parsed_scores
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.experiments.evaluation_records import read_all_evaluations, read_cohort_evaluations
from daydreaming_dagster.store.generations import GenerationStore

LONG_AGO_NS = 1_000_000_000_000_000_000


@pytest.fixture
def members(root: RatedRoot) -> list[Member]:
    """Six evaluations, all 7, in an index that knows them."""
    members = root.run(lambda _: score(7))
    for member in members:
        folder = root.store.folder(member.stage, member.gen_id)
        os.utime(folder, ns=(LONG_AGO_NS, LONG_AGO_NS))
    assert read(root, members)["score"].to_list() == [7.0] * 6
    return members


def read(root: RatedRoot, members: list[Member]) -> pl.DataFrame:
    return build_parsed_scores(read_cohort_evaluations(root.workspace(), members))


def file_of(root: RatedRoot, member: Member, name: str = "parsed.txt") -> Path:
    return root.store.folder(member.stage, member.gen_id) / name


def edit_in_place(path: Path, content: bytes) -> None:
    """As an editor does that keeps the file: the folder's time stays."""
    folder_ns = path.parent.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path.parent, ns=(folder_ns, folder_ns))


def test_scores_are_read_from_the_index_and_not_from_the_files(
    root: RatedRoot, members: list[Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GenerationStore, "find_parsed", lambda *_: pytest.fail("read a file"))
    monkeypatch.setattr("daydreaming_dagster.store.index.read_summary", lambda *_: pytest.fail("read files"))
    assert read(root, members)["score"].to_list() == [7.0] * 6


@pytest.mark.parametrize(
    ("content", "score", "error"),
    [
        (b"3.0\n", 3.0, None),
        (b"because\n7.5\n\n", 7.5, None),
        (b"9.1\n", None, "score_off_scale"),
        (b"nan\n", None, "score_not_finite"),
        (b"7.0\nthe end", None, "score_no_number"),
        (b"1_0", None, "score_no_number"),
        (b" \n", None, "score_empty"),
        (b"\xff\xfe", None, "parsed_corrupt"),
    ],
)
def test_a_parsed_text_that_was_edited_in_place_counts_as_it_is_now(
    root: RatedRoot, members: list[Member], content: bytes, score: float | None, error: str | None
) -> None:
    changed = evaluations(members)[2]
    edit_in_place(file_of(root, changed), content)
    table = read(root, members)
    (row,) = table.filter(pl.col("gen_id") == changed.gen_id).to_dicts()
    assert (row["score"], row["error"]) == (score, error)
    assert table.filter(pl.col("gen_id") != changed.gen_id)["score"].to_list() == [7.0] * 5


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("metadata.json", "metadata_corrupt"),
        ("raw_metadata.json", "raw_metadata_corrupt"),
        ("parsed.txt", "parsed_corrupt"),
    ],
)
def test_a_damaged_file_makes_one_row_with_an_error_that_keeps_its_place_in_the_cohort(
    root: RatedRoot, members: list[Member], name: str, error: str
) -> None:
    damaged = evaluations(members)[0]
    (path := file_of(root, damaged, name)).unlink()
    path.write_bytes(b"\xff{")
    (row,) = read(root, members).filter(pl.col("error").is_not_null()).to_dicts()
    assert (row["gen_id"], row["error"]) == (damaged.gen_id, error)
    assert (row["evaluation_template"], row["evaluation_llm_model"]) == (damaged.template_id, damaged.llm_model_id)
    assert row["generation_model"] == "writer"


def test_an_essay_with_damaged_raw_metadata_still_has_its_lineage(root: RatedRoot, members: list[Member]) -> None:
    essay = next(member for member in members if member.stage is Stage.ESSAY)
    (path := file_of(root, essay, "raw_metadata.json")).unlink()
    path.write_bytes(b"{")
    of_essay = read(root, members).filter(pl.col("parent_gen_id") == essay.gen_id)
    assert of_essay.select("generation_template", "draft_gen_id").unique().rows() == [
        ("narrative", essay.parent_gen_id)
    ]
    assert of_essay["score"].null_count() == 0


def test_what_was_not_made_is_a_row_with_what_the_cohort_asks_for(root: RatedRoot) -> None:
    members = list(root.build().members)
    table = read(root, members)
    assert table["error"].to_list() == ["not_made"] * 6
    assert table["parent_gen_id"].to_list() == [member.parent_gen_id for member in evaluations(members)]
    assert table["scale_max"].to_list() == [9.0] * 6
    assert read_all_evaluations(root.workspace()).height == 0
    essays = {member.gen_id: member for member in members if member.stage is Stage.ESSAY}
    drafts = {member.gen_id: member for member in members if member.stage is Stage.DRAFT}
    for row in table.iter_rows(named=True):
        essay = essays[row["parent_gen_id"]]
        lineage = [row[name] for name in ("generation_template", "generation_model", "draft_gen_id", "draft_template")]
        draft = drafts[essay.parent_gen_id]
        assert lineage == [essay.template_id, essay.llm_model_id, draft.gen_id, draft.template_id]
        assert row["generation_response_path"] is None


def test_the_whole_store_gives_the_rows_of_its_cohort_by_id(root: RatedRoot, members: list[Member]) -> None:
    everything = build_parsed_scores(read_all_evaluations(root.workspace()))
    assert everything.equals(read(root, members).sort("gen_id"))
