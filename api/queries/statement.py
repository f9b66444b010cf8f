"""Small parts that every query is put together from: conditions that are asked for, and the keyset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Connection, sql

Row = dict[str, Any]


def rows(connection: Connection[Row], statement: str, values: Mapping[str, Any]) -> list[Row]:
    """Run `statement`, which this package wrote, with `values` bound by the driver."""
    return connection.execute(sql.SQL(statement), values).fetchall()


def one(connection: Connection[Row], statement: str, values: Mapping[str, Any]) -> Row | None:
    """Return the first row or None."""
    return connection.execute(sql.SQL(statement), values).fetchone()


def asked(conditions: Mapping[str, str], values: Mapping[str, Any]) -> str:
    """Return ``AND ...`` for each condition whose value, by name, is given."""
    return "".join(f" AND {text}" for name, text in conditions.items() if values.get(name) is not None)


def keyset(
    columns: Sequence[str], after: Sequence[Any] | None, descending: bool, prefix: str = ""
) -> tuple[str, str, dict[str, Any]]:
    """Return (condition, ORDER BY, values) that go on after the row with key `after`, in a total order."""
    direction, comparison = (" DESC", "<") if descending else ("", ">")
    order = ", ".join(f"{prefix}{column}{direction}" for column in columns)
    if after is None:
        return "", order, {}
    left = ", ".join(f"{prefix}{column}" for column in columns)
    right = ", ".join(f"%(after_{column})s" for column in columns)
    values = {f"after_{column}": value for column, value in zip(columns, after, strict=True)}
    return f" AND ({left}) {comparison} ({right})", order, values
