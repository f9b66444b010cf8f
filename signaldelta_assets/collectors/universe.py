"""The entities to collect: a JSON list of {cik, tickers, name}, further keys ignored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from signaldelta_assets.errors import DocumentError


@dataclass(frozen=True, slots=True)
class UniverseEntity:
    """One entity. `cik` has 10 digits, zero padded, and is its entity id; the first ticker is the primary one."""

    cik: str
    name: str
    tickers: tuple[str, ...] = ()

    @property
    def entity_id(self) -> str:
        """The entity id of an equity: its issuer CIK."""
        return self.cik


def parse_universe(document: Any) -> tuple[UniverseEntity, ...]:
    """Return the entities of a universe document, ordered by CIK. Raises DocumentError naming the field."""
    if not isinstance(document, list):
        raise DocumentError("universe", "a JSON list of entities", type(document).__name__)
    entities: dict[str, UniverseEntity] = {}
    for number, row in enumerate(document):
        field = f"universe[{number}]"
        if not isinstance(row, dict):
            raise DocumentError(field, "an object with cik, tickers and name", type(row).__name__)
        cik = str(row.get("cik") if row.get("cik") is not None else "")
        if not cik.isascii() or not cik.isdigit() or len(cik) > 10:
            raise DocumentError(f"{field}.cik", "a CIK of 1 to 10 digits", row.get("cik"))
        tickers = row.get("tickers") or []
        if not isinstance(tickers, list) or not all(isinstance(ticker, str) and ticker for ticker in tickers):
            raise DocumentError(f"{field}.tickers", "a list of tickers", tickers)
        entity = UniverseEntity(cik.zfill(10), str(row.get("name") or ""), tuple(dict.fromkeys(tickers)))
        if entity.cik in entities:
            raise DocumentError(f"{field}.cik", "each CIK once", cik)
        entities[entity.cik] = entity
    return tuple(entities[cik] for cik in sorted(entities))


def load_universe(path: Path) -> tuple[UniverseEntity, ...]:
    """Read a universe file. Raises DocumentError."""
    try:
        return parse_universe(orjson.loads(path.read_bytes()))
    except (OSError, orjson.JSONDecodeError) as error:
        raise DocumentError("universe", f"a JSON file at {path.name}", error) from error


def resolve_tickers(
    rows: Sequence[Mapping[str, Any]], company_tickers: Mapping[str, Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Give every row a CIK and its tickers by the SEC's own list; return (rows by CIK, tickers nobody is known by).

    `rows` have cik (or None), tickers and name; `company_tickers` is the body of files/company_tickers.json: cik_str,
    ticker, title per entry, as of today. Rows of one CIK become one. The list has no dates, so a ticker that changed
    hands before it was made may name the wrong issuer: prefer a row that brings its CIK.
    """
    by_ticker: dict[str, int] = {}
    listed: dict[int, list[str]] = {}
    names: dict[int, str] = {}
    for entry in company_tickers.values():
        by_ticker.setdefault(str(entry["ticker"]), int(entry["cik_str"]))
        listed.setdefault(int(entry["cik_str"]), []).append(str(entry["ticker"]))
        names.setdefault(int(entry["cik_str"]), str(entry["title"]))
    found: dict[int, dict[str, Any]] = {}
    unknown: list[str] = []
    # Rows with a CIK first: what they say of their tickers comes before what the list says.
    for row in sorted(rows, key=lambda one: one.get("cik") is None):
        tickers = [str(ticker) for ticker in row.get("tickers") or []]
        ciks = {int(row["cik"])} if row.get("cik") is not None else {by_ticker[t] for t in tickers if t in by_ticker}
        unknown += [ticker for ticker in tickers if row.get("cik") is None and ticker not in by_ticker]
        for cik in sorted(ciks):
            kept = found.setdefault(cik, {"cik": f"{cik:010d}", "name": "", "tickers": []})
            own = tickers if row.get("cik") is not None else [t for t in tickers if by_ticker.get(t) == cik]
            kept["tickers"] = list(dict.fromkeys([*kept["tickers"], *own]))
            kept["name"] = kept["name"] or row.get("name") or names.get(cik, "")
    for cik, kept in found.items():
        kept["tickers"] = kept["tickers"] or listed.get(cik, [])
    return [found[cik] for cik in sorted(found)], sorted(set(unknown))
