"""The grammar of `selected_essays.txt` and `selected_drafts.txt`: which generations a curated cohort starts from.

A line is a gen_id; what follows a `#` is a comment, unless the line is one of two directives:

    # mode: regenerate | reuse-drafts | reuse-essays
    # fill-up
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from daydreaming_dagster.domain.errors import InputProblem
from daydreaming_dagster.domain.stages import Stage


class Mode(StrEnum):
    """What a curated cohort makes anew; everything below it is made anew, too."""

    REGENERATE = "regenerate"
    REUSE_DRAFTS = "reuse-drafts"
    REUSE_ESSAYS = "reuse-essays"

    @property
    def minted(self) -> Stage:
        """The stage that gets new replicates of what is selected."""
        return _MINTED[self]


_MINTED = {Mode.REGENERATE: Stage.DRAFT, Mode.REUSE_DRAFTS: Stage.ESSAY, Mode.REUSE_ESSAYS: Stage.EVALUATION}
_ALIASES = {"evaluation-only": Mode.REUSE_ESSAYS, "evaluations-only": Mode.REUSE_ESSAYS}
_MODES: Mapping[Stage, tuple[Mode, ...]] = {
    Stage.ESSAY: (Mode.REGENERATE, Mode.REUSE_DRAFTS, Mode.REUSE_ESSAYS),
    Stage.DRAFT: (Mode.REUSE_DRAFTS, Mode.REGENERATE),
}
"""Modes by what the file selects; the first is the default."""

_MODE_LINE = re.compile(r"#\s*mode\s*(?P<colon>:?)\s*(?P<value>[^#]*?)\s*(#.*)?", re.IGNORECASE)
_FILL_UP_LINE = re.compile(
    r"#\s*(fill[-_ ]?up|skip[-_ ]existing[-_ ]evaluations)\s*(?P<value>:[^#]*?)?\s*(#.*)?", re.IGNORECASE
)
_GEN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class SelectedId:
    """One selected generation and where it stands; `line` counts from 1."""

    gen_id: str
    line: int


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection file, read.

    Attributes:
        stage: what it selects: essays or drafts.
        fill_up: only evaluations that are missing are made; those that exist belong to the cohort.
        ids: in the order of the file, each once.
        file: the file as the user would type it.
    """

    stage: Stage
    mode: Mode
    fill_up: bool
    ids: tuple[SelectedId, ...]
    file: str


def parse_selection(text: str, stage: Stage, file: str) -> tuple[Selection, list[InputProblem]]:
    """The selection that a file asks for, and everything wrong with it; it is to be used only when nothing is.

    Args:
        text: content of the file.
        stage: what the file selects: `Stage.ESSAY` or `Stage.DRAFT`.
        file: name of the file in messages.
    """
    reader = _Reader(stage, file, [], {}, None)
    for number, line in enumerate(text.split("\n"), start=1):
        reader.read_line(number, line.strip())
    reader.check()
    mode = reader.mode[0] if reader.mode else _MODES[stage][0]
    ids = tuple(SelectedId(gen_id, line) for gen_id, line in reader.ids.items())
    return Selection(stage, mode, reader.fill_up_line is not None, ids, file), reader.problems


@dataclass(slots=True)
class _Reader:
    stage: Stage
    file: str
    problems: list[InputProblem]
    ids: dict[str, int]
    mode: tuple[Mode, int] | None
    fill_up_line: int | None = None
    mode_refused: bool = False

    def refuse(self, line: int | None, message: str, value: str | None = None, allowed: str | None = None) -> None:
        self.problems.append(InputProblem(self.file, message, line=line, value=value, allowed=allowed))

    def read_line(self, number: int, line: str) -> None:
        if line.startswith("#"):
            if match := _FILL_UP_LINE.fullmatch(line):
                self._read_fill_up(number, match["value"])
            elif match := _MODE_LINE.fullmatch(line):
                self._read_mode(number, bool(match["colon"]), match["value"])
            return
        gen_id = line.split("#", 1)[0].strip()
        if not gen_id:
            return
        if _GEN_ID.fullmatch(gen_id):
            self.ids.setdefault(gen_id, number)
        elif gen_id.lower().startswith(("mode", "fill")):
            self.refuse(number, "a directive begins with '#'", gen_id, f"# {gen_id}")
        else:
            self.refuse(number, "this is no gen_id", gen_id, "one gen_id in each line")

    def _read_fill_up(self, number: int, value: str | None) -> None:
        if value:
            self.refuse(number, "fill-up takes no value", value.lstrip(": "), "the line '# fill-up', or no such line")
        self.fill_up_line = number

    def _read_mode(self, number: int, has_colon: bool, value: str) -> None:
        name = re.sub(r"[\s_]+", "-", value.lower())
        mode = _ALIASES.get(name) or next((mode for mode in Mode if mode == name), None)
        if not has_colon:
            # '# mode of life' is a comment; '# mode reuse-essays' is a directive with a slip.
            if mode is not None:
                self.refuse(number, "the colon behind 'mode' is missing", value, f"# mode: {mode}")
            return
        if mode is None or mode not in _MODES[self.stage]:
            message = "unknown mode" if mode is None else f"{self.stage}s cannot be selected with this mode"
            self.refuse(number, message, value, ", ".join(_MODES[self.stage]))
            self.mode_refused = True
        elif self.mode is not None and self.mode[0] is not mode:
            self.refuse(number, f"line {self.mode[1]} already says '{self.mode[0]}'", value, "one mode for a file")
        else:
            self.mode = (mode, number)

    def check(self) -> None:
        mode = self.mode[0] if self.mode else _MODES[self.stage][0]
        if self.fill_up_line is not None and mode is not Mode.REUSE_ESSAYS and not self.mode_refused:
            allowed = "'# mode: reuse-essays' beside it, in selected_essays.txt"
            message = f"fill-up tops up evaluations of essays that exist, but the mode is '{mode}'"
            self.refuse(self.fill_up_line, message, allowed=allowed)
        if not self.ids and not self.problems:
            self.refuse(
                None, "nothing is selected", allowed="at least one gen_id; or delete the file to use all inputs"
            )
