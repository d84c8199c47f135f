"""Data roots of any size for measurements: one concept pair, and as many drafts as are asked for, each with one essay
and one evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.experiment_config import ExperimentConfig
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.settings import Settings
from daydreaming_dagster.store import files
from daydreaming_dagster.store.membership_csv import dump_membership
from daydreaming_dagster.store.paths import DataPaths

GENERATIONS_PER_TREE = 3
_WORDS = 220  # of each concept's description and each template, so that prompts are as long as real ones


def write_inputs(root: Path, *, base_url: str, trees: int, max_concurrent: int, pool_limits: str = ",,") -> None:
    """Writes the input files of a cohort with `trees` drafts, essays and evaluations.

    Args:
        root: the data root; made when it is missing.
        base_url: where the models answer.
        trees: drafts of the cohort.
        max_concurrent: limit of the only pool.
        pool_limits: the pool's requests per minute, tokens per minute and requests per day.
    """
    filler = " ".join(f"word{n}" for n in range(_WORDS))
    raw = root / "1_raw"
    _write(raw / "concepts_metadata.csv", "concept_id,name,active\na,Alpha,true\nb,Beta,true\n")
    for concept in "ab":
        _write(raw / "concepts" / "descriptions-paragraph" / f"{concept}.txt", filler)
    header = "template_id,template_name,description,parser,generator,active"
    _write(raw / "draft_templates.csv", f"{header}\ndraft,Draft,,essay_block,llm,true\n")
    _write(raw / "essay_templates.csv", f"{header}\nessay,Essay,,identity,llm,true\n")
    _write(raw / "evaluation_templates.csv", f"{header}\njudge,Judge,,in_last_line,llm,true\n")
    ideas = "{% for concept in concepts %}{{ concept.name }}: {{ concept.content }}\n{% endfor %}"
    _write(raw / "templates" / "draft" / "draft.txt", f"{ideas}\nPut the draft into <essay> tags.\n")
    _write(raw / "templates" / "essay" / "essay.txt", "Write it out.\n{{ draft_block }}\n" + filler)
    _write(raw / "templates" / "evaluation" / "judge.txt", "{{ response }}\nEnd with SCORE: <0-9>\n" + filler)
    _write(
        raw / "llm_models.csv",
        "id,model,provider,display_name,for_generation,for_evaluation,specialization,endpoint,pool,price_prompt,"
        "price_completion\n"
        "writer,fake/writer,Fake,Writer,true,false,,stub,bench,0.0000002,0.0000008\n"
        "judge,fake/judge,Fake,Judge,false,true,,stub,bench,0.0000002,0.0000008\n",
    )
    _write(raw / "llm_endpoints.csv", f"endpoint,kind,base_url,api_key_env,extra_body\nstub,openai,{base_url},,\n")
    _write(
        raw / "llm_pools.csv",
        "pool,max_concurrent,requests_per_minute,tokens_per_minute,requests_per_day\n"
        f"bench,{max_concurrent},{pool_limits}\n",
    )
    _write(raw / "replication_config.csv", f"stage,replicates\ndraft,{trees}\nessay,1\nevaluation,1\n")


def open_workspace(root: Path) -> Workspace:
    """The data root with default settings, whatever the environment says about experiments."""
    return Workspace(DataPaths(root), _config(), environ={})


def _config() -> ExperimentConfig:
    return Settings(_env_file=None).experiment_config()  # type: ignore[call-arg]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_cohort(paths: DataPaths, cohort_id: str, members: Sequence[Member], combos: Sequence[Combination]) -> None:
    """Writes a cohort of generations that are stored already; its manifest last, which says that all of it is there."""
    files.write_bytes(paths.membership(cohort_id), dump_membership(members))
    manifest = {
        "cohort_id": cohort_id,
        "created_at": "2026-01-02T03:00:00+00:00",
        "package_version": "0.1.0",
        "membership": {"mode": "cartesian"},
        "combinations": {
            combo.combo_id: {
                "concept_ids": combo.concept_ids,
                "description_level": combo.description_level,
                "k_max": combo.k_max,
            }
            for combo in combos
        },
    }
    files.write_json(paths.manifest(cohort_id), manifest)
