from __future__ import annotations

import copy
from typing import Any

import pytest

from daydreaming_dagster.domain.ids import compute_cohort_id
from daydreaming_dagster.domain.manifest import build_cartesian_part, build_curated_part, describe_changes
from daydreaming_dagster.domain.membership import Axes
from daydreaming_dagster.domain.selection import parse_selection
from daydreaming_dagster.domain.stages import Stage


def axes(**changes: Any) -> Axes:
    values: dict[str, Any] = {
        "draft_templates": ("a", "b"),
        "essay_templates": ("e",),
        "evaluation_templates": ("v",),
        "generation_models": ("g",),
        "evaluation_models": ("j",),
        "replicates": dict.fromkeys(Stage, 1),
    }
    return Axes(**{**values, **changes})


def cartesian_id(combo_ids: list[str], of: Axes) -> str:
    return compute_cohort_id(build_cartesian_part(combo_ids, of))


@pytest.mark.parametrize(
    "changed",
    [
        axes(draft_templates=("a",)),
        axes(essay_templates=("e", "f")),
        axes(evaluation_templates=("w",)),
        axes(generation_models=("g", "h")),
        axes(evaluation_models=("k",)),
        *(axes(replicates={**dict.fromkeys(Stage, 1), stage: 2}) for stage in Stage),
    ],
)
def test_the_id_notices_every_change_of_the_axes(changed: Axes) -> None:
    assert cartesian_id(["c"], changed) != cartesian_id(["c"], axes())


def test_the_id_does_not_depend_on_the_order_of_rows() -> None:
    assert cartesian_id(["c", "d"], axes()) == cartesian_id(["d", "c"], axes(draft_templates=("b", "a")))
    assert cartesian_id(["c", "d"], axes()) != cartesian_id(["c"], axes())


def curated_id(text: str, stage: Stage = Stage.ESSAY, of: Axes | None = None) -> str:
    selection, problems = parse_selection(text, stage, "selected.txt")
    assert problems == []
    return compute_cohort_id(build_curated_part(selection, of or axes()))


def test_the_id_notices_the_selection_its_mode_and_fill_up() -> None:
    texts = ["e_1", "e_2", "e_1\ne_2", "# mode: reuse-drafts\ne_1", "# mode: reuse-essays\ne_1"]
    texts.append("# mode: reuse-essays\n# fill-up\ne_1")
    assert len({curated_id(text) for text in texts}) == len(texts)
    assert curated_id("x", Stage.DRAFT, axes()) != curated_id("# mode: reuse-drafts\nx")


def test_the_id_of_a_curated_cohort_ignores_what_its_mode_does_not_use() -> None:
    text = "# mode: reuse-essays\ne_1 # a comment\n"
    same = axes(draft_templates=("z",), essay_templates=("y",), generation_models=("x",))
    assert curated_id(text, of=same) == curated_id("# mode: reuse-essays\n\ne_1")
    more_drafts = axes(replicates={**dict.fromkeys(Stage, 1), Stage.DRAFT: 3})
    assert curated_id(text, of=more_drafts) == curated_id(text)
    assert curated_id("e_1", of=more_drafts) != curated_id("e_1")


def manifest() -> dict[str, Any]:
    return {
        "package_version": "0.1.0",
        "membership": build_cartesian_part(["c"], axes()),
        "templates": {"draft": {"a": "1", "b": "2"}, "essay": {"e": "3"}},
        "concepts": {"moat": {"paragraph": "4"}},
        "models": {"g": {"model": "maker/g", "endpoint": "openrouter", "params": {}}},
        "settings": {"k_max": 2, "stages": {"draft": {"temperature": 0.9}}},
    }


def test_nothing_changed_is_nothing_to_tell() -> None:
    assert describe_changes(manifest(), copy.deepcopy(manifest())) == []


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("templates", "draft", "a"), "9", "The text of the draft template 'a' was edited."),
        (("concepts", "moat", "paragraph"), "9", "The paragraph of the concept 'moat' was edited."),
        (("settings", "k_max"), 3, "The setting k_max changed from 2 to 3."),
        (
            ("settings", "stages", "draft", "temperature"),
            0,
            "The setting stages.draft.temperature changed from 0.9 to 0.",
        ),
        (("package_version",), "0.2.0", "The package version changed from 0.1.0 to 0.2.0."),
        (("membership", "mode"), "regenerate", "The mode changed from cartesian to regenerate."),
        (("membership", "replicates", "essay"), 2, "The number of essay replicates changed from 1 to 2."),
        (("membership", "templates", "draft"), ["a"], "Draft templates removed: b."),
        (("membership", "models", "evaluation"), ["j", "k"], "Evaluation models added: k."),
        (
            ("membership", "combinations"),
            ["c", *(f"c{number}" for number in range(7))],
            "Combinations added: c0, c1, c2, c3, c4 and 2 more.",
        ),
    ],
)
def test_a_change_is_told_in_words(path: tuple[str, ...], value: object, expected: str) -> None:
    changed = manifest()
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert describe_changes(manifest(), changed) == [expected]


def test_a_manifest_of_an_older_version_is_compared_as_far_as_it_goes() -> None:
    assert describe_changes({"cohort_id": "x", "templates": None}, manifest()) != []
