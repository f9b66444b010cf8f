"""The route list as one plain page: the usual viewers load their scripts from elsewhere, and no package ships them."""

from __future__ import annotations

from html import escape
from typing import Any

_STYLE = """body{font:14px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code{font-family:ui-monospace,monospace}details{border-top:1px solid #ccc;padding:.4rem 0}
summary{cursor:pointer}table{border-collapse:collapse}td{padding:.1rem .8rem .1rem 0;vertical-align:top}"""


def _route(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(item['name'])}</code></td><td>{escape(item['in'])}"
        f"{', required' if item.get('required') else ''}</td><td>{escape(item.get('description', ''))}</td></tr>"
        for item in operation.get("parameters", [])
    )
    title = f"<code>{method.upper()} {escape(path)}</code> {escape(operation.get('summary', ''))}"
    return (
        f"<details><summary>{title}</summary>"
        f"<p>{escape(operation.get('description', ''))}</p><table>{rows}</table></details>"
    )


def listing(document: dict[str, Any]) -> str:
    """Return the HTML of an OpenAPI document: routes by tag, with their parameters."""
    by_tag: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            by_tag.setdefault(operation["tags"][0], []).append(_route(path, method, operation))
    body = "".join(f"<h2>{escape(tag)}</h2>{''.join(routes)}" for tag, routes in by_tag.items())
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f'<h1>{title}</h1><p><a href="openapi.json">OpenAPI document</a></p>{body}</html>'
    )
