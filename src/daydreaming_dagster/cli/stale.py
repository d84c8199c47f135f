"""`daydreaming stale`: generations whose prompt, model or parameters have changed since they were made."""

from __future__ import annotations

from typing import Annotated

import typer


def stale(
    cohort: Annotated[str | None, typer.Option(help="Which cohort; else the one built last.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only this stage: draft, essay or evaluation.")] = None,
) -> None:
    """List what was made from inputs that have changed since, and the first change of each. Exit code 3 if any."""
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.domain.errors import ConfigurationError
    from daydreaming_dagster.domain.stages import Stage
    from daydreaming_dagster.engine.reasons import find_stale

    if stage is not None and stage not in set(Stage):
        raise ConfigurationError(f"There is no stage '{stage}'.", fix=f"Use one of: {', '.join(Stage)}.")
    workspace = open_workspace(cohort)
    current = workspace.require_current_cohort()
    members = [member for member in current.members if stage in (None, member.stage)]
    count = 0
    for member, change in find_stale(workspace.recipe(current.combinations), members):
        count += 1
        text = f"{member.stage} {member.gen_id}: {change.what}: then {change.first} | now {change.second}"
        print(text)
    if count:
        print(f"{count} of {len(members)} are stale. A run keeps them; to make one anew, ask for it by name:")
        print('  daydreaming materialize --select "<stage>_prompt,<stage>_raw,<stage>_parsed" --partition <gen_id>')
        raise typer.Exit(3)
    print(f"None of {len(members)} is stale.")
