"""The entities to collect: a JSON list of {cik, tickers, name}, further keys ignored."""

from __future__ import annotations

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
