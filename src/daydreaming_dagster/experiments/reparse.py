"""Reading all stored responses of a cohort again, with today's parser or another one: free, and nothing is lost.

The raw responses stay as they are. What each reading changed is added to a table under `5_parsing`, so that a score
that was read differently before can still be found.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import polars as pl

from daydreaming_dagster.analysis.schema import Schema, table_of_rows
from daydreaming_dagster.domain.errors import ConfigurationError, DayDreamingError, StoreError
from daydreaming_dagster.domain.membership import Cohort, Member
from daydreaming_dagster.domain.score_parsers import SCORE_PARSERS
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.recipe import Recipe
from daydreaming_dagster.engine.records import RunInfo
from daydreaming_dagster.engine.steps import materialize_parsed
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store import files
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.utils.draft_parsers import DRAFT_PARSERS

REPARSED_SCHEMA: Schema = {
    "reparsed_at": pl.String(),
    "cohort_id": pl.String(),
    "stage": pl.String(),
    "gen_id": pl.String(),
    "change": pl.String(),
    "parser_before": pl.String(),
    "parser": pl.String(),
    "before": pl.String(),
    "after": pl.String(),
    "reason": pl.String(),
}
"""Columns of `5_parsing/reparsed.csv`, one row per change, in the order in which they were made.

`change` is a `Change`; `before` and `after` are the parsed texts of evaluations, which are scores, and the number of
characters of other texts (which follow from `raw.txt` and the parser). `reason` says why nothing was read.
"""

_RUN = RunInfo(run_id="reparse")


class Change(StrEnum):
    """What reading a response again makes of it."""

    SAME = "same"
    """The same text by the same parser."""
    SAME_TEXT = "same_text"
    """The same text by another parser, whose name is noted."""
    CHANGED = "changed"
    """Another text or score."""
    GAINED = "gained"
    """Nothing was read before."""
    LOST = "lost"
    """What was read before is refused now."""
    REFUSED = "refused"
    """Nothing is read, as before."""
    NO_RESPONSE = "no_response"
    """There is nothing to read."""


_WRITTEN = (Change.SAME_TEXT, Change.CHANGED, Change.GAINED, Change.LOST)


@dataclass(frozen=True, slots=True)
class Reading:
    """One response, read again.

    Attributes:
        before, after: parsed texts; None where there was, or is, none.
        parser_before: which parser had made `before`; blank when unknown.
        reason: why `after` is None.
    """

    member: Member
    change: Change
    parser: str
    parser_before: str = ""
    before: str | None = None
    after: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReparseReport:
    """What came of it.

    Attributes:
        readings: one per generation looked at, in the order of the cohort.
        log: where the changes were written down; None when there was nothing to write or it was a trial.
        stale_children: essays and evaluations made from a text that is another one now.
    """

    readings: Sequence[Reading]
    log: Path | None
    stale_children: int

    @property
    def counts(self) -> Counter[tuple[Stage, Change]]:
        """Number of readings by stage and change."""
        return Counter((reading.member.stage, reading.change) for reading in self.readings)

    @property
    def changes(self) -> list[Reading]:
        """The readings after which something is not as it was."""
        return [reading for reading in self.readings if reading.change in (Change.CHANGED, Change.GAINED, Change.LOST)]


def reparsed_path(paths: DataPaths) -> Path:
    """The table of changes."""
    return paths.parsing / "reparsed.csv"


def reparse(
    workspace: Workspace,
    parser: str = "",
    stages: Collection[Stage] = (),
    templates: Collection[str] = (),
    *,
    dry_run: bool = False,
) -> ReparseReport:
    """Reads all stored responses of the workspace's cohort again; calls nobody.

    Args:
        workspace: the data root with its cohort.
        parser: read with this one; blank takes that of each template.
        stages: only these; empty takes all, or those that `parser` is for.
        templates: only generations of these; empty takes all.
        dry_run: find out what would change, and write nothing.

    Raises:
        ConfigurationError: the parser or a template is unknown, or the parser is not for these stages.
        MembershipError: there is no cohort.
    """
    cohort = workspace.require_current_cohort()
    chosen = _choose_stages(parser, stages)
    _require_templates(workspace, chosen, templates)
    recipe = _with_parser(workspace.recipe(cohort.combinations), parser, chosen)
    members = [
        member
        for member in cohort.members
        if member.stage in chosen and (not templates or member.template_id in templates) and not _copies(recipe, member)
    ]
    readings = [_read_again(recipe, member) for member in members]
    stale = _count_children(cohort, readings)
    if dry_run:
        return ReparseReport(readings, None, stale)
    to_write = [reading for reading in readings if reading.change in _WRITTEN]
    log = _write_down(workspace.paths, cohort.cohort_id, to_write) if to_write else None
    for result in materialize_parsed(workspace, recipe, [reading.member for reading in to_write], _RUN):
        if isinstance(result.error, StoreError):
            raise result.error
    return ReparseReport(readings, log, stale)


def _choose_stages(parser: str, stages: Collection[Stage]) -> set[Stage]:
    if not parser:
        return set(stages) or set(Stage)
    if parser not in SCORE_PARSERS and parser not in DRAFT_PARSERS:
        raise ConfigurationError(
            f"Unknown parser '{parser}'; for evaluations: {', '.join(sorted(SCORE_PARSERS))}; for drafts: "
            f"{', '.join(sorted(DRAFT_PARSERS))}.",
            fix="Name one of them: daydreaming reparse --parser labelled_score --dry-run",
            reason="parser_unknown",
            culprits={"parser": parser},
        )
    able = {Stage.EVALUATION} if parser in SCORE_PARSERS else {Stage.DRAFT, Stage.ESSAY}
    wrong = sorted(set(stages) - able)
    if wrong:
        raise ConfigurationError(
            f"The parser '{parser}' does not read {wrong[0]}s.",
            fix=f"Leave --stage out, or name one that it is for: {', '.join(sorted(able))}.",
            reason="parser_of_other_stage",
        )
    # An essay template has a parser only when its row names one; by default the drafts are meant.
    return set(stages) or (able & {Stage.DRAFT, Stage.EVALUATION})


def _require_templates(workspace: Workspace, stages: Collection[Stage], templates: Collection[str]) -> None:
    known = {template_id for stage in stages for template_id in workspace.catalogue.templates[stage]}
    unknown = sorted(set(templates) - known)
    if unknown:
        raise ConfigurationError(
            f"There is no {' or '.join(sorted(stages))} template '{unknown[0]}'; known: {', '.join(sorted(known))}.",
            fix="Name one of them, or leave --template out.",
            reason="template_unknown",
        )


def _with_parser(recipe: Recipe, parser: str, stages: Collection[Stage]) -> Recipe:
    """The recipe in which every template of these stages has the parser; blank changes nothing."""
    if not parser:
        return recipe
    templates = {
        stage: {
            template_id: replace(template, parser=parser) if stage in stages else template
            for template_id, template in of_stage.items()
        }
        for stage, of_stage in recipe.catalogue.templates.items()
    }
    return replace(recipe, catalogue=replace(recipe.catalogue, templates=templates))


def _copies(recipe: Recipe, member: Member) -> bool:
    """Whether the member's text is another one's: there is nothing to parse in it."""
    template = recipe.catalogue.templates[member.stage].get(member.template_id)
    return template is not None and template.generator == "copy"


def _read_again(recipe: Recipe, member: Member) -> Reading:
    store = recipe.store
    try:
        text = store.find_raw(member.stage, member.gen_id)
        raw = store.find_raw_metadata(member.stage, member.gen_id) or {}
        before = store.find_parsed(member.stage, member.gen_id)
        metadata = store.find_parsed_metadata(member.stage, member.gen_id) or {}
    except StoreError as error:
        return Reading(member, Change.REFUSED, "", reason=error.reason)
    if text is None:
        return Reading(member, Change.NO_RESPONSE, "", reason="no_response")
    parser_before = str(metadata.get("parser_name") or "") if before is not None else ""
    parser = ""
    try:
        parser = recipe.template(member).parser
        after = recipe.parse(member, text, raw.get("finish_reason"))
    except DayDreamingError as error:
        reason = str(error.culprits.get("code") or error.reason)
        # A row that is gone from the inputs is no verdict on the text: what was read stays.
        lost = before is not None and not isinstance(error, ConfigurationError)
        return Reading(member, Change.LOST if lost else Change.REFUSED, parser, parser_before, before, None, reason)
    if before is None:
        change = Change.GAINED
    elif before != after:
        change = Change.CHANGED
    else:
        change = Change.SAME if parser == parser_before else Change.SAME_TEXT
    return Reading(member, change, parser, parser_before, before, after)


def _count_children(cohort: Cohort, readings: Iterable[Reading]) -> int:
    changed = {reading.member.gen_id for reading in readings if reading.change in (Change.CHANGED, Change.LOST)}
    return sum(member.parent_gen_id in changed for member in cohort.members) if changed else 0


def _write_down(paths: DataPaths, cohort_id: str, readings: Iterable[Reading]) -> Path:
    """Adds the changes to the table before anything is changed; a damaged table is an error, not a new one."""
    path = reparsed_path(paths)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    table = table_of_rows(_rows(readings, cohort_id, now), REPARSED_SCHEMA)
    earlier = files.find_text(path)
    if earlier is not None:
        try:
            known = pl.read_csv(io.StringIO(earlier), schema=pl.Schema(REPARSED_SCHEMA))
        except pl.exceptions.PolarsError as error:
            raise StoreError(
                f"{path} is not a readable table ({error}).",
                fix="Move it away (it is the history of what was parsed again), then run the command again.",
            ) from error
        table = pl.concat([known, table])
    files.write_text(path, table.write_csv())
    return path


def _rows(readings: Iterable[Reading], cohort_id: str, now: str) -> Iterator[dict[str, object]]:
    for reading in readings:
        member = reading.member
        yield {
            "reparsed_at": now,
            "cohort_id": cohort_id,
            "stage": str(member.stage),
            "gen_id": member.gen_id,
            "change": str(reading.change),
            "parser_before": reading.parser_before or None,
            "parser": reading.parser or None,
            "before": show_parsed(member.stage, reading.before),
            "after": show_parsed(member.stage, reading.after),
            "reason": reading.reason or None,
        }


def show_parsed(stage: Stage, text: str | None) -> str | None:
    """A score as it is, of other texts the number of characters; None for none."""
    if text is None:
        return None
    return text.strip() if stage is Stage.EVALUATION else f"{len(text)} characters"
