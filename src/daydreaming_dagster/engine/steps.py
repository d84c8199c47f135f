"""One step (prompt, raw or parsed) of generations that somebody names: what Dagster's stage assets do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from daydreaming_dagster.domain.errors import DayDreamingError, StoreError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.engine.plan import build_plan
from daydreaming_dagster.engine.recipe import Recipe
from daydreaming_dagster.engine.records import RunInfo, build_parsed_metadata
from daydreaming_dagster.engine.run import RunOptions, run_plan
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store.generations import GenerationMetadata, compute_text_sha256
from daydreaming_dagster.store.paths import PARSED, PROMPT, RAW
from daydreaming_dagster.store.states import Failure, read_state


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step left for one generation.

    Attributes:
        text: prompt, response or parsed text; None when there is none.
        facts: names and values worth showing beside it.
        error: why the step failed; None when it succeeded.
    """

    member: Member
    text: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    error: DayDreamingError | None = None


Step = Callable[[Workspace, Recipe, Sequence[Member], RunInfo], list[StepResult]]


def materialize_prompts(
    workspace: Workspace, recipe: Recipe, members: Sequence[Member], run_info: RunInfo
) -> list[StepResult]:
    """Renders and stores the prompts, over older ones."""

    def render(member: Member) -> StepResult:
        prompt = recipe.build_prompt(member)
        workspace.store.write_metadata(GenerationMetadata.of_member(member, run_info.experiment_id))
        workspace.store.write_prompt(member.stage, member.gen_id, prompt)
        path = workspace.store.folder(member.stage, member.gen_id) / PROMPT
        return StepResult(member, prompt, {"path": str(path), "characters": len(prompt)})

    return [_guard(render, member) for member in members]


def materialize_raw(
    workspace: Workspace, recipe: Recipe, members: Sequence[Member], run_info: RunInfo
) -> list[StepResult]:
    """Gets the responses: the stored one where it is usable and answers the same request, else a new one."""
    plan = build_plan(
        members,
        lambda member: read_state(workspace.store, member.stage, member.gen_id),
        named={member.gen_id for member in members},
    )
    options = RunOptions(parse=False)
    report = run_plan(recipe, plan, run_info, environ=workspace.environ, options=options)

    def collect(member: Member) -> StepResult:
        if (error := report.failed.get(member.gen_id)) is not None:
            return StepResult(member, error=error)
        text = workspace.store.find_raw(member.stage, member.gen_id)
        raw = workspace.store.find_raw_metadata(member.stage, member.gen_id) or {}
        path = workspace.store.folder(member.stage, member.gen_id) / RAW
        facts = {"path": str(path), "reused": member.gen_id in report.reused, **_call_facts(raw)}
        return StepResult(member, text, facts)

    return [_guard(collect, member) for member in members]


def materialize_parsed(
    workspace: Workspace,
    recipe: Recipe,
    members: Sequence[Member],
    run_info: RunInfo,  # noqa: ARG001 - all steps are called alike
) -> list[StepResult]:
    """Reads the stored responses again with today's parser; calls nobody."""

    def parse(member: Member) -> StepResult:
        store = workspace.store
        stage, gen_id = member.stage, member.gen_id
        text = store.find_raw(stage, gen_id)
        if text is None:
            raise StoreError(
                f"There is no response of {stage} '{gen_id}' to parse.\n"
                f"  Expected path: {store.folder(stage, gen_id) / RAW}",
                fix=f'Get it first: daydreaming materialize --select "{stage}_raw" --partition "{gen_id}"',
                reason="response_missing",
            )
        raw = store.find_raw_metadata(stage, gen_id) or {}
        try:
            parsed = recipe.parse(member, text, raw.get("finish_reason"))
        except DayDreamingError as error:
            store.remove_parsed(stage, gen_id)
            store.update_raw_metadata(stage, gen_id, {"failure": Failure.of_error(error).to_json()})
            raise
        parser = recipe.template(member).parser
        store.write_parsed(
            stage, gen_id, parsed, build_parsed_metadata(member, parser, parsed, compute_text_sha256(text))
        )
        if raw.get("failure") is not None:
            store.update_raw_metadata(stage, gen_id, {"failure": None})
        path = store.folder(stage, gen_id) / PARSED
        return StepResult(member, parsed, {"path": str(path), "parser": parser, "characters": len(parsed)})

    return [_guard(parse, member) for member in members]


def _guard(step: Callable[[Member], StepResult], member: Member) -> StepResult:
    try:
        return step(member)
    except DayDreamingError as error:
        return StepResult(member, error=error)


def _call_facts(raw: dict[str, Any]) -> dict[str, Any]:
    usage = raw.get("usage") or {}
    failure = raw.get("failure") or {}
    facts = {
        "model": raw.get("model_answered") or raw.get("model_asked"),
        "provider": raw.get("provider"),
        "finish_reason": raw.get("finish_reason"),
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "cost_usd": raw.get("cost_usd"),
        "duration_s": raw.get("duration_s"),
        "attempts": raw.get("attempts"),
        "failure": failure.get("message"),
    }
    return {name: value for name, value in facts.items() if value is not None}
