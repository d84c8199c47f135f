"""What was made from inputs that have changed since, of a whole cohort at once; and what only seems to be missing.

The index knows the request that each stored response answers; a generation is stale when today's request is another
one. That takes rendering every prompt: some ten seconds for a hundred thousand generations.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from daydreaming_dagster.domain.errors import DayDreamingError, StoreError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.plan import Action, Plan, Task
from daydreaming_dagster.engine.reasons import Difference, find_changes
from daydreaming_dagster.engine.recipe import Recipe
from daydreaming_dagster.store.generations import compute_text_sha256
from daydreaming_dagster.store.index import Index

STALE = "stale"
"""Among the reasons of `--retry`: call again what was made from inputs that have changed since."""
CHEAP_MEMBERS = 2000
"""A cohort so small that looking for what is stale takes no noticeable time."""
_LOOKED_UP = 2000


@dataclass(frozen=True, slots=True)
class StaleGroup:
    """Stale generations of one kind.

    Attributes:
        cause: which input changed.
        example: the first change of the first of them.
        gen_ids: all of them.
    """

    stage: Stage
    cause: str
    template_id: str
    llm_model_id: str
    example: Difference
    gen_ids: list[str]


@dataclass(frozen=True, slots=True)
class Renaming:
    """Stored generations that answer the requests of missing ones, under an id that has no row any more.

    Attributes:
        what: `model` or `template`.
        old_id, new_id: of the model or the template.
        count: how many of the missing ones.
    """

    stage: Stage
    what: str
    old_id: str
    new_id: str
    count: int


def find_stale(recipe: Recipe, members: Iterable[Member], index: Index) -> Iterator[tuple[Member, Difference]]:
    """Generations with a stored response whose request would be another one today, and the first change of each."""
    stored = {stage: _read_requests(index, stage) for stage in Stage}
    parent: tuple[str, str | None] = ("", None)
    for member in members:
        if (known := stored[member.stage].get(member.gen_id)) is None:
            continue
        try:
            if member.stage.parent is not None and member.parent_gen_id != parent[0]:
                parent = member.parent_gen_id, recipe.store.find_parsed(member.stage.parent, member.parent_gen_id)
            today = _compute_request_sha256(recipe, member, parent[1] if member.parent_gen_id else None)
        except DayDreamingError:
            today = ""  # an input is missing, or cannot be read: that is told as the change
        if today != known and (change := _find_first_change(recipe, member)) is not None:
            yield member, change


def _find_first_change(recipe: Recipe, member: Member) -> Difference | None:
    try:
        return next(find_changes(recipe, member), None)
    except StoreError as error:
        return Difference("what is stored of it", "was there", error.what)


def group_stale(stale: Iterable[tuple[Member, Difference]]) -> list[StaleGroup]:
    """By stage, cause, template and model; the largest groups of a stage first."""
    groups: dict[tuple[Stage, str, str, str], StaleGroup] = {}
    for member, change in stale:
        key = (member.stage, change.cause, member.template_id, member.llm_model_id)
        if key not in groups:
            groups[key] = StaleGroup(*key, change, [])
        groups[key].gen_ids.append(member.gen_id)
    return sorted(groups.values(), key=lambda group: (list(Stage).index(group.stage), -len(group.gen_ids)))


def find_renamings(recipe: Recipe, plan: Plan, index: Index) -> list[Renaming]:
    """Ids that seem to have been renamed: what is planned under the new one is stored under the old one.

    Only what could begin at once is looked at, and of that a part: what follows has other parents and other requests.
    """
    missing: defaultdict[Stage, list[Task]] = defaultdict(list)
    for task in plan.ready:
        stage = task.member.stage
        if task.action is Action.CALL and task.was_missing and len(missing[stage]) < _LOOKED_UP:
            missing[stage].append(task)
    counts: Counter[tuple[Stage, str, str, str]] = Counter()
    for stage, tasks in missing.items():
        orphans = _find_orphans(recipe, stage, index)
        for member in (task.member for task in tasks if orphans):
            try:
                template_id, model_id = orphans.get(_compute_request_sha256(recipe, member), ("", ""))
            except DayDreamingError:
                continue  # the run itself will say so
            if model_id and model_id != member.llm_model_id:
                counts[stage, "model", model_id, member.llm_model_id] += 1
            elif template_id and template_id != member.template_id:
                counts[stage, "template", template_id, member.template_id] += 1
    return [Renaming(*key, count) for key, count in counts.items()]


def _find_orphans(recipe: Recipe, stage: Stage, index: Index) -> Mapping[str, tuple[str, str]]:
    """By request, template and model of stored generations of which one has no row any more."""
    templates, models = recipe.catalogue.templates[stage], recipe.catalogue.models
    kinds = {kind for kind in index.read_history(stage) if kind[0] not in templates or kind[1] not in models}
    if not kinds:
        return {}
    rows = index.columns(stage, ("request_sha256", "template_id", "llm_model_id"))
    return {sha256: (template, model) for sha256, template, model in rows if sha256 and (template, model) in kinds}


def _read_requests(index: Index, stage: Stage) -> dict[str, str]:
    rows: Sequence[tuple[str, str | None, bool]] = index.columns(stage, ("gen_id", "request_sha256", "has_text"))
    return {gen_id: sha256 for gen_id, sha256, has_text in rows if has_text and sha256 is not None}


def _compute_request_sha256(recipe: Recipe, member: Member, parent_text: str | None = None) -> str:
    prompt = recipe.build_prompt(member, parent_text)
    if recipe.is_copy(member):
        return compute_text_sha256(prompt)
    return recipe.build_request(member, prompt).sha256(recipe.model(member).endpoint)
