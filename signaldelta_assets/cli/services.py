"""`signaldelta up`: every service of one deployment as child processes, stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
from rich.console import Console

from signaldelta_assets.settings import Settings, load_settings
from signaldelta_assets.warehouse import open_warehouse, stop_embedded

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
        if settings.database_url is None:
            stack.callback(stop_embedded, settings.postgres_dir)
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
            "dagster-webserver": [str(binaries / "dagster-webserver"), "-h", "127.0.0.1", "-p", port, *workspace],
            "dagster-daemon": [str(binaries / "dagster-daemon"), "run", *workspace],
            "api": [sys.executable, "-m", "uvicorn", "--factory", "api.app:create",
                    "--host", settings.api_host, "--port", str(settings.api_port),
                    # Nobody stands in between, so what a header says of the caller's address is not asked.
                    "--no-proxy-headers"],
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
            _watch(children)
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


def _watch(children: dict[str, subprocess.Popen[bytes]]) -> None:
    while True:
        _raise_if_ended(children)
        time.sleep(1.0)


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGINT)
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
