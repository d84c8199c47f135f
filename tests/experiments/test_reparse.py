"""Reading stored responses again: no call, no response lost, every change on record."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from tests.experiments.rated_root import RatedRoot, essays, evaluations, score

from daydreaming_dagster.domain.errors import ConfigurationError, MembershipError, StoreError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.experiments.reparse import Change, reparse, reparsed_path
from daydreaming_dagster.store.paths import PARSED, RAW
from daydreaming_dagster.store.states import Status, read_state

EARLY = "SCORE: 7\n\nIt is new.\n\nIt is true.\n\nIt is long.\n\nAnd it ends."


def parsed(root: RatedRoot, member: Member) -> str | None:
    return root.store.find_parsed(member.stage, member.gen_id)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_scores_that_another_parser_can_read_are_gained_and_listed(root: RatedRoot) -> None:
    members = evaluations(root.run(lambda _: EARLY))
    assert {read_state(root.store, m.stage, m.gen_id).status for m in members} == {Status.FAILED}
    report = reparse(root.workspace(), "labelled_score")
    assert report.counts == {(Stage.EVALUATION, Change.GAINED): 6}
    assert {parsed(root, member) for member in members} == {"7.0\n"}
    assert {read_state(root.store, m.stage, m.gen_id).status for m in members} == {Status.DONE}
    table = pl.read_csv(reparsed_path(root.paths))
    assert table["after"].to_list() == [7.0] * 6
    assert set(table["parser"]) == {"labelled_score"}


def test_a_trial_says_the_same_and_writes_nothing(root: RatedRoot) -> None:
    root.run(lambda _: EARLY)
    before = snapshot(root.paths.gens)
    trial = reparse(root.workspace(), "labelled_score", dry_run=True)
    assert trial.log is None
    assert not reparsed_path(root.paths).exists()
    assert snapshot(root.paths.gens) == before
    assert trial.counts == reparse(root.workspace(), "labelled_score").counts


def test_scores_that_are_refused_now_go_and_come_back_with_their_history(root: RatedRoot) -> None:
    members = evaluations(root.run(lambda _: score(6)))
    lost = reparse(root.workspace(), "json_score")
    assert lost.counts == {(Stage.EVALUATION, Change.LOST): 6}
    assert {parsed(root, member) for member in members} == {None}
    assert {root.store.find_raw(m.stage, m.gen_id) for m in members} == {score(6)}
    back = reparse(root.workspace(), stages=[Stage.EVALUATION])
    assert back.counts == {(Stage.EVALUATION, Change.GAINED): 6}
    history = pl.read_csv(reparsed_path(root.paths), schema_overrides={"before": pl.String, "after": pl.String})
    assert history["change"].to_list() == ["lost"] * 6 + ["gained"] * 6
    assert history["before"].to_list() == ["6.0"] * 6 + [None] * 6


def test_a_parsed_text_that_does_not_follow_from_the_response_is_put_right(root: RatedRoot) -> None:
    member = evaluations(root.run(lambda _: score(6)))[0]
    (root.store.folder(member.stage, member.gen_id) / PARSED).write_text("1.0\n")
    report = reparse(root.workspace())
    assert [(r.member.gen_id, r.before, r.after) for r in report.changes] == [(member.gen_id, "1.0\n", "6.0\n")]
    assert parsed(root, member) == "6.0\n"
    assert reparse(root.workspace()).changes == []


def test_a_draft_that_is_read_differently_leaves_its_essays_behind_and_says_so(root: RatedRoot) -> None:
    members = root.run(lambda _: score(6), essay=lambda _: "Notes.\n<essay>The essay.</essay>\nThe end.")
    report = reparse(root.workspace(), "essay_block")
    assert report.counts == {(Stage.DRAFT, Change.CHANGED): 3}
    assert report.stale_children == len(essays(members))
    assert parsed(root, members[0]) == "The essay."


def test_damaged_and_missing_generations_do_not_stop_the_others(root: RatedRoot) -> None:
    broken, absent, *rest = evaluations(root.run(lambda _: EARLY))
    (root.store.folder(broken.stage, broken.gen_id) / RAW).write_bytes(b"\xff\xfe")
    (root.store.folder(absent.stage, absent.gen_id) / RAW).unlink()
    report = reparse(root.workspace(), "labelled_score")
    assert report.counts == {
        (Stage.EVALUATION, Change.REFUSED): 1,
        (Stage.EVALUATION, Change.NO_RESPONSE): 1,
        (Stage.EVALUATION, Change.GAINED): len(rest),
    }


def test_only_the_named_template_is_read(root: RatedRoot) -> None:
    root.run(lambda _: EARLY)
    report = reparse(root.workspace(), "labelled_score", templates=["novelty"])
    assert {reading.member.template_id for reading in report.readings} == {"novelty"}


def test_a_template_that_is_gone_takes_no_score_with_it(root: RatedRoot) -> None:
    members = evaluations(root.run(lambda _: score(6)))
    root.write_templates(Stage.EVALUATION, {"another": "Judge: {{ response }}"})
    report = reparse(root.workspace())
    assert report.counts[Stage.EVALUATION, Change.REFUSED] == 6
    assert {parsed(root, member) for member in members} == {"6.0\n"}


def test_a_damaged_history_is_kept_and_nothing_is_changed(root: RatedRoot) -> None:
    members = evaluations(root.run(lambda _: EARLY))
    root.write(reparsed_path(root.paths), 'reparsed_at\n"open quote\n')
    with pytest.raises(StoreError, match="not a readable table"):
        reparse(root.workspace(), "labelled_score")
    assert parsed(root, members[0]) is None


@pytest.mark.parametrize(
    ("parser", "stages", "templates", "words"),
    [
        ("last_number", [], [], "Unknown parser 'last_number'"),
        ("in_last_line", [Stage.DRAFT], [], "does not read drafts"),
        ("essay_block", [Stage.EVALUATION], [], "does not read evaluations"),
        ("", [], ["no-such-template"], "template 'no-such-template'"),
    ],
)
def test_what_cannot_be_read_so_is_an_error(
    root: RatedRoot, parser: str, stages: list[Stage], templates: list[str], words: str
) -> None:
    root.run(lambda _: score(6))
    with pytest.raises(ConfigurationError, match=words):
        reparse(root.workspace(), parser, stages, templates)


def test_without_a_cohort_there_is_nothing_to_read(root: RatedRoot) -> None:
    with pytest.raises(MembershipError):
        reparse(root.workspace())
