"""Prompts: templates of the three stages, checked when they are read and rendered strictly in a sandbox.

Every stage offers its templates a fixed set of variables, and nothing else can be looked up. A template is compiled
once per process; rendering it is what happens a hundred thousand times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from daydreaming_dagster.domain.catalogue import Concept, DescriptionLevel, Template
from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.domain.stages import Stage

TEMPLATE_VARIABLES: Mapping[Stage, tuple[str, ...]] = {
    Stage.DRAFT: ("concepts",),
    Stage.ESSAY: ("draft_block", "links_block"),
    Stage.EVALUATION: ("response",),
}
"""What a template of each stage may name. `concepts` is a list of `{name, content}`; all others are texts."""

_SAMPLES: Mapping[Stage, Mapping[str, Any]] = {
    Stage.DRAFT: {"concepts": [{"name": f"Concept {number}", "content": "What it is."} for number in range(1, 33)]},
    Stage.ESSAY: {"draft_block": "A draft.", "links_block": "A draft."},
    Stage.EVALUATION: {"response": "An essay."},
}
_COMPILED_TEMPLATES = 4096
_CODE_NAME = "<template>"
_BORROWING_NODES = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """One thing wrong with a template's text.

    Attributes:
        line: 1-based line in the template, None when the whole text is meant.
    """

    message: str
    line: int | None = None
    value: str | None = None
    allowed: str | None = None


def build_concept_texts(concepts: Sequence[Concept], description_level: DescriptionLevel) -> list[dict[str, str]]:
    """What a draft prompt shows of each concept: its `name` and its `content`."""
    return [{"name": concept.name, "content": concept.description(description_level)} for concept in concepts]


def render_draft_prompt(template: Template, concepts_with_content: Sequence[Mapping[str, str]]) -> str:
    """Prompt that asks for a draft on these concepts.

    Raises:
        ConfigurationError: the template cannot be rendered.
    """
    return _render(template, {"concepts": list(concepts_with_content)})


def render_essay_prompt(template: Template, draft_text: str) -> str:
    """Prompt that asks for an essay made from a parsed draft.

    Raises:
        ConfigurationError: the template cannot be rendered.
    """
    return _render(template, {"draft_block": draft_text, "links_block": draft_text})


def render_evaluation_prompt(template: Template, essay_text: str) -> str:
    """Prompt that asks for a score of a parsed essay.

    Raises:
        ConfigurationError: the template cannot be rendered.
    """
    return _render(template, {"response": essay_text})


def find_template_problems(stage: Stage, source: str) -> list[TemplateProblem]:
    """Everything wrong with a template's text that does not depend on what it is rendered with."""
    if not source.strip():
        return [TemplateProblem("the template is empty")]
    try:
        tree = _environment.parse(source)
        _environment.compile(source)  # finds filters and tests that do not exist
    except jinja2.TemplateSyntaxError as error:
        return [TemplateProblem(f"Jinja2 cannot read the template: {error.message}", error.lineno)]
    borrowed = [node for node_type in _BORROWING_NODES for node in tree.find_all(node_type)]
    if borrowed:
        lines = sorted(node.lineno for node in borrowed)
        return [TemplateProblem("templates cannot include, import or extend others", line) for line in lines]
    return list(_find_unknown_variables(stage, tree)) or _find_unknown_attributes(stage, source)


def find_used_variables(source: str) -> set[str]:
    """Names that a template takes from outside; the template must be readable."""
    return meta.find_undeclared_variables(_environment.parse(source))


def _find_unknown_variables(stage: Stage, tree: nodes.Template) -> Iterator[TemplateProblem]:
    allowed = TEMPLATE_VARIABLES[stage]
    for name in sorted(meta.find_undeclared_variables(tree) - set(allowed)):
        line = next((node.lineno for node in tree.find_all(nodes.Name) if node.name == name), None)
        yield TemplateProblem(f"{stage} templates have no such variable", line, name, ", ".join(allowed))


def _find_unknown_attributes(stage: Stage, source: str) -> list[TemplateProblem]:
    # Found by trying. Whatever else goes wrong may be due to the sample: it is told when the real values are there.
    try:
        _compile(source).render(_SAMPLES[stage])
    except jinja2.UndefinedError as error:
        if "has no attribute" in str(error):
            allowed = "concept.name, concept.content" if stage is Stage.DRAFT else "the text itself"
            return [TemplateProblem(str(error), _find_failing_line(error), allowed=allowed)]
    except Exception:  # noqa: BLE001
        return []
    return []


def _render(template: Template, values: Mapping[str, Any]) -> str:
    try:
        return _compile(template.source).render(values)
    except Exception as error:
        # A template is a program of the user's: whatever it raises is a fault in that file, and is told as one.
        line = error.lineno if isinstance(error, jinja2.TemplateSyntaxError) else _find_failing_line(error)
        place = f"templates/{template.stage}/{template.template_id}.txt" + (f":{line}" if line else "")
        names = ", ".join(TEMPLATE_VARIABLES[template.stage])
        raise ConfigurationError(
            f"The {template.stage} template '{template.template_id}' cannot be rendered ({place}): "
            f"{str(error).rstrip('.')}.",
            fix=f"Edit that template (its variables: {names}), then check it with `daydreaming doctor`.",
            culprits={"stage": str(template.stage), "template_id": template.template_id, "line": line},
        ) from error


@lru_cache(maxsize=_COMPILED_TEMPLATES)
def _compile(source: str) -> jinja2.Template:
    return _environment.from_string(source)


def _find_failing_line(error: BaseException) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _CODE_NAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _build_environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
    # `lipsum` writes random words: with it the same request would not be the same twice.
    del environment.globals["lipsum"]
    del environment.filters["random"]
    return environment


_environment = _build_environment()
