"""Who works on what: no two processes make the same generation at the same time, and none makes it again.

A run claims a tree (a ready generation and all that follows from it) before it begins with it. What another process has
claimed is left alone for as long as that process lives; what it has finished meanwhile is seen when the claim is free.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from daydreaming_dagster.engine.plan import Action, Task, decide
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.ledger import Ledger
from daydreaming_dagster.store.states import Status, read_state

_RELEASES_AT_A_TIME = 300
_CHECK_ON_OTHERS_EVERY_S = 1.0


@dataclass(slots=True)
class Claimed:
    """What came of asking for some trees.

    Attributes:
        ready: tasks that this run may begin with.
        refused: roots of trees that another process works on.
        done: tasks that another process did since the plan was made.
        held: tasks that failed for good in another process since then, each with the reason.
    """

    ready: list[Task] = field(default_factory=list)
    refused: list[Task] = field(default_factory=list)
    done: list[Task] = field(default_factory=list)
    held: list[tuple[Task, str]] = field(default_factory=list)


class ClaimSource(Protocol):
    """Keeps processes apart."""

    def claim(self, roots: Sequence[Task], retry: Collection[str]) -> Claimed:
        """Claims trees."""
        ...

    def end(self, task: Task) -> None:
        """Gives up a task's claim."""
        ...


class Claims:
    """The claims of one run. Use it from one thread.

    Args:
        ledger: where they are kept.
        store: where it can be seen what others have done.
        owner: the run's id.
        recover: frees what killed processes had claimed.
        now: seconds of a steady clock.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: GenerationStore,
        owner: str,
        recover: Callable[[], object],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._owner = owner
        self._recover = recover
        self._now = now
        self._checked_at = float("-inf")
        self._ended: list[str] = []

    def claim(self, roots: Sequence[Task], retry: Collection[str]) -> Claimed:
        """Claims trees, and looks what others have done in them.

        Args:
            roots: ready tasks.
            retry: reasons of lasting failures that are called again.
        """
        self._release_ended()
        groups = [[task.member.gen_id for task in root.walk()] for root in roots]
        positions, others = self._ledger.claim(self._owner, groups)
        if others and self._now() - self._checked_at >= _CHECK_ON_OTHERS_EVERY_S:
            self._checked_at = self._now()
            self._recover()
            positions, _ = self._ledger.claim(self._owner, groups)
        claimed = Claimed()
        mine = set(positions)
        for position, root in enumerate(roots):
            if position not in mine:
                claimed.refused.append(root)
            else:
                self._look_again(root, retry, claimed)
        return claimed

    def end(self, task: Task) -> None:
        """The task has ended in some way; its claim is given up soon."""
        self._ended.append(task.member.gen_id)
        if len(self._ended) >= _RELEASES_AT_A_TIME:
            self._release_ended()

    def _release_ended(self) -> None:
        if self._ended:
            self._ledger.release(self._owner, self._ended)
            self._ended = []

    def _look_again(self, task: Task, retry: Collection[str], claimed: Claimed) -> None:
        if task.action is Action.ENSURE:
            claimed.ready.append(task)  # looks at what is stored anyway
            return
        stage, gen_id = task.member.stage, task.member.gen_id
        if task.was_missing and not self._store.folder(stage, gen_id).exists():
            claimed.ready.append(task)  # so nothing below it can be there either
            return
        state = read_state(self._store, stage, gen_id)
        action = decide(state, retry)
        if action is not None:
            task.action = action
            claimed.ready.append(task)
        elif state.status is Status.DONE:
            claimed.done.append(task)
            for child in task.children:
                self._look_again(child, retry, claimed)
        else:
            claimed.held.append((task, "" if state.failure is None else state.failure.reason))


class NoClaims:
    """For runs that nobody shares a store with."""

    def claim(self, roots: Sequence[Task], retry: Collection[str]) -> Claimed:  # noqa: ARG002
        """Everything, at once."""
        return Claimed(ready=list(roots))

    def end(self, task: Task) -> None:
        """Nothing to give up."""
