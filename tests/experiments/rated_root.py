"""A data root whose cohort was run: texts and responses are what a test says, no model is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fakes.data_root import DataRoot, make_config, of_stage

from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.domain.score_parsers import Scale, parse_score
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.workspace import Workspace
from daydreaming_dagster.store.generations import GenerationMetadata, Outcome, compute_text_sha256

ESSAY = "An essay about keeping watch.\n\nIt has two paragraphs."


class RatedRoot(DataRoot):
    """A `DataRoot` that can leave behind what a run leaves behind."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "data")
        self.calls = 0

    def workspace(self, cohort: str | None = None) -> Workspace:
        return Workspace(self.paths, make_config(), cohort_override=cohort)

    def write_families(self, families: dict[str, str]) -> None:
        """Adds the families of all models to their table."""
        head, *rows = self.paths.models_csv.read_text().splitlines()
        told = (f"{row},{families[row.split(',')[0]]}" for row in rows)
        self.paths.models_csv.write_text("\n".join([f"{head},family", *told]) + "\n")

    def run(
        self,
        response: Callable[[Member], str | None],
        essay: Callable[[Member], str] = lambda _: ESSAY,
        cohort: str | None = None,
        experiment: str | None = None,
        provider: str = "a provider",
    ) -> list[Member]:
        """Builds the cohort and stores all of it; `response` is what a judge answers, None for no answer at all."""
        members = list(self.build(cohort).members)
        for member in members:
            if member.stage is not Stage.EVALUATION:
                self.keep(member, essay(member), essay(member), experiment, provider)
                continue
            answer = response(member)
            self.keep(member, answer, None if answer is None else _read(answer), experiment, provider)
        return members

    def run_with_kin(self) -> None:
        """`big` is better than `small` by 2 points, by 4 for a judge of its own family; another judge is a stranger."""
        self.write_models(writers=["big", "small"], judges=["kin", "stranger"])
        self.write_families({"big": "one", "small": "two", "kin": "one", "stranger": "three"})
        writers = {member.gen_id: member.llm_model_id for member in self.plan().members}

        def judge(member: Member) -> str:
            lead = 2 if writers[member.parent_gen_id] == "big" else 0
            return score(5 + lead * (1 + (member.llm_model_id == "kin")))

        self.run(judge)

    def keep(
        self, member: Member, text: str | None, parsed: str | None, experiment: str | None = None, provider: str = "p"
    ) -> None:
        """Stores an answer as a run does; `parsed` None for one that cannot be used."""
        self.calls += 1
        template = self.paths.template(member.stage, member.template_id)
        failure = None
        if parsed is None:
            reason = "timeout" if text is None else "parse_failed"
            failure = {"reason": reason, "message": "no", "code": "", "lasting": text is not None}
        sha256 = None if text is None else compute_text_sha256(text)
        raw: dict[str, Any] = {
            "call_id": f"call-{self.calls}",
            "raw_sha256": sha256,
            "failure": failure,
            "usage": {"prompt_tokens": 100, "completion_tokens": 10},
            "cost_usd": 0.001,
            "duration_s": 1.5,
            "provider": provider,
            "model_answered": f"maker/{member.llm_model_id}",
            "started_at": "2026-01-02T03:04:05.000+00:00",
            "finished_at": "2026-01-02T03:05:05.000+00:00",
            "finish_reason": "stop",
            "input_mode": "prompt",
            "template_sha256": compute_text_sha256(template.read_text()) if template.exists() else None,
        }
        read = None
        if parsed is not None:
            parser = "in_last_line" if member.stage is Stage.EVALUATION else "identity"
            read = {"parser_name": parser, "success": True, "raw_sha256": sha256}
        metadata = GenerationMetadata.of_member(member, experiment)
        self.store.write_outcome(Outcome(metadata, "A prompt.", text, raw, parsed, read))


def score(value: float) -> str:
    """A judge's answer with a score in its last line."""
    return f"I have seen worse.\n\nSCORE: {value:g}"


def spread(member: Member) -> str:
    """A score that differs between essays and judges, the same in every run."""
    return score(int(compute_text_sha256(member.gen_id)[:4], 16) % 10)


def essays(members: list[Member]) -> list[Member]:
    return of_stage(members, Stage.ESSAY)


def evaluations(members: list[Member]) -> list[Member]:
    return of_stage(members, Stage.EVALUATION)


def _read(answer: str) -> str | None:
    try:
        return f"{parse_score('in_last_line', answer, Scale(0, 9))}\n"
    except Exception as error:
        if getattr(error, "reason", "") != "parse_failed":
            raise
        return None
