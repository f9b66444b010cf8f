"""From a run's material to the bytes of its report: one HTML file that needs nothing but itself.

No clock, no id of this installation, no order of a set: the same run gives the same bytes on any machine.
"""

from __future__ import annotations

from typing import Any

import jinja2
from markupsafe import Markup

from . import contributions, pictures, sections
from .material import Material
from .timeline import timeline
from .verdict import ALL, STRICT, Verdict, judge
from .wording import FIGURES, NULLS, counted, epoch

TEMPLATES = "templates"


def verdict_of(material: Material) -> Verdict:
    """Return the verdict on a run among the trials of its question."""
    return judge(material.evaluation, material.protocol, material.trial, len(material.trials))


def report_html(material: Material) -> bytes:
    """Return the report as UTF-8 HTML: no script, no external resource, the same bytes for the same material."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = environment.get_template("report.css").render()
    # The style sheet is ours and has no markup in it; escaping would turn its quotes and arrows into text.
    return environment.get_template("report.html").render(style=Markup(style), **_content(material)).encode()


def report_markdown(material: Material) -> str:
    """Return the verdict and the main figures as Markdown, for places that show a few lines."""
    verdict = verdict_of(material)
    lines = [f"**{verdict.headline}**", "", *(f"- {sentence}" for sentence in verdict.sentences), ""]
    shown = material.evaluation["overall"][STRICT] or material.evaluation["overall"][ALL]
    if material.evaluation["status"] == "complete":
        lines += [sections.markdown(shown, material.protocol["bootstrap"]["level"]), ""]
    return "\n".join(lines)


def _content(material: Material) -> dict[str, Any]:
    evaluation, protocol = material.evaluation, material.protocol
    overall = evaluation["overall"]
    whole, strict = overall[ALL], overall[STRICT]
    level, verdict = protocol["bootstrap"]["level"], verdict_of(material)
    circular = overall["circular_evidence"]
    circular_events = circular["events_by_family"] + circular["events_by_record"] if circular else 0
    explained = contributions.explained_alerts(material.samples, material.alerts)
    grid = protocol["grid"]
    content: dict[str, Any] = {
        "material": material,
        "verdict": verdict,
        "period": (f"{epoch(grid['start']):%Y-%m-%d}", f"{epoch(grid['end']):%Y-%m-%d}"),
        "asked": sections.asked(material),
        "dataset": sections.dataset(whole),
        "timeline": timeline(material.alerts, material.events, protocol, matched=strict is not None),
        "families": contributions.families(explained, material.definitions, matched=strict is not None),
        "signals": contributions.signals(explained, material.definitions, matched=strict is not None),
        "strongest": contributions.strongest(explained, material.definitions, matched=strict is not None),
        "explained": len(explained),
        "fired": counted(material.alerts.num_rows, "alert"),
        "some": len(explained) < material.alerts.num_rows,
        "left_out": sections.left_out(evaluation),
        "warnings": whole["warnings"],
        "audit": sections.audit(evaluation),
        "audit_seed": evaluation["leak_audit"]["seed"],
        "trials": sections.trials(material.trials, material.run_hash, level),
        "hashes": sections.hashes(material),
        "inputs": sections.inputs(material.manifest),
        "outputs": sections.outputs(material.manifest),
        "meanings": [(figure.label, figure.meaning) for figure in FIGURES.values()],
        "nulls": list(NULLS.values()),
        "circular": circular,
        "circular_events": circular_events,
        "circular_text": counted(circular_events, "event"),
        "evaluated": strict is not None,
    }
    if strict is None:
        return content
    primary = whole["primary_figure"]
    same = not circular_events
    return content | {
        "figures": [sections.figures(strict, "all_evidence" if same else STRICT, primary)]
        + ([] if same else [sections.figures(whole, ALL, primary)]),
        "beside_nulls": pictures.beside_nulls(strict, level, "all of it" if same else "without circular evidence"),
        "precision_recall": pictures.precision_recall(strict, level),
        "reliability": pictures.reliability(strict, level),
        "lead_time": pictures.lead_time(strict, level, protocol["horizon_hours"]),
        "by_month": pictures.by_month(strict, primary, level),
        "months": sections.months(strict),
        "types": sections.by_event_type(evaluation),
        "precisions": sections.time_precision(evaluation),
        "circularity": pictures.circularity(overall),
        "differences": sections.differences(overall),
        "folds": sections.folds(strict),
    }
