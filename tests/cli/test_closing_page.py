from __future__ import annotations

from collections import Counter
from typing import Literal

import polars as pl

from daydreaming_dagster.analysis.parsed_scores import PARSED_SCORES_SCHEMA
from daydreaming_dagster.analysis.schema import table_of_rows
from daydreaming_dagster.cli.closing_page import describe_work, rank_essays
from daydreaming_dagster.domain.catalogue import Template
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.plan import Action, Plan
from daydreaming_dagster.engine.progress import Progress
from daydreaming_dagster.engine.run import RunReport


def make_rubric(name: str, direction: Literal["higher_is_better", "lower_is_better"]) -> Template:
    return Template(Stage.EVALUATION, name, name, "", "in_last_line", "llm", True, "text", direction=direction)


def make_scores(scores: dict[str, dict[str, float]]) -> pl.DataFrame:
    rows = [
        {"gen_id": f"{essay}-{rubric}", "parent_gen_id": essay, "evaluation_template": rubric, "score": score}
        for essay, of_essay in scores.items()
        for rubric, score in of_essay.items()
    ]
    return table_of_rows(rows, PARSED_SCORES_SCHEMA)


def test_the_best_essay_by_a_rubric_where_lower_is_better_is_the_lowest() -> None:
    scores = make_scores({"e_low": {"clichés": 1.0}, "e_high": {"clichés": 8.0}})
    for direction, best in (("lower_is_better", "e_low"), ("higher_is_better", "e_high")):
        essays, rubrics = rank_essays(scores, [make_rubric("clichés", direction)])  # type: ignore[arg-type]
        assert (essays["parent_gen_id"][0], rubrics) == (best, ["clichés"])


def test_ties_by_the_first_rubric_are_broken_by_the_next_one_whichever_way_it_counts() -> None:
    scores = make_scores({"e_a": {"first": 5.0, "clichés": 7.0}, "e_b": {"first": 5.0, "clichés": 2.0}})
    rubrics = [make_rubric("first", "higher_is_better"), make_rubric("clichés", "lower_is_better")]
    essays, _ = rank_essays(scores, [*rubrics, make_rubric("unused", "higher_is_better")])
    assert essays["parent_gen_id"].to_list() == ["e_b", "e_a"]


def test_a_judge_counts_once_however_many_of_its_replicates_gave_a_score() -> None:
    given = [
        ("e_a", "strict", 2.0),
        ("e_a", "kind", 8.0),
        ("e_a", "kind", 9.0),
        ("e_b", "strict", 5.0),
        ("e_b", "kind", 6.0),
    ]
    rows = [
        {
            "gen_id": f"v_{i}",
            "parent_gen_id": essay,
            "evaluation_template": "first",
            "evaluation_llm_model": judge,
            "score": score,
        }
        for i, (essay, judge, score) in enumerate(given)
    ]
    essays, _ = rank_essays(table_of_rows(rows, PARSED_SCORES_SCHEMA), [make_rubric("first", "higher_is_better")])
    assert essays.select("parent_gen_id", "first").rows() == [("e_b", 5.5), ("e_a", 5.25)]


def make_work(done: int = 0) -> tuple[Plan, RunReport]:
    """Two drafts and two essays to make, beside what was done before."""
    tasks = Counter({(Stage.DRAFT, Action.CALL): 2, (Stage.ESSAY, Action.CALL): 2})
    plan = Plan(tasks=tasks, done_ids={Stage.DRAFT: [f"d_{number}" for number in range(done)]})
    progress = Progress(planned=Counter({Stage.DRAFT: 2, Stage.ESSAY: 2}))
    return plan, RunReport(progress, duration_s=3.0)


def test_what_was_made_is_told_with_what_it_took() -> None:
    plan, report = make_work()
    report.progress.made = Counter({Stage.DRAFT: 2, Stage.ESSAY: 1})
    report.progress.calls, report.progress.cost_usd = 4, 0.25
    assert describe_work(plan, report) == ("Made 2 drafts, 1 essay in 3 s: 4 model calls, 0 + 0 tokens, $0.2500.")


def test_a_resumed_run_tells_apart_what_it_made_read_and_found_and_how_far_all_is() -> None:
    plan, report = make_work(done=10)
    report.progress.made, report.progress.calls = Counter({Stage.ESSAY: 2}), 2
    report.progress.parsed_again = Counter({Stage.DRAFT: 2})
    assert describe_work(plan, report) == (
        "Made 0 drafts, 2 essays in 3 s: 2 model calls, 0 + 0 tokens, $0.0000.\n"
        "Read 2 answers that lay in the store unread: no call.\n10 of 14 generations were done before, 14 are now."
    )


def test_a_run_that_called_nobody_does_not_say_that_it_made_anything() -> None:
    plan, report = make_work()
    report.progress.reused = Counter({Stage.DRAFT: 1})
    assert describe_work(plan, report) == "Kept 1 stored answer to the same request: no call."
    assert describe_work(Plan(done_ids={Stage.DRAFT: ["d_1"]}), report).startswith("Nothing to do: all 1 ")
