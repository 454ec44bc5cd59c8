"""What a measurement gave, the aim it is held against, and the plain-text table that shows both."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Sample:
    """The same thing measured several times."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def spread(self, unit: str, scale: float = 1.0) -> str:
        """Minimum, median and maximum, and of how many: what the machine's noise was."""
        low, middle, high = (number(value * scale) for value in (min(self.values), self.median, max(self.values)))
        return f"{low} / {middle} / {high} {unit}, n={len(self.values)}"


@dataclass(frozen=True)
class Figure:
    """A figure, and the aim if it has one: `at_most` or `at_least`."""

    name: str
    value: float
    unit: str
    aim: float | None = None
    bound: Literal["at_most", "at_least"] = "at_most"
    noise: str = ""

    def aim_text(self) -> str:
        if self.aim is None:
            return ""
        return f"{'<=' if self.bound == 'at_most' else '>='} {number(self.aim)} {self.unit}"

    def against_aim(self) -> str:
        """`met` or `missed by`, with the figure as a share of its aim."""
        if self.aim is None:
            return ""
        share = self.value / self.aim
        missed = self.value > self.aim if self.bound == "at_most" else self.value < self.aim
        if not missed:
            return f"met ({share:.2f} of it)"
        by = abs(self.value - self.aim)
        percent = 100 * abs(share - 1)
        return f"MISSED by {number(by)} {self.unit} ({number(percent)} %)"


@dataclass(frozen=True)
class Skipped:
    """A figure that could not be measured here, and why."""

    name: str
    why: str


Row = Figure | Skipped
HEAD = ("figure", "measured", "aim", "against the aim", "noise: min / median / max")


def number(value: float) -> str:
    """Three significant digits; whole above a thousand."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(title: str, rows: Sequence[Row]) -> str:
    """The rows under the title, columns aligned, no line ending in blanks."""
    cells = [HEAD, *(_cells(row) for row in rows)]
    measured = [cell for cell in cells if len(cell) == len(HEAD)]
    widths = [max(len(cell[column]) for cell in measured) for column in range(len(HEAD))]
    widths[0] = max(widths[0], *(len(cell[0]) for cell in cells))
    lines = [title, "=" * len(title)]
    lines += [
        "  ".join(text.ljust(width) for text, width in zip(cell, widths, strict=False)).rstrip() for cell in cells
    ]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    if isinstance(row, Skipped):
        return row.name, f"skipped: {row.why}"
    return row.name, f"{number(row.value)} {row.unit}", row.aim_text(), row.against_aim(), row.noise


def summary(rows: Iterable[Row]) -> str:
    """One line: how many aims are met, which are missed, what was skipped."""
    kept = list(rows)
    aims = [row for row in kept if isinstance(row, Figure) and row.aim is not None]
    missed = [row for row in aims if row.against_aim().startswith("MISSED")]
    line = f"{len(aims) - len(missed)} of {len(aims)} aims met"
    if missed:
        line += "; missed: " + ", ".join(f"{row.name} by {row.against_aim()[10:]}" for row in missed)
    skipped = [row.name for row in kept if isinstance(row, Skipped)]
    if skipped:
        line += "; skipped: " + ", ".join(skipped)
    return line
