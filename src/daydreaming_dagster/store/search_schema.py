"""The tables of the search index: a row per generation, scores per essay, cohorts, and where each word stands.

The full-text table stores no text, only where words stand. A row of it cannot be taken back without the old text, so
a generation that changes gets a new `docid`; rows whose `docid` no generation has any more are never found.
"""

from __future__ import annotations

import sqlite3

_WORDS_HELD_BYTES = 16 << 20
_VERSION = 6
COLUMNS = (
    "gen_id",
    "stage",
    "mtime_ns",
    "status",
    "reason",
    "code",
    "message",
    "lasting",
    "template_id",
    "llm_model_id",
    "parent_gen_id",
    "combo_id",
    "origin_cohort_id",
    "experiment_id",
    "replicate",
    "mode",
    "score",
    "cost_usd",
    "prompt_tokens",
    "completion_tokens",
    "duration_s",
    "finished_at",
    "words",
    "title",
)
"""Of the table `generation`, but for its `docid`."""

_SCHEMA = f"""
CREATE TABLE generation (docid INTEGER PRIMARY KEY AUTOINCREMENT, {", ".join(COLUMNS)});
CREATE UNIQUE INDEX generation_by_id ON generation (gen_id, status, cost_usd, template_id);
CREATE INDEX generation_by_parent ON generation (parent_gen_id, template_id, llm_model_id, score);
CREATE INDEX generation_by_combo ON generation (combo_id, stage);
CREATE INDEX generation_by_stage ON generation (stage, template_id, llm_model_id, score, status);
CREATE INDEX generation_by_status ON generation (stage, status, cost_usd, gen_id);
CREATE INDEX essay_facts ON generation (
  gen_id, template_id, llm_model_id, status, combo_id, parent_gen_id, words, finished_at
) WHERE stage = 'essay';
CREATE INDEX generation_failed ON generation (reason, stage, gen_id) WHERE status = 'failed';
CREATE VIRTUAL TABLE text USING fts5(response, prompt, content='', tokenize="unicode61 remove_diacritics 2");
CREATE TABLE essay_score (
  template_id, essay_gen_id, n_judges, n_ratings, mean, low, high, PRIMARY KEY (template_id, essay_gen_id)
) WITHOUT ROWID;
CREATE INDEX essay_score_by_essay ON essay_score (essay_gen_id);
CREATE INDEX essay_score_by_mean ON essay_score (template_id, mean DESC, n_judges DESC, essay_gen_id);
CREATE TABLE unscored (essay_gen_id PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE cohort (cohort_id PRIMARY KEY, stamp_ns, built_at, mode, problem) WITHOUT ROWID;
CREATE TABLE member (
  cohort_id, gen_id, stage, parent_gen_id, combo_id, template_id, llm_model_id, replicate,
  PRIMARY KEY (cohort_id, gen_id)
) WITHOUT ROWID;
CREATE TABLE axis (cohort_id, stage, kind, name, n, PRIMARY KEY (cohort_id, stage, kind, name)) WITHOUT ROWID;
CREATE TABLE progress (cohort_id, stage, status, n, cost_usd, PRIMARY KEY (cohort_id, stage, status)) WITHOUT ROWID;
CREATE TABLE combination (
  combo_id, concept_id, position, description_level, PRIMARY KEY (combo_id, concept_id)
) WITHOUT ROWID;
CREATE INDEX combination_by_concept ON combination (concept_id);
CREATE TABLE ranking (
  construct, essay_gen_id, rank, raw_mean, shrunken, low, high, p_top_k, k, PRIMARY KEY (construct, essay_gen_id)
) WITHOUT ROWID;
CREATE TABLE fact (name PRIMARY KEY, value) WITHOUT ROWID;
"""


def prepare_tables(database: sqlite3.Connection) -> bool:
    """Whether the database is of this version, or was empty and now is."""
    database.execute("PRAGMA cache_size=-65536")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        # Words wait in memory for so many bytes before they are sorted in: fewer pieces to merge later.
        hold = f"INSERT INTO text (text, rank) VALUES ('hashsize', {_WORDS_HELD_BYTES});"
        database.executescript(f"BEGIN; {_SCHEMA} {hold} PRAGMA user_version = {_VERSION}; COMMIT;")
        return True
    return bool(version == _VERSION)
