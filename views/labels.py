"""A column of labels, such as difficulties, in numbers: to group by, and to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# What picks rows: a mask, or their numbers.
Rows = NDArray[np.bool_] | NDArray[np.intp]


@dataclass(frozen=True)
class Labels:
    """Row `k` has the label `names[codes[k]]`, which may be None.

    `names` are sorted, None first. A name need not occur in any row.
    """

    names: tuple[str | None, ...]
    codes: NDArray[np.int64]

    @classmethod
    def of(cls, values: Sequence[str | None]) -> Labels:
        """The labels of the rows, one after the other."""
        names = _sorted(set(values))
        code_of = {name: code for code, name in enumerate(names)}
        codes = np.fromiter(map(code_of.__getitem__, values), np.int64, len(values))
        return cls(names, codes)

    @classmethod
    def alike(cls, name: str | None, n: int) -> Labels:
        """`n` rows with the same label."""
        return cls((name,), np.zeros(n, np.int64))

    @classmethod
    def joined(cls, parts: Sequence[Labels]) -> Labels:
        """The rows of all parts, one part after the other."""
        names = _sorted({name for part in parts for name in part.names})
        code_of = {name: code for code, name in enumerate(names)}
        codes = [
            np.array([code_of[name] for name in part.names], np.int64)[part.codes]
            for part in parts
            if len(part)
        ]
        return cls(names, np.concatenate([np.zeros(0, np.int64), *codes]))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Rows) -> Labels:
        return Labels(self.names, self.codes[rows])

    def are(self, name: str | None) -> NDArray[np.bool_]:
        """Which rows have this label."""
        if name not in self.names:
            return np.zeros(len(self), np.bool_)
        mask: NDArray[np.bool_] = self.codes == self.names.index(name)
        return mask

    def equal(self, other: Labels) -> NDArray[np.bool_]:
        """Which rows have the label that the same row of the other column has."""
        code_of = {name: code for code, name in enumerate(self.names)}
        translated = np.array([code_of.get(name, -1) for name in other.names], np.int64)
        mask: NDArray[np.bool_] = self.codes == translated[other.codes]
        return mask

    def at(self, row: int | np.intp) -> str | None:
        """The label of one row, by its number."""
        return self.names[int(self.codes[row])]

    def present(self) -> list[str | None]:
        """The labels that occur, sorted, None first."""
        return [self.names[code] for code in np.unique(self.codes)]

    def values(self) -> list[str | None]:
        """The labels of the rows, one after the other."""
        return [self.names[code] for code in self.codes.tolist()]


def groups(columns: Sequence[Labels]) -> list[NDArray[np.intp]]:
    """The rows of each combination of labels that occurs, in the order of the columns' names."""
    first, *others = columns
    numbers = first.codes
    for column in others:
        numbers = numbers * len(column.names) + column.codes
    order = np.argsort(numbers, kind="stable")
    ends = np.flatnonzero(np.diff(numbers[order])) + 1
    return np.split(order, ends) if len(order) else []


def _sorted(names: set[str | None]) -> tuple[str | None, ...]:
    return tuple(sorted(names, key=lambda name: (name is not None, name or "")))
