"""Makes one generation: what is to be asked, whether what is stored will do, and what an answer is worth.

It knows nothing of other generations, of limits or of trying again; those are the scheduler's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from daydreaming_dagster.domain.errors import DayDreamingError, ModelCallError, ResponseError
from daydreaming_dagster.domain.membership import Member
from daydreaming_dagster.engine.plan import Action, Task
from daydreaming_dagster.engine.recipe import Recipe
from daydreaming_dagster.engine.records import Attempt, RunInfo, build_copy_response, build_parsed_metadata
from daydreaming_dagster.llm.protocol import ChatResponse
from daydreaming_dagster.store.generations import GenerationMetadata, Outcome, compute_text_sha256
from daydreaming_dagster.store.states import Failure

_NOT_ANSWERS = frozenset({"provider_error", "transport"})
_TEXTS_AT_HAND = 512
"""Parsed texts kept in memory for the children that are about to need them; the others are read again."""


class Maker:
    """Turns tasks into attempts, and answers into outcomes.

    Args:
        recipe: how generations are made.
        run_info: names that go into the metadata.
        parse: also read the responses; without it raw texts are stored and nothing else.

    Attributes:
        errors: the first error of each reason, for people.
    """

    def __init__(self, recipe: Recipe, run_info: RunInfo, *, parse: bool = True) -> None:
        self.recipe = recipe
        self.run_info = run_info
        self.errors: dict[str, DayDreamingError] = {}
        self._parse = parse
        self._texts: OrderedDict[str, str] = OrderedDict()

    def is_local(self, task: Task) -> bool:
        """Whether the task needs no model."""
        return task.action is Action.PARSE or self.recipe.is_copy(task.member)

    def prepare(self, task: Task) -> Attempt:
        """What is to be done: a call, or nothing but storing what is there already (`stored`).

        Raises:
            DayDreamingError: it cannot be done: an input is missing, or the parent's text.
        """
        member = task.member
        metadata = self._find_metadata(member)
        if task.action is Action.PARSE:
            return Attempt(member, metadata, "parse", "", stored=self._parse_again(member, metadata))
        prompt = self.recipe.build_prompt(member, self._texts.get(member.parent_gen_id))
        if self.recipe.is_copy(member):
            attempt = Attempt(member, metadata, "copy", prompt)
            attempt.start(f"copy-{member.gen_id}-{compute_text_sha256(prompt)[:16]}")
            attempt.stored = self.judge(attempt, build_copy_response(prompt))
            return attempt
        model = self.recipe.model(member)
        attempt = Attempt(
            member,
            metadata,
            "llm",
            prompt,
            number=task.attempts + 1,
            model=model,
            endpoint=self.recipe.catalogue.endpoints[model.endpoint],
            request=self.recipe.build_request(member, prompt),
            template_sha256=self.recipe.template(member).sha256,
        )
        if task.action is Action.ENSURE and not self.recipe.config.stages[member.stage].force:
            attempt.stored = self._find_usable(attempt)
        return attempt

    def judge(self, attempt: Attempt, response: ChatResponse) -> Outcome:
        """What is stored of an answer, usable or not."""
        member = attempt.member
        if "\r\n" in response.text:
            response = replace(response, text=response.text.replace("\r\n", "\n"))
        text = response.text
        failure, parsed = self._read(member, text, response.finish_reason)
        raw = attempt.build_raw_metadata(self.run_info, self.recipe.store, response, failure)
        return self._outcome(member, attempt.metadata, attempt.prompt, text, raw, parsed)

    def judge_error(self, attempt: Attempt, error: ModelCallError) -> Outcome:
        """What is stored of a call that failed for good."""
        self.errors.setdefault(error.reason, error)
        failure = Failure.of_error(error)
        raw = attempt.build_raw_metadata(self.run_info, self.recipe.store, None, failure, error)
        return self._outcome(attempt.member, attempt.metadata, attempt.prompt, error.partial_text, raw, None)

    def keep_at_hand(self, outcome: Outcome) -> None:
        """Remembers a parsed text for the children that are about to start."""
        if outcome.parsed is None:
            return
        self._texts[outcome.metadata.gen_id] = outcome.parsed
        if len(self._texts) > _TEXTS_AT_HAND:
            self._texts.popitem(last=False)

    def _find_usable(self, attempt: Attempt) -> Outcome | None:
        """The stored response, if it answers the same request and can be used."""
        member, store = attempt.member, self.recipe.store
        text = store.find_raw(member.stage, member.gen_id)
        raw = store.find_raw_metadata(member.stage, member.gen_id) or {}
        # Data made before requests were hashed cannot tell; a response that was paid for gets the benefit of the doubt.
        if text is None or raw.get("request_sha256") not in (None, attempt.request_sha256()):
            return None
        failure, parsed = self._read(member, text, raw.get("finish_reason"))
        if failure is not None or (raw.get("failure") or {}).get("reason") in _NOT_ANSWERS:
            return None
        return self._outcome(member, attempt.metadata, attempt.prompt, text, {**raw, "failure": None}, parsed)

    def _find_metadata(self, member: Member) -> GenerationMetadata:
        """A generation keeps the cohort and the experiment it was begun under, whoever asks for it again."""
        stored = self.recipe.store.find_metadata(member.stage, member.gen_id)
        return stored or GenerationMetadata.of_member(member, self.run_info.experiment_id)

    def _parse_again(self, member: Member, metadata: GenerationMetadata) -> Outcome:
        store = self.recipe.store
        text = store.find_raw(member.stage, member.gen_id) or ""
        raw = store.find_raw_metadata(member.stage, member.gen_id) or {}
        failure, parsed = self._read(member, text, raw.get("finish_reason"))
        raw["failure"] = failure and failure.to_json()
        return self._outcome(member, metadata, None, text, raw, parsed)

    def _read(self, member: Member, text: str, finish_reason: str | None) -> tuple[Failure | None, str | None]:
        try:
            return None, self.recipe.parse(member, text, finish_reason)
        except ResponseError as error:
            self.errors.setdefault(error.reason, error)
            return Failure.of_error(error), None

    def _outcome(
        self,
        member: Member,
        metadata: GenerationMetadata,
        prompt: str | None,
        text: str | None,
        raw: Mapping[str, Any],
        parsed: str | None,
    ) -> Outcome:
        parsed_metadata = None
        if not self._parse:
            parsed = None
        if parsed is not None and text is not None:
            parser = self.recipe.template(member).parser
            text_sha256 = raw.get("raw_sha256") or compute_text_sha256(text)
            parsed_metadata = build_parsed_metadata(member, parser, parsed, text_sha256)
        return Outcome(metadata, prompt, text, raw, parsed, parsed_metadata)
