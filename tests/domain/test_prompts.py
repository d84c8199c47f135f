from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydreaming_dagster.domain.catalogue import Concept, Template
from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.domain.prompts import (
    build_concept_texts,
    find_template_problems,
    render_draft_prompt,
    render_essay_prompt,
    render_evaluation_prompt,
)
from daydreaming_dagster.domain.stages import Stage

MOAT = Concept("moat", "Economic moat", True, {"paragraph": "What keeps others out.", "article": "Long."})
LOOP = Concept("loop", "Flywheel", True, {})


def template(stage: Stage, source: str) -> Template:
    return Template(stage, "a-template", "A template", "", "identity", "llm", True, source)


def test_a_draft_prompt_shows_each_concept_at_the_asked_level_in_order() -> None:
    source = "{% for c in concepts %}{{ loop.index }}. {{ c.name }}: {{ c['content'] }}\n{% endfor %}Go.\n"
    prompt = render_draft_prompt(template(Stage.DRAFT, source), build_concept_texts([MOAT, LOOP], "article"))
    assert prompt == "1. Economic moat: Long.\n2. Flywheel: Flywheel\nGo."


def test_an_essay_template_may_call_the_draft_by_both_names() -> None:
    prompt = render_essay_prompt(template(Stage.ESSAY, "{{ draft_block }}|{{ links_block }}"), "notes")
    assert prompt == "notes|notes"


@given(st.text())
def test_what_a_model_wrote_is_never_read_as_a_template(text: str) -> None:
    essay = text + "{{ 7 * 7 }}{% raw %}<b>&"
    assert render_evaluation_prompt(template(Stage.EVALUATION, "[{{ response }}]"), essay) == f"[{essay}]"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("\n{{ concepts[5].name }}", "list object has no element 5"),
        ("\n{{ ''.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("\n{{ concepts.clear() }}", "access to attribute 'clear' of 'list' object is unsafe"),
        ("\n{{ range(10 ** 9) | list }}", "Range too big"),
        ("\n{{ 1 / 0 }}", "division by zero"),
    ],
)
def test_a_template_that_fails_names_itself_its_line_and_the_reason(source: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        render_draft_prompt(template(Stage.DRAFT, source), build_concept_texts([MOAT], "paragraph"))
    assert "The draft template 'a-template' cannot be rendered (templates/draft/a-template.txt:2): " in str(
        caught.value
    )
    assert reason in caught.value.what
    assert "variables: concepts" in caught.value.fix


def test_a_template_cannot_draw_lots() -> None:
    assert find_template_problems(Stage.DRAFT, "{{ lipsum() }}")
    assert find_template_problems(Stage.DRAFT, "{{ concepts | random }}")


def test_every_unknown_variable_is_found_with_its_line() -> None:
    problems = find_template_problems(Stage.EVALUATION, "{{ response }}\n{{ essay }}\n{% if scale %}{% endif %}")
    assert [(problem.value, problem.line, problem.allowed) for problem in problems] == [
        ("essay", 2, "response"),
        ("scale", 3, "response"),
    ]


def test_a_template_for_exactly_two_concepts_is_no_problem_before_there_are_two() -> None:
    source = "{% set first, second = concepts %}{{ first.name }} and {{ second.name }}"
    assert find_template_problems(Stage.DRAFT, source) == []
    prompt = render_draft_prompt(template(Stage.DRAFT, source), build_concept_texts([MOAT, LOOP], "paragraph"))
    assert prompt == "Economic moat and Flywheel"
