from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydreaming_dagster.domain.selection import Mode, Selection, parse_selection
from daydreaming_dagster.domain.stages import Stage

gen_ids = st.from_regex(r"[a-z0-9][a-z0-9_]{0,20}", fullmatch=True).filter(
    lambda text: not text.startswith(("mode", "fill"))
)


def read(text: str, stage: Stage = Stage.ESSAY) -> Selection:
    selection, problems = parse_selection(text, stage, "selected.txt")
    assert problems == []
    return selection


def problems_of(text: str, stage: Stage = Stage.ESSAY) -> list[str]:
    return [str(problem) for problem in parse_selection(text, stage, "selected.txt")[1]]


def test_ids_comments_and_blank_lines() -> None:
    selection = read("# the winners\n\n  e_1 # the best\ne_2# and the next\n\te_3\n#e_4\n")
    assert [(selected.gen_id, selected.line) for selected in selection.ids] == [("e_1", 3), ("e_2", 4), ("e_3", 5)]


def test_an_id_that_stands_twice_is_selected_once() -> None:
    assert [selected.line for selected in read("e_1\ne_2\ne_1").ids] == [1, 2]


@pytest.mark.parametrize(
    ("line", "mode"),
    [
        ("# a comment", Mode.REGENERATE),
        ("# mode: regenerate", Mode.REGENERATE),
        ("#mode:reuse_drafts", Mode.REUSE_DRAFTS),
        ("  # Mode :  Reuse-Essays  # for the new rubric", Mode.REUSE_ESSAYS),
        ("# mode: evaluation-only", Mode.REUSE_ESSAYS),
        ("# mode: evaluations_only", Mode.REUSE_ESSAYS),
        ("# mode of thought", Mode.REGENERATE),
    ],
)
def test_how_a_mode_is_written(line: str, mode: Mode) -> None:
    assert read(f"{line}\ne_1").mode is mode


def test_drafts_are_reused_unless_the_file_says_otherwise() -> None:
    assert read("d_1", Stage.DRAFT).mode is Mode.REUSE_DRAFTS
    assert read("# mode: regenerate\nd_1", Stage.DRAFT).mode is Mode.REGENERATE


@pytest.mark.parametrize(
    "line", ["# fill-up", "#fillup", "# Fill_Up", "# skip-existing-evaluations", "# fill-up # please"]
)
def test_how_fill_up_is_written(line: str) -> None:
    assert read(f"# mode: reuse-essays\n{line}\ne_1").fill_up
    assert not read("# mode: reuse-essays\n# fill-up was tried last time\ne_1").fill_up


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "e_1\n# mode: reuse-everything",
            "selected.txt:2: unknown mode (found 'reuse-everything'); allowed: regenerate, reuse-drafts, reuse-essays",
        ),
        ("# mode:\ne_1", "selected.txt:1: unknown mode (found ''); allowed: regenerate, reuse-drafts, reuse-essays"),
        (
            "# mode reuse-essays\ne_1",
            "selected.txt:1: the colon behind 'mode' is missing (found 'reuse-essays'); allowed: # mode: reuse-essays",
        ),
        (
            "mode: reuse-essays\ne_1",
            "selected.txt:1: a directive begins with '#' (found 'mode: reuse-essays'); allowed: # mode: reuse-essays",
        ),
        (
            "# mode: regenerate\n# mode: reuse-drafts\ne_1",
            "selected.txt:2: line 1 already says 'regenerate' (found 'reuse-drafts'); allowed: one mode for a file",
        ),
        ("e_1 e_2", "selected.txt:1: this is no gen_id (found 'e_1 e_2'); allowed: one gen_id in each line"),
        ("../e_1", "selected.txt:1: this is no gen_id (found '../e_1'); allowed: one gen_id in each line"),
        (
            "# mode: reuse-essays\n# fill-up: false\ne_1",
            "selected.txt:2: fill-up takes no value (found 'false'); allowed: the line '# fill-up', or no such line",
        ),
        (
            "# fill-up\ne_1",
            "selected.txt:1: fill-up tops up evaluations of essays that exist, but the mode is 'regenerate'; "
            "allowed: '# mode: reuse-essays' beside it, in selected_essays.txt",
        ),
        (
            "# nothing but words\n",
            "selected.txt: nothing is selected; allowed: at least one gen_id; or delete the file to use all inputs",
        ),
    ],
)
def test_what_is_refused_says_where_and_what_to_write(text: str, expected: str) -> None:
    assert problems_of(text) == [expected]


def test_drafts_cannot_be_selected_for_evaluation_alone() -> None:
    assert problems_of("# mode: evaluation-only\n# fill-up\nd_1", Stage.DRAFT) == [
        "selected.txt:1: drafts cannot be selected with this mode (found 'evaluation-only'); "
        "allowed: reuse-drafts, regenerate"
    ]
    assert problems_of("# fill-up\nd_1", Stage.DRAFT)[0].startswith("selected.txt:1: fill-up tops up evaluations")


@given(st.lists(st.tuples(gen_ids, st.sampled_from(["", "  ", " # why", "#"])), min_size=1), st.sampled_from(Mode))
def test_whatever_ids_and_comments_a_file_holds_they_are_read_in_order(
    lines: list[tuple[str, str]], mode: Mode
) -> None:
    text = "\n".join([f"# mode: {mode}", *(gen_id + comment for gen_id, comment in lines)])
    selection = read(text)
    assert [selected.gen_id for selected in selection.ids] == list(dict.fromkeys(gen_id for gen_id, _ in lines))
    assert selection.mode is mode


@given(st.text(), st.sampled_from([Stage.ESSAY, Stage.DRAFT]))
def test_any_text_is_read_or_refused_with_lines_that_exist(text: str, stage: Stage) -> None:
    selection, problems = parse_selection(text, stage, "selected.txt")
    lines = text.count("\n") + 1
    assert problems or selection.ids
    assert all(problem.line is None or 1 <= problem.line <= lines for problem in problems)
    assert all(text.split("\n")[selected.line - 1].lstrip().startswith(selected.gen_id) for selected in selection.ids)
