"""The log of calls and the budget: written at the log's home, kept on this machine's disk while that is out of reach.

No call fails because it could not be logged, and no entry is lost. Where the home cannot be reached an entry is a file
in the spool, delivered with the next one that gets through; its ULID keeps it from being written twice. Where the other
home's address is not even known, the warehouse keeps the write with its misrouted ones (`signaldelta db recover`).
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psycopg

from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse import Warehouse, WrongHomeError
from signaldelta_assets.warehouse.stores import routing
from signaldelta_assets.warehouse.stores.routing import RELEASED, Usage

from .types import BudgetExceededError

# So long a home that did not answer is not asked again: each try may wait for a connection.
_PATIENCE_SECONDS = 30.0
# Of the spool with one entry that gets through; the rest follow with the next.
_AT_ONCE = 200

log = logging.getLogger(__name__)


class UsageLog:
    """Writes what calls took, and sets money aside before them. Safe in several threads and processes."""

    def __init__(self, warehouse: Warehouse, spool: Path) -> None:
        self._warehouse, self.spool = warehouse, spool
        self._silent_until = 0.0
        self._delivering = threading.Lock()

    def reserve(self, call: Usage, tier: str, most: Decimal) -> bool:
        """Set `most` dollars aside for `call`; return whether that stands in the log and is to be released.

        Raises `BudgetExceededError` where less is left. Out of the home's reach it is reckoned by what this place knows
        and what is in the spool, and nothing is set aside.
        """
        if routing.home_is_known(self._warehouse) and self._asks():
            try:
                refused = routing.reserve(self._warehouse, call, tier, most)
            except psycopg.OperationalError as error:
                self._silent(error)
            else:
                if refused is not None:
                    raise BudgetExceededError(tier, *refused, most)
                return True
        self.require(call, tier, most)
        return False

    def require(self, call: Usage, tier: str, most: Decimal) -> None:
        """Raise `BudgetExceededError` where less than `most` is left, by what this place knows. Sets nothing aside."""
        limit, spent = routing.spent_here(self._warehouse, call, tier)
        spent += sum((one.cost or Decimal(0) for one in self._waiting() if _same_purse(one, call)), Decimal(0))
        if spent + most > limit:
            raise BudgetExceededError(tier, limit, spent, most)

    def put(self, call: Usage, released: Decimal | None) -> None:
        """Log a call that is over, and give back the `released` that was set aside. Raises nothing of the database."""
        rows = [call]
        if released is not None:
            rows.append(call.ledger(new_ulid(), RELEASED, -released))
        try:
            if self._asks():
                routing.add_usage(self._warehouse, rows)
                self._deliver()
                return
        except WrongHomeError:
            return  # Kept whole by the warehouse, which says so.
        except psycopg.Error as error:
            self._silent(error)
        for row in rows:
            self._keep(row)

    def deliver(self) -> int:
        """Write what is in the spool; return how many entries are left there. Raises nothing of the database."""
        try:
            if routing.home_is_known(self._warehouse):
                self._deliver(at_once=None)
        except psycopg.Error as error:
            self._silent(error)
        return sum(1 for _ in self._files())

    def _asks(self) -> bool:
        return time.monotonic() >= self._silent_until

    def _silent(self, error: psycopg.Error) -> None:
        self._silent_until = time.monotonic() + _PATIENCE_SECONDS
        # Not the message: it may show the values of a row, and where the other home is.
        log.warning("usage of models goes to the spool %s: its home: %s", self.spool, type(error).__name__)

    def _files(self) -> Iterator[Path]:
        # By name, which is a ULID: oldest first.
        return iter(sorted(self.spool.glob("*.json"))) if self.spool.is_dir() else iter(())

    def _waiting(self) -> Iterator[Usage]:
        for path in self._files():
            row = _read(path)
            if row is not None:
                yield row

    def _keep(self, row: Usage) -> None:
        try:
            self.spool.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = self.spool / f"{row.usage_id}.{os.getpid()}.partial"
            with partial.open("w") as file:
                file.write(json.dumps(asdict(row), default=str))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.spool / f"{row.usage_id}.json")
        except OSError as error:
            # The log of the process is what is left.
            log.error(
                "usage of a model could not be kept (%s): %s", error.strerror, json.dumps(asdict(row), default=str)
            )

    def _deliver(self, at_once: int | None = _AT_ONCE) -> None:
        if not self._delivering.acquire(blocking=False):
            return
        try:
            for path in list(self._files())[:at_once]:
                row = _read(path)
                if row is None:
                    continue
                try:
                    routing.add_usage(self._warehouse, [row])
                except psycopg.DataError as error:
                    # It would never get in: kept beside, for a person.
                    log.error("usage %s is refused by its table: %s", row.usage_id, type(error).__name__)
                    path.replace(path.with_suffix(".refused"))
                    continue
                path.unlink(missing_ok=True)
        finally:
            self._delivering.release()


def _same_purse(one: Usage, call: Usage) -> bool:
    if one.event_time.astimezone(UTC).date() != call.event_time.astimezone(UTC).date():
        return False
    return one.user_id == call.user_id and (call.user_id is not None or one.use_case == call.use_case)


def _read(path: Path) -> Usage | None:
    try:
        row = json.loads(path.read_text())
    except FileNotFoundError:
        return None  # Another process was quicker.
    except (OSError, ValueError) as error:
        log.error("spooled usage %s cannot be read: %s", path.name, type(error).__name__)
        return None
    cost = None if row["cost"] is None else Decimal(row["cost"])
    return Usage(**(row | {"event_time": datetime.fromisoformat(row["event_time"]), "cost": cost}))
