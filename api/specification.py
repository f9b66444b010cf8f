"""The documents beside the code: docs/openapi.json, which is the API's as it is, and the one that was published.

``python -m api.specification current`` writes the one, and the tables of docs/api.md. ``publish`` makes it the
published one, and refuses where that would break a client of this version: then the change belongs under a new prefix.
``check`` tells what changed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from signaldelta_assets.warehouse import ArtifactStore, Warehouse

from .app import Parts, create_app
from .compatibility import BREAKING, HARMLESS, compare
from .kinds import KINDS

_DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = _DOCS / "api.md"
CURRENT, PUBLISHED = _DOCS / "openapi.json", _DOCS / "openapi-published.json"


def described() -> dict[str, Any]:
    """Return the document of the API as the code makes it. Opens nothing."""
    return create_app(Parts(Warehouse("postgresql://"), ArtifactStore(Path("artifacts")))).openapi()


def written(document: dict[str, Any]) -> str:
    """Return the text of a document: the same for the same, a line for each member."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def page(text: str) -> str:
    """Return docs/api.md, whose text is `text`, with its tables made anew from the code."""
    problems = ["| type | status | when |", "|---|---|---|"]
    for kind, (statuses, when) in KINDS.items():
        problems.append(f"| `urn:signaldelta:problem:{kind}` | {', '.join(map(str, statuses))} | {when} |")
    rules = [
        "| breaks a client | rule |",
        "|---|---|",
        *(f"| {words} | `{rule}` |" for rule, words in BREAKING.items()),
    ]
    rules += ["", "| harmless | rule |", "|---|---|", *(f"| {words} | `{rule}` |" for rule, words in HARMLESS.items())]
    for name, lines in {"problems": problems, "rules": rules}.items():
        begin = f"<!-- {name}: made by `make openapi` -->\n"
        before, _, rest = text.partition(begin)
        text = before + begin + "\n".join(lines) + "\n" + rest[rest.index("<!-- end -->") :]
    return text


def publish(new: dict[str, Any], published: Path = PUBLISHED) -> int:
    """Make `new` the published document. Returns 1, and writes nothing, where that would break a client."""
    changes = compare(json.loads(published.read_text()), new) if published.exists() else []
    for change in changes:
        print("BREAKING " if change.breaking else "harmless ", change, sep="", file=sys.stderr)
    if any(change.breaking for change in changes):
        print("refused: a change that breaks a client needs a new prefix (docs/api.md)", file=sys.stderr)
        return 1
    published.write_text(written(new))
    return 0


def main(command: str) -> int:
    """Run a command; returns the exit code."""
    new = described()
    if command == "current":
        CURRENT.write_text(written(new))
        PAGE.write_text(page(PAGE.read_text()))
        return 0
    if command == "publish":
        return publish(new)
    if command == "check":
        changes = compare(json.loads(PUBLISHED.read_text()), new)
        for change in changes:
            print("BREAKING " if change.breaking else "harmless ", change, sep="")
        return int(any(change.breaking for change in changes))
    print("expected current, check or publish", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or [""]))
