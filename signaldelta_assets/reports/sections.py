"""The tables of a report: what was asked, figures, types, months, trials, audit, what was left out, manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .material import Document, Material, Trial
from .tables import Table
from .wording import (
    EVIDENCE,
    FIGURES,
    NOTHING,
    NULLS,
    count,
    counted,
    difference,
    epoch,
    figure,
    hours,
    listed,
    moment,
    p_value,
    percent,
    words,
)

_N = {"precision": "n_alerts", "recall": "n_events", "false_positive_rate": "n_points", "base_rate": "n_points"}


def asked(material: Material) -> Table:
    """Return what was asked, in words: everything the protocol fixed before a result could be seen."""
    protocol, overall = material.protocol, material.evaluation["overall"]["all_evidence"]
    grid, alert, bootstrap = protocol["grid"], protocol["alert"], protocol["bootstrap"]
    nulls, level = protocol.get("nulls", {}), bootstrap["level"]
    targets = protocol.get("targets", {})
    types = [f"{name} ({listed(targets[name])})" if name in targets else name for name in protocol["event_types"]]
    primary, smallest = overall["primary_figure"], overall["smallest_effect"]
    scored = [name for name, entry in material.model["signals"].items() if entry["weight"]]
    rows: list[tuple[str, str]] = [
        ("Question", f"{material.hypothesis_family}, trial {material.trial_number} of it"),
        ("Target events", listed(types)),
        ("Horizon H", hours(protocol["horizon_hours"])),
        ("Period", f"{moment(epoch(grid['start']))} to {moment(epoch(grid['end']))} UTC, "
                   f"a point every {hours(grid['step_seconds'] / 3600)}"
                   + (", each entity from the first to the last day of its coverage only"
                      if grid.get("within") == "coverage" else "")),
        ("Universe", f"{counted(material.evaluation['entities'], 'entity')} whose target events "
                     f"would have been seen"),
        ("Signals scored", f"{len(scored)} of {len(material.model['signals'])} in the model"
                           + (f": {listed(scored)}" if len(scored) <= 12 else "")),
        ("Alert rule", f"fires at an alert score of {alert['threshold']:.10g}, armed again below "
                       f"{alert['rearm_below']:.10g} and after {hours(alert['refractory_hours'])}"),
        ("Judged on", FIGURES[primary].label + (
            f"; smallest effect of interest {difference(FIGURES[primary].kind, smallest)}" if smallest is not None
            else "; no smallest effect of interest was named")),
        ("Calibration", _calibration(protocol)),
        ("Intervals", f"{percent(level)}, {count(bootstrap['replicates'])} bootstrap replicates over entity × "
                      f"{hours(bootstrap['cluster_hours'])}"),
        ("Nulls", f"{count(nulls.get('draws', 200))} draws each: {listed(NULLS.values())}"
                  + (" (all entities by the same shift)" if nulls.get("shift") == "common" else "")),
    ]  # fmt: skip
    return Table("What was asked, fixed before any result", ("", ""), rows, words=2)


def _calibration(protocol: Document) -> str:
    method = protocol["calibration"]["method"]
    if method == "none":
        return "none: the alert score is taken as the probability"
    return (
        f"{method}, fitted on the past only, {counted(protocol['folds'], 'fold')}, embargo "
        f"{hours(protocol['embargo_hours'])}"
    )


def dataset(overall: Document) -> Table:
    """Return the counts of the dataset beside what the protocol needs."""
    rows = [
        (words(name).capitalize(), count(counts["found"]), count(counts["needed"]),
         "yes" if counts["found"] >= counts["needed"] else "too few")
        for name, counts in overall["dataset"].items()
    ]  # fmt: skip
    return Table(
        "Uncensored target events, beside the minimum dataset", ("count of", "found", "needed", "enough?"), rows
    )


def figures(section: Document, evidence: str, primary: str) -> Table:
    """Return every figure of one variant: value, n, and for each null its value, the difference and p."""
    rows = []
    for name, meaning in FIGURES.items():
        value, reason = _value(section, name)
        label = meaning.label + (" (judged)" if name == primary else "")
        if value is None:
            rows.append((label, f"{NOTHING}: {reason}", "", *([""] * 6)))
            continue
        cells: list[str] = []
        for null in NULLS:
            cells += _beside(section["nulls"].get(null, {}).get(name), meaning.kind)
        rows.append((label, figure(meaning.kind, value, section["intervals"].get(name)), _n(section, name), *cells))
    heads = [head for null in NULLS.values() for head in (f"null: {null}", "difference", "p")]
    return Table(f"Figures {EVIDENCE[evidence]}" if evidence.startswith("without") else "Figures from all evidence",
                 ("figure", "value [interval]", "n", *heads), rows)  # fmt: skip


def _value(section: Document, name: str) -> tuple[float | None, str]:
    bare, _, part = name.partition(".")
    holder = section.get("figures", section)
    held = section.get(bare) if part else holder.get(bare)
    value = held[part] if part and held is not None else held
    return value, str(section["reasons"].get(name) or section["reasons"].get(bare) or "no reason is stored")


def _n(section: Document, name: str) -> str:
    if name.startswith("lead"):
        # Of the uncensored events only; `matches` has the others too.
        return counted(round(section["recall"] * section["n_events"]), "matched event")
    field = _N.get(name, "n_scored_points")
    return f"{count(section[field])} {words(field[2:]).replace('scored ', '')}"


def _beside(null: Mapping[str, Any] | None, kind: str) -> list[str]:
    if null is None:
        return ["none", "", ""]
    moved = NOTHING if null["difference"] is None else difference(kind, null["difference"], null["difference_interval"])
    chance = NOTHING if null["p_value"] is None else p_value(null["p_value"])
    return [figure(kind, null["value"], null), moved, chance]


def differences(overall: Document) -> Table:
    """Return what leaving the circular evidence out changed: each figure, both variants, paired difference."""
    rows = []
    for name in FIGURES:
        pair = overall["difference"][name]
        kind = FIGURES[name].kind
        both = [_value(overall[evidence], name)[0] for evidence in EVIDENCE]
        values = [NOTHING if value is None else figure(kind, value) for value in both]
        moved = difference(kind, pair["value"], pair["interval"]) if pair["value"] is not None else pair["reason"]
        rows.append((FIGURES[name].label, *values, moved))
    return Table("Leaving circular evidence out: what changed",
                 ("figure", *EVIDENCE.values(), "difference [paired interval]"), rows)  # fmt: skip


def by_event_type(evaluation: Document) -> Table | None:
    """Return the figures of each target type alone; None where there is one type only."""
    types = evaluation["by_event_type"]
    if not types:
        return None
    rows = []
    for name, study in types.items():
        for evidence, text in EVIDENCE.items():
            section = study[evidence]
            if section is None:
                continue
            cells = []
            for item in ("base_rate", "precision", "recall", "lead_time_hours.median", "auc"):
                value, reason = _value(section, item)
                shown = (
                    figure(FIGURES[item].kind, value, section["intervals"].get(item)) if value is not None else reason
                )
                cells.append(shown)
            if section["status"] != "evaluated":
                # One reason for all of them: said once.
                cells = [cells[1], *[""] * 4]
            rows.append((name, text, count(study["entities"]), count(section["n_events"]), *cells))
    heads = ("base rate", "precision", "recall", "median lead", "AUC")
    return Table("Each type as the only target, of the entities where it would have been seen",
                 ("type", "evidence", "entities", "events", *heads), rows, words=2)  # fmt: skip


def time_precision(evaluation: Document) -> Table | None:
    """Return what is known of the events by how exact their times are; None where every time is exact."""
    apart = evaluation.get("by_time_precision")
    if not apart:
        return None
    rows = []
    for precision, found in apart.items():
        leads, error = found["lead_time_hours"], found["largest_error_seconds"]
        rows.append(
            (precision, count(found["events"]), hours(error / 3600) if error else "none",
             NOTHING if found["recall"] is None else figure("share", found["recall"]), count(found["matched"]),
             count(found["leads_shorter_than_error"]),
             NOTHING if leads is None else " / ".join(hours(leads[name]) for name in ("q25", "median", "q75")))
        )  # fmt: skip
    return Table("Events by how exactly their time is known, all evidence; a lead shorter than the error is none",
                 ("time", "events", "largest error", "recall", "matched", "leads left out", "lead quartiles"),
                 rows)  # fmt: skip


def months(section: Document) -> Table:
    """Return counts, base rate and the main figures of each month."""
    rows = []
    for name, part in section["by_month"].items():
        cells = []
        for item in ("base_rate", "precision", "recall", "auc"):
            value, reason = _value(part, item)
            spread = part["intervals"].get(item)
            cells.append(figure(FIGURES[item].kind, value, spread) if value is not None else f"{NOTHING}: {reason}")
        rows.append((name, count(part["n_points"]), count(part["n_events"]), count(part["n_alerts"]), *cells))
    return Table("By month (UTC) of the alert, the event, the grid point",
                 ("month", "points", "events", "alerts", "base rate", "precision", "recall", "AUC"), rows)  # fmt: skip


def trials(found: Sequence[Trial], run_hash: str, level: float) -> Table:
    """Return the trials of the question, raw and corrected."""
    alpha = round(1.0 - level, 12)
    rows = [
        (f"{trial.number}" + (" (this run)" if trial.run_hash == run_hash else ""), trial.run_hash[:12],
         "none: counted as 1" if trial.p_value is None else p_value(trial.p_value),
         *(f"{p_value(value)} ({'holds' if value <= alpha else 'does not hold'})"
           for value in (trial.holm, trial.benjamini_hochberg)))
        for trial in found
    ]  # fmt: skip
    return Table(f"Trials of this question up to this one, at {percent(alpha)}",
                 ("trial", "run", "p", "Holm", "Benjamini-Hochberg"), rows, words=2)  # fmt: skip


def audit(evaluation: Document) -> Table:
    """Return the moments at which the input was cut short."""
    rows = [
        (moment(item["at"]) + " UTC", count(item["events"]), count(item["points"]), item["content_hash"][:12])
        for item in evaluation["leak_audit"]["moments"]
    ]
    return Table("Inputs cut short at random moments: every score and alert up to each was the same bytes",
                 ("cut at", "events before it", "grid points before it", "hash of these"), rows)  # fmt: skip


def left_out(evaluation: Document) -> Table:
    """Return what is not in the figures, how much of it, and why."""
    rows = [(what, why, count(how_many)) for what, how_many, why in _left_out(evaluation)]
    return Table("Not in the figures", ("what", "why", "how many"), rows, words=2)


def _left_out(evaluation: Document) -> Iterator[tuple[str, int, str]]:
    whole = evaluation["overall"]["all_evidence"]
    yield ("censored alerts", whole["censored_alerts"],
           "the grid ends before their horizon does: not counted for precision")  # fmt: skip
    yield ("censored events", whole["censored_events"],
           "the grid starts less than a horizon before them, or after them: not counted for recall")  # fmt: skip
    if whole["status"] == "evaluated":
        yield ("uncensored grid points without a probability", whole["n_points"] - whole["n_scored_points"],
               "no calibration could be fitted on the past of their fold: not in AUC, Brier and the like")  # fmt: skip
    why = {
        "signal events of entities without coverage": "nobody could have seen whether these entities had an event",
        "entities covered by no source of the target labels": "their silence is no negative",
        "events of other types": "not asked for",
        "events of other subtypes": "not asked for",
        "events after the grid's end": "out of scope",
        "grid points outside the protocol's grid": "out of scope",
    }
    for name, value in [*evaluation["left_out"].items(), *whole["left_out"].items()]:
        yield name, value, why.get(name, "")


def folds(section: Document) -> Table | None:
    """Return the stretches of the walk-forward calibration; None where there is none."""
    if not section["calibration"]:
        return None
    rows = []
    for fold in section["calibration"]:
        first, last, until = (epoch(fold[name] // 1_000_000) for name in ("start", "end", "trained_until"))
        points, positives = count(fold["training_points"]), count(fold["training_positives"])
        stretch = f"{moment(first)} to {moment(last)}"
        rows.append((stretch, moment(until), fold["reason"] or "fitted", points, positives))
    heads = ("forecast (UTC)", "trained until", "outcome", "points", "followed by an event")
    return Table("Calibration: each stretch is forecast from its past alone", heads, rows, words=3)


def hashes(material: Material) -> Table:
    """Return every hash of the manifest. Ids and moments of this installation are left out: they are no part of it."""
    manifest = material.manifest
    rows = [
        ("run", material.run_hash),
        ("manifest", material.manifest_hash),
        ("spec", manifest["spec_hash"]),
        ("snapshot", manifest["snapshot"]["hash"]),
        ("dataset of labels", manifest["dataset"]["hash"]),
        ("signal definitions", manifest["signal_definitions_hash"]),
        ("scoring model", manifest["scoring_model"]["hash"]),
        ("latency model", manifest["latency_model"]["hash"]),
        ("evaluation protocol", manifest["evaluation_protocol"]["hash"]),
        ("environment", manifest["environment_hash"]),
        ("evaluation", manifest["evaluation_hash"]),
    ]
    return Table("Hashes (SHA-256)", ("what", "hash"), rows, words=2)


def inputs(manifest: Document) -> Table:
    """Return the files that were read."""
    rows = [
        (item["kind"], item["partition"], item["file_hash"], item["content_hash"], count(item["rows"]))
        for item in manifest["inputs"]
    ]
    return Table("Read: the parts of the snapshot",
                 ("part", "stretch", "hash of the file", "hash of the rows", "rows"), rows, words=4)  # fmt: skip


def outputs(manifest: Document) -> Table:
    """Return the files that were made."""
    rows = [
        (item["name"], item["file_hash"], item["content_hash"], count(item["rows"]), count(item["size_bytes"]))
        for item in manifest["outputs"]
    ]
    return Table("Made", ("file", "hash of the file", "hash of the rows", "rows", "bytes"), rows, words=3)


def markdown(section: Document, level: float) -> str:
    """Return the main figures as a Markdown table: value, the least favourable words left to the report."""
    lines = [f"| figure | value ({percent(level)} interval) | {' | '.join(NULLS.values())} |", "|---|---|---|---|"]
    for name in ("precision", "recall", "lead_time_hours.median", "auc", "base_rate"):
        value, reason = _value(section, name)
        if value is None:
            lines.append(f"| {FIGURES[name].label} | {NOTHING}: {reason} | | |")
            continue
        kind = FIGURES[name].kind
        beside = [section["nulls"].get(null, {}).get(name) for null in NULLS]
        cells = [figure(kind, null["value"], null) if null else "" for null in beside]
        lines.append(f"| {FIGURES[name].label} | {figure(kind, value, section['intervals'].get(name))} | "
                     f"{' | '.join(cells)} |")  # fmt: skip
    return "\n".join(lines)
