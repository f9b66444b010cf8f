"""The pictures of a report: each a pure function from a run's documents to a drawing, its words and its table.

A picture says what it shows in its title, how it was made in its caption, and everything in it stands in the table
beside it. n and the level of every band are in the caption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from .material import Document
from .plot import Plane, ticks
from .tables import Table
from .wording import EVIDENCE, FIGURES, NULLS, count, counted, figure, fixed, percent

_SHARES = ("precision", "recall", "false_positive_rate", "auc", "average_precision", "brier")


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend: the class of its mark, its form (line, dash, dot, ring, diamond, band) and its words."""

    kind: str
    form: str
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing with its title, caption, legend and table; `absent` says why there is none."""

    name: str
    title: str
    caption: str = ""
    svg: Markup | None = None
    table: Table | None = None
    keys: tuple[Key, ...] = ()
    absent: str | None = None
    wide: bool = False
    open: bool = False


def _share(value: float) -> str:
    return f"{value * 100:.10g} %"


def _plain(value: float) -> str:
    return f"{value:.10g}"


def precision_recall(section: Document, level: float) -> Picture:
    """Draw precision against recall of the grid points, ranked by their probability."""
    name, title = "precision-recall", "Precision and recall over all thresholds"
    found = section.get("precision_recall")
    if found is None:
        reason = section["reasons"].get("precision_recall") or section["reasons"].get("auc") or "not stored by this run"
        return Picture(name, title, absent=reason)
    curve, operating, base = found["curve"], found["operating"], found["base_rate"]
    plane = Plane((0.0, 1.0), (0.0, 1.0))
    plane.y_axis(ticks(0.0, 1.0), _share, "precision")
    plane.x_axis(ticks(0.0, 1.0), _share, "recall")
    plane.segment((0.0, base), (1.0, base), "c5 dash")
    plane.line([(point["recall"], point["precision"]) for point in curve], "c1")
    keys = [Key("c1", "line", "grid points"), Key("c5", "dash", "base rate: what chance gives")]
    if operating["precision"] is not None:
        plane.diamond((operating["recall"], operating["precision"]), "c2")
        keys.append(Key("c2", "diamond", "points above the alert threshold"))
    area = figure("number", section["average_precision"], section["intervals"].get("average_precision"))
    points = counted(section["n_scored_points"], "grid point")
    caption = (
        f"Average precision {area} ({percent(level)} interval) over {points} with a calibrated probability; base rate "
        f"{figure('share', base)}. The curve counts grid points, the table of figures counts alerts. Shown: at most "
        f"200 thresholds, for each half percent of recall the highest that reaches it."
    )
    if curve[0]["recall"] > 0.02:
        caption += f" Points that share the highest probability hold {figure('share', curve[0]['recall'])} of the hits."
    rows = [
        (fixed(point["threshold"], 4), figure("share", point["recall"]), figure("share", point["precision"]),
         count(point["points"]))
        for point in curve
    ]  # fmt: skip
    table = Table(
        "Points of the precision-recall curve", ("probability at least", "recall", "precision", "points"), rows
    )
    first, last = (_share(round(point["precision"], 2)) for point in (curve[0], curve[-1]))
    said = f"Precision goes from {first} to {last} as recall grows to 100 %."
    return Picture(name, title, caption, plane.svg(name, title, said), table, tuple(keys))


def reliability(section: Document, level: float) -> Picture:
    """Draw the observed share against the mean forecast of each bin, with the counts below."""
    name, title = "reliability", "Are probabilities what they say?"
    bins = [item for item in section["reliability"] if item["points"]]
    if not bins:
        return Picture(name, title, absent=section["reasons"].get("brier", "no point has a calibrated probability"))
    top = max(
        max(item["forecast"], item["observed"], (item["observed_interval"] or {"hi": 0.0})["hi"]) for item in bins
    )
    top = next(edge for edge in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0) if top <= edge or edge == 1.0)
    plane = Plane((0.0, top), (0.0, top), bottom=96)
    plane.y_axis(ticks(0.0, top), _share, "observed share")
    plane.x_axis(ticks(0.0, top), _share)
    plane.segment((0.0, 0.0), (top, top), "c5 dash")
    for item in bins:
        if item["observed_interval"] is not None:
            spread = item["observed_interval"]
            plane.segment((item["forecast"], spread["lo"]), (item["forecast"], min(spread["hi"], top)), "c1")
        plane.dot((item["forecast"], item["observed"]), "c1")
    # Counts hang below the axis: 40 units for the fullest bin.
    most = max(item["points"] for item in bins)
    unit = top / (plane.y.begin - plane.y.end)
    for item in bins:
        left, right = item["lower"], min(item["upper"], top)
        if left < top:
            plane.box((left + 0.02 * top, right - 0.02 * top if right - left > 0.04 * top else right),
                      (-(24 + 40 * item["points"] / most) * unit, -24 * unit), "bar c3")  # fmt: skip
    plane.write((top / 2, -82 * unit), "mean forecast of a bin (bars: points in it)", "name", anchor="middle", dy=4)
    murphy = section["murphy"]
    parts = "" if murphy is None else (
        f" Murphy: Brier {fixed(section['brier'], 4)} = reliability {fixed(murphy['reliability'], 4)} (0 is perfect) "
        f"− resolution {fixed(murphy['resolution'], 4)} + uncertainty {fixed(murphy['uncertainty'], 4)} + "
        f"within bins {fixed(murphy['within_bins'], 4)}."
    )  # fmt: skip
    caption = (
        f"On the diagonal the observed share is the forecast. {counted(section['n_scored_points'], 'grid point')}, "
        f"bars are {percent(level)} intervals.{parts}"
    )
    rows = [
        (f"{_share(item['lower'])} to {_share(item['upper'])}", count(item["points"]),
         figure("share", item["forecast"]), figure("share", item["observed"], item["observed_interval"]))
        for item in bins
    ]  # fmt: skip
    table = Table("Reliability by bin of forecast", ("forecast", "points", "mean forecast", "observed share"), rows)
    said = "; ".join(f"forecast {row[2]}: observed {row[3]}" for row in rows)
    keys = (
        Key("c1", "dot", "observed, with interval"),
        Key("c5", "dash", "perfect"),
        Key("c3", "band", "points per bin"),
    )
    return Picture(name, title, caption, plane.svg(name, title, said), table, keys)


def lead_time(section: Document, level: float, horizon: float) -> Picture:
    """Draw the Kaplan-Meier curve of the hours back from an event to its alert, misses censored."""
    name, title = "lead-time", "How long before the event was the alert?"
    found = section["kaplan_meier"]
    if found is None:
        return Picture(
            name, title, absent=section["reasons"].get("kaplan_meier") or section["reasons"]["lead_time_hours"]
        )
    points = list(zip(found["hours"], found["survival"], strict=True))
    plane = Plane((0.0, horizon), (0.0, 1.0))
    plane.y_axis(ticks(0.0, 1.0), _share, "not yet alerted")
    plane.x_axis(ticks(0.0, horizon, 7), _plain, "hours before the event, looking back")
    if all(found["intervals"]):
        low = [(hour, item["lo"]) for (hour, _), item in zip(points, found["intervals"], strict=True)]
        high = [(hour, item["hi"]) for (hour, _), item in zip(points, found["intervals"], strict=True)]
        plane.band(low, high, "c1", stepped=True)
    plane.step(points, "c1")
    lead, told = section["lead_time_hours"], "No event was matched."
    if lead is not None:
        median = figure("hours", lead["median"], section["intervals"].get("lead_time_hours.median"))
        told = f"Matched events: median lead {median}, quartiles {fixed(lead['q25'], 0)} and {fixed(lead['q75'], 0)} h."
        for null in NULLS:
            beside = section["nulls"].get(null, {}).get("lead_time_hours.median")
            if beside is not None:
                told += f" Null ({NULLS[null]}): median {figure('hours', beside['value'], beside)}."
    caption = (
        f"Kaplan-Meier over {counted(section['n_events'], 'event')}: the share of events for which no alert had fired, "
        f"looking back from the event; misses are censored at the horizon. Band: {percent(level)}, pointwise. {told}"
    )
    rows = [
        (_plain(hour), figure("share", value, spread))
        for (hour, value), spread in zip(points, found["intervals"], strict=True)
    ]
    table = Table("Kaplan-Meier curve", ("hours before the event", "share not yet alerted"), rows)
    said = f"From 100 % at the event to {_share(round(points[-1][1], 3))} at {_plain(horizon)} hours before it."
    keys = (Key("c1", "line", "events without an alert so far"), Key("c1", "band", f"{percent(level)} band"))
    return Picture(name, title, caption, plane.svg(name, title, said), table, keys)


def beside_nulls(section: Document, level: float, which: str) -> Picture:
    """Draw each share-like figure as dot and interval over the bands of its nulls."""
    name, title = "nulls", "Each figure beside its nulls"
    shown = [item for item in _SHARES if section.get(item) is not None]
    if not shown:
        return Picture(name, title, absent="no figure exists")
    plane = Plane((0.0, 1.0), (len(shown) - 0.4, -0.6), height=44 + 40 * len(shown) + 12, left=132)
    plane.x_axis(ticks(0.0, 1.0), _plain, "value", grid=True)
    rows = []
    for place, item in enumerate(shown):
        plane.write((0.0, place), FIGURES[item].label, "tick", anchor="end", dx=-8, dy=4)
        for offset, null, kind in ((-0.22, "shifted_events", "c2"), (0.22, "random_alerts", "c3")):
            beside = section["nulls"].get(null, {}).get(item)
            if beside is not None:
                plane.box((beside["lo"], beside["hi"]), (place + offset - 0.09, place + offset + 0.09), f"bar {kind}")
                plane.segment((beside["value"], place + offset - 0.16), (beside["value"], place + offset + 0.16), kind)
        spread = section["intervals"].get(item)
        if spread is not None:
            plane.segment((spread["lo"], place), (spread["hi"], place), "c1 thick")
        plane.dot((section[item], place), "c1", 4.5)
        cells = [section["nulls"].get(null, {}).get(item) for null in NULLS]
        kind = FIGURES[item].kind
        rows.append(
            (FIGURES[item].label, figure(kind, section[item], spread),
             *(figure(kind, cell["value"], cell) if cell else "none" for cell in cells))
        )  # fmt: skip
    caption = (
        f"Evidence: {which}. Dot: the figure with its {percent(level)} interval. Bars: where {percent(level)} of the "
        f"null's draws lie, with their mean. A claim needs the interval of the difference, in the table of figures: "
        f"overlap or distance of two bars is no test."
    )
    table = Table("Figures and nulls", ("figure", "value", *NULLS.values()), rows)
    said = "; ".join(f"{row[0]} {row[1]}, nulls {row[2]} and {row[3]}" for row in rows)
    keys = (Key("c1", "dot", "figure"), Key("c2", "band", NULLS["shifted_events"]),
            Key("c3", "band", NULLS["random_alerts"]))  # fmt: skip
    return Picture(name, title, caption, plane.svg(name, title, said), table, keys)


def circularity(overall: Document) -> Picture:
    """Draw each share-like figure from all evidence, and from what is left without circular evidence."""
    name, title = "circularity", "With and without circular evidence"
    whole, strict = (overall[evidence] for evidence in EVIDENCE)
    shown = [item for item in _SHARES if whole.get(item) is not None and strict.get(item) is not None]
    if not shown:
        return Picture(name, title, absent="no figure exists in both variants")
    plane = Plane((0.0, 1.0), (len(shown) - 0.4, -0.6), height=44 + 30 * len(shown) + 12, left=132)
    plane.x_axis(ticks(0.0, 1.0), _plain, "value", grid=True)
    rows = []
    for place, item in enumerate(shown):
        plane.write((0.0, place), FIGURES[item].label, "tick", anchor="end", dx=-8, dy=4)
        plane.segment((whole[item], place), (strict[item], place), "c5 thick")
        plane.diamond((whole[item], place), "c2")
        plane.dot((strict[item], place), "c1", 4.5)
        rows.append((FIGURES[item].label, *(figure(FIGURES[item].kind, part[item], part["intervals"].get(item))
                                            for part in (whole, strict))))  # fmt: skip
    table = Table("Both variants", ("figure", *EVIDENCE.values()), rows)
    said = "; ".join(f"{row[0]}: {row[1]} and {row[2]}" for row in rows)
    keys = (Key("c2", "diamond", EVIDENCE["all_evidence"]), Key("c1", "dot", EVIDENCE["without_circular_evidence"]))
    caption = "Where the two marks are one, leaving the circular evidence out changed nothing."
    return Picture(name, title, caption, plane.svg(name, title, said), table, keys)


def by_month(section: Document, primary: str, level: float) -> tuple[Picture, Picture]:
    """Draw the base rate and the primary figure of each month, each with its interval."""
    rate = _months(section, "base_rate", "base-rate", "Base rate by month", level)
    if primary == "base_rate":  # no protocol names it; then one picture says all
        return rate, rate
    return rate, _months(section, primary, "stability", f"{FIGURES[primary].label} by month", level)


def _months(section: Document, item: str, name: str, title: str, level: float) -> Picture:
    months: Mapping[str, Any] = section["by_month"]
    known = {month: part for month, part in months.items() if part["figures"].get(item) is not None}
    kind = FIGURES[item].kind
    if not known:
        reasons = {part["reasons"].get(item) for part in months.values()} - {None}
        return Picture(name, title, absent="; ".join(sorted(map(str, reasons))) or "no month was evaluated")
    order = list(months)
    values = [part["figures"][item] for part in known.values()]
    spreads = [part["intervals"].get(item) for part in known.values()]
    top = max([*values, *(spread["hi"] for spread in spreads if spread)])
    low = min([0.0, *values, *(spread["lo"] for spread in spreads if spread)])
    steps = ticks(low, top if top > low else low + 1.0, 5)
    size = steps[1] - steps[0] if len(steps) > 1 else 1.0
    top = steps[-1] if steps[-1] >= top - 1e-12 else steps[-1] + size
    plane = Plane((-0.6, len(order) - 0.4), (low, top), bottom=56)
    plane.y_axis(ticks(low, top, 6), _share if kind == "share" else _plain)
    pooled, spread = section[item], section["intervals"].get(item)
    edges = (-0.6, len(order) - 0.4)
    if pooled is not None:
        if spread is not None:
            plane.band(
                [(edge, spread["lo"]) for edge in edges], [(edge, min(spread["hi"], top)) for edge in edges], "c5"
            )
        plane.segment((edges[0], pooled), (edges[1], pooled), "c5 dash")
    rows = []
    every = 1 if len(order) <= 8 else 2 if len(order) <= 16 else 6
    for place, month in enumerate(order):
        part = months[month]
        if place % every == 0:
            plane.write((place, low), month[2:], "tick", anchor="middle", dy=17)
        value, around = part["figures"].get(item), part["intervals"].get(item)
        n = {"precision": part["n_alerts"], "recall": part["n_events"]}.get(item, part["n_points"])
        said = figure(kind, value, around) if value is not None else str(part["reasons"].get(item, "absent"))
        rows.append((month, said, count(n)))
        if value is None:
            continue
        if around is not None:
            plane.segment((place, around["lo"]), (place, around["hi"]), "c1")
        plane.dot((place, value), "c1")
    unit = {"precision": "alerts", "recall": "events"}.get(item, "grid points")
    plane.write(((edges[0] + edges[1]) / 2, low), "month (UTC), yy-mm", "name", anchor="middle", dy=42)
    caption = (
        f"Bars: {percent(level)} intervals. Dashed: the whole period, with its interval. Months without a dot "
        f"have none: see the table for why."
    )
    table = Table(title, ("month", FIGURES[item].label.lower(), f"n ({unit})"), rows)
    desc = "; ".join(f"{row[0]}: {row[1]}" for row in rows)
    keys = (Key("c1", "dot", "month"), Key("c5", "dash", "whole period"))
    return Picture(name, title, caption, plane.svg(name, title, desc), table, keys)


def bars(name: str, title: str, caption: str, rows: Sequence[tuple[str, float]], axis: str, table: Table) -> Picture:
    """Draw one horizontal bar per row, from 0."""
    values = [value for _, value in rows]
    low, high = min([0.0, *values]), max([0.0, *values])
    if low == high:
        high = 1.0
    plane = Plane((low, high), (len(rows) - 0.4, -0.6), height=44 + 26 * len(rows) + 12, left=196)
    plane.x_axis(ticks(low, high, 5), _plain, axis, grid=True)
    for place, (label, value) in enumerate(rows):
        plane.write((low, place), label, "tick", anchor="end", dx=-8, dy=4)
        plane.box((0.0, value), (place - 0.3, place + 0.3), "bar c1")
    said = "; ".join(f"{label}: {fixed(value, 4)}" for label, value in rows)
    return Picture(name, title, caption, plane.svg(name, title, said), table, open=True)
