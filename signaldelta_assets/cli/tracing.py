"""`signaldelta trace`: the whole way of one action, from the request to the rows, by any id of it."""

from __future__ import annotations

import json

from rich.console import Console

from signaldelta_assets.observability.tracing import trace
from signaldelta_assets.settings import Settings
from signaldelta_assets.warehouse import watched_urls


def show_trace(console: Console, settings: Settings, identifier: str, *, as_json: bool) -> None:
    """Print the way of the action that `identifier` names. Raises `UnknownIdError`."""
    found = trace(watched_urls(settings), settings.place, settings.logs_dir, identifier)
    if as_json:
        print(json.dumps(found.to_document(), ensure_ascii=False))
        return
    for line in found.lines():
        console.print(line, highlight=False, soft_wrap=True, markup=False)
