"""How figures, intervals, durations and moments are written: one form for each kind, everywhere in a report.

Digits follow the interval: its width is given with two digits, and nothing finer is pretended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

THIN = "\u202f"  # narrow no-break space, between a number and its unit
MINUS = "\u2212"
NOTHING = "n/a"

Interval = Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of an evaluation: its kind of number, which side is good, and what it is in one line."""

    label: str
    kind: str  # "share", "number" or "hours"
    smaller_is_better: bool
    meaning: str


FIGURES: Mapping[str, Figure] = {
    "precision": Figure("Precision", "share", False, "alerts that an event follows within H, of all uncensored alerts"),
    "recall": Figure("Recall", "share", False, "events with an alert in the H before them, of all uncensored events"),
    "lead_time_hours.median": Figure("Median lead time", "hours", False, "from alert to event, matched events only"),
    "false_positive_rate": Figure(
        "False positive rate", "share", True, "grid points above the alert threshold, of those that no event follows"
    ),
    "auc": Figure("AUC", "number", False, "chance that a point before an event ranks above one that is not"),
    "average_precision": Figure("Average precision", "number", False, "area under the precision-recall curve"),
    "brier": Figure("Brier score", "number", True, "mean squared error of the calibrated probability"),
    "log_loss": Figure("Log loss", "number", True, "mean negative log-likelihood of the calibrated probability"),
    "brier_skill": Figure("Brier skill", "number", False, "1 minus Brier over that of always saying the base rate"),
    "base_rate": Figure("Base rate", "share", False, "grid points that an event follows within H"),
}
NULLS: Mapping[str, str] = {
    "shifted_events": "events shifted in time",
    "random_alerts": "random alerts at the same budget",
}
EVIDENCE: Mapping[str, str] = {
    "all_evidence": "all evidence",
    "without_circular_evidence": "without circular evidence",
}


def fixed(value: float, decimals: int, sign: bool = False) -> str:
    """Return `value` with so many decimals; a true minus sign, no negative zero, a plus where `sign` asks for it."""
    text = f"{value:.{decimals}f}"
    bare = text.lstrip("-")
    if not bare.strip("0."):
        return bare
    return (MINUS if text.startswith("-") else "+" if sign else "") + bare


def count(value: int) -> str:
    """Return a count with its thousands set apart."""
    return f"{value:,}".replace(",", THIN)


def counted(value: int, noun: str) -> str:
    """Return a count with its noun in the right number."""
    many = noun[:-1] + "ies" if noun.endswith("ty") else noun + "s"
    return f"{count(value)} {noun if value == 1 else many}"


def _decimals(width: float) -> int:
    """Decimals that show a width with two digits: 2 from 0.1 on, at most 4."""
    width = round(width, 12)  # 0.35 - 0.25 is a width of 0.1
    return 2 if width >= 0.1 else 3 if width >= 0.01 else 4


def _form(kind: str, value: float, interval: Interval) -> tuple[float, int, str]:
    """Return (factor, decimals, unit) for a figure of a kind."""
    width = interval["hi"] - interval["lo"] if interval else 0.0
    width = width if width > 0.0 else abs(value)
    if kind == "share":
        return 100.0, _decimals(width) - 2, THIN + "%"
    if kind == "hours":
        return 1.0, 0 if width >= 10.0 else 1, THIN + "h"
    return 1.0, _decimals(width), ""


def figure(kind: str, value: float, interval: Interval = None, sign: bool = False) -> str:
    """Return one figure: ``31 % [24, 39]``, ``0.71 [0.66, 0.75]``, ``96 h [72, 130]``."""
    factor, decimals, unit = _form(kind, value, interval)
    text = fixed(value * factor, decimals, sign) + unit
    return text if interval is None else f"{text} {span(kind, value, interval, sign)}"


def span(kind: str, value: float, interval: Mapping[str, float], sign: bool = False) -> str:
    """Return the interval alone, in the digits that its figure has: ``[24, 39]``."""
    factor, decimals, _ = _form(kind, value, interval)
    return "[" + ", ".join(fixed(interval[side] * factor, decimals, sign) for side in ("lo", "hi")) + "]"


def difference(kind: str, value: float, interval: Interval = None) -> str:
    """Return a difference with its sign; of shares in percentage points."""
    text = figure(kind, value, interval, sign=True)
    return text.replace(f"{THIN}%", f"{THIN}points") if kind == "share" else text


def percent(level: float) -> str:
    """Return a level or share without needless digits: ``95 %``."""
    return f"{level * 100:.10g}{THIN}%"


def hours(value: float) -> str:
    """Return a duration: ``96 h (4.0 d)``, ``504 h (21 d)``; below two days hours alone, below one hour minutes."""
    if 0 < value < 1:
        return f"{fixed(value * 60, 1).removesuffix('.0')}{THIN}min"
    text = f"{value:.10g}{THIN}h" if value == int(value) else fixed(value, 1) + f"{THIN}h"
    days = value / 24
    if value < 48:
        return text
    return f"{text} ({f'{days:.0f}' if days == int(days) else fixed(days, 1)}{THIN}d)"


def p_value(value: float) -> str:
    """Return a p-value with three decimals, or that it is smaller."""
    return fixed(value, 3) if value >= 0.001 else "below 0.001"


def moment(value: datetime | str) -> str:
    """Return an instant in UTC to the minute."""
    stamp = datetime.fromisoformat(value) if isinstance(value, str) else value
    return stamp.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def epoch(seconds: int) -> datetime:
    """Return the instant that a protocol names in seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)


def listed(items: Any) -> str:
    """Return items as a list in words: ``a, b and c``."""
    words = [str(item) for item in items]
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + (words[-1] if words else "")


def words(name: str) -> str:
    """Return a field's name as words."""
    return name.replace("_", " ")
