"""`signaldelta up`: every service of one deployment as child processes, stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psycopg
from rich.console import Console

from signaldelta_assets.settings import Settings, load_settings
from signaldelta_assets.warehouse import Place, embedded_server, open_warehouse, other_place, stop_embedded, watch
from signaldelta_assets.warehouse.postgres import embedded_runs, plain_url

from .demo import open_archive
from .environment import PROJECT, apply, prepare, publish, replay_environment
from .users import first_key


def run_services(archive: Path | None, live: bool, console: Console) -> None:
    """Start everything, print the addresses, wait; on Ctrl-C, or when one of them ends, stop the others."""
    # SIGTERM is how a process manager says Ctrl-C, and a shell starts background jobs with SIGINT ignored.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    settings = load_settings()
    with ExitStack() as stack:
        embedded = _embedded(settings)
        for folder in embedded.values():
            stack.callback(stop_embedded, folder)
        variables = prepare(settings)
        settings = apply(variables)
        lines = []
        if live:
            variables |= {"SIGNALDELTA_COLLECTION_MODE": "live"}
        else:
            server = stack.enter_context(open_archive(archive, settings, console))
            variables |= replay_environment(settings, server.url)
            lines.append(f"replay of the archive   {server.url}")
        settings = apply(variables)
        stack.callback(publish(settings, variables).unlink, missing_ok=True)
        binaries = Path(sys.executable).parent
        workspace = ["-w", str(PROJECT / "workspace.yaml")]
        port = str(settings.webserver_port)
        commands = {
            "dagster-webserver": [sys.executable, "-m", "signaldelta_assets.cli.dagster_process", "dagster-webserver",
                                  "-h", "127.0.0.1", "-p", port, *workspace],
            "dagster-daemon": [str(binaries / "signaldelta"), "daemon"],
            "api": [str(binaries / "signaldelta"), "api"],
        }  # fmt: skip
        logs = settings.home_dir / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        children: dict[str, subprocess.Popen[bytes]] = {}
        for name, command in commands.items():
            log = stack.enter_context((logs / f"{name}.log").open("ab"))
            children[name] = subprocess.Popen(
                command, cwd=PROJECT, env=os.environ.copy(), stdout=log, stderr=log, start_new_session=True
            )
            stack.callback(_stop, children[name])
        webserver, api = f"http://127.0.0.1:{port}", f"http://{settings.api_host}:{settings.api_port}"
        _wait_for(f"{webserver}/server_info", children)
        _wait_for(f"{api}/health", children)
        lines += [
            f"Dagster                 {webserver}",
            f"API                     {api}/docs",
            f"logs                    {logs}",
            *_way_in(settings),
        ]
        console.print("\n".join(lines), highlight=False, soft_wrap=True)
        console.print("Ctrl-C stops all.")
        try:
            _watch(children, embedded, console)
        except KeyboardInterrupt:
            console.print("stopping")


def _way_in(settings: Settings) -> list[str]:
    """What to say of the API's keys: the first administrator's once, when it is made."""
    if settings.auth == "open":
        return ["API key                 none is asked: open to this machine alone"]
    if settings.place == "offsite" and settings.peer_database_url is None and settings.database_url is not None:
        return ["API key                 made at the other home: signaldelta keys create USER"]
    with open_warehouse(settings) as warehouse:
        key = first_key(warehouse)
    if key is None:
        return ["API key                 shown at the first start; another: signaldelta users list, keys create USER"]
    return ["API key                 shown this once; it is kept as a hash:", f"  export SIGNALDELTA_API_KEY={key}"]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _wait_for(url: str, children: dict[str, subprocess.Popen[bytes]], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        _raise_if_ended(children)
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise SystemExit(f"{url} did not answer within {seconds:.0f} s; see the logs")


def _raise_if_ended(children: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, child in children.items():
        if child.poll() is not None:
            raise SystemExit(f"{name} ended with exit code {child.returncode}; see its log")


def _embedded(settings: Settings) -> dict[Place, Path]:
    """Return the folders of the embedded servers that these settings start, by place."""
    if settings.database_url is not None:
        return {}
    found: dict[Place, Path] = {settings.place: settings.postgres_dir}
    if settings.place != "one" and settings.peer_database_url is None:
        found[other_place(settings.place)] = settings.peer_postgres_dir
    return found


def _watch(children: dict[str, subprocess.Popen[bytes]], embedded: dict[Place, Path], console: Console) -> None:
    while True:
        for place, folder in embedded.items():
            if not embedded_runs(folder):
                _start_again(place, folder, console)
        _raise_if_ended(children)
        time.sleep(1.0)


def _start_again(place: Place, folder: Path, console: Console) -> None:
    """Start an embedded server that has died, and say so: here, and to whoever asks how things are."""
    words = f"{place}: the database had died and was started again at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    try:
        with psycopg.connect(plain_url(embedded_server(folder)), autocommit=True, connect_timeout=10) as connection:
            watch.restarted(connection, place, words)
    except (psycopg.Error, subprocess.SubprocessError, OSError) as error:
        words = f"{place}: the database has died and cannot be started again: {error}"
    console.print(words, highlight=False, soft_wrap=True)


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGINT)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
