"""Each check passes on a sound store and names what was broken."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.experiments.rated_root import RatedRoot, essays, evaluations, spread

from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.experiments.store_checks import CheckResult, check_membership, run_store_checks

LONG_AGO_NS = 1_000_000_000_000_000_000


def run(root: RatedRoot) -> dict[str, CheckResult]:
    return {result.name: result for result in run_store_checks(root.workspace())}


def test_a_complete_store_passes_every_check(root: RatedRoot) -> None:
    root.run(spread)
    results = run(root)
    assert all(result.passed for result in results.values()), results
    assert set(results) == {
        "metadata", "index", "responses", "parents", "duplicates", "scores", "cohorts", "orphans", "templates",
        "membership", "coverage",
    }  # fmt: skip


def test_a_data_root_without_anything_made_passes_but_for_templates_that_wait(root: RatedRoot) -> None:
    results = run(root)
    assert {name for name, result in results.items() if not result.passed} == {"templates"}
    assert not results["templates"].is_error


def remove_essay(root: RatedRoot, members: list[Member]) -> tuple[str, str]:
    essay = essays(members)[0]
    shutil.rmtree(root.paths.generation(Stage.ESSAY, essay.gen_id))
    return "parents", next(m.gen_id for m in evaluations(members) if m.parent_gen_id == essay.gen_id)


def lose_response(root: RatedRoot, members: list[Member]) -> tuple[str, str]:
    (root.paths.generation(Stage.ESSAY, essays(members)[0].gen_id) / "raw.txt").unlink()
    return "responses", essays(members)[0].gen_id


def copy_draft(root: RatedRoot, members: list[Member]) -> tuple[str, str]:
    folder = root.paths.generation(Stage.DRAFT, members[0].gen_id)
    shutil.copytree(folder, folder.with_name("d_copy"))
    return "duplicates", "d_copy"


def spoil_score(root: RatedRoot, members: list[Member]) -> tuple[str, str]:
    judged = evaluations(members)[0]
    (root.paths.generation(Stage.EVALUATION, judged.gen_id) / "parsed.txt").write_text("eleven\n")
    return "scores", judged.gen_id


def put_score_off_scale(root: RatedRoot, members: list[Member]) -> tuple[str, str]:
    judged = evaluations(members)[0]
    (root.paths.generation(Stage.EVALUATION, judged.gen_id) / "parsed.txt").write_text("11.0\n")
    return "scores", judged.gen_id


def damage_metadata(root: RatedRoot, members: list[Member]) -> tuple[str, str]:
    (root.paths.generation(Stage.DRAFT, members[0].gen_id) / "metadata.json").write_text("{")
    return "metadata", members[0].gen_id


def add_orphan(root: RatedRoot, members: list[Member]) -> tuple[str, str]:
    stray = replace_id(members[0], "d_stray", replicate=7)
    root.generate([stray])
    return "orphans", "d_stray"


def forget_evaluation(root: RatedRoot, members: list[Member]) -> tuple[str, str]:
    judged = evaluations(members)[0]
    shutil.rmtree(root.paths.generation(Stage.EVALUATION, judged.gen_id))
    return "coverage", judged.gen_id


def replace_id(member: Member, gen_id: str, replicate: int) -> Member:
    return member._replace(gen_id=gen_id, replicate=replicate)


@pytest.mark.parametrize(
    "break_it",
    [
        remove_essay,
        lose_response,
        copy_draft,
        spoil_score,
        put_score_off_scale,
        damage_metadata,
        add_orphan,
        forget_evaluation,
    ],
    ids=lambda function: function.__name__,
)
def test_what_is_broken_is_named_with_a_way_out(
    root: RatedRoot, break_it: Callable[[RatedRoot, list[Member]], tuple[str, str]]
) -> None:
    name, culprit = break_it(root, root.run(spread))
    result = run(root)[name]
    assert culprit in result.culprits
    assert result.fix


def test_a_file_that_was_rewritten_in_place_is_found_although_its_folder_looks_untouched(root: RatedRoot) -> None:
    judged = evaluations(root.run(spread))[0]
    folder = root.paths.generation(Stage.EVALUATION, judged.gen_id)
    os.utime(folder, ns=(LONG_AGO_NS, LONG_AGO_NS))
    assert run(root)["index"].passed
    (folder / "raw_metadata.json").write_text("{")
    result = run(root)["index"]
    assert [culprit.startswith(f"evaluation {judged.gen_id}: ") for culprit in result.culprits] == [True]
    assert str(root.paths.index) in result.fix


def test_a_damaged_cohort_is_told_and_stops_nothing(root: RatedRoot) -> None:
    root.run(spread, cohort="sound")
    damaged = root.build("damaged")
    root.paths.membership(damaged.cohort_id).write_text("stage,gen_id\nnonsense,d_1\n")
    results = run(root)
    assert results["cohorts"].culprits[0].startswith("damaged: ")
    assert results["parents"].passed


def test_a_membership_whose_parent_is_missing_or_whose_id_stands_twice_is_named(root: RatedRoot) -> None:
    root.build()
    cohort = root.workspace().require_current_cohort()
    lost = cohort.members[-1]._replace(parent_gen_id="e_gone")
    broken = replace(cohort, members=[*cohort.members[:-1], lost, cohort.members[0]])
    assert set(check_membership(broken).culprits) == {lost.gen_id, cohort.members[0].gen_id}


def test_results_can_be_written_as_json(root: RatedRoot) -> None:
    root.run(spread)
    assert json.dumps([result.what for result in run(root).values()])


def test_a_parsed_text_that_its_response_does_not_give_is_found_by_the_deep_check_alone(root: RatedRoot) -> None:
    members = root.run(spread)
    edited = evaluations(members)[0]
    path = root.paths.generation(Stage.EVALUATION, edited.gen_id) / "parsed.txt"
    before = path.read_text().strip()
    path.write_text("8.5\n")

    def check(*, deep: bool) -> dict[str, CheckResult]:
        return {result.name: result for result in run_store_checks(root.workspace(), deep=deep)}

    assert "readings" not in check(deep=False)
    found = check(deep=True)["readings"]
    assert found.is_error
    assert list(found.culprits) == [f"{edited.gen_id}: stored is 8.5, in_last_line reads {before}"]
    path.write_text(f"{before}\n")
    assert check(deep=True)["readings"].passed
