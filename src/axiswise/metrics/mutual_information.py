"""Mutual information between each code and each factor, from histograms."""

import numpy as np

from axiswise.metrics._inputs import (
    FloatArray,
    IntArray,
    as_codes,
    as_factors,
    as_pair,
    scaled,
)
from axiswise.support.arrays import ArrayLike
from axiswise.support.checks import check_count


def discretize(codes: ArrayLike, bins: int = 20) -> IntArray:
    """Puts each code's values into equal-width bins between its own minimum and maximum.

    A value on the edge between two bins belongs to the upper one, the maximum to the last bin:
    `np.digitize(code, np.histogram(code, bins)[1][:-1]) - 1` in float64, as in disentanglement_lib.
    A constant code, or one whose range is too small to split, falls into a single bin. Codes beyond
    10^±18 are multiplied by a power of two first, which changes no bin but where their range would
    overflow or vanish.

    Args:
        codes: (samples, latent).
        bins: The number of bins, at least 2.

    Returns:
        The bins (samples, latent), integers from 0 to bins − 1.
    """
    bins = check_count("bins", bins, 2)
    columns = np.ascontiguousarray(scaled(as_codes(codes))[0].T)
    low = columns.min(axis=1, keepdims=True)
    step = (columns.max(axis=1, keepdims=True) - low) / bins
    binned = np.zeros(columns.shape, dtype=np.int64)
    # `low + k * step` is how NumPy places its edges: any other order of operations rounds
    # differently, and a value on an edge would change its bin.
    for k in range(1, bins):
        binned += columns >= low + k * step
    return binned.T


def mutual_information(codes: ArrayLike, factors: ArrayLike, bins: int = 20) -> FloatArray:
    """Measures the mutual information of each discretised code and each factor.

    The plug-in estimate from their joint histogram, biased upwards where samples are few for its
    cells. It is exactly 0 where a code or a factor is constant.

    Args:
        codes: (samples, latent).
        factors: (samples, factor), integers.
        bins: See `discretize`; 20 in disentanglement_lib, 5 in JL1-VAE's local scores (arXiv
            2106.02923).

    Returns:
        The mutual information (latent, factor) in nats, at least 0.
    """
    checked_codes, checked_factors = as_pair(codes, factors)
    binned = discretize(checked_codes, bins)
    cells, starts = _factor_cells(checked_factors)
    width = int(starts[-1])
    joint_cells = np.empty_like(cells)
    information = np.empty((binned.shape[1], len(cells)))
    for code, row in zip(binned.T, information, strict=True):
        np.add(cells, code * width, out=joint_cells)
        counts = np.bincount(joint_cells.ravel(), minlength=bins * width).reshape(bins, width)
        row[:] = _information(np.bincount(code, minlength=bins), counts, starts)
    return information


def factor_entropies(factors: ArrayLike) -> FloatArray:
    """Measures the entropy of each factor's values, (factor,), nats; 0 for a constant factor."""
    cells, starts = _factor_cells(as_factors(factors))
    counts = np.bincount(cells.ravel(), minlength=starts[-1])
    samples = cells.shape[1]
    surprise: FloatArray = np.log(samples / np.maximum(counts, 1))
    entropies: FloatArray = _sum_factors(counts * surprise, starts) / samples
    return entropies


def _factor_cells(factors: IntArray) -> tuple[IntArray, IntArray]:
    """Numbers the values of all factors in one row: cells (factor, samples), each one's start."""
    numbered = np.stack([_number_values(column) for column in factors.T])
    starts = np.concatenate(([0], np.cumsum(numbered.max(axis=1) + 1)))
    return numbered + starts[:-1, None], starts


def _number_values(column: IntArray) -> IntArray:
    """Numbers a factor's values from 0, with no more numbers than samples."""
    low = int(column.min())
    if int(column.max()) - low < len(column):
        return column - low
    return np.unique(column, return_inverse=True)[1]


def _information(code_counts: IntArray, counts: IntArray, starts: IntArray) -> FloatArray:
    """Returns one code's information (factor,) from its joint counts (bins, cell) in nats."""
    samples = int(code_counts.sum())
    # Whole numbers, exact in float64: where code and factor are independent the ratio is 1 and
    # its logarithm 0, which no sum of rounded logarithms would give.
    independent = code_counts[:, None] * counts.sum(axis=0)
    ratio = np.ones(counts.shape)
    np.divide(counts * samples, independent, out=ratio, where=counts > 0)
    total = _sum_factors((counts * np.log(ratio)).sum(axis=0), starts)
    return np.maximum(total, 0.0) / samples


def _sum_factors(cells: FloatArray, starts: IntArray) -> FloatArray:
    """Sums the cells of each factor."""
    sums: FloatArray = np.add.reduceat(cells, starts[:-1])
    return sums
