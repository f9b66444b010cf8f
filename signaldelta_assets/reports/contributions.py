"""What moved the scores at alerts: families and signals over all explained alerts, and the strongest alerts one by one.

From the run's samples: a family's contribution is the score minus the score without it; a signal is counted by the
events of it among the top contributors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from .material import Document
from .pictures import Picture, bars
from .tables import Table
from .wording import count, counted, fixed, moment

STRONGEST = 12


def explained_alerts(samples: Document, alerts: pa.Table) -> list[dict[str, Any]]:
    """Return the explained alerts with what came of each: the sample's fields, `row` of the alerts table."""
    rows = {(row["entity_id"], row["alert_at"].isoformat()): row for row in alerts.to_pylist()}
    return [
        {**sample, "row": rows[sample["entity_id"], sample["at"]]}
        for sample in samples["samples"]
        if sample["why"] == "alert"
    ]


def families(explained: Sequence[Mapping[str, Any]], definitions: Document, *, matched: bool) -> Picture:
    """Draw the mean contribution of each family to M at alerts; the table has lean and confidence too.

    `matched`: whether the run matched alerts with events; only then is told what followed.
    """
    name, title = "families", "Which families carried the alerts"
    if not explained:
        return Picture(name, title, absent="there is no explained alert")
    names = sorted({family for sample in explained for family in sample["score"]["family_deltas"]})
    hits = [sample for sample in explained if sample["row"]["matched_event_time"] is not None]
    misses = [sample for sample in explained if sample["row"]["matched_event_time"] is None]
    measured = []
    for family in names:
        held = sum(family in sample["score"]["family_deltas"] for sample in explained)
        means = [_mean(part, family, "magnitude") for part in (explained, hits, misses)]
        other = [_mean(explained, family, field) for field in ("lean", "confidence")]
        shares = [_mean(explained, family, field, "family_shapley") for field in ("magnitude", "alert_score")]
        measured.append((family, held, means, shares, other))
    measured.sort(key=lambda row: (-abs(row[2][0] or 0.0), row[0]))
    columns = ("family", "alerts with evidence of it", "Δ magnitude", "at matched alerts", "at the others",
               "Shapley value in M", "in the alert score", "Δ lean", "Δ confidence")  # fmt: skip
    rows = [
        (_family(family, definitions), count(held), *map(_signed, [*means, *shares, *other]))
        for family, held, means, shares, other in measured
    ]
    of_these = f" ({len(hits)} matched)" if matched else ""
    caption = (
        f"Mean over {counted(len(explained), 'explained alert')}{of_these}, scored from all evidence: magnitude M "
        f"minus M recomputed without the family. Such differences do not add up to M: together families do more or "
        f"less than alone. Their Shapley values do, to M and to the alert score: what a family adds on average over "
        f"all orders in which the families could have arrived."
    )
    table = Table("Contributions of families at alerts", columns, rows)
    table = table if matched else table.without("at matched alerts", "at the others")
    drawn = [(_family(family, definitions, short=True), means[0] or 0.0) for family, _, means, *_ in measured]
    return bars(name, title, caption, drawn, "mean Δ magnitude", table)


def signals(explained: Sequence[Mapping[str, Any]], definitions: Document, *, matched: bool) -> Table:
    """Return how often, and how strongly, each signal stood among the top contributors of an alert."""
    moved: dict[str, list[float]] = defaultdict(list)
    held: dict[str, set[tuple[str, str]]] = defaultdict(set)
    hits: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for sample in explained:
        at = (sample["entity_id"], sample["at"])
        for item in _movers(sample):
            signal = item.get("signal_id", "unknown")
            moved[signal].append(item["delta_magnitude"])
            held[signal].add(at)
            if sample["row"]["matched_event_time"] is not None:
                hits[signal].add(at)
    order = sorted(moved, key=lambda signal: (-len(held[signal]), signal))
    rows = [
        (_signal(signal, definitions), count(len(held[signal])), count(len(hits[signal])), count(len(moved[signal])),
         _signed(_total(moved[signal]) / len(moved[signal])))
        for signal in order
    ]  # fmt: skip
    heads = ("signal", "alerts", "of these matched", "events of it", "mean Δ magnitude")
    table = Table("Signals among the top contributors of alerts", heads, rows)
    return table if matched else table.without("of these matched")


def strongest(explained: Sequence[Mapping[str, Any]], definitions: Document, *, matched: bool) -> Table:
    """Return the explained alerts with the highest alert score, each with what contributed most and what followed."""
    order = sorted(explained, key=lambda sample: (-sample["row"]["alert_score"], sample["entity_id"], sample["at"]))
    rows = []
    for sample in order[:STRONGEST]:
        row, score = sample["row"], sample["score"]
        top = [
            f"{item.get('signal_id', item['event_id'])} {_signed(item['delta_magnitude'])}"
            for item in _movers(sample)[:3]
        ]
        followed = row["matched_event_type"] or ("not yet known" if row["censored"] else "no event of its own")
        rows.append(
            (sample["entity_id"], moment(sample["at"]), "; ".join(top), followed, fixed(row["alert_score"], 3),
             fixed(score["magnitude"], 3), fixed(score["confidence"], 3))
        )  # fmt: skip
    heads = ("entity", "alert at (UTC)", "top contributors (Δ magnitude)", "what followed", "alert score", "M", "C")
    table = Table("The strongest of the explained alerts", heads, rows, words=4)
    return table if matched else table.without("what followed")


def _movers(sample: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The top contributors that move M at all: an event of a signal with weight 0 is evidence and moves nothing."""
    return [item for item in sample["score"]["top_contributors"] if item["delta_magnitude"] != 0.0]


def _total(values: Sequence[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def _mean(part: Sequence[Mapping[str, Any]], family: str, field: str, of: str = "family_deltas") -> float | None:
    values = [sample["score"][of].get(family, {}).get(field, 0.0) for sample in part]
    return _total(values) / len(values) if values else None


def _signed(value: float | None) -> str:
    return "n/a" if value is None else fixed(value, 3, sign=True)


def _family(family: str, definitions: Document, short: bool = False) -> str:
    name = definitions.get("families", {}).get(family, {}).get("name", "")
    text = f"{family} {name}".strip()
    return text if not short or len(text) <= 24 else text[:23] + "…"


def _signal(signal: str, definitions: Document) -> str:
    name = definitions.get("signals", {}).get(signal, {}).get("name", "")
    return f"{signal} {name.replace('_', ' ')}".strip()
