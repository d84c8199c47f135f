"""Strengths from pairwise wins by maximum likelihood; unlike online Elo, the order of the games does not matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daydreaming_dagster.analysis.statistics.bootstrap import FloatArray

_MAX_STEPS = 100


@dataclass(frozen=True, slots=True)
class BradleyTerryFit:
    """Log strengths relative to the first player, whose strength is 0 and has no error.

    Attributes:
        log_strength: nan for all when some player won, or lost, everything against the rest: the likelihood then
            has no maximum.
        standard_error: from the observed information.
    """

    log_strength: FloatArray
    standard_error: FloatArray


def fit_bradley_terry(wins: FloatArray) -> BradleyTerryFit:
    """Fits strengths to wins of row over column, shape (players, players); a tie is half a win for both."""
    players = wins.shape[0]
    unknown = np.full(players, np.nan)
    if players < 2 or not _is_strongly_connected(wins):
        return BradleyTerryFit(unknown, unknown)
    games = wins + wins.T
    won = wins.sum(axis=1)
    strength = np.zeros(players)
    for _ in range(_MAX_STEPS):
        chance = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
        slope = (won - (games * chance).sum(axis=1))[1:]
        information = _information(games, chance)
        step = np.linalg.solve(information, slope)
        strength[1:] += np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-12:
            break
    chance = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
    error = np.sqrt(np.diag(np.linalg.inv(_information(games, chance))))
    return BradleyTerryFit(strength, np.concatenate([[0.0], error]))


def _information(games: FloatArray, chance: FloatArray) -> FloatArray:
    weight = games * chance * (1 - chance)
    return np.asarray((np.diag(weight.sum(axis=1)) - weight)[1:, 1:])


def _is_strongly_connected(wins: FloatArray) -> bool:
    from scipy.sparse.csgraph import connected_components

    parts, _ = connected_components(wins > 0, directed=True, connection="strong")
    return bool(parts == 1)
