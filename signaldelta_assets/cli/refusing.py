"""How a command ends that refuses what is asked, and how one that changes something is found again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from signaldelta_assets.correlation import SAFE, correlated, correlation_id

VARIABLE = "SIGNALDELTA_CORRELATION_ID"


@contextmanager
def refusals(changing: str | None = None) -> Iterator[None]:
    """End with one line and exit code 2 where what is asked for cannot be; with 1 where stored data is not sound.

    changing: the command's own words where it changes something. Then all of it belongs to one correlation id, that of
    SIGNALDELTA_CORRELATION_ID or a new one: the rows it writes, its lines in the deployment's log, how it ended among
    them, and the line that refuses. `signaldelta trace ID` shows it.
    """
    from signaldelta_assets.errors import SignalDeltaError

    try:
        if changing is None:
            yield
            return
        with _one_action(changing):
            yield
    except SignalDeltaError as error:
        # Which takes seconds to import, and most commands need nothing of it.
        from signaldelta_assets.backtests import StoredScoreError
        from signaldelta_assets.warehouse import IntegrityError

        known = "" if error.correlation_id is None else f" (correlation id {error.correlation_id})"
        typer.echo(f"error: {error}{known}", err=True)
        raise typer.Exit(1 if isinstance(error, StoredScoreError | IntegrityError) else 2) from error


@contextmanager
def _one_action(command: str) -> Iterator[None]:
    import logging

    from signaldelta_assets.errors import SignalDeltaError
    from signaldelta_assets.observability import logging_as
    from signaldelta_assets.settings import load_settings
    from signaldelta_assets.versioning import new_ulid

    given = os.environ.get(VARIABLE, "")
    if given and not SAFE.fullmatch(given):
        raise typer.BadParameter(f"{VARIABLE}: expected 1 to 128 letters, digits, '.', '_' or '-'")
    log = logging.getLogger("signaldelta.command")
    with correlated(correlation_id() or given or new_ulid()), logging_as("command", load_settings()):
        try:
            yield
        except SignalDeltaError as error:
            error.correlation_id = correlation_id()
            log.info("signaldelta %s was refused: %s", command, error)
            raise
        except BaseException as error:
            log.info("signaldelta %s ended with %s", command, type(error).__name__)
            raise
        log.info("signaldelta %s done", command)
