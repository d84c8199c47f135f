"""`membership.csv`: written whole, read fast, also as older versions wrote it (fewer columns)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from sys import intern

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.membership import MEMBERSHIP_COLUMNS, REBUILD, Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store import files
from daydreaming_dagster.store.generations import GenerationMetadata, GenerationStore

_REQUIRED = ("stage", "gen_id")
_STAGES = {str(stage): stage for stage in Stage}
_HEADER_LINE = ",".join(MEMBERSHIP_COLUMNS) + "\n"


def dump_membership(members: Sequence[Member]) -> bytes:
    """The members as the content of a `membership.csv`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(MEMBERSHIP_COLUMNS)
    writer.writerows(
        (
            member.stage.value,
            member.gen_id,
            member.cohort_id,
            member.parent_gen_id,
            member.combo_id,
            member.template_id,
            member.llm_model_id,
            member.replicate,
            member.mode,
        )
        for member in members
    )
    return text.getvalue().encode("utf-8", errors="replace")


def read_membership(path: Path, cohort_id: str, store: GenerationStore) -> list[Member]:
    """The rows of a cohort; what older files do not say is taken from each generation's metadata.

    Raises:
        StoreError: there is no such file, or it is damaged.
    """
    text = files.find_text(path)
    if text is None:
        raise StoreError(f"Cohort '{cohort_id}' has no membership ({path} does not exist).", fix=f"{REBUILD}")
    text = text.removeprefix("\ufeff")
    if (members := _find_plain_members(text)) is not None:
        return members
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in _REQUIRED if name not in header]
        if missing:
            raise _Damaged(1, f"the column '{missing[0]}' is missing")
        if header == list(MEMBERSHIP_COLUMNS):
            return [_build_member(row, reader.line_num) for row in reader if row]
        return _read_older(((reader.line_num, row) for row in reader if row), header, cohort_id, store)
    except csv.Error as error:
        raise _build_error(path, reader.line_num, str(error)) from error
    except _Damaged as damage:
        raise _build_error(path, damage.line, damage.message) from damage


def _find_plain_members(text: str) -> list[Member] | None:
    """The members of a file just as `dump_membership` writes it where no cell needs quotes; None of any other file.

    Nearly every command reads a whole cohort first, and this takes half the time of the reader of any CSV.
    """
    if not text.startswith(_HEADER_LINE) or not text.endswith("\n") or '"' in text or "\r" in text:
        return None
    try:
        return [_new_member(line.split(",")) for line in text[len(_HEADER_LINE) : -1].split("\n")]
    except (ValueError, KeyError):
        return None  # damaged: the careful way finds the line


class _Damaged(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def _build_error(path: Path, line: int, message: str) -> StoreError:
    return StoreError(
        f"{path}:{line} is damaged: {message}.", fix=REBUILD, reason="membership_damaged", culprits={"line": line}
    )


def _build_member(row: list[str], line: int) -> Member:
    try:
        return _new_member(row)
    except (ValueError, KeyError) as error:
        raise _Damaged(line, _explain(row)) from error


def _new_member(row: list[str]) -> Member:
    stage, gen_id, cohort_id, parent_gen_id, combo_id, template_id, llm_model_id, replicate, mode = row
    return Member(
        _STAGES[stage],
        gen_id,
        intern(cohort_id),  # few different values stand in many rows: kept once each
        parent_gen_id,
        intern(combo_id),
        intern(template_id),
        intern(llm_model_id),
        int(replicate),
        intern(mode),
    )


def _explain(row: list[str]) -> str:
    if len(row) != len(MEMBERSHIP_COLUMNS):
        return f"the row has {len(row)} cells instead of {len(MEMBERSHIP_COLUMNS)}"
    if row[0] not in _STAGES:
        return f"'{row[0]}' is no stage"
    return f"'{row[-2]}' is no replicate number"


def _read_older(
    rows: Iterable[tuple[int, list[str]]], header: list[str], cohort_id: str, store: GenerationStore
) -> list[Member]:
    members: dict[str, Member] = {}
    for line, row in rows:
        if len(row) != len(header):
            raise _Damaged(line, f"the row has {len(row)} cells instead of {len(header)}")
        cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
        if cells["stage"] not in _STAGES:
            raise _Damaged(line, f"'{cells['stage']}' is no stage")
        member = _complete_member(cells, cohort_id, store, members)
        members[member.gen_id] = member
    order = list(Stage)
    return sorted(members.values(), key=lambda member: order.index(member.stage))


def _complete_member(
    cells: dict[str, str], cohort_id: str, store: GenerationStore, parents: dict[str, Member]
) -> Member:
    stage, gen_id = _STAGES[cells["stage"]], cells["gen_id"]
    metadata = store.find_metadata(stage, gen_id) or _NO_METADATA
    parent = parents.get(parent_gen_id := cells.get("parent_gen_id") or metadata.parent_gen_id)
    replicate = cells.get("replicate", "")
    inherited_model = parent.llm_model_id if parent is not None and stage is Stage.ESSAY else ""
    return Member(
        stage=stage,
        gen_id=gen_id,
        cohort_id=cohort_id,
        parent_gen_id=parent_gen_id,
        combo_id=cells.get("combo_id") or metadata.combo_id or (parent.combo_id if parent is not None else ""),
        template_id=cells.get("template_id") or metadata.template_id,
        llm_model_id=cells.get("llm_model_id") or metadata.llm_model_id or inherited_model,
        replicate=int(replicate) if replicate.isdigit() else metadata.replicate,
        mode=cells.get("mode", ""),
    )


_NO_METADATA = GenerationMetadata(Stage.DRAFT, "", "", "", "", "", "", "", 1)
