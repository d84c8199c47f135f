"""Every failure that a user can meet names the thing and ends with what to do; every command it names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
from tests.domain.error_texts import SOURCE, read_texts, spell
from tests.guide.command_line import find_unknown_words

import daydreaming_dagster
from daydreaming_dagster.domain import errors
from daydreaming_dagster.domain.errors import DayDreamingError, InputErrors, InputProblem, MissingParentError

WORDS_THEMSELVES = {"InputErrors", "MissingParentError"}
"""Classes that word sentence and fix by themselves, from data."""

ABOUT_THEMSELVES = {
    "--partition and --partition-range exclude each other.",
    "--yes and --dry-run exclude each other.",
    "--fill-up needs essays that stay.",
    "A partition is given, but none of the selected assets has partitions.",
    "A rating needs a score.",
    "Stopping: calls under way are finished and stored (again Ctrl-C gives them up).",
    "The embedded model stopped before its answer was complete.",
    "The run was given up.",
    "There is no such essay.",
}
"""Sentences without any data in them: there is only one thing they can be about."""

TELLS_TO_DO = re.compile(
    r"\b(add|change|check|choose|correct|delete|edit|export|fill|free|get|give|go on|install|leave|list|look|lower|"
    r"make|materialize|mend|move|name|put|raise|read|rebuild|rename|restore|run|say|see|set|take|use|wait|write)\b|"
    r"daydreaming [a-z]",
    re.IGNORECASE,
)
PROGRAMMERS_OWN = {"RuntimeError", "TypeError", "ValueError", "KeyError"}
"""What only an error in the code can raise; a run reports it as an error of its own."""


@dataclass(frozen=True)
class Raised:
    """One place in the code where a failure is made."""

    place: str
    error: str
    what: str
    has_data: bool
    fix: str | None


def find_error_classes() -> list[type[DayDreamingError]]:
    for module in walk_packages(daydreaming_dagster.__path__, "daydreaming_dagster."):
        import_module(module.name)
    found: list[type[DayDreamingError]] = [DayDreamingError]
    for known in found:
        found += [error for error in known.__subclasses__() if error not in found]
    return found


def find_raised() -> Iterator[Raised]:
    names = {error.__name__ for error in find_error_classes()}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                fix = next((keyword.value for keyword in node.keywords if keyword.arg == "fix"), None)
                yield Raised(
                    f"{path.relative_to(SOURCE)}:{node.lineno}",
                    node.func.id,
                    spell(node.args[0], path) if node.args else "",
                    bool(node.args) and not isinstance(node.args[0], ast.Constant),
                    None if fix is None else spell(fix, path),
                )


RAISED = list(find_raised())
WORDED = [raised for raised in RAISED if raised.error not in WORDS_THEMSELVES]


def test_the_places_are_found() -> None:
    assert len(RAISED) > 100
    assert {raised.error for raised in RAISED} >= {"ConfigurationError", "StoreError", "MissingParentError"}


@pytest.mark.parametrize("raised", WORDED, ids=lambda raised: raised.place)
def test_a_failure_names_the_thing_and_says_what_to_do(raised: Raised) -> None:
    assert raised.has_data or raised.what in ABOUT_THEMSELVES, "which one?"
    assert raised.fix is not None, "what shall the user do?"
    passed_on = not raised.fix.strip("… ")
    assert passed_on or TELLS_TO_DO.search(raised.fix), raised.fix


def test_failures_of_dagster_runs_end_with_what_to_do_too_or_pass_on_a_failure_of_ours() -> None:
    found = 0
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Failure":
                said = next((spell(word.value, path) for word in node.keywords if word.arg == "description"), None)
                if said is not None:
                    found += 1
                    assert "→" in said or said.endswith("…"), f"{path}:{node.lineno}"
    assert found >= 3


def test_the_list_of_sentences_without_data_has_no_others() -> None:
    assert {raised.what for raised in RAISED if not raised.has_data} >= ABOUT_THEMSELVES


@pytest.mark.parametrize("error", find_error_classes(), ids=lambda error: error.__name__)
def test_an_error_shows_its_sentence_then_its_fix_and_has_a_stable_reason(error: type[DayDreamingError]) -> None:
    made = build(error)
    what, _, fix = str(made).partition("\n  → ")
    assert (what, fix) == (made.what, made.fix)
    assert TELLS_TO_DO.search(fix)
    assert re.fullmatch(r"[a-z][a-z_]*", error.reason)


def build(error: type[DayDreamingError]) -> DayDreamingError:
    if error is InputErrors:
        return InputErrors([InputProblem("a.csv", "the cell is blank", 2, "active", "", "true or false")])
    if error is MissingParentError:
        return MissingParentError(
            stage="essay", gen_id="e_1", parent_stage="draft", parent_gen_id="d_1", expected=Path("gone/parsed.txt")
        )
    return error("The thing 'x' is wrong.", fix="Mend it.")


def test_the_tree_at_the_top_of_the_module_has_every_class() -> None:
    drawn = set(re.findall(r"\b[A-Z]\w+Errors?\b", (errors.__doc__ or "")))
    assert drawn == {error.__name__ for error in find_error_classes()}


def test_nothing_but_our_own_failures_and_errors_in_the_code_is_raised() -> None:
    """Private exceptions, whose names begin with _, are caught in the module that raises them; pages answer by HTTP."""
    own = {error.__name__ for error in find_error_classes()} | {"Failure", "ScoreRefused", "HTTPException"}
    strangers = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
                name = node.exc.func.id
                if name[0].isupper() and name not in own | PROGRAMMERS_OWN:
                    strangers.append(f"{path.relative_to(SOURCE)}:{node.lineno} {name}")
    assert strangers == []


def test_every_command_that_a_message_names_exists_with_its_options() -> None:
    texts = [(place, text) for place, text in read_texts() if "daydreaming " in text]
    assert len(texts) > 60
    assert [(place, words) for place, text in texts for words in find_unknown_words(text)] == []
