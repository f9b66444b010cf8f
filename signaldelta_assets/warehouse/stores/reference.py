"""The security master: securities and their dated identifiers, as collectors find them.

What a source says of an entity's identifiers replaces what the same source said before, and what was said before is
kept with the time until which it stood: what this database held at a moment can be read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from signaldelta_assets.contracts import Listing, Pool, Security, TickerBook

from ..pools import Warehouse

GROUP = "reference"


@dataclass(frozen=True, slots=True)
class Identifier:
    """An identifier of an entity, half-open in days; None where the source gives no date.

    kind: ticker, name, figi, share_class_figi, exchange. `share_class` and `primary` as in `contracts.Listing`.
    """

    kind: str
    value: str
    source: str
    valid_from: date | None = None
    valid_to: date | None = None
    share_class: str = ""
    primary: bool = False


@dataclass(frozen=True, slots=True)
class SecurityRow:
    """One entity and its identifiers: of every source among them, all that it says of the entity.

    `as_of` is the day whose state the source was asked for, where it can be asked for one; `listed_on` and
    `delisted_on` are part of such a state. An earlier state never replaces a later one, so that the order in which
    days are collected makes no difference.
    """

    entity_id: str
    asset_class: str
    name: str
    cik: str | None = None
    sic: str | None = None
    fiscal_year_end: str | None = None
    primary_ticker: str | None = None
    currency: str = "USD"
    identifiers: tuple[Identifier, ...] = ()
    as_of: date | None = None
    listed_on: date | None = None
    delisted_on: date | None = None
    pool: Pool | None = None


_SECURITY = ("entity_id", "asset_class", "cik", "name", "sic", "fiscal_year_end", "primary_ticker", "currency")
_IDENTIFIER = ("kind", "value", "source", "valid_from", "valid_to", "share_class", "is_primary")


def upsert_securities(warehouse: Warehouse, rows: Sequence[SecurityRow]) -> None:
    """Write securities and identifiers; a row that says the same is left as it is. One transaction."""
    if not rows:
        return
    ordered = sorted(rows, key=lambda row: row.entity_id)
    with warehouse.write_pool(GROUP).connection() as connection, connection.cursor() as cursor:
        # This locks each entity until the transaction ends: no other can replace its identifiers meanwhile.
        cursor.executemany(
            f"""
            INSERT INTO securities AS s ({", ".join(_SECURITY)})
            VALUES ({", ".join(["%s"] * len(_SECURITY))})
            ON CONFLICT (entity_id) DO UPDATE
              SET name = excluded.name, cik = excluded.cik, currency = excluded.currency,
                  sic = coalesce(excluded.sic, s.sic),
                  fiscal_year_end = coalesce(excluded.fiscal_year_end, s.fiscal_year_end),
                  primary_ticker = coalesce(excluded.primary_ticker, s.primary_ticker),
                  updated_at = clock_timestamp()
              WHERE (s.name, s.cik, s.currency) IS DISTINCT FROM (excluded.name, excluded.cik, excluded.currency)
                 OR (s.sic, s.fiscal_year_end, s.primary_ticker) IS DISTINCT FROM (
                   coalesce(excluded.sic, s.sic), coalesce(excluded.fiscal_year_end, s.fiscal_year_end),
                   coalesce(excluded.primary_ticker, s.primary_ticker))
            """,
            [tuple(getattr(row, name) for name in _SECURITY) for row in ordered],
        )
        cursor.execute(
            f"""SELECT identifier_id, entity_id, as_of, {", ".join(_IDENTIFIER)} FROM security_identifiers
                WHERE entity_id = ANY(%s) AND superseded_at IS NULL""",
            ([row.entity_id for row in ordered],),
        )
        held: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for found in cursor.fetchall():
            held.setdefault((found["entity_id"], found["source"]), []).append(found)
        gone: list[str] = []
        listings: list[tuple[Any, ...]] = []
        new: list[tuple[Any, ...]] = []
        for row in ordered:
            for source in sorted({one.source for one in row.identifiers}):
                before = held.pop((row.entity_id, source), [])
                last = max((one["as_of"] for one in before if one["as_of"] is not None), default=None)
                if row.as_of is not None and last is not None and row.as_of < last:
                    continue
                known = {tuple(one[name] for name in _IDENTIFIER): one["identifier_id"] for one in before}
                said = {_values(one) for one in row.identifiers if one.source == source}
                gone += [name for values, name in known.items() if values not in said]
                if row.as_of is not None:
                    listings.append((row.listed_on, row.delisted_on, row.entity_id, row.listed_on, row.delisted_on))
                new += [(row.entity_id, row.as_of, *values) for values in said - known.keys()]
        cursor.executemany(
            "UPDATE securities SET listed_on = %s, delisted_on = %s, updated_at = clock_timestamp()"
            " WHERE entity_id = %s AND (listed_on, delisted_on) IS DISTINCT FROM (%s, %s)",
            listings,
        )
        cursor.executemany(
            "UPDATE security_identifiers SET superseded_at = clock_timestamp() WHERE identifier_id = %s",
            [(name,) for name in sorted(gone)],
        )
        cursor.executemany(
            f"""INSERT INTO security_identifiers (entity_id, as_of, {", ".join(_IDENTIFIER)})
                VALUES ({", ".join(["%s"] * (2 + len(_IDENTIFIER)))})""",
            sorted(new, key=str),
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


def _values(one: Identifier) -> tuple[Any, ...]:
    return (one.kind, one.value, one.source, one.valid_from, one.valid_to, one.share_class, one.primary)


def add_missing(warehouse: Warehouse, rows: Sequence[SecurityRow]) -> None:
    """Add the entities that are not there yet, by what a universe says of them; what is known already stands."""
    with warehouse.read_pool().connection() as connection:
        found = connection.execute(
            "SELECT entity_id FROM securities WHERE entity_id = ANY(%s)", ([row.entity_id for row in rows],)
        ).fetchall()
    known = {row["entity_id"] for row in found}
    upsert_securities(warehouse, [row for row in rows if row.entity_id not in known])


def read_securities(
    warehouse: Warehouse, entity_ids: Iterable[str] | None = None, known_as_of: datetime | None = None
) -> dict[str, Security]:
    """Return the securities by entity id, all of them or those asked for, with their dated tickers and names.

    The identifiers are those of now, or those that stood here at `known_as_of`.
    """
    wanted = None if entity_ids is None else sorted(set(entity_ids))
    parameters = {"wanted": wanted, "known": known_as_of}
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT s.*, p.token0, p.token1, p.decimals0, p.decimals1, p.created_block"
            " FROM securities s LEFT JOIN pools p USING (entity_id)"
            " WHERE %(wanted)s::text[] IS NULL OR s.entity_id = ANY(%(wanted)s) ORDER BY s.entity_id",
            parameters,
        ).fetchall()
        found = connection.execute(
            """
            SELECT entity_id, kind, value, valid_from, valid_to, share_class, is_primary FROM security_identifiers
            WHERE kind IN ('ticker', 'name') AND (%(wanted)s::text[] IS NULL OR entity_id = ANY(%(wanted)s))
              AND CASE WHEN %(known)s::timestamptz IS NULL THEN superseded_at IS NULL
                       ELSE ingest_time <= %(known)s AND (superseded_at IS NULL OR superseded_at > %(known)s) END
            ORDER BY entity_id, kind, value, source, valid_from
            """,
            parameters,
        ).fetchall()
    own: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        own.setdefault(row["entity_id"], []).append(row)
    return {row["entity_id"]: _security(row, own.get(row["entity_id"], [])) for row in rows}


def read_pools(warehouse: Warehouse) -> list[tuple[str, int]]:
    """Return (entity id, block of creation) of the pools whose creation was seen, in the order of their creation."""
    with warehouse.read_pool().connection() as connection:
        rows = connection.execute(
            "SELECT entity_id, created_block FROM pools WHERE created_block IS NOT NULL"
            ' ORDER BY created_block, entity_id COLLATE "C"'
        ).fetchall()
    return [(row["entity_id"], row["created_block"]) for row in rows]


def read_dated_identifiers(warehouse: Warehouse, entity_ids: Iterable[str], as_of: datetime) -> list[dict[str, Any]]:
    """Return the identifiers of entities that have a first day, as they stood here at `as_of`.

    One that began later was not known; an end that lay ahead was not known either, and is None.
    """
    with warehouse.read_pool().connection() as connection:
        return connection.execute(
            """
            SELECT entity_id, kind, value, source, valid_from, share_class, is_primary,
                   CASE WHEN valid_to <= (%(as_of)s AT TIME ZONE 'UTC')::date THEN valid_to END AS valid_to
            FROM security_identifiers
            WHERE entity_id = ANY(%(wanted)s) AND valid_from <= (%(as_of)s AT TIME ZONE 'UTC')::date
              AND ingest_time <= %(as_of)s AND (superseded_at IS NULL OR superseded_at > %(as_of)s)
            ORDER BY entity_id COLLATE "C", kind COLLATE "C", valid_from, value COLLATE "C", source COLLATE "C",
                     share_class COLLATE "C"
            """,
            {"wanted": sorted(set(entity_ids)), "as_of": as_of},
        ).fetchall()


def read_ticker_book(warehouse: Warehouse) -> TickerBook:
    """Return all listings by ticker, as they are known now."""
    return TickerBook.of(one for security in read_securities(warehouse).values() for one in security.listings)


def _security(row: dict[str, Any], identifiers: Sequence[dict[str, Any]]) -> Security:
    return Security(
        entity_id=row["entity_id"],
        name=row["name"],
        asset_class=row["asset_class"],
        cik=row["cik"],
        listings=_listings(row["entity_id"], [one for one in identifiers if one["kind"] == "ticker"]),
        primary_ticker=row["primary_ticker"],
        sic=row["sic"],
        fiscal_year_end=row["fiscal_year_end"],
        currency=row["currency"],
        pool=Pool(row["token0"], row["token1"], row["decimals0"], row["decimals1"], row["created_block"])
        if row["token0"] is not None
        else None,
        names=tuple((one["value"], one["valid_from"], one["valid_to"]) for one in identifiers if one["kind"] == "name"),
        listed_on=row["listed_on"],
        delisted_on=row["delisted_on"],
    )


def _listings(entity_id: str, rows: Sequence[dict[str, Any]]) -> tuple[Listing, ...]:
    """Return the listings, each said by however many sources once."""
    found = [
        Listing(entity_id, one["value"], one["valid_from"], one["valid_to"], one["share_class"], one["is_primary"])
        for one in rows
    ]
    return tuple(dict.fromkeys(found))
