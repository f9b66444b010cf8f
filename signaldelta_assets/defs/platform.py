"""The one resource: settings, warehouse and stores of this deployment, opened when first used."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import dagster as dg
from pydantic import PrivateAttr

from signaldelta_assets.correlation import RUN_TAG, correlated
from signaldelta_assets.observability import Configured, begin_logging
from signaldelta_assets.settings import Settings, load_settings
from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse import ArtifactStore, Warehouse, open_warehouse


class Platform(dg.ConfigurableResource[None]):
    """What assets read from and write to. Its settings come from the environment (signaldelta_assets.settings)."""

    _belongs_to: str | None = PrivateAttr(default=None)
    _logging: Configured | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Remember which request this run comes of, or which run it is: what it writes and logs belongs to that."""
        if context.run is not None:
            self._belongs_to = context.run.tags.get(RUN_TAG, context.run.run_id)
            # A process is one run: what its libraries and threads log outside of `warehouse` is of the run as well.
            self._logging = begin_logging("dagster-run", load_settings(), fallback=self._belongs_to)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Log as before the run: a test, or a command, goes on after it."""
        if self._logging is not None:
            self._logging.close()

    def settings(self) -> Settings:
        """The settings of this deployment."""
        return load_settings()

    @contextmanager
    def warehouse(self) -> Iterator[Warehouse]:
        """The database, of this code's schema."""
        with correlated(self._belongs_to or new_ulid()), open_warehouse(self.settings()) as warehouse:
            yield warehouse

    def artifacts(self) -> ArtifactStore:
        """Snapshot parts and run artifacts."""
        return ArtifactStore(self.settings().artifacts_dir)

    def archive(self) -> ArtifactStore:
        """Raw bodies."""
        return ArtifactStore(self.settings().archive_dir)

    def now(self) -> datetime:
        """The moment to score at: the wall clock, or the fixed clock of a replay."""
        return self.settings().fixed_clock or datetime.now(UTC)


@dg.definitions
def defs() -> dg.Definitions:
    """The resource, and one process per run: steps are few and heavy, a process each would only reload code."""
    return dg.Definitions(resources={"platform": Platform()}, executor=dg.in_process_executor)
