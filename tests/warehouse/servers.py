"""Servers of a test's own, to be stopped, killed, backed up and restored; and rows of every type that occurs."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from signaldelta_assets.warehouse import embedded_server, stop_embedded


@contextmanager
def short_folder() -> Iterator[Path]:
    """A temporary folder whose path leaves room for a socket's name, and that another system user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="sdb-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def own_server(folder: Path) -> Iterator[tuple[Path, str]]:
    """A running embedded server in `folder`: its data directory and URL. Nothing it writes waits for the disk."""
    data_dir = folder / "postgres"
    url = embedded_server(data_dir)
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield data_dir, url
    finally:
        stop_embedded(data_dir)


def kill_server(data_dir: Path) -> None:
    """Kill the server over `data_dir` and all its processes at once, as a power cut would; wait until they are gone."""
    postmaster = psutil.Process(int((data_dir / "postmaster.pid").read_text().splitlines()[0]))
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=20)
