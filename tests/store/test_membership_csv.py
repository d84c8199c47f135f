"""A cohort's rows are the same however their file is written."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.membership_csv import dump_membership, read_membership
from daydreaming_dagster.store.paths import DataPaths

DRAFT = Member(Stage.DRAFT, "d_1", "c", "", "combo", "plain", "writer", 1, "cartesian")
ESSAY = Member(Stage.ESSAY, "e_1", "c", "d_1", "combo", "free", "writer", 12, "cartesian")
JUDGED = Member(Stage.EVALUATION, "v_1", "c", "e_1", "combo", "strict, and fair", "judge", 1, "")


@pytest.mark.parametrize("members", [[], [DRAFT], [DRAFT, ESSAY], [DRAFT, ESSAY, JUDGED]])
def test_what_was_written_is_read_again_with_and_without_cells_that_need_quotes(
    tmp_path: Path, members: list[Member]
) -> None:
    assert read(tmp_path, dump_membership(members).decode()) == members


@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_file_saved_anew_by_a_spreadsheet_has_the_same_members(
    tmp_path: Path, quoting: int, line_end: str, start: str
) -> None:
    rows = list(csv.reader(io.StringIO(dump_membership([DRAFT, ESSAY]).decode())))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=line_end, quoting=quoting).writerows(rows)
    assert read(tmp_path, start + text.getvalue()) == [DRAFT, ESSAY]
    assert read(tmp_path, start + text.getvalue().removesuffix(line_end)) == [DRAFT, ESSAY]


def test_empty_lines_are_no_members(tmp_path: Path) -> None:
    first, second, rest = dump_membership([DRAFT, ESSAY]).decode().split("\n", 2)
    assert read(tmp_path, f"{first}\n\n{second}\n\n{rest}\n") == [DRAFT, ESSAY]


def read(folder: Path, text: str) -> list[Member]:
    path = folder / "membership.csv"
    path.write_bytes(text.encode())
    return read_membership(path, "c", GenerationStore(DataPaths(folder)))
