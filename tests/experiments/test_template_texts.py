"""Ratings say with which text of the rubric they were made, and whoever mixes texts is told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl
from tests.experiments.rated_root import ESSAY, RatedRoot, evaluations, score, spread
from tests.fakes.data_root import TEMPLATES

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.maker import Maker
from daydreaming_dagster.engine.plan import Action, Task
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.experiments.export import CARD, write_export
from daydreaming_dagster.experiments.report_caveats import find_caveats
from daydreaming_dagster.experiments.report_document import Grid
from daydreaming_dagster.experiments.report_material import Material, read_material
from daydreaming_dagster.experiments.report_run import build_health_section
from daydreaming_dagster.experiments.result_tables import write_parsed_scores, write_ratings_long
from daydreaming_dagster.experiments.scope import read_scope
from daydreaming_dagster.llm.protocol import ChatResponse

FIRST, SECOND = "Judge: {{ response }}", "Judge strictly: {{ response }}"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def look_at(root: RatedRoot) -> Material:
    workspace = root.workspace()
    return read_material(workspace, read_scope(workspace))


def read_texts(root: RatedRoot) -> dict[str, str | None]:
    write_parsed_scores(root.workspace())
    ratings = write_ratings_long(root.workspace()).table
    return dict(ratings.select("gen_id", "template_sha256").iter_rows())


def edit_novelty_and_judge_one_again(root: RatedRoot) -> str:
    """Three evaluations with each rubric; novelty is edited then, and one evaluation asked for again."""
    novelty = [member for member in evaluations(root.run(spread)) if member.template_id == "novelty"]
    root.write(root.paths.template(Stage.EVALUATION, "novelty"), SECOND)
    root.keep(novelty[0], score(8), "8.0\n")
    return novelty[0].gen_id


def forget_texts(root: RatedRoot, prompt: str | None) -> None:
    """Leaves of every evaluation what stores from before said: the hash of the prompt at most."""
    for gen_id in root.store.iter_gen_ids(Stage.EVALUATION):
        prompt_sha256 = None if prompt is None else sha256(prompt)
        root.store.update_raw_metadata(
            Stage.EVALUATION, gen_id, {"template_sha256": None, "prompt_sha256": prompt_sha256}
        )


def test_each_rating_names_the_text_that_was_sent_for_it_and_not_the_one_of_today(root: RatedRoot) -> None:
    again = edit_novelty_and_judge_one_again(root)
    texts = read_texts(root)
    assert texts.pop(again) == sha256(SECOND)
    assert set(texts.values()) == {sha256(FIRST)}


def test_what_a_run_stores_names_the_text_that_was_sent(root: RatedRoot) -> None:
    draft = root.build().members[0]
    workspace = root.workspace()
    maker = Maker(workspace.recipe(workspace.require_current_cohort().combinations), RunInfo("run"))
    attempt = maker.prepare(Task(draft, Action.CALL))
    attempt.start("call")
    root.write(root.paths.template(Stage.DRAFT, "notes"), "Edited while the model was at work.")
    stored = maker.judge(attempt, ChatResponse("A draft.", "stop"))
    assert stored.raw_metadata["template_sha256"] == sha256(TEMPLATES[Stage.DRAFT]["notes"])


def test_the_report_warns_of_ratings_with_an_older_text_and_shows_them_apart(root: RatedRoot) -> None:
    edit_novelty_and_judge_one_again(root)
    material = look_at(root)
    caveats = find_caveats(material)
    assert (
        "2 of 3 evaluations used an older text of the rubric novelty than the one in the input files today." in caveats
    )
    short, other = sha256(FIRST)[:12], sha256(SECOND)[:12]
    assert any(f"by SHA-256 {short}… (2 times) and {other}… (1 times)" in caveat for caveat in caveats)
    assert not any("rubric coherence" in caveat for caveat in caveats)
    grids = [block for block in build_health_section(material).blocks if isinstance(block, Grid)]
    rows = next(grid.rows for grid in grids if "text of the rubric" in grid.caption)
    assert [row[:4] for row in rows] == [
        ("novelty", f"{short}…", "judge", "2"),
        ("novelty", f"{other}… (today)", "judge", "1"),
    ]
    assert rows[1][4] == "8.00"


def test_the_card_lists_each_text_with_how_often_it_was_sent(root: RatedRoot, tmp_path: Path) -> None:
    edit_novelty_and_judge_one_again(root)
    write_export(root.workspace(), output=tmp_path / "out")
    first, second = sha256(FIRST)[:12], sha256(SECOND)[:12]
    card = (tmp_path / "out" / CARD).read_text()
    assert (
        f"coherence (SHA-256 {first}… 3 times); "
        f"novelty (SHA-256 {first}… 2 times (not the text in the input files today) and {second}… 1 times)"
    ) in card
    calls = pl.read_parquet(tmp_path / "out" / "calls.parquet")
    assert calls.filter(stage="draft")["template_sha256"].n_unique() == 1


def test_an_untouched_rubric_needs_no_warning(root: RatedRoot) -> None:
    root.run(spread)
    material = look_at(root)
    assert not [caveat for caveat in find_caveats(material) if "text of the rubric" in caveat]
    assert not [block for block in build_health_section(material).blocks if "text of the rubric" in str(block)]


def test_a_prompt_that_the_text_of_today_makes_was_made_with_it(root: RatedRoot) -> None:
    root.run(spread)
    forget_texts(root, FIRST.replace("{{ response }}", ESSAY))
    assert set(read_texts(root).values()) == {sha256(FIRST)}


def test_where_nobody_knows_the_text_the_rating_says_so(root: RatedRoot) -> None:
    root.run(spread)
    for prompt in (None, "Another prompt"):
        forget_texts(root, prompt)
        assert set(read_texts(root).values()) == {None}
    caveats = find_caveats(look_at(root))
    assert "With which text of the rubric novelty 3 of 3 evaluations were made is not known." in caveats
