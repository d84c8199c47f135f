"""`daydreaming show GEN_ID`: one generation with everything around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from daydreaming_dagster.domain.stages import Stage
    from daydreaming_dagster.store.generations import GenerationStore


def show(
    gen_id: Annotated[str, typer.Argument(help="Id of a draft, essay or evaluation: d_…, e_… or v_….")],
    prompt: Annotated[bool, typer.Option("--prompt", help="Print the prompt and nothing else.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Print the raw response and nothing else.")] = False,
    parsed: Annotated[bool, typer.Option("--parsed", help="Print the parsed text and nothing else.")] = False,
) -> None:
    """Show a generation: its lineage, prompt, response, scores and earlier versions."""
    from daydreaming_dagster.cli.opening import open_workspace
    from daydreaming_dagster.domain.errors import StoreError
    from daydreaming_dagster.domain.stages import find_stage_of

    store = open_workspace().store
    stage = find_stage_of(gen_id)
    if stage is None or not store.folder(stage, gen_id).is_dir():
        raise StoreError(
            f"There is no generation '{gen_id}' under {store.paths.gens}.",
            fix="List the generations of the current cohort: daydreaming status --ids",
            reason="generation_missing",
        )
    only = {"prompt": prompt, "raw": raw, "parsed": parsed}
    if any(only.values()):
        _print_text(store, stage, gen_id, next(name for name, wanted in only.items() if wanted))
        return
    _print_page(store, stage, gen_id)


def _print_text(store: GenerationStore, stage: Stage, gen_id: str, name: str) -> None:
    from daydreaming_dagster.domain.errors import StoreError

    text = {"prompt": store.find_prompt, "raw": store.find_raw, "parsed": store.find_parsed}[name](stage, gen_id)
    if text is None:
        raise StoreError(
            f"{gen_id} has no {name} text yet.",
            fix=f"Make it: daydreaming materialize --select {stage}_{name} --partition {gen_id}",
        )
    print(text, end="" if text.endswith("\n") else "\n")


def _print_page(store: GenerationStore, stage: Stage, gen_id: str) -> None:
    from rich.markup import escape
    from rich.panel import Panel

    from daydreaming_dagster.cli.console import out, print_line
    from daydreaming_dagster.store.states import read_state

    _print_lineage(store, stage, gen_id)
    state = read_state(store, stage, gen_id)
    print_line(f"[bold]Status[/]  {state.status}")
    if state.failure is not None:
        print_line(f"        [red]{escape(state.failure.reason)}: {escape(state.failure.message)}[/]")
    _print_call(store, stage, gen_id)
    for title, text in (
        ("Prompt", store.find_prompt(stage, gen_id)),
        ("Raw response", store.find_raw(stage, gen_id)),
        ("Parsed", store.find_parsed(stage, gen_id)),
    ):
        if text is not None:
            out().print(Panel(escape(text.strip()), title=title, title_align="left"))
    versions = store.versions(stage, gen_id)
    if versions:
        print_line(f"[bold]Earlier responses[/]  {len(versions)}")
        for version in versions:
            print_line(f"        {version.text_path}")
    print_line(f"[dim]{store.folder(stage, gen_id)}[/]")


def _print_lineage(store: GenerationStore, stage: Stage, gen_id: str) -> None:
    from rich.tree import Tree

    from daydreaming_dagster.cli.console import out

    chain: list[tuple[Stage, str]] = [(stage, gen_id)]
    while (parent := chain[0][0].parent) is not None:
        metadata = store.find_metadata(*chain[0])
        if metadata is None or not metadata.parent_gen_id:
            break
        chain.insert(0, (parent, metadata.parent_gen_id))
    tree = branch = Tree(_describe(store, *chain[0], chosen=chain[0][1] == gen_id))
    for link in chain[1:]:
        branch = branch.add(_describe(store, *link, chosen=link[1] == gen_id))
    _add_children(store, branch, stage, gen_id)
    out().print(tree)


def _add_children(store: GenerationStore, branch: object, stage: Stage, gen_id: str) -> None:
    from rich.tree import Tree

    if stage.child is None or not isinstance(branch, Tree):
        return
    for child in find_children(store, stage, gen_id):
        twig = branch.add(_describe(store, stage.child, child, chosen=False))
        _add_children(store, twig, stage.child, child)


def find_children(store: GenerationStore, stage: Stage, gen_id: str) -> list[str]:
    """Ids of the stored generations made from this one, in order."""
    from daydreaming_dagster.store.index import Index

    if stage.child is None:
        return []
    index = Index(store)
    try:
        children = index.refresh(stage.child)
    finally:
        index.close()
    return sorted(child.gen_id for child in children.values() if child.parent_gen_id == gen_id)


def _describe(store: GenerationStore, stage: Stage, gen_id: str, *, chosen: bool) -> str:
    metadata = store.find_metadata(stage, gen_id)
    name = f"[bold]{gen_id}[/]" if chosen else gen_id
    if metadata is None:
        return f"{stage} {name} [red](not stored)[/]"
    facts = f"{metadata.template_id}, {metadata.llm_model_id}"
    if metadata.replicate > 1:
        facts += f", replicate {metadata.replicate}"
    if stage.parent is None:
        facts += f", {metadata.combo_id}"
    score = (store.find_parsed(stage, gen_id) or "").strip() if stage.child is None else ""
    return f"{stage} {name} [dim]({facts})[/]" + (f" [green]{score}[/]" if score else "")


def _print_call(store: GenerationStore, stage: Stage, gen_id: str) -> None:
    from rich.markup import escape

    from daydreaming_dagster.cli.console import print_line

    raw = store.find_raw_metadata(stage, gen_id)
    if raw is None:
        return
    usage = raw.get("usage") or {}
    cost = raw.get("cost_usd")
    facts = {
        "model": raw.get("model_answered") or raw.get("model_asked"),
        "provider": raw.get("provider"),
        "finished": raw.get("finished_at"),
        "took": None if raw.get("duration_s") is None else f"{raw['duration_s']:.1f} s",
        "tokens": None
        if usage.get("prompt_tokens") is None
        else f"{usage['prompt_tokens']} + {usage.get('completion_tokens')}",
        "cost": None if cost is None else f"${cost:.6f}",
        "finish reason": raw.get("finish_reason"),
    }
    shown = ", ".join(f"{name} {escape(str(value))}" for name, value in facts.items() if value is not None)
    print_line(f"[bold]Call[/]    {shown}")
