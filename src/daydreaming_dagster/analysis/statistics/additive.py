"""Least squares for values that are a row's effect plus a column's effect, with any cells missing.

Essays seen by a strict judge only look worse than essays seen by a lenient one only. Fitting both effects together
takes the judges' severity out of the essays' means, and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daydreaming_dagster.analysis.statistics.bootstrap import (
    ClusterBootstrap,
    FloatArray,
    IntArray,
    sum_by_cluster,
)


@dataclass(frozen=True, slots=True)
class AdditiveFit:
    """Effects of rows and columns.

    Attributes:
        row: expected value of each row at the average column, shape (rows,).
        column: deviation of each column; they add up to zero within each part, shape (columns,).
        residual: of each value, shape (values,).
        degrees_of_freedom: left for the residuals.
        row_part, column_part: which part a row or column belongs to. Rows and columns that no chain of cells connects
            lie in different parts, and effects of different parts do not compare.
        n_parts: how many parts there are.
    """

    row: FloatArray
    column: FloatArray
    residual: FloatArray
    degrees_of_freedom: int
    row_part: IntArray
    column_part: IntArray
    n_parts: int


def fit_additive(row: IntArray, column: IntArray, values: FloatArray, n_rows: int, n_columns: int) -> AdditiveFit:
    """Fits row and column effects; every row and column in use must have a value, others get nan.

    Args:
        row, column: of each value, counted from 0.
        values: shape (values,).
        n_rows, n_columns: how many there are.
    """
    normal, right, row_count, row_mean = _normal_equations(row, column, values, n_rows, n_columns)
    row_part, column_part, n_parts = _connected_parts(row, column, n_rows, n_columns)
    effect = np.linalg.pinv(normal, hermitian=True) @ right
    for part in range(n_parts):
        effect[column_part == part] -= effect[column_part == part].mean() if (column_part == part).any() else 0.0
    known_rows = row_count > 0
    adjusted = np.full(n_rows, np.nan)
    shift = np.bincount(row, weights=effect[column], minlength=n_rows)
    adjusted[known_rows] = row_mean[known_rows] - shift[known_rows] / row_count[known_rows]
    used_columns = np.bincount(column, minlength=n_columns) > 0
    freedom = values.size - int(known_rows.sum()) - int(used_columns.sum()) + n_parts
    return AdditiveFit(
        row=adjusted,
        column=np.where(used_columns, effect, np.nan),
        residual=values - adjusted[row] - effect[column],
        degrees_of_freedom=freedom,
        row_part=row_part,
        column_part=column_part,
        n_parts=n_parts,
    )


def draw_column_effects(
    fit: AdditiveFit, row: IntArray, column: IntArray, row_cluster: IntArray, bootstrap: ClusterBootstrap
) -> FloatArray:
    """Column effects in each draw of the clusters of rows, shape (draws, columns), to first order.

    A draw changes the normal equations a little; the change of the solution is taken as linear in what each cluster
    contributes to the equations, which avoids solving them once a draw.
    """
    n_rows, n_columns = fit.row.size, fit.column.size
    normal, *_ = _normal_equations(row, column, fit.residual, n_rows, n_columns)
    one = np.zeros((fit.residual.size, n_columns))
    one[np.arange(fit.residual.size), column] = fit.residual
    pulls = sum_by_cluster(row_cluster[row], one, bootstrap.n_clusters)
    drawn = bootstrap.draw_sums(pulls @ np.linalg.pinv(normal, hermitian=True))
    for part in range(fit.n_parts):
        members = fit.column_part == part
        if members.any():
            drawn[:, members] -= drawn[:, members].mean(axis=1, keepdims=True)
    return np.asarray(drawn + fit.column)


def _normal_equations(
    row: IntArray, column: IntArray, values: FloatArray, n_rows: int, n_columns: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """The equations of the column effects after the row effects are eliminated, and each row's count and mean."""
    from scipy.sparse import coo_matrix, diags

    table = coo_matrix((np.ones(values.size), (row, column)), shape=(n_rows, n_columns)).tocsr()
    count = np.bincount(row, minlength=n_rows).astype(np.float64)
    mean = np.divide(np.bincount(row, weights=values, minlength=n_rows), count, out=np.zeros(n_rows), where=count > 0)
    share = diags(np.divide(1.0, count, out=np.zeros(n_rows), where=count > 0))
    in_columns = np.bincount(column, minlength=n_columns).astype(np.float64)
    normal = np.diag(in_columns) - np.asarray((table.T @ share @ table).todense())
    right = np.bincount(column, weights=values - mean[row], minlength=n_columns)
    return np.asarray(normal), np.asarray(right), count, np.asarray(mean)


def _connected_parts(row: IntArray, column: IntArray, n_rows: int, n_columns: int) -> tuple[IntArray, IntArray, int]:
    """Part of each row and column, -1 for those without a value, and the number of parts."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    size = n_rows + n_columns
    graph = coo_matrix((np.ones(row.size), (row, column + n_rows)), shape=(size, size))
    _, label = connected_components(graph, directed=False)
    used = np.zeros(size, dtype=np.bool_)
    used[row], used[column + n_rows] = True, True
    parts = np.full(size, -1, dtype=np.int64)
    distinct, parts[used] = np.unique(label[used], return_inverse=True)
    return parts[:n_rows], parts[n_rows:], int(distinct.size)
