"""Every failure a user can meet. Each names the thing, says what is wrong and ends with what to do.

    DayDreamingError
    ├── ConfigurationError        somebody has to edit a file or a variable
    │   ├── InputErrors           several of them, from all input files, at once
    │   └── UsageError            options of a command that make no sense
    ├── MembershipError           a cohort and its generations do not fit together
    ├── StoreError                a file is missing, unreadable or cannot be written
    │   └── MissingParentError    the generation that this one builds on is not there yet
    ├── ResponseError             a model answered, but the answer cannot be used (the text is kept)
    ├── RunInterruptedError       somebody stopped the run
    └── ModelCallError            no usable answer came back from the model
        ├── RateLimitedError      too many requests; worth another try later
        ├── TransportError        connection, time-out, overloaded or broken server; worth another try
        ├── RefusedError          the request itself is not acceptable (key, money, model, content)
        └── BudgetExhaustedError  the call was not made: it could have gone over the budget

`reason` is a stable code: it is stored, counted in `daydreaming status` and named in `--retry`.
`lasting` says whether the same request would fail again for the same reason; a bulk run never pays for those twice
unless it is told to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class DayDreamingError(Exception):
    """A failure with a fix.

    Attributes:
        what: one sentence that names the thing and what is wrong with it.
        fix: what the user can do about it, as an imperative or a command.
        reason: stable code of the failure, lower case with underscores.
        lasting: whether trying the same again would fail again.
        culprits: the data behind the sentence, for Dagster metadata and tables.
    """

    reason: str = "error"
    lasting: bool = True

    def __init__(
        self,
        what: str,
        *,
        fix: str,
        reason: str | None = None,
        lasting: bool | None = None,
        culprits: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        if reason is not None:
            self.reason = reason
        if lasting is not None:
            self.lasting = lasting
        self.culprits = dict(culprits or {})

    def __str__(self) -> str:
        return f"{self.what}\n  → {self.fix}"


class ConfigurationError(DayDreamingError):
    """An input file, variable or option holds something that is not allowed."""

    reason = "configuration"


@dataclass(frozen=True, slots=True)
class InputProblem:
    """One thing wrong in one input file.

    Attributes:
        file: path as the user would type it (relative to the working directory where possible).
        message: what is wrong, without the place.
        line: 1-based line in the file, None when the whole file is meant.
        column: name of the CSV column, None when the whole row or file is meant.
        value: the offending value as it stands in the file.
        allowed: what would be accepted instead.
    """

    file: str
    message: str
    line: int | None = None
    column: str | None = None
    value: str | None = None
    allowed: str | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        if self.column is not None:
            place += f", column {self.column}"
        text = f"{place}: {self.message}"
        if self.value is not None:
            text += f" (found {self.value!r})"
        if self.allowed is not None:
            text += f"; allowed: {self.allowed}"
        return text


class InputErrors(ConfigurationError):
    """All problems of all input files, found in one reading."""

    reason = "input"

    def __init__(self, problems: Sequence[InputProblem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem in the input files" if count == 1 else f"{count} problems in the input files"
        super().__init__(
            "\n".join([f"{head}:", *(f"  {problem}" for problem in self.problems)]),
            fix="Edit the files named above, then run the command again.",
            culprits={"problems": [str(problem) for problem in self.problems]},
        )


class UsageError(ConfigurationError):
    """Options of a command do not fit each other, or one of them makes no sense."""

    reason = "usage"


class MembershipError(DayDreamingError):
    """A cohort's rows contradict each other, or a generation does not belong to it."""

    reason = "membership"


class StoreError(DayDreamingError):
    """A file under the data root is missing, damaged, or cannot be written."""

    reason = "store"
    lasting = False


class MissingParentError(StoreError):
    """The parsed text this generation is made from does not exist yet."""

    reason = "parent_missing"

    def __init__(self, *, stage: str, gen_id: str, parent_stage: str, parent_gen_id: str, expected: Path) -> None:
        parent_assets = ",".join(f"{parent_stage}_{step}" for step in ("prompt", "raw", "parsed"))
        super().__init__(
            f"Missing parent {parent_stage} {expected.name} for {stage} gen_id '{gen_id}' "
            f"(parent_gen_id '{parent_gen_id}').\n"
            f"  Base directory exists: {expected.parent.is_dir()}\n"
            f"  Expected path: {expected}",
            fix=f'Materialize the parent first: daydreaming materialize --select "{parent_assets}" '
            f'--partition "{parent_gen_id}"',
            culprits={
                "stage": stage,
                "gen_id": gen_id,
                "parent_stage": parent_stage,
                "parent_gen_id": parent_gen_id,
                "expected_path": str(expected),
            },
        )


class ResponseError(DayDreamingError):
    """The model answered and the text is stored, but it cannot be used.

    Reasons: `truncated`, `empty`, `too_short`, `parse_failed` (with the parser's own code in `culprits["code"]`),
    `content_filter`.
    """

    reason = "parse_failed"


class ModelCallError(DayDreamingError):
    """A call ended without a usable answer.

    Attributes:
        retry_after_s: how long the server asked us to wait, seconds; None when it did not say.
        partial_text: text that came with the error; stored for the record, never used as a response.
        usage: what the failed call cost, as far as the server told (same keys as a response's usage).
    """

    reason = "call_failed"

    def __init__(
        self,
        what: str,
        *,
        fix: str,
        reason: str | None = None,
        lasting: bool | None = None,
        culprits: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
        partial_text: str | None = None,
        usage: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(what, fix=fix, reason=reason, lasting=lasting, culprits=culprits)
        self.retry_after_s = retry_after_s
        self.partial_text = partial_text
        self.usage = dict(usage or {})


class RateLimitedError(ModelCallError):
    """The server (or a pool's own limit) allows no further request right now."""

    reason = "rate_limited"
    lasting = False


class TransportError(ModelCallError):
    """The connection failed, timed out, or the server was overloaded or broken.

    Reasons: `unreachable` (nothing was sent), `connection`, `timeout`, `overloaded`, `server_error`, `bad_response`;
    `transport` where none is known.
    """

    reason = "transport"
    lasting = False


class RefusedError(ModelCallError):
    """The server will not answer this request, however often it is sent.

    Reasons: `unauthorized`, `forbidden`, `payment_required`, `privacy_restricted`, `model_unknown`, `content_policy`,
    `context_length`, `max_tokens`, `bad_request`.
    """

    reason = "refused"


class BudgetExhaustedError(ModelCallError):
    """The call was not made because it could have gone over the budget."""

    reason = "budget"
    lasting = False


class RunInterruptedError(DayDreamingError):
    """Somebody pressed Ctrl-C, or ended the process politely."""

    reason = "interrupted"
    lasting = False


def require_no_problems(problems: Iterable[InputProblem]) -> None:
    """Raises `InputErrors` when there is at least one problem."""
    found = list(problems)
    if found:
        raise InputErrors(found)
