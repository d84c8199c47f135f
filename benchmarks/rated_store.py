"""A store as a run leaves it, with invented texts and scores whose causes are known: for measurements and trials.

What is planted: concepts that help or harm, a better writer, a better draft template, strict and lenient judges, judges
who like their own family, a judge who rewards length, and one per cent of answers without a score.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from benchmarks.workload import write_cohort
from daydreaming_dagster.domain.combinations import Combination, build_combination
from daydreaming_dagster.domain.membership import Axes, Member, build_cartesian_members
from daydreaming_dagster.domain.scores import format_score
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.generations import GenerationMetadata, GenerationStore, Outcome, compute_text_sha256
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.raw_inputs import read_catalogue

COHORT = "cohort-rated"
_ROOT = Path(__file__).parents[1]
_WORDS = {Stage.DRAFT: (200, 350), Stage.ESSAY: (450, 950), Stage.EVALUATION: (60, 140)}
_SYLLABLES = tuple("ba ce di fo gu la me ni po ru sa te vi wo xu za bre dro".split())  # noqa: SIM905
_FAILED_SHARE = 0.01


@dataclass(frozen=True)
class Design:
    """What a cohort is made of; ids as in `data/1_raw`.

    Attributes:
        n_combos: pairs of concepts.
        replicates: of each evaluation.
    """

    n_combos: int
    draft_templates: tuple[str, ...] = ("creative-synthesis-v7", "systematic-analytical")
    essay_templates: tuple[str, ...] = ("creative-synthesis-v7", "systematic-analytical")
    rubrics: tuple[str, ...] = ("novelty", "gemini-prior-art-eval", "coherence")
    writers: tuple[str, ...] = ("deepseek-v4.1-flash", "mistral-large-4")
    judges: tuple[str, ...] = ("gpt-6-luna", "gemini-3.1-flash-lite")
    replicates: int = 1

    @property
    def axes(self) -> Axes:
        """As cohorts know them."""
        replicates = {Stage.DRAFT: 1, Stage.ESSAY: 1, Stage.EVALUATION: self.replicates}
        return Axes(self.draft_templates, self.essay_templates, self.rubrics, self.writers, self.judges, replicates)


LARGE = Design(
    190,
    draft_templates=("creative-synthesis-v7", "systematic-analytical", "minimal-control"),
    writers=("deepseek-v4.1-flash", "mistral-large-4", "gpt-6.1-terra"),
    judges=("gpt-6-luna", "gemini-3.1-flash-lite", "mistral-small-2603", "qwen3.8-flash", "claude-haiku-5.5"),
    replicates=2,
)
"""102,600 evaluations of 3,420 essays."""

SMALL = Design(
    12,
    essay_templates=("creative-synthesis-v7",),
    judges=("gpt-6-luna", "gemini-3.1-flash-lite", "mistral-small-2603"),
)
"""528 generations, 432 of them evaluations: what somebody tries on an afternoon."""


def make_store(paths: DataPaths, design: Design) -> list[Member]:
    """Makes the store, or uses the one that is there already; gives its members."""
    if not paths.raw.exists():
        shutil.copytree(_ROOT / "data" / "1_raw", paths.raw)
    concepts = list(read_catalogue(paths).concepts)
    pairs = list(combinations(concepts, 2))
    chosen = random.Random(5).sample(pairs, min(design.n_combos, len(pairs)))
    combos = [build_combination(pair, "paragraph", 2) for pair in chosen]
    members = build_cartesian_members(COHORT, [combo.combo_id for combo in combos], design.axes)
    if not paths.manifest(COHORT).exists():
        _Writer(paths, combos, design).write(members)
        write_cohort(paths, COHORT, members, combos)
    return members


class _Writer:
    """Invents what models would have said, the same in every run."""

    def __init__(self, paths: DataPaths, combos: Sequence[Combination], design: Design) -> None:
        self._store = GenerationStore(paths)
        self._catalogue = read_catalogue(paths)
        self._combos = {combo.combo_id: combo for combo in combos}
        self._design = design
        self._chance = random.Random(1)
        lengths = [self._chance.randint(1, 4) for _ in range(5000)]
        self._vocabulary = ["".join(self._chance.choices(_SYLLABLES, k=length)) for length in lengths]
        concepts = sorted({concept for combo in combos for concept in combo.concept_ids})
        self._concept = {concept: self._chance.gauss(0, 0.35) for concept in concepts}
        self._pair = {combo_id: self._chance.gauss(0, 0.3) for combo_id in self._combos}
        self._essays: dict[str, tuple[Member, float, int]] = {}
        self._drafts: dict[str, Member] = {}

    def write(self, members: Sequence[Member]) -> None:
        for member in members:
            self._store.write_outcome(self._build_outcome(member))

    def _build_outcome(self, member: Member) -> Outcome:
        text, parsed = self._answer(member)
        words = text.count(" ") + 1
        model = self._catalogue.models[member.llm_model_id]
        prompt_tokens, completion_tokens = 900 if member.stage is Stage.DRAFT else 1500, int(words * 1.35)
        cost = prompt_tokens * (model.price_prompt or 0.0) + completion_tokens * (model.price_completion or 0.0)
        failure = {"reason": "parse_failed", "message": "No score was found.", "code": "no_score", "lasting": True}
        raw = {
            "call_id": f"call-{member.gen_id}",
            "raw_sha256": compute_text_sha256(text),
            "failure": None if parsed is not None else failure,
            "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens},
            "cost_usd": round(cost, 8),
            "duration_s": round(2 + self._chance.random() * 6, 2),
            "provider": model.provider,
            "model_answered": model.model,
            "started_at": "2026-01-02T03:04:05.000+00:00",
            "finished_at": "2026-01-02T03:14:05.000+00:00",
            "finish_reason": "stop",
            "input_mode": "prompt",
            "template_sha256": self._catalogue.templates[member.stage][member.template_id].sha256,
        }
        read = None if parsed is None else {"parser_name": "any", "success": True, "raw_sha256": raw["raw_sha256"]}
        return Outcome(GenerationMetadata.of_member(member), "A prompt.", text, raw, parsed, read)

    def _answer(self, member: Member) -> tuple[str, str | None]:
        shortest, longest = _WORDS[member.stage]
        length = self._chance.randint(shortest, longest)
        text = self._write_words(length, member)
        if member.stage is Stage.DRAFT:
            self._drafts[member.gen_id] = member
            return text, text
        if member.stage is Stage.ESSAY:
            self._essays[member.gen_id] = (member, self._chance.gauss(0, 0.5), length)
            return text, text
        score = self._rate(member)
        if self._chance.random() < _FAILED_SHARE:
            return f"{text}\n\nI would rather not give a number.", None
        return f"{text}\n\nSCORE: {score}", format_score(score)

    def _write_words(self, length: int, member: Member) -> str:
        # As in language, few words are most of a text; each combination has some words of its own.
        size = len(self._vocabulary)
        own = self._combos[member.combo_id].concept_ids if member.combo_id in self._combos else ()
        words = [self._vocabulary[int(size ** self._chance.random())] for _ in range(length)]
        for place in range(0, length, 14):
            words[place] = f"{self._chance.choice(own)}" if own else words[place]
            words[place] = f"{words[place]}.".capitalize() if place else words[place].capitalize()
        return "\n\n".join(" ".join(words[start : start + 120]) for start in range(0, length, 120))

    def _rate(self, member: Member) -> int:
        essay, quality, words = self._essays[member.parent_gen_id]
        draft = self._drafts[essay.parent_gen_id]
        combo = self._combos[essay.combo_id]
        judge, writer = (self._catalogue.models[model] for model in (member.llm_model_id, essay.llm_model_id))
        place = self._design.judges.index(judge.id)
        value = {"novelty": 5.2, "gemini-prior-art-eval": 4.4}.get(member.template_id, 6.4) + quality
        value += sum(self._concept[concept] for concept in combo.concept_ids) + self._pair[combo.combo_id]
        value += 0.6 * (writer.id == self._design.writers[-1]) + 0.4 * (draft.template_id == "creative-synthesis-v7")
        value += (0.7, -0.5, 0.0, 0.2, -0.2)[place % 5] + (0.8 if judge.family == writer.family else 0.0)
        value += 0.002 * (words - 700) if place == 0 else 0.0
        return round(min(9.0, max(0.0, self._chance.gauss(value, 0.9))))
