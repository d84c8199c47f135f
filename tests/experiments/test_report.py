"""A report is right for every cohort there may be, says what must be known first, and shows no text as markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from tests.experiments.rated_root import ESSAY, RatedRoot, essays, evaluations, score, spread

from daydreaming_dagster.domain.errors import ConfigurationError, MembershipError, StoreError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.experiments.report import build_document, reports_folder, write_report
from daydreaming_dagster.experiments.report_caveats import find_caveats
from daydreaming_dagster.experiments.report_document import Bullets, Document, Grid, Paragraph
from daydreaming_dagster.experiments.report_essays import excerpt
from daydreaming_dagster.experiments.report_findings import are_equal
from daydreaming_dagster.experiments.report_html import escape_markdown, render_html, render_markdown
from daydreaming_dagster.experiments.report_material import Material, read_material
from daydreaming_dagster.experiments.report_plots import PLOTS, DrawnPlot
from daydreaming_dagster.experiments.report_summary import summarise_construct
from daydreaming_dagster.experiments.scope import read_scope
from daydreaming_dagster.store import files

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HOSTILE = (
    "</blockquote></section><script>alert(1)</script><img src=x onerror=alert(2)>\n"
    "{{ 7 * 7 }} {% raw %} & \u202eevil\u202c \x00\x1b[31m\n```\n# A heading\n````\n[a](javascript:alert(3)) | *x* |"
)


class Elements(HTMLParser):
    """Tags of a page, attributes that could load or run something, and all its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def look_at(root: RatedRoot, experiment: str | None = None, cohort: str | None = None) -> Material:
    workspace = root.workspace(cohort)
    return read_material(workspace, read_scope(workspace, experiment))


def write_out(material: Material) -> tuple[Document, str, str]:
    document = build_document(material, [], find_caveats(material), NOW)
    return document, render_html(document), render_markdown(document)


def text_of(page: str) -> str:
    return " ".join(Elements(page).text.split())


def add_judges(root: RatedRoot) -> None:
    root.write_models(writers=["writer"], judges=["judge", "other-judge"])


def one_essay(root: RatedRoot) -> None:
    root.write_concepts(("mind-wandering", "economic-moat"))
    root.run(spread)


def one_judge(root: RatedRoot) -> None:
    root.run(spread)


def all_equal(root: RatedRoot) -> None:
    add_judges(root)
    root.run(lambda _: score(5))


def all_at_the_top(root: RatedRoot) -> None:
    add_judges(root)
    root.run(lambda _: score(9))


def all_missing(root: RatedRoot) -> None:
    root.run(lambda _: "I would rather not say.")


def nothing_came(root: RatedRoot) -> None:
    root.run(lambda _: None)


def nothing_made(root: RatedRoot) -> None:
    root.build()


def off_the_scale(root: RatedRoot) -> None:
    for member in root.run(spread):
        if member.stage is Stage.EVALUATION:
            root.keep(member, score(4711), "4711.0\n")


def corrupt(root: RatedRoot) -> None:
    members = root.run(spread)
    first, second, third = evaluations(members)[:3]
    folder = root.store.folder(Stage.EVALUATION, first.gen_id)
    (folder / "metadata.json").write_text("{broken")
    (root.store.folder(Stage.EVALUATION, second.gen_id) / "parsed.txt").write_bytes(b"\xff\xfe")
    (root.store.folder(Stage.EVALUATION, third.gen_id) / "parsed.txt").write_text("NaN\n")
    (root.store.folder(Stage.ESSAY, essays(members)[0].gen_id) / "parsed.txt").write_bytes(b"\xff\xfe")


def templates_gone(root: RatedRoot) -> None:
    root.run(spread)
    root.write_templates(Stage.EVALUATION, {"another": "Judge: {{ response }}"})


CASES = {
    one_essay: "1 essay about 1 combination",
    one_judge: "Only one judge rated coherence and novelty.",
    all_equal: "judge gave all essays the same score with coherence (5.0, 3 essays) and novelty (5.0, 3 essays). That",
    all_at_the_top: "and novelty (9.0, 3 essays). That ranks nothing.",
    all_missing: "All 6 ratings are missing, so that nothing can be said about any essay.",
    nothing_came: "6 without a score: timeout",
    nothing_made: "No essay has a usable rating, so nothing was found.",
    off_the_scale: "6 without a score: score_off_scale",
    corrupt: "without a score: metadata_corrupt",
    templates_gone: "coherence and novelty are no longer among the evaluation templates",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_report_of_a_difficult_cohort_is_whole_and_says_what_is_the_matter(
    root: RatedRoot, case: Callable[[RatedRoot], None]
) -> None:
    case(root)
    document, page, markdown = write_out(look_at(root))
    assert CASES[case].replace("\N{NO-BREAK SPACE}", " ") in text_of(page).replace("\N{NO-BREAK SPACE}", " ")
    titles = [section.title for section in document.sections]
    assert titles[:4] == ["Read this first", "In short", "What was run", "Data health"]
    assert "nan" not in re.findall(r"[a-z]+", text_of(page).lower())
    assert "None" not in text_of(page).split()
    for title in titles:
        assert f"## {escape_markdown(title)}" in markdown


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_every_plot_of_a_difficult_cohort_can_be_drawn(root: RatedRoot, case: Callable[[RatedRoot], None]) -> None:
    case(root)
    material = look_at(root)
    assert {plot.name for plot in PLOTS if plot.draw(material).to_dict()["$schema"]} == {plot.name for plot in PLOTS}


def test_without_a_cohort_the_error_says_how_to_build_one(root: RatedRoot) -> None:
    with pytest.raises(MembershipError) as caught:
        write_report(root.workspace())
    assert "daydreaming materialize" in caught.value.fix


def test_what_a_model_wrote_is_never_markup(root: RatedRoot) -> None:
    root.run(lambda _: f"{HOSTILE}\nSCORE: 7", essay=lambda _: HOSTILE)
    _, page, markdown = write_out(look_at(root))
    found = Elements(page)
    assert "script" not in found.tags
    assert found.handlers == []
    assert "alert(1)" in found.text
    assert {address.partition("#")[0].partition(":")[0] for address in found.addresses} <= {"", "data"}
    assert not set(page) & {"\u202e", "\x00", "\x1b"}
    outside = re.sub(r"^(`{3,})text$.*?^\1$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    assert "alert" not in outside
    assert "# A heading" in markdown


def test_names_that_look_like_markup_are_words_in_both_forms(root: RatedRoot) -> None:
    root.write_templates(Stage.ESSAY, {"narrative": "Write: {{ draft_block }}"}, description="<b>bold</b>")
    root.write_concepts(("mind-wandering", "economic-moat"))
    path = root.paths.concepts_csv
    path.write_text(path.read_text().replace("Economic-Moat", "<i>Moat</i> | [x](y)"))
    root.run(spread)
    _, page, markdown = write_out(look_at(root))
    assert "i" not in Elements(page).tags
    assert "<i>Moat</i> | [x](y)" in Elements(page).text
    assert "&lt;i\\>Moat&lt;/i\\> \\| [x\\](y)" in markdown


def test_the_page_asks_no_server_for_anything(root: RatedRoot) -> None:
    root.run(spread)
    _, page, _ = write_out(look_at(root))
    assert "default-src 'none'" in page
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|@import|url\(""", page)


def test_a_script_in_place_of_the_models_is_the_first_thing_said(root: RatedRoot) -> None:
    add_judges(root)
    root.run(spread, provider="scripted")
    first = find_caveats(look_at(root))[0]
    assert "made up by a script in place of judge, other-judge and writer" in first


def test_the_embedded_model_is_said_to_have_no_judgement(root: RatedRoot) -> None:
    path = root.paths.models_csv
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([f"{head},endpoint", *(f"{row},embedded" for row in rows)]) + "\n")
    root.run(spread, provider="embedded")
    assert any(
        "judge, a very small model" in caveat and "no judgement" in caveat for caveat in find_caveats(look_at(root))
    )


def test_a_judge_of_the_writers_family_is_flagged_and_the_ranking_shows_the_rest(root: RatedRoot) -> None:
    add_judges(root)
    root.write_families({"writer": "one", "judge": "one", "other-judge": "two"})
    root.run(spread)
    material = look_at(root)
    assert any("judge of the writer's own family (judge judged writer)" in caveat for caveat in find_caveats(material))
    assert "without own family" in write_out(material)[1]


def test_a_writer_found_better_is_also_compared_without_judges_of_its_family(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(6)])
    root.run_with_kin()
    told = text_of(write_out(look_at(root))[1])
    assert "big is better than small by 3.00 [3.00, 3.00] points over 15 combinations" in told
    assert "writer big is better than small by 3.00" in told
    assert "(without judges of the writer's own family 2.00 [2.00, 2.00])" in told


def test_the_best_essay_is_also_estimated_without_judges_of_its_writers_family(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(6)])
    root.write_models(writers=["writer"], judges=["kin", "stranger", "outsider"])
    root.write_families({"writer": "one", "kin": "one", "stranger": "two", "outsider": "three"})
    root.run(lambda m: score(sum(map(ord, str(m.parent_gen_id))) % 7 + int(spread(m).split()[-1]) % 2))
    told = text_of(write_out(look_at(root))[1])
    assert re.search(r"is estimated at [\d. \[\],]+ \(without judges of its writer's own family \d", told)


def test_an_effect_of_a_concept_is_also_told_without_judges_of_the_writers_family(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(7)])
    root.write_models(writers=["writer"], judges=["kin", "stranger"])
    root.write_families({"writer": "one", "kin": "one", "stranger": "two"})
    plan = root.plan()
    combos = {member.gen_id: plan.combinations[member.combo_id] for member in plan.members if member.combo_id}

    def judge(member: Member) -> str:
        has = "concept-0" in combos[member.parent_gen_id].concept_ids
        return score(2 + int(spread(member).split()[-1]) % 2 + (3 if has else 0))

    root.run(judge)
    told = text_of(write_out(look_at(root))[1])
    found = re.search(r"concept-0 makes [\d.]+ \[[\d., ]+\] points of difference \((without[^\d]+)[\d.]+ \[", told)
    assert found is not None
    assert found[1] == "without judges of the writer's own family "


def judge_by_concept_0(root: RatedRoot, is_silent: Callable[[Member, frozenset[str]], bool]) -> str:
    """A report on a writer rated by its kin and a stranger, who both like one concept; what it says in short."""
    root.write_concepts([f"concept-{number}" for number in range(7)])
    root.write_models(writers=["writer"], judges=["kin", "stranger"])
    root.write_families({"writer": "one", "kin": "one", "stranger": "two"})
    plan = root.plan()
    combos = {m.gen_id: frozenset(plan.combinations[m.combo_id].concept_ids) for m in plan.members if m.combo_id}

    def judge(member: Member) -> str | None:
        concepts = combos[member.parent_gen_id]
        base = 2 + int(spread(member).split()[-1]) % 2 + (3 if "concept-0" in concepts else 0)
        return None if is_silent(member, concepts) else score(base)

    root.run(judge)
    material = look_at(root)
    return " ".join(summarise_construct(material, construct) for construct in material.constructs)


def test_what_others_than_the_own_family_leave_unknown_is_no_figure_of_the_summary(root: RatedRoot) -> None:
    told = judge_by_concept_0(root, lambda _member, _concepts: False)
    assert "is estimated at" in told
    assert "not estimable" not in told


def test_an_effect_that_others_than_the_own_family_cannot_tell_is_told_without_them(root: RatedRoot) -> None:
    few = {"concept-0", "concept-1", "concept-2"}
    told = judge_by_concept_0(root, lambda member, has: member.llm_model_id == "stranger" and not has <= few)
    assert "concept-0 makes" in told
    assert "not estimable" not in told


def test_a_report_with_judges_of_the_own_family_only_promises_no_ranking_without_them(root: RatedRoot) -> None:
    root.write_families({"writer": "one", "judge": "one"})
    root.run(spread)
    (told,) = [caveat for caveat in find_caveats(look_at(root)) if "own family" in caveat]
    assert told.endswith("What judges of other families would say is unknown.")


def test_ratings_that_are_missing_for_one_judge_only_are_not_missing_at_random(root: RatedRoot) -> None:
    add_judges(root)
    root.write_replicates(evaluation=2)
    root.run(lambda member: "No." if member.llm_model_id == "judge" else spread(member))
    told = " ".join(find_caveats(look_at(root))).replace("\N{NO-BREAK SPACE}", " ")
    assert "of judge model judge 100 % are missing, of other-judge 0 %" in told


def test_a_rubric_edited_after_the_cohort_was_built_is_told(root: RatedRoot) -> None:
    root.run(spread)
    root.write(root.paths.template(Stage.EVALUATION, "novelty"), "Judge harder: {{ response }}")
    assert any("evaluation template 'novelty' was edited" in caveat for caveat in find_caveats(look_at(root)))


def test_few_combinations_are_told(root: RatedRoot) -> None:
    root.run(spread)
    assert any("rest on 3 combinations of concepts" in caveat for caveat in find_caveats(look_at(root)))


def test_constructs_have_sections_of_their_own_and_no_mean_over_both(root: RatedRoot) -> None:
    root.run(lambda member: score(8 if member.template_id == "novelty" else 2))
    _, page, _ = write_out(look_at(root))
    assert "novelty (LLM-judged)" in page
    assert "coherence (LLM-judged)" in page
    assert "mean 8.00 on a scale of 0 to 9" in page
    assert "mean 2.00 on a scale of 0 to 9" in page
    assert "5.00" not in text_of(page)


def test_the_best_essay_stands_there_with_lineage_text_and_the_judges_words(root: RatedRoot) -> None:
    best: list[Member] = []

    def answer(member: Member) -> str:
        if not best:
            best.append(member)
        return score(9 if member.parent_gen_id == best[0].parent_gen_id else 3)

    members = root.run(answer, essay=lambda member: f"Text of {member.gen_id}.")
    essay = next(member for member in members if member.gen_id == best[0].parent_gen_id)
    document, page, _ = write_out(look_at(root))
    section = next(section for section in document.sections if section.title == "Best essays")
    assert section.parts[0].title == f"Essay {essay.gen_id}"
    assert f"Text of {essay.gen_id}." in text_of(page)
    assert f"{essay.parent_gen_id}, template notes, by writer" in text_of(page)
    assert "judge gave 9 for novelty: I have seen worse." in text_of(page)


def test_thinking_is_not_quoted_as_the_judges_words(root: RatedRoot) -> None:
    root.run(lambda _: "<think>I do not like it.</think>A fine piece.\nSCORE: 7")
    _, page, _ = write_out(look_at(root))
    assert "A fine piece." in page
    assert "I do not like it" not in page


def test_a_forecast_that_was_kept_is_shown_beside_the_truth(root: RatedRoot) -> None:
    members = root.run(spread)
    record = {
        "run_id": "run-one",
        "cohort_id": members[0].cohort_id,
        "ended_at": 1.0,
        "compared": {"calls": {"expected": {"low": 10, "expected": 12, "high": 14}, "truth": 15.0, "inside": False}},
    }
    files.write_json(root.paths.forecasts / "run-one.json", record)
    files.write_json(root.paths.forecasts / "other.json", {**record, "cohort_id": "another", "run_id": "foreign"})
    (root.paths.forecasts / "damaged.json").write_text("{")
    text = text_of(write_out(look_at(root))[1])
    assert "run-one calls 12 [10, 14] 15 no" in text
    assert "foreign" not in text


def test_an_experiment_is_found_across_cohorts_and_an_unknown_one_is_an_error(root: RatedRoot) -> None:
    root.run(spread, cohort="first", experiment="night-watch")
    root.write_replicates(evaluation=2)
    root.run(spread, cohort="second", experiment="night-watch")
    material = look_at(root, experiment="night-watch")
    assert material.scope.kind == "experiment"
    assert len(material.scope.of_stage(Stage.EVALUATION)) == 12
    assert "DayDreaming report: experiment night-watch" in write_out(material)[1]
    assert len(look_at(root, "night-watch", cohort="first").scope.of_stage(Stage.EVALUATION)) == 6
    with pytest.raises(ConfigurationError, match="known: night-watch"):
        look_at(root, experiment="day-watch")


def test_files_lie_beside_the_data_root_and_a_name_cannot_lead_elsewhere(root: RatedRoot, tmp_path: Path) -> None:
    root.run(spread, cohort="mine", experiment="../../etc/passwd")
    scope = read_scope(root.workspace("mine"))
    assert reports_folder(root.paths, scope) == tmp_path / "reports" / "mine"
    hostile = reports_folder(root.paths, read_scope(root.workspace(), "../../etc/passwd"))
    assert hostile.parent == tmp_path / "reports"


def test_an_output_that_is_a_file_is_refused_before_anything_is_computed(root: RatedRoot, tmp_path: Path) -> None:
    root.run(spread)
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(StoreError, match="is a file"):
        write_report(root.workspace(), output=tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("1. first", "1\\. first"),
        ("2026-01-02", "2026-01-02"),
        ("# no heading", "\\# no heading"),
        ("a_b _c_", "a_b \\_c\\_"),
        ("[a](b) ![c](d) [e]: f", "[a\\](b) ![c\\](d) [e\\]: f"),
        ("<b>&amp;", "&lt;b\\>\\&amp;"),
        ("a | b\nc", "a \\| b c"),
        ("https://x.org", "https\\://x.org"),
        ("0.50 [0.10, 0.90]", "0.50 [0.10, 0.90]"),
    ],
)
def test_markdown_finds_no_markup_in_a_text(text: str, safe: str) -> None:
    assert escape_markdown(text) == safe


def test_an_excerpt_ends_with_a_whole_word_and_says_that_it_was_cut() -> None:
    assert excerpt("one two three", 9) == "one two […]"
    assert excerpt("  whole\r\ntext ", 40) == "whole\ntext"
    assert excerpt("x" * 50, 10) == "x" * 10 + " […]"


def test_essays_that_share_the_first_place_are_told_to(root: RatedRoot) -> None:
    add_judges(root)
    root.run(lambda member: score(6 if member.llm_model_id == "judge" else 7))
    assert "rank 1 of 3 (shared by 3)" in text_of(write_out(look_at(root))[1])


def test_a_list_of_the_best_says_how_many_count_as_best(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(6)])
    add_judges(root)
    root.run(spread)
    told = text_of(write_out(look_at(root))[1])
    assert "P(best): probability of being truly the best." in told
    assert "P(top k)" not in told


def test_a_reliability_that_two_judges_cannot_tell_is_said_to_be_unknown_with_the_reason(root: RatedRoot) -> None:
    add_judges(root)
    root.run(spread)
    told = text_of(write_out(look_at(root))[1])
    assert (
        "for comparing essays; for the values themselves (phi) it is not estimable. Note: 2 judges are too few" in told
    )
    assert "for this rubric only" in told


def test_rankings_of_few_judges_are_said_to_agree_somewhat_by_chance(root: RatedRoot) -> None:
    add_judges(root)
    root.run(spread)
    assert "except for Kendall's W, which is about 0.50 by chance" in text_of(write_out(look_at(root))[1])


def test_the_share_of_equal_replicates_stands_beside_the_judge(root: RatedRoot) -> None:
    root.write_replicates(evaluation=2)
    root.run(lambda _: score(5))
    (section,) = [section for section in write_out(look_at(root))[0].sections if section.title == "Data health"]
    (leanings,) = [block for block in section.blocks if isinstance(block, Grid) and "Leanings" in block.caption]
    assert leanings.rows[0][leanings.headers.index("alike")] == "100\N{NO-BREAK SPACE}%"


def test_diversity_has_a_row_for_each_group_and_explains_its_columns(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(6)])
    root.run(spread, essay=lambda member: f"{ESSAY} {member.gen_id}")
    (section,) = [section for section in write_out(look_at(root))[0].sections if section.title == "Diversity"]
    (grid,) = [block for block in section.blocks if isinstance(block, Grid)]
    assert [row[:3] for row in grid.rows] == [["all", "all essays", "15 of 15"]]
    (meanings,) = [block.items for block in section.blocks if isinstance(block, Bullets)]
    assert [meaning.split(":")[0].lower() for meaning in meanings] == [header.lower() for header in grid.headers[3:]]
    assert "it sees wording, not meaning" in section.blocks[-1].text


def test_entries_left_out_of_a_list_with_the_rank_of_its_last_are_counted(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(6)])
    add_judges(root)
    root.run(lambda member: score(6 if member.llm_model_id == "judge" else 7))
    assert "The 10 best of 15 (5 more share the rank of the last one)." in text_of(write_out(look_at(root))[1])


def test_judges_who_give_the_top_are_one_reservation_and_reasons_have_their_meaning(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(5)])
    add_judges(root)
    refused = {member.gen_id for member in evaluations(list(root.plan().members))[:2]}
    root.run(lambda member: "No." if member.gen_id in refused else score(9 - int(spread(member)[-1]) // 5))
    caveats = find_caveats(look_at(root))
    (top,) = [caveat for caveat in caveats if "at the top of the scale" in caveat]
    assert top.count(" with novelty in ") == 2
    told = "2 of 40 evaluations are not done; failed: 2 parse_failed (no score or text could be read in the answer)."
    assert told in caveats


def test_a_contrast_is_shown_with_the_better_one_first(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(6)])
    root.write_models(writers=["big", "small"], judges=["judge"])
    writers = {member.gen_id: member.llm_model_id for member in root.plan().members}
    root.run(lambda member: score(8 if writers[member.parent_gen_id] == "small" else 5))
    told = text_of(write_out(look_at(root))[1])
    assert "small − big (generator model) 3.00 [3.00, 3.00]" in told


def test_diversity_of_few_combinations_says_once_that_there_are_no_intervals(root: RatedRoot) -> None:
    root.write_templates(Stage.ESSAY, {"narrative": "Tell: {{ draft_block }}", "plain": "Say: {{ draft_block }}"})
    root.run(spread, essay=lambda member: f"{ESSAY} {member.gen_id}")
    (section,) = [section for section in write_out(look_at(root))[0].sections if section.title == "Diversity"]
    (grid,) = [block for block in section.blocks if isinstance(block, Grid)]
    assert not any("interval" in cell for row in grid.rows for cell in row)
    told = [block.text for block in section.blocks if isinstance(block, Paragraph)]
    assert "Figures without an interval rest on fewer than 5 combinations." in told


def test_what_one_judge_cannot_tell_takes_no_columns_and_no_rows(root: RatedRoot) -> None:
    one_judge(root)
    told = text_of(write_out(look_at(root))[1])
    assert "How much of their order is chance cannot be estimated." in told
    assert "P(best)" not in told
    assert "There was one judge, and no repeated rating: nobody to agree with, not even itself." in told
    assert "Kendall" not in told


def test_evaluations_that_wait_for_their_essay_are_told_with_the_reason(root: RatedRoot) -> None:
    nothing_made(root)
    told = text_of(write_out(look_at(root))[1])
    assert "6 of 6 evaluations are not done; not made: 6, all because there is no essay to judge." in told
    assert "6 without a score: not_made (not asked for yet); for 6 of them there is no essay to judge" in told


def test_a_judge_that_favours_its_own_family_is_named_with_the_points(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(6)])
    root.run_with_kin()
    told = text_of(write_out(look_at(root))[1])
    assert "Points by which judges favour their own family: kin by 2.00 [2.00, 2.00] on coherence and kin by" in told
    assert "Own family: points more that a judge gives writers of its own family than others" in told


def test_where_no_favour_is_found_the_most_that_may_be_is_told_and_of_whom(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(6)])
    root.run_with_kin()
    material = look_at(root)
    is_kin = pl.col("quantity") == "self_preference"
    card = material.table("judge_card").filter(is_kin, judge_model="kin", construct="novelty")
    wide = card.with_columns(estimate=0.5, low=-3.0, high=4.0)

    def find_told(judge: str) -> str:
        tables = {**material.data.tables, "judge_card": wide.with_columns(judge_model=pl.lit(judge))}
        caveats = find_caveats(replace(material, data=replace(material.data, tables=tables)))
        (told,) = [caveat for caveat in caveats if "own family (" in caveat]
        return told

    what = "That kin favours its own family is not found; up to 4.00 points (kin on novelty) are not ruled out."
    assert find_told("kin").endswith(what)
    assert find_told("other").endswith("are not ruled out. Of kin it cannot be told.")


def test_where_no_difference_is_found_the_nearest_is_told_with_its_p(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(6)])
    root.write_models(writers=["big", "small"], judges=["judge", "other-judge"])
    root.run(spread)
    told = summarise_construct(look_at(root), "novelty")
    assert re.search(
        r"better than another; nearest to it comes writer (big over small|small over big) with [\d.]+ \[", told
    )
    assert re.search(r"\(p \.\d+, adjusted for all comparisons [\d.]+\)\.$", told)


def test_of_comparisons_with_the_same_adjusted_p_the_one_with_the_least_p_is_nearest(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(6)])
    root.write_models(writers=["big", "middle", "small"], judges=["judge"])
    root.run(spread)
    material = look_at(root)
    p = pl.when(pl.col("a") == "middle", pl.col("b") == "small").then(0.2).otherwise(0.9)
    told = summarise_construct(replace(material, contrasts=material.contrasts.with_columns(p=p, p_holm=1.0)), "novelty")
    assert "(p .200, adjusted for all comparisons 1.000)" in told


def test_replicates_that_are_all_equal_are_not_said_to_be_missing(root: RatedRoot) -> None:
    one_judge(root)
    material = look_at(root)
    assert "no repeated rating" in text_of(write_out(material)[1])
    repeated = pl.when(pl.col("statistic") == "intra_judge_alpha").then(6).otherwise("n")
    agreement = material.table("agreement").with_columns(n=repeated)
    tables = {**material.data.tables, "agreement": agreement}
    told = text_of(write_out(replace(material, data=replace(material.data, tables=tables)))[1])
    assert "no repeated rating" not in told
    assert "or all ratings are equal" in told


@pytest.mark.parametrize("differing", ["raw_mean", "adjusted_mean"])
def test_entries_are_equal_only_as_seen_and_as_ranked(differing: str) -> None:
    entries = pl.DataFrame({"raw_mean": [5.0, 5.0], "adjusted_mean": [5.0, 5.0]})
    assert are_equal(entries)
    assert not are_equal(entries.with_columns(pl.Series(differing, [5.0, 6.0])))


def test_thousands_of_ratings_left_out_of_comparisons_are_one_sentence(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(6)])
    root.write_models(writers=["big", "small"], judges=["judge"])
    root.run(spread)
    material = look_at(root)
    noted = material.contrasts.with_columns(note=pl.lit("1,200 ratings without a counterpart left out"))
    told = text_of(write_out(replace(material, contrasts=noted))[1])
    assert "Ratings without a counterpart on the other side are left out: 1,200 of a comparison." in told


def test_ratings_left_out_of_comparisons_are_told_once(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(6)])
    root.write_models(writers=["big", "middle", "small"], judges=["judge", "other-judge"])
    root.run(lambda member: None if member.template_id == "novelty" and hash_of(member) % 9 == 0 else spread(member))
    (section,) = [section for section in write_out(look_at(root))[0].sections if section.title.startswith("novelty")]
    (part,) = [part for part in section.parts if part.title.endswith("templates and models")]
    _, *told = part.blocks
    assert len(told) == 1
    assert re.fullmatch(r"Ratings without .* are left out: \d+( to \d+)? of a comparison\.", told[0].text)


def hash_of(member: Member) -> int:
    return sum(map(ord, member.gen_id))


def test_a_picture_without_data_is_a_sentence_in_the_report(root: RatedRoot) -> None:
    one_judge(root)
    material = look_at(root)
    empty = DrawnPlot("agreement", "Do the judges agree?", "<svg/>", b"", "no two judges rated the same essays")
    page = render_html(build_document(material, [empty], [], NOW))
    assert "Do the judges agree? No picture: no two judges rated the same essays." in text_of(page)
    no_length = replace(empty, name="length", question="Do longer essays get more?")
    page = render_html(build_document(material, [no_length], [], NOW))
    assert "Do longer essays get more? No picture: no two judges rated the same essays." in text_of(page)
    assert "img" not in Elements(page).tags


def test_what_was_never_asked_for_was_not_made_up_either(root: RatedRoot) -> None:
    (root.paths.raw / "llm_endpoints.csv").write_text(
        "endpoint,kind,base_url,api_key_env,extra_body\nopenrouter,scripted,,,\n"
    )
    nothing_made(root)
    assert not any("made up" in caveat for caveat in find_caveats(look_at(root)))
    root.run(spread)
    assert "made up by a script" in find_caveats(look_at(root))[0]


def test_a_rubric_that_is_gone_is_no_pattern_of_missing_ratings(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(6)])
    add_judges(root)
    root.run(spread)
    root.write_templates(Stage.EVALUATION, {"novelty": "Judge: {{ response }}"})
    caveats = find_caveats(look_at(root))
    assert any("coherence is no longer among the evaluation templates" in caveat for caveat in caveats)
    assert not any("not missing at random" in caveat for caveat in caveats)


def test_answers_that_were_not_read_and_damaged_files_are_told_in_words(root: RatedRoot) -> None:
    members = root.run(spread)
    first, second, *_ = evaluations(members)
    (root.store.folder(Stage.EVALUATION, first.gen_id) / "parsed.txt").unlink()
    (root.store.folder(Stage.EVALUATION, second.gen_id) / "parsed.txt").write_bytes(b"\xff{")
    (caveat,) = [text for text in find_caveats(look_at(root)) if "evaluations are not done" in text]
    assert "1 store (a file is damaged or cannot be read)" in caveat
    assert "answered, but not read yet: 1" in caveat


def test_essays_that_are_all_rated_the_same_are_no_ranking(root: RatedRoot) -> None:
    all_equal(root)
    told = text_of(write_out(look_at(root))[1])
    assert told.count("All essays have the same mean: none was found better than another.") == 2
    assert "The 3 best of 3. All have the same mean." in told
    assert "How far the judges agree is not estimable: no two ratings of one unit, or all ratings are equal;" in told
    assert "There is nothing to compare: one draft template, one essay template and one writer." in told


def test_more_writers_than_can_be_compared_are_told_with_the_command(root: RatedRoot) -> None:
    root.write_concepts(("mind-wandering", "economic-moat"))
    root.write_models(writers=[f"writer-{number}" for number in range(9)], judges=["judge"])
    root.write_templates(Stage.ESSAY, {"narrative": "Tell: {{ draft_block }}", "plain": "Say: {{ draft_block }}"})
    root.run(spread)
    told = text_of(write_out(look_at(root))[1])
    assert "There are more than 8 of generator model: not every one is compared with every other." in told
    assert re.search(r"(narrative − plain|plain − narrative) \(essay template\)", told)
    assert "better than another (of generator model there are too many to compare each with each)" in told


def test_a_plain_leaning_to_length_is_told_where_lengths_are_near_each_other(root: RatedRoot) -> None:
    root.write_concepts([f"concept-{number}" for number in range(6)])
    places = {essay.gen_id: place for place, essay in enumerate(essays(list(root.plan().members)))}
    root.run(
        lambda member: score(2 + places[member.parent_gen_id] * 0.4),
        essay=lambda member: ESSAY + " word" * (6 * places.get(member.gen_id, 0)),
    )
    material = look_at(root)
    (told,) = [caveat for caveat in find_caveats(material) if caveat.startswith("Longer essays get more")]
    assert re.search(r"novelty 4\.48 \[4\.\d+, 4\.\d+\] over 67 words", told)
    assert " over 67 words" in text_of(write_out(material)[1])
