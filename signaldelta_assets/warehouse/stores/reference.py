"""Securities and their dated identifiers, as collectors find them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from signaldelta_assets.contracts import Pool, Security

from ..pools import Warehouse

GROUP = "reference"


@dataclass(frozen=True, slots=True)
class Identifier:
    """A ticker or name of an entity, half-open in days; None where the source gives no date."""

    kind: str
    value: str
    source: str
    valid_from: date | None = None
    valid_to: date | None = None


@dataclass(frozen=True, slots=True)
class SecurityRow:
    """One entity and its identifiers."""

    entity_id: str
    asset_class: str
    name: str
    cik: str | None = None
    sic: str | None = None
    fiscal_year_end: str | None = None
    primary_ticker: str | None = None
    currency: str = "USD"
    identifiers: tuple[Identifier, ...] = ()
    pool: Pool | None = None


def upsert_securities(warehouse: Warehouse, rows: Sequence[SecurityRow]) -> None:
    """Write securities and identifiers; a row that says the same is left as it is. One transaction."""
    if not rows:
        return
    ordered = sorted(rows, key=lambda row: row.entity_id)
    with warehouse.write(GROUP) as connection, connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO securities AS s (entity_id, asset_class, cik, name, sic, fiscal_year_end, primary_ticker,
                                         currency)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (entity_id) DO UPDATE
              SET name = excluded.name, cik = excluded.cik, currency = excluded.currency,
                  sic = coalesce(excluded.sic, s.sic),
                  fiscal_year_end = coalesce(excluded.fiscal_year_end, s.fiscal_year_end),
                  primary_ticker = coalesce(excluded.primary_ticker, s.primary_ticker),
                  updated_at = clock_timestamp()
              WHERE (s.name, s.cik, s.currency) IS DISTINCT FROM (excluded.name, excluded.cik, excluded.currency)
                 OR excluded.sic <> s.sic OR (s.sic IS NULL AND excluded.sic IS NOT NULL)
                 OR excluded.fiscal_year_end <> s.fiscal_year_end
                 OR (s.fiscal_year_end IS NULL AND excluded.fiscal_year_end IS NOT NULL)
                 OR excluded.primary_ticker <> s.primary_ticker
                 OR (s.primary_ticker IS NULL AND excluded.primary_ticker IS NOT NULL)
            """,
            [
                (r.entity_id, r.asset_class, r.cik, r.name, r.sic, r.fiscal_year_end, r.primary_ticker, r.currency)
                for r in ordered
            ],
        )
        cursor.executemany(
            """
            INSERT INTO security_identifiers AS i (entity_id, kind, value, source, valid_from, valid_to)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (entity_id, kind, value, source) DO UPDATE
              SET valid_from = excluded.valid_from, valid_to = excluded.valid_to, updated_at = clock_timestamp()
              WHERE (i.valid_from, i.valid_to) IS DISTINCT FROM (excluded.valid_from, excluded.valid_to)
            """,
            [
                (row.entity_id, i.kind, i.value, i.source, i.valid_from, i.valid_to)
                for row in ordered
                for i in sorted(row.identifiers, key=lambda one: (one.kind, one.value, one.source))
            ],
        )
        cursor.executemany(
            """
            INSERT INTO pools AS p (entity_id, token0, token1, decimals0, decimals1, created_block)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (entity_id) DO UPDATE
              SET token0 = excluded.token0, token1 = excluded.token1, created_block = excluded.created_block,
                  decimals0 = coalesce(excluded.decimals0, p.decimals0),
                  decimals1 = coalesce(excluded.decimals1, p.decimals1), updated_at = clock_timestamp()
              WHERE (p.token0, p.token1, p.created_block, p.decimals0, p.decimals1) IS DISTINCT FROM
                    (excluded.token0, excluded.token1, excluded.created_block,
                     coalesce(excluded.decimals0, p.decimals0), coalesce(excluded.decimals1, p.decimals1))
            """,
            [
                (row.entity_id, p.token0, p.token1, p.decimals0, p.decimals1, p.created_block)
                for row in ordered
                if (p := row.pool) is not None
            ],
        )


def add_missing(warehouse: Warehouse, rows: Sequence[SecurityRow]) -> None:
    """Add the entities that are not there yet, by what a universe says of them; what is known already stands."""
    with warehouse.read() as connection:
        found = connection.execute(
            "SELECT entity_id FROM securities WHERE entity_id = ANY(%s)", ([row.entity_id for row in rows],)
        ).fetchall()
    known = {row["entity_id"] for row in found}
    upsert_securities(warehouse, [row for row in rows if row.entity_id not in known])


def read_securities(warehouse: Warehouse, entity_ids: Iterable[str] | None = None) -> dict[str, Security]:
    """Return the securities by entity id, all of them or those asked for, with their dated tickers and names."""
    wanted = None if entity_ids is None else sorted(set(entity_ids))
    with warehouse.read() as connection:
        rows = connection.execute(
            """
            SELECT s.*, coalesce(t.tickers, '[]'::jsonb) AS tickers, coalesce(t.names, '[]'::jsonb) AS names,
                   p.token0, p.token1, p.decimals0, p.decimals1, p.created_block
            FROM securities s LEFT JOIN pools p USING (entity_id) LEFT JOIN LATERAL (
              SELECT jsonb_agg(jsonb_build_array(i.value, i.valid_from, i.valid_to) ORDER BY i.value, i.source)
                       FILTER (WHERE i.kind = 'ticker') AS tickers,
                     jsonb_agg(jsonb_build_array(i.value, i.valid_from, i.valid_to) ORDER BY i.value, i.source)
                       FILTER (WHERE i.kind = 'name') AS names
              FROM security_identifiers i WHERE i.entity_id = s.entity_id
            ) t ON true
            WHERE %(wanted)s::text[] IS NULL OR s.entity_id = ANY(%(wanted)s)
            ORDER BY s.entity_id
            """,
            {"wanted": wanted},
        ).fetchall()
    return {row["entity_id"]: _security(row) for row in rows}


def read_pools(warehouse: Warehouse) -> list[tuple[str, int]]:
    """Return (entity id, block of creation) of the pools whose creation was seen, in the order of their creation."""
    with warehouse.read() as connection:
        rows = connection.execute(
            "SELECT entity_id, created_block FROM pools WHERE created_block IS NOT NULL"
            ' ORDER BY created_block, entity_id COLLATE "C"'
        ).fetchall()
    return [(row["entity_id"], row["created_block"]) for row in rows]


def _security(row: dict[str, Any]) -> Security:
    def day(text: str | None) -> date | None:
        return None if text is None else date.fromisoformat(text)

    return Security(
        entity_id=row["entity_id"],
        name=row["name"],
        asset_class=row["asset_class"],
        cik=row["cik"],
        tickers=tuple((value, day(first), day(last)) for value, first, last in row["tickers"]),
        primary_ticker=row["primary_ticker"],
        sic=row["sic"],
        fiscal_year_end=row["fiscal_year_end"],
        currency=row["currency"],
        names=tuple((value, day(first), day(last)) for value, first, last in row["names"]),
        pool=Pool(row["token0"], row["token1"], row["decimals0"], row["decimals1"], row["created_block"])
        if row["token0"] is not None
        else None,
    )
