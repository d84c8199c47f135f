"""`daydreaming why`: why a generation is as it is, or where two of them part ways."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from daydreaming_dagster.cli.console import told_of_damaged

if TYPE_CHECKING:
    from daydreaming_dagster.domain.errors import StoreError
    from daydreaming_dagster.domain.membership import Member
    from daydreaming_dagster.engine.workspace import Workspace


def why(
    gen_id: Annotated[str, typer.Argument(help="A generation.")],
    other: Annotated[str | None, typer.Argument(help="Another one, to name the first input that differs.")] = None,
) -> None:
    """Say why a generation is done, missing, failed or stale, what a run would do, and what it has cost."""
    from daydreaming_dagster.cli.opening import open_workspace

    workspace = open_workspace()
    with told_of_damaged() as damaged:
        members = [_require_member(workspace, name, damaged) for name in (gen_id, other) if name is not None]
        if other is None:
            _explain(workspace, members[0])
        else:
            _compare(workspace, *members)


def _explain(workspace: Workspace, member: Member) -> None:
    from daydreaming_dagster.engine.reasons import explain
    from daydreaming_dagster.store.ledger import Ledger

    with closing(Ledger(workspace.paths, read_only=True)) as ledger:
        calls = ledger.find_calls(member.gen_id)
    reason = explain(workspace.recipe(), member, calls)
    lines = [f"{member.stage} {member.gen_id}: {reason.state.status}. The next run would do: {reason.next_action}."]
    lines += [f"  {sentence}" for sentence in reason.because]
    lines += [f"  {change.what}: then {change.first} | now {change.second}" for change in reason.changes]
    for call in reason.calls:
        cost = "cost unknown" if call.cost_usd is None and call.state != "failed" else f"${call.cost_usd or 0.0:.6f}"
        lines.append(f"  call {call.call_id}: {call.state}{' ' + call.reason if call.reason else ''}, {cost}")
    if reason.fix:
        lines.append(f"  → {reason.fix}")
    print("\n".join(lines))


def _compare(workspace: Workspace, first: Member, second: Member) -> None:
    from daydreaming_dagster.engine.reasons import find_first_difference

    difference = find_first_difference(workspace.recipe(), first, second)
    if difference is None:
        text = "They were made from the same inputs: same prompt, model, parameters."
    else:
        sides = ((first.gen_id, difference.first), (second.gen_id, difference.second))
        text = "\n".join([f"They part ways at: {difference.what}", *(f"  {name}: {value}" for name, value in sides)])
    print(text)


def _require_member(workspace: Workspace, gen_id: str, damaged: list[StoreError]) -> Member:
    from daydreaming_dagster.domain.errors import MembershipError
    from daydreaming_dagster.domain.stages import find_stage_of

    stage = find_stage_of(gen_id)
    if stage is None:
        raise MembershipError(
            f"'{gen_id}' is no gen_id: they begin with d_, e_ or v_.", fix="List them with `daydreaming status --ids`."
        )
    return workspace.require_members(stage, [gen_id], damaged)[0]
