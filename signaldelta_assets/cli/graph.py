"""The asset graph as an SVG picture, drawn from the running definitions: one column per layer, parents to the left."""

from __future__ import annotations

from html import escape

import dagster as dg

COLUMNS = (("raw",), ("signals", "labels"), ("snapshots", "scores"), ("backtests",), ("staging",), ("marts",))
COLOURS = {
    "raw": "#cfe3f5", "signals": "#d8efd3", "labels": "#fbe3c4", "snapshots": "#e6dbf3",
    "scores": "#f7d3dc", "backtests": "#f3efc2", "staging": "#e5e7ea", "marts": "#d5d9de",
}  # fmt: skip
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 190, 24, 60, 8, 24


def asset_graph_svg(repository: dg.RepositoryDefinition) -> str:
    """Return the graph of all executable assets as SVG text; the same definitions give the same text."""
    graph = repository.asset_graph
    keys = sorted(graph.executable_asset_keys)
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
        for parent in sorted(graph.get(key).parent_keys):
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
        lines.append(
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="4" fill="{COLOURS[key.path[0]]}" '
            f'stroke="#6b7683"/><text x="{x + 8:g}" y="{y + 16:g}">{escape(label)}</text>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"
