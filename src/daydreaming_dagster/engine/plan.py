"""What is to be done for each generation of a cohort, decided from the store alone before anything is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.records import Attempt
from daydreaming_dagster.store.states import Failure, GenerationState, Status


class Action(Enum):
    """What the scheduler does with a task."""

    CALL = auto()
    """Ask the model (or copy the parent)."""
    ENSURE = auto()
    """Reuse the stored response when it is usable and answers the same request; otherwise ask."""
    PARSE = auto()
    """Read the stored response again; free."""


@dataclass(slots=True, eq=False)
class Task:
    """One generation to be made.

    Attributes:
        children: tasks that can start when this one is parsed.
        attempts: calls sent so far in this run.
        answers_before: answers of the endpoint before the first attempt; None until then.
        was_missing: nothing of it was stored when the plan was made.
        attempt: what was prepared for it and waits for room; None until then.
        has_ended: it was made, failed, blocked or left, and counted.
    """

    member: Member
    action: Action
    children: list[Task] = field(default_factory=list)
    attempts: int = 0
    answers_before: int | None = None
    was_missing: bool = False
    attempt: Attempt | None = None
    has_ended: bool = False

    def walk(self) -> Iterator[Task]:
        """The task and everything that follows from it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(slots=True)
class Plan:
    """The tasks of one run and what is left out of it.

    Attributes:
        ready: tasks whose parent is done, in cohort order.
        tasks: number of all tasks by stage and action, ready or waiting for a parent.
        done_ids: finished generations by stage; they cost nothing.
        held: generations whose failure is lasting; only `--retry REASON` calls them again.
        blocked: generations whose parent is neither done nor planned.
        retry: reasons of lasting failures that are called again.
    """

    ready: list[Task] = field(default_factory=list)
    tasks: Counter[tuple[Stage, Action]] = field(default_factory=Counter)
    done_ids: dict[Stage, list[str]] = field(default_factory=dict)
    held: list[tuple[Member, Failure]] = field(default_factory=list)
    blocked: list[Member] = field(default_factory=list)
    retry: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        """Number of tasks."""
        return self.tasks.total()

    @property
    def done(self) -> Counter[Stage]:
        """How many generations are finished, by stage."""
        return Counter({stage: len(gen_ids) for stage, gen_ids in self.done_ids.items()})

    def calls(self, stage: Stage) -> int:
        """How many of a stage's tasks may ask a model."""
        return self.tasks[stage, Action.CALL] + self.tasks[stage, Action.ENSURE]


def build_plan(
    members: Iterable[Member],
    state_of: Callable[[Member], GenerationState],
    *,
    retry: Collection[str] = (),
    named: Collection[str] = (),
) -> Plan:
    """Decides for each member, parents before children.

    Args:
        members: drafts before essays before evaluations, as in a cohort. Parents that are not among them must be done.
        state_of: the stored state of a member.
        retry: reasons of lasting failures that are called again.
        named: generations that somebody asked for by name: done ones are checked for whether the stored response still
            answers the same request, failed ones are called again.
    """
    plan = Plan(retry=frozenset(retry))
    tasks: dict[str, Task] = {}
    states: dict[str, Status] = {}
    for member in members:
        state = state_of(member)
        states[member.gen_id] = state.status
        action = Action.ENSURE if member.gen_id in named else decide(state, retry)
        if action is None:
            if state.failure is not None:
                plan.held.append((member, state.failure))
            else:
                plan.done_ids.setdefault(member.stage, []).append(member.gen_id)
            continue
        task = Task(member, action, was_missing=state.status is Status.MISSING)
        if not member.parent_gen_id:
            plan.ready.append(task)
        elif (parent := tasks.get(member.parent_gen_id)) is not None:
            parent.children.append(task)
        elif states.get(member.parent_gen_id, Status.DONE) is Status.DONE:
            plan.ready.append(task)
        else:
            plan.blocked.append(member)
            states[member.gen_id] = Status.MISSING
            continue
        tasks[member.gen_id] = task
        plan.tasks[member.stage, action] += 1
    return plan


def decide(state: GenerationState, retry: Collection[str]) -> Action | None:
    """What to do with a generation; None when it is done, or failed for a reason that is not to be tried again."""
    match state.status:
        case Status.DONE:
            return None
        case Status.MISSING:
            return Action.CALL
        case Status.UNPARSED:
            return Action.PARSE
    failure = state.failure
    if failure is None or not failure.lasting or failure.reason in retry:
        return Action.CALL
    # Parsers, scales and limits may have changed since: looking again at what is stored costs nothing.
    return Action.PARSE if state.has_text and failure.reason in FREE_TO_REPARSE else None


FREE_TO_REPARSE = frozenset({"parse_failed", "too_short"})
"""Failures that lie in how a response is read and not in the response."""
