"""The asset graph as an SVG picture, drawn from the running definitions: one column per layer, parents to the left.

The signals of a domain are one box, which says how many they are: a line per signal would hide all others.
"""

from __future__ import annotations

from collections import Counter
from html import escape

import dagster as dg

COLUMNS = (("raw",), ("signals", "labels", "llm"), ("snapshots", "scores"), ("backtests",), ("staging",), ("marts",))
COLOURS = {
    "raw": "#cfe3f5", "signals": "#d8efd3", "labels": "#fbe3c4", "snapshots": "#e6dbf3",
    "llm": "#e8e0d0", "scores": "#f7d3dc", "backtests": "#f3efc2", "staging": "#e5e7ea", "marts": "#d5d9de",
}  # fmt: skip
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 190, 24, 60, 8, 24


def box(key: dg.AssetKey) -> dg.AssetKey:
    """Return what an asset is drawn as: itself, or the domain of a signal, ``signals/insider``."""
    return dg.AssetKey(list(key.path[:2])) if key.path[0] == "signals" else key


def asset_graph_svg(repository: dg.RepositoryDefinition) -> str:
    """Return the graph of all executable assets as SVG text; the same definitions give the same text."""
    graph = repository.asset_graph
    members = Counter(box(key) for key in graph.executable_asset_keys)
    parents: dict[dg.AssetKey, set[dg.AssetKey]] = {key: set() for key in members}
    for key in graph.executable_asset_keys:
        parents[box(key)] |= {box(parent) for parent in graph.get(key).parent_keys}
    # What is no part of the way of the data, such as the maintenance, has no column.
    drawn = {layer for layers in COLUMNS for layer in layers}
    keys = sorted(key for key in members if key.path[0] in drawn)
    place: dict[dg.AssetKey, tuple[float, float]] = {}
    columns = [[key for layer in layers for key in keys if key.path[0] == layer] for layers in COLUMNS]
    tallest = max(map(len, columns))
    for number, column in enumerate(columns):
        top = MARGIN + (tallest - len(column)) * (HEIGHT + GAP_Y) / 2
        for row, key in enumerate(column):
            place[key] = (MARGIN + number * (WIDTH + GAP_X), top + row * (HEIGHT + GAP_Y))
    width = 2 * MARGIN + len(columns) * (WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + tallest * (HEIGHT + GAP_Y) - GAP_Y
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for key in keys:
        x, y = place[key]
        for parent in sorted(parents[key]):
            if parent in place and place[parent][0] < x:
                px, py = place[parent][0] + WIDTH, place[parent][1] + HEIGHT / 2
                middle, cy = (px + x) / 2, y + HEIGHT / 2
                lines.append(
                    f'<path d="M{px:g} {py:g} C{middle:g} {py:g} {middle:g} {cy:g} {x:g} {cy:g}" '
                    'fill="none" stroke="#8a94a0" stroke-opacity="0.35"/>'
                )
    for key in keys:
        x, y = place[key]
        label = "/".join(key.path) if len(key.path) > 2 or key.path[0] not in ("staging", "marts") else key.path[1]
        if members[key] > 1 or key.path[0] == "signals":
            label += f" ({members[key]})"
        lines.append(
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="4" fill="{COLOURS[key.path[0]]}" '
            f'stroke="#6b7683"/><text x="{x + 8:g}" y="{y + 16:g}">{escape(label)}</text>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"
