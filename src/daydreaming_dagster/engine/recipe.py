"""How one generation is made: its prompt, its request, and whether the answer can be used.

Everything here is deterministic and calls nobody; the scheduler and the Dagster assets share it, so that a generation
made by name and one made among a hundred thousand are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daydreaming_dagster.domain.catalogue import Catalogue, Model, Template
from daydreaming_dagster.domain.combinations import Combination
from daydreaming_dagster.domain.errors import ConfigurationError, DayDreamingError, MembershipError, ResponseError
from daydreaming_dagster.domain.experiment_config import ExperimentConfig
from daydreaming_dagster.domain.membership import REBUILD, REBUILD_COMMAND, Member
from daydreaming_dagster.domain.prompts import (
    build_concept_texts,
    render_draft_prompt,
    render_essay_prompt,
    render_evaluation_prompt,
)
from daydreaming_dagster.domain.score_parsers import Scale, format_score, parse_score
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.llm.protocol import ChatRequest, OutputShape
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.utils.draft_parsers import parse_draft
from daydreaming_dagster.utils.wording import show_count

_SHAPE_OF_PARSER = {"in_last_line": "score_line", "labelled_score": "score_line", "json_score": "score_json"}
"""Which shape an evaluation parser reads; models that can be held to a shape are held to this one."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is needed to make any generation of a cohort.

    Attributes:
        combinations: the cohort's combinations by combo_id.
    """

    catalogue: Catalogue
    config: ExperimentConfig
    combinations: Mapping[str, Combination]
    store: GenerationStore

    def template(self, member: Member) -> Template:
        """The member's template, active or not.

        Raises:
            ConfigurationError: it is no longer among the inputs.
        """
        template = self.catalogue.templates[member.stage].get(member.template_id)
        if template is None:
            raise ConfigurationError(
                f"The {member.stage} template '{member.template_id}' of {member.gen_id} has no row in "
                f"1_raw/{member.stage}_templates.csv.",
                fix=f"Put the row and its file back, or rebuild the cohort: {REBUILD_COMMAND}",
                reason="template_missing",
                lasting=False,
            )
        return template

    def model(self, member: Member) -> Model:
        """The model that makes the member.

        Raises:
            ConfigurationError: it is no longer among the inputs.
        """
        model = self.catalogue.models.get(member.llm_model_id)
        if model is None:
            raise ConfigurationError(
                f"The model '{member.llm_model_id}' of {member.gen_id} has no row in 1_raw/llm_models.csv.",
                fix=f"Put the row back, or rebuild the cohort: {REBUILD_COMMAND}",
                reason="model_missing",
                lasting=False,
            )
        return model

    def is_copy(self, member: Member) -> bool:
        """Whether the member takes its parent's text as it is, without a model."""
        return self.template(member).generator == "copy"

    def build_prompt(self, member: Member, parent_text: str | None = None) -> str:
        """The text that is sent; for a copy, the parent's text.

        Args:
            member: what is to be made.
            parent_text: the parent's parsed text, where the caller has it; None to read it.

        Raises:
            MissingParentError: the parent has no parsed text yet.
            ConfigurationError: template, concept or combination is not among the inputs.
        """
        template = self.template(member)
        if member.stage is Stage.DRAFT:
            return render_draft_prompt(template, self._concept_texts(member))
        if parent_text is None:
            parent_text = self.store.require_parent_text(member.stage, member.gen_id, member.parent_gen_id)
        if template.generator == "copy":
            return parent_text
        if member.stage is Stage.ESSAY:
            return render_essay_prompt(template, parent_text)
        return render_evaluation_prompt(template, parent_text)

    def build_request(self, member: Member, prompt: str) -> ChatRequest:
        """The call that makes the member from its prompt. A model's own `params` win over the stage's settings."""
        model = self.model(member)
        stage = self.config.stages[member.stage]
        params = dict(model.params)
        return ChatRequest(
            model=model.model,
            prompt=prompt,
            max_tokens=params.pop("max_tokens", stage.max_tokens),
            temperature=params.pop("temperature", stage.temperature),
            params=params,
            output=self._output_shape(member),
        )

    def parse(self, member: Member, text: str, finish_reason: str | None) -> str:
        """The parsed text that follows from a response.

        Raises:
            ResponseError: cut off, filtered, empty, too short, or not readable by the template's parser.
        """
        template = self.template(member)
        if template.generator == "copy":
            return text
        self._require_usable(member, text, finish_reason)
        try:
            if member.stage is Stage.EVALUATION:
                score = parse_score(template.parser, text, Scale(template.scale_min, template.scale_max))
                return format_score(score)
            return parse_draft(template.parser, text)
        except DayDreamingError as error:
            error.fix = error.fix.replace("GEN_ID", member.gen_id)  # parsers know nothing but the text
            raise
        except Exception as error:  # a parser of somebody's own must not be able to lose a paid response
            raise ResponseError(
                f"The parser '{template.parser}' broke on the response of {member.gen_id}: "
                f"{type(error).__name__}: {error}.",
                fix="Mend the parser, then parse again for free: "
                f"daydreaming materialize --select {member.stage}_parsed",
                culprits={"code": "parser_broke", "parser": template.parser},
            ) from error

    def _require_usable(self, member: Member, text: str, finish_reason: str | None) -> None:
        retry = "daydreaming run --retry {}"
        if finish_reason == "length":
            raise ResponseError(
                f"The response of {member.gen_id} was cut off at the token limit.",
                fix=f"Raise max_tokens of the {member.stage} stage (DD_{member.stage.upper()}_MAX_TOKENS) or of the "
                f"model's params, then: {retry.format('truncated')}",
                reason="truncated",
            )
        if finish_reason == "content_filter":
            raise ResponseError(
                f"The response of {member.gen_id} was stopped by the provider's content filter.",
                fix=f"Choose another model, or try again: {retry.format('content_filter')}",
                reason="content_filter",
            )
        if not text.strip():
            raise ResponseError(
                f"The response of {member.gen_id} is empty.",
                fix="If it is a reasoning model, raise max_tokens: thinking may have taken all of them. Then, or else: "
                + retry.format("empty"),
                reason="empty",
            )
        least = self.config.stages[member.stage].min_lines
        lines = sum(1 for line in text.splitlines() if line.strip())
        if lines < least:
            raise ResponseError(
                f"The response of {member.gen_id} has {show_count(lines, 'non-empty line')}; "
                f"a {member.stage} needs at least {least}.",
                fix=f"Read it with `daydreaming show {member.gen_id}`; lower DD_{member.stage.upper()}_MIN_LINES to "
                f"accept it, or try again: {retry.format('too_short')}",
                reason="too_short",
            )

    def _concept_texts(self, member: Member) -> list[dict[str, str]]:
        combination = self.combinations.get(member.combo_id)
        if combination is None:
            raise MembershipError(
                f"The combination '{member.combo_id}' of {member.gen_id} is in no combination table.",
                fix=REBUILD,
                reason="combination_missing",
                lasting=False,
            )
        concepts = []
        for concept_id in combination.concept_ids:
            concept = self.catalogue.concepts.get(concept_id)
            if concept is None:
                raise ConfigurationError(
                    f"The concept '{concept_id}' of {member.combo_id} has no row in 1_raw/concepts_metadata.csv.",
                    fix="Put the row and its description back (it may be inactive), then run the command again.",
                    reason="concept_missing",
                    lasting=False,
                )
            concepts.append(concept)
        return build_concept_texts(concepts, combination.description_level)

    def _output_shape(self, member: Member) -> OutputShape | None:
        if member.stage is not Stage.EVALUATION:
            return None
        template = self.template(member)
        kind = _SHAPE_OF_PARSER.get(template.parser)
        return None if kind is None else OutputShape(kind, template.scale_min, template.scale_max)  # type: ignore[arg-type]
