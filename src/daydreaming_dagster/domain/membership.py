"""Membership: the rows of a cohort, one per generation, drafts before essays before evaluations."""

from __future__ import annotations

from dataclasses import dataclass

from daydreaming_dagster.domain.stages import Stage

MEMBERSHIP_COLUMNS = (
    "stage",
    "gen_id",
    "cohort_id",
    "parent_gen_id",
    "combo_id",
    "template_id",
    "llm_model_id",
    "replicate",
    "mode",
)
"""Columns of `membership.csv`, in order."""


@dataclass(frozen=True, slots=True)
class Member:
    """One generation of a cohort: what is to be made, from what, by whom.

    Attributes:
        parent_gen_id: empty for drafts.
        llm_model_id: the model that writes it; an essay is written by its draft's model (a copied one carries it).
        replicate: counts from 1.
        mode: how the row came to be: `cartesian`, `regenerate`, `reuse-drafts`, `reuse-essays`.
    """

    stage: Stage
    gen_id: str
    cohort_id: str
    parent_gen_id: str
    combo_id: str
    template_id: str
    llm_model_id: str
    replicate: int
    mode: str
