"""Why a generation is as it is: done, missing, failed, out of date; and where two of them part ways.

Generations are named by what was asked for; what was really sent is in their metadata. The two can part when a
template, a model's row or a parent's text is changed later: such a generation is stale. Nothing here calls anybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from daydreaming_dagster.domain.errors import DayDreamingError, StoreError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.engine.plan import Action, decide
from daydreaming_dagster.engine.recipe import Recipe
from daydreaming_dagster.store.generations import compute_text_sha256
from daydreaming_dagster.store.ledger import CallRow
from daydreaming_dagster.store.states import Failure, GenerationState, Status, read_state

_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Difference:
    """One input that is not the same.

    Attributes:
        what: name of the input.
        first, second: its two values, short enough to show.
    """

    what: str
    first: str
    second: str

    @property
    def cause(self) -> str:
        """The input without the place in it."""
        return self.what.partition(", line ")[0]


@dataclass(frozen=True, slots=True)
class Reason:
    """Where a generation stands and what the next run would do with it.

    Attributes:
        next_action: `nothing`, `call`, `parse again`, or `wait for its parent`.
        because: sentences.
        changes: inputs that are not as they were when it was made, the first to look at first.
        calls: every call that was made for it.
        fix: command that changes its state; empty when there is nothing to mend.
    """

    member: Member
    state: GenerationState
    next_action: str
    because: tuple[str, ...]
    changes: tuple[Difference, ...] = ()
    calls: tuple[CallRow, ...] = field(default=())
    fix: str = ""


def explain(recipe: Recipe, member: Member, calls: Iterable[CallRow] = ()) -> Reason:
    """Why the generation is done, missing, failed or stale, and what a run would do."""
    state = read_state(recipe.store, member.stage, member.gen_id)
    action = decide(state, ())
    because: list[str] = []
    changes: tuple[Difference, ...] = ()
    fix = ""
    is_readable = state.failure is None or state.failure.reason != StoreError.reason
    if state.has_text and is_readable:
        changes = tuple(find_changes(recipe, member))
    match state.status:
        case Status.DONE:
            because.append("It is done: its response is stored and was parsed.")
            if edits := _find_edits(recipe, member):
                because += edits
                fix = "daydreaming reparse --dry-run"
        case Status.UNPARSED:
            because.append("Its response is stored, but has not been parsed yet; that is free.")
            fix = "daydreaming run"
        case Status.MISSING:
            because.append("Nothing has come back for it so far.")
            fix = "daydreaming run"
        case Status.FAILED if state.failure is not None:
            because.append(f"It failed ({state.failure.reason}): {state.failure.message}")
            because.append(_describe_prospect(state.failure, action))
            fix = f"daydreaming run --retry {state.failure.reason}" if state.failure.lasting else "daydreaming run"
    if changes:
        names = ", ".join(change.what for change in changes)
        because.append(
            f"It is stale: {names} changed since it was made. A run keeps it, unless it is told --retry stale; asked "
            "for by name it is made anew, and its response of today is kept as a version."
        )
        fix = f'daydreaming materialize --select "{member.stage}_prompt,{member.stage}_raw,{member.stage}_parsed" '
        fix += f'--partition "{member.gen_id}"'
    next_action = {None: "nothing", Action.PARSE: "parse again"}.get(action, "call")
    parent = member.stage.parent
    if next_action == "call" and parent is not None:
        parent_state = read_state(recipe.store, parent, member.parent_gen_id)
        if parent_state.status is not Status.DONE:
            next_action = "wait for its parent"
            because.append(f"Its {parent} '{member.parent_gen_id}' is {parent_state.status}, not done.")
    return Reason(member, state, next_action, tuple(because), changes, tuple(calls), fix)


def _describe_prospect(failure: Failure, action: Action | None) -> str:
    if failure.reason == StoreError.reason:
        return (
            "A run leaves it alone, because it may have been paid for. Restore the file, or have it made again: what "
            "is there of a response is kept as a version."
        )
    if not failure.lasting:
        return "The failure is passing: the next run tries again."
    if action is Action.PARSE:
        return "The failure is lasting: a run reads the stored response again, which is free, and calls nobody."
    return "The failure is lasting: a run leaves it alone."


def _find_edits(recipe: Recipe, member: Member) -> list[str]:
    """Sentences on files of a finished generation that do not follow from each other."""
    store = recipe.store
    text = store.find_raw(member.stage, member.gen_id)
    raw = store.find_raw_metadata(member.stage, member.gen_id) or {}
    if text is None:
        return ["Its response is gone; only what was parsed of it is there."]
    edits = []
    if raw.get("raw_sha256") not in (None, compute_text_sha256(text)):
        edits.append("Its response was edited after it came.")
    try:
        parsed: str | None = recipe.parse(member, text, raw.get("finish_reason"))
    except DayDreamingError as error:
        parsed = None
        edits.append(f"Today's parser would refuse the response: {error.what}")
    if parsed not in (None, store.find_parsed(member.stage, member.gen_id)):
        edits.append(
            "Its parsed text is not what today's parser makes of the response: one of them was edited, or the parser "
            "has changed. A run keeps it; `daydreaming reparse` would write it anew."
        )
    return edits


def find_changes(recipe: Recipe, member: Member) -> Iterator[Difference]:
    """Inputs of a stored response that would be sent differently today, the first to look at first.

    Responses of older versions say less of what was sent; what they do not say counts as unchanged.
    """
    store = recipe.store
    raw = store.find_raw_metadata(member.stage, member.gen_id) or {}
    try:
        prompt = recipe.build_prompt(member)
        if recipe.is_copy(member):
            if raw.get("request_sha256") not in (None, compute_text_sha256(prompt)):
                yield Difference(f"its {member.stage.parent}'s text", "as copied then", "as it is now")
            return
        request, model = recipe.build_request(member, prompt), recipe.model(member)
    except DayDreamingError as error:
        yield Difference("an input", "was there", error.what.splitlines()[0])
        return
    if raw.get("request_sha256") in (None, request.sha256(model.endpoint)):
        return
    asked: tuple[tuple[str, str, Any], ...] = (
        ("endpoint", "endpoint", model.endpoint),
        ("model", "model_asked", request.model),
        ("max_tokens", "max_tokens", request.max_tokens),
        ("temperature", "temperature", request.temperature),
        ("params", "params", dict(request.params)),
    )
    found = [
        Difference(name, _show(raw[key]), _show(now)) for name, key, now in asked if key in raw and raw[key] != now
    ]
    yield from found
    if raw.get("prompt_sha256") not in (None, compute_text_sha256(prompt)):
        then = store.find_prompt(member.stage, member.gen_id) or ""
        part = _compare_texts("prompt", then, prompt)
        cause = _find_what_changed(recipe, member, raw, then)
        yield (
            part if cause == "prompt" else replace(part, what=f"{cause}, {part.what.partition(', ')[2]} of the prompt")
        )
    elif not found:
        yield Difference("the shape asked of the answer", "as it was", "as the template's scale and parser say now")


def _find_what_changed(recipe: Recipe, member: Member, raw: Mapping[str, Any], prompt: str) -> str:
    """Which part of a prompt is not as it was; `prompt` where that cannot be told."""
    known = raw.get("template_sha256")
    if known is not None and known != recipe.template(member).sha256:
        return "template"
    parent = member.stage.parent
    if parent is None:
        return "prompt" if known is None else "concepts"
    text = recipe.store.find_parsed(parent, member.parent_gen_id) or ""
    return "prompt" if text.strip() in prompt else f"its {parent}'s text"


def find_first_difference(recipe: Recipe, first: Member, second: Member) -> Difference | None:
    """The first input in which two generations differ, from the outside in; None when all are the same."""
    for name in ("stage", "combo_id", "template_id", "llm_model_id", "parent_gen_id", "replicate"):
        values = getattr(first, name), getattr(second, name)
        if values[0] != values[1]:
            return Difference(name, _show(values[0]), _show(values[1]))
    store = recipe.store
    one, other = (store.find_raw_metadata(member.stage, member.gen_id) or {} for member in (first, second))
    for name in ("endpoint", "model_asked", "max_tokens", "temperature", "params", "model_answered", "provider"):
        if one.get(name) != other.get(name):
            return Difference(name, _show(one.get(name)), _show(other.get(name)))
    prompts = [store.find_prompt(member.stage, member.gen_id) or "" for member in (first, second)]
    return None if prompts[0] == prompts[1] else _compare_texts("prompt", *prompts)


def _compare_texts(what: str, first: str, second: str) -> Difference:
    """The first line in which two texts differ."""
    lines, others = first.splitlines(), second.splitlines()
    for number, (line, other) in enumerate(zip(lines, others, strict=False), start=1):
        if line != other:
            return Difference(f"{what}, line {number}", *_show_where_they_part(line, other))
    shorter = min(len(lines), len(others))
    ends = [_show(texts[shorter]) if len(texts) > shorter else "(ends)" for texts in (lines, others)]
    return Difference(f"{what}, line {shorter + 1}", *ends)


def _show_where_they_part(first: str, second: str) -> tuple[str, str]:
    pairs = zip(first, second, strict=False)
    same = next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(first), len(second)))
    start = max(0, same - _SHOWN_CHARACTERS // 4)
    dots = "…" if start else ""
    return _show(dots + first[start:]), _show(dots + second[start:])


def _show(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
