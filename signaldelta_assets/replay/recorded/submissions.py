"""Submissions lists and XBRL facts as recorded, each file by its own name and in the order of trust of its folder.

One CIK can have several copies. They are never merged: one file is served, the others are counted.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..archive import Document, Tally
from .files import document, listing, read, relative

# Bytes as the SEC sent them first; then copies written again by a repository, the fullest first.
SUBMISSION_FOLDERS = ("as_served", "merged_full_history", "paged", "wrapped_recent")
FACT_FOLDERS = ("as_served", "reserialised")
_NAME = re.compile(r"(?:CIK|submissions_)(\d{10})((?:-submissions-\d+)?)\.json(?:\.gz)?")
# The columns of `filings.recent`, as data.sec.gov serves them.
COLUMNS = (
    "accessionNumber",
    "filingDate",
    "reportDate",
    "acceptanceDateTime",
    "act",
    "form",
    "fileNumber",
    "filmNumber",
    "items",
    "core_type",
    "size",
    "isXBRL",
    "isInlineXBRL",
    "primaryDocument",
    "primaryDocDescription",
)


@dataclass(frozen=True, slots=True)
class _Copy:
    folder: str
    path: Path


class SubmissionFiles:
    """`data.sec.gov/submissions` out of `sec/submissions/*`: main files and their older pages."""

    def __init__(self, root: Path, order: tuple[str, ...] = SUBMISSION_FOLDERS) -> None:
        self._root = root
        self._order = order

    @cached_property
    def _copies(self) -> dict[str, list[_Copy]]:
        found: dict[str, list[_Copy]] = {}
        for folder in self._order:
            for path in listing(self._root / "sec/submissions" / folder, "*.json*"):
                match = _NAME.fullmatch(path.name)
                if match:
                    found.setdefault(f"CIK{match[1]}{match[2]}.json", []).append(_Copy(folder, path))
        return found

    @cached_property
    def _pages_without_main(self) -> dict[str, list[str]]:
        pages: dict[str, list[str]] = {}
        for name in self._copies:
            main = name.split("-")[0].removesuffix(".json") + ".json"
            if name != main and main not in self._copies:
                pages.setdefault(main, []).append(name)
        return pages

    def get(self, name: str) -> Document | None:
        """Return the file `CIK##########.json` or `CIK##########-submissions-NNN.json`.

        A wrapped copy is unwrapped. Where only pages were recorded, the main file is assembled: it lists them and has
        no filings of its own, because a client finds pages through the main file alone.
        """
        copies = self._copies.get(name)
        if copies:
            chosen = copies[0]
            if chosen.folder != "wrapped_recent":
                return document(self._root, chosen.path, "application/json")
            body = json.dumps(json.loads(read(chosen.path))["data"], separators=(",", ":")).encode()
            modified = chosen.path.stat().st_mtime
            return Document(body, "application/json", relative(self._root, chosen.path), True, modified)
        pages = self._pages_without_main.get(name)
        return self._main_of(name, sorted(pages)) if pages else None

    def _main_of(self, name: str, pages: list[str]) -> Document:
        files = []
        for page in pages:
            columns = json.loads(read(self._copies[page][0].path))
            dates = [day for day in columns["filingDate"] if day]
            files.append(
                {
                    "name": page,
                    "filingCount": len(columns["accessionNumber"]),
                    "filingFrom": min(dates, default=""),
                    "filingTo": max(dates, default=""),
                }
            )
        main = {"cik": name[3:13], "filings": {"recent": {column: [] for column in COLUMNS}, "files": files}}
        source = relative(self._root, self._copies[pages[0]][0].path.parent)
        return Document(json.dumps(main, separators=(",", ":")).encode(), "application/json", source, True)

    def inventory(self) -> list[dict[str, Any]]:
        """Return one row per CIK: name, tickers, which copy is served, which are not, and its pages."""
        result: dict[str, dict[str, Any]] = {}
        for main, pages in self._pages_without_main.items():
            row: dict[str, Any] = {"cik": int(main[3:13]), "name": None, "tickers": [], "served": "assembled"}
            result[main] = row | {"other_copies": [], "pages": sorted(pages)}
        for name, copies in self._copies.items():
            if len(name) != len("CIK0000000000.json"):
                main = name[:13] + ".json"
                if main in self._copies:
                    result.setdefault(main, {}).setdefault("pages", []).append(name)
                continue
            head = json.loads(read(copies[0].path))
            head = head.get("data", head)
            result.setdefault(name, {}).setdefault("pages", [])
            result[name] |= {
                "cik": int(head["cik"]),
                "name": head.get("name"),
                "tickers": head.get("tickers") or [],
                "served": copies[0].folder,
                "other_copies": [copy.folder for copy in copies[1:]],
            }
        return sorted(result.values(), key=lambda row: row["cik"])

    def unserved(self, tally: Tally) -> None:
        """Count the copies and foreign files that no address leads to."""
        spare = sum(len(copies) - 1 for copies in self._copies.values())
        tally.add("sec/submissions", spare, "another copy of the same list is served")
        known = {copy.path for copies in self._copies.values() for copy in copies}
        rest = [p for p in listing(self._root / "sec/submissions", "*/*") if p not in known]
        tally.add("sec/submissions", len(rest), "not named after a CIK")


class FactFiles:
    """`data.sec.gov/api/xbrl/companyfacts` out of `sec/companyfacts/*`."""

    def __init__(self, root: Path, order: tuple[str, ...] = FACT_FOLDERS) -> None:
        self._root = root
        self._order = order

    @cached_property
    def _paths(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in self._order:
            for path in listing(self._root / "sec/companyfacts" / folder, "CIK*.json*"):
                found.setdefault(path.name.removesuffix(".gz"), path)
        return found

    def get(self, name: str) -> Document | None:
        """Return the file `CIK##########.json`."""
        path = self._paths.get(name)
        return document(self._root, path, "application/json") if path else None

    def ciks(self) -> list[int]:
        """Return the CIKs that have facts."""
        return sorted(int(name[3:13]) for name in self._paths)
