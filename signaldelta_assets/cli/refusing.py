"""How a command ends that refuses what is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def refusals() -> Iterator[None]:
    """End with one line and exit code 2 where what is asked for cannot be; with 1 where stored data is not sound."""
    from signaldelta_assets.errors import SignalDeltaError

    try:
        yield
    except SignalDeltaError as error:
        # Which takes seconds to import, and most commands need nothing of it.
        from signaldelta_assets.backtests import StoredScoreError
        from signaldelta_assets.warehouse import IntegrityError

        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1 if isinstance(error, StoredScoreError | IntegrityError) else 2) from error
