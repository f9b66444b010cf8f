"""Running a data directory by hand: the programs of a PostgreSQL of one major version, start, stop, who it runs as.

`postgres` starts the server of a deployment; this is for what stands beside one: backups of it and what is restored
from them. A server never runs as root: there it runs as the system user of the wheel.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from signaldelta_assets.errors import SignalDeltaError

from .postgres import wheel

Progress = Callable[[str], object]

_SYSTEM_USER = "pgserver"
_PORT = 5432
# A progress line this often, while a program runs.
_SAY_SECONDS = 5.0


class ServerError(SignalDeltaError):
    """A program of PostgreSQL that is missing, is of another version, or ended with an error."""


def binaries(major: int, *tools: str) -> Path:
    """Return the folder with `tools` of PostgreSQL `major`: the embedded server's, or that of PATH.

    Raises `ServerError` saying which version PATH has where it is another.
    """
    embedded = wheel().utils.POSTGRES_VERSIONS.get(major)
    if embedded is not None and all((embedded / tool).is_file() for tool in tools):
        return Path(embedded)
    found = []
    for tool in tools:
        path = shutil.which(tool)
        version = _major_of(path) if path else None
        if path is None or version != major:
            seen = "none" if path is None else f"{path} of PostgreSQL {version}"
            raise ServerError(
                f"{tool}: expected that of PostgreSQL {major} on PATH, as the server is; found {seen}."
                f" Install the client programs of PostgreSQL {major} and put their folder first on PATH"
            )
        found.append(Path(path))
    return found[0].parent


def _major_of(path: str) -> int | None:
    # "pg_basebackup (PostgreSQL) 15.8 (Debian 15.8-0)"
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.split()
    digits = said[2].partition(".")[0] if len(said) > 2 else ""
    return int(digits) if digits.isdigit() else None


def run(
    command: Sequence[str | Path],
    *,
    user: str | None = None,
    progress: Progress | None = None,
    keep_open: Sequence[int] = (),
) -> str:
    """Run a program to its end, as `user`; return what it printed. Raises `ServerError` with what it complained of.

    keep_open: descriptors it inherits: a lock among them is held until it ends, whatever becomes of this process.
    """
    name = Path(command[0]).name
    # Not pipes: a server that the program leaves running would keep them open.
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            user=user, pass_fds=keep_open, env=os.environ | {"LC_ALL": "C"},
        )  # fmt: skip
        try:
            began = said = time.monotonic()
            while True:
                try:
                    code = child.wait(0.5)
                    break
                except subprocess.TimeoutExpired:
                    now = time.monotonic()
                    if progress is not None and now - said >= _SAY_SECONDS:
                        progress(f"{name}: {now - began:.0f} s")
                        said = now
        except BaseException:
            child.terminate()
            child.wait()
            raise
        output.seek(0)
        text = output.read().decode("utf-8", "replace").strip()
    if code != 0:
        raise ServerError(f"{name}: expected exit code 0, found {code}: {text[-2000:]}")
    return text


def runs_as() -> str | None:
    """Return the system user that servers run as where this process is root, made if need be; None for its own."""
    if os.geteuid() != 0:
        return None
    wheel().utils.ensure_user_exists(_SYSTEM_USER)
    return _SYSTEM_USER


def hand_over(folder: Path) -> None:
    """Give `folder` and all in it to the user that servers run as, and let that user reach it."""
    user = runs_as()
    if user is None:
        return
    wheel().utils.ensure_prefix_permissions(folder.resolve())
    shutil.chown(folder, user)
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            shutil.chown(Path(root, name), user)


def start(data_dir: Path, folder: Path, *, options: Mapping[str, str], log: Path, progress: Progress | None) -> Path:
    """Start the server over `data_dir` with the programs in `folder`; return the directory of its socket.

    It listens on a Unix socket alone. Waits until it takes connections, however long its recovery takes; raises
    `ServerError` with the end of its log where it does not come so far.
    """
    tools = wheel().utils
    user = runs_as()
    if user is not None and folder in tools.POSTGRES_VERSIONS.values():
        tools.ensure_prefix_permissions(folder)
        tools.ensure_folder_permissions(folder, 0o055)
        tools.ensure_folder_permissions(folder.parent / "lib", 0o044)
    sockets = Path(tools.find_suitable_socket_dir(data_dir, Path(tempfile.gettempdir())))
    if user is not None and sockets != data_dir:
        tools.ensure_prefix_permissions(sockets)
        sockets.chmod(0o777)
    given = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "port": str(_PORT),
        **options,
    }
    flags = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in given.items())
    command: list[str | Path] = [folder / "pg_ctl", "-s", "-w", "-D", data_dir, "-l", log, "-o", flags, "start"]
    try:
        run(command, user=user, progress=progress)
        _wait_until_ready(data_dir, progress)
    except ServerError as error:
        lines = log.read_text("utf-8", "replace").splitlines() if log.is_file() else []
        telling = [line for line in lines if any(level in line for level in ("FATAL:", "PANIC:", "HINT:"))]
        raise ServerError(f"{data_dir}: the server did not start: {' | '.join(telling or lines[-5:])}") from error
    return sockets


def _wait_until_ready(data_dir: Path, progress: Progress | None) -> None:
    """pg_ctl is content with a server that has begun to recover; its own file says when it takes connections."""
    began = said = time.monotonic()
    while True:
        try:
            state = (data_dir / "postmaster.pid").read_text().splitlines()[7].strip()
        except FileNotFoundError as error:
            raise ServerError("the server ended") from error
        except IndexError:
            state = "starting"
        if state == "ready":
            return
        now = time.monotonic()
        if progress is not None and now - said >= _SAY_SECONDS:
            progress(f"recovering: {now - began:.0f} s")
            said = now
        time.sleep(0.05)


def stop(data_dir: Path, folder: Path) -> None:
    """Stop the server over `data_dir` with the programs in `folder`, rolling back what is under way."""
    run([folder / "pg_ctl", "-s", "-w", "-m", "fast", "-D", data_dir, "stop"], user=runs_as())


def socket_url(sockets: Path, user: str, database: str) -> str:
    """Return the URL of `database` at the server whose socket is in `sockets`."""
    return f"postgresql://{quote(user, safe='')}:@/{quote(database, safe='')}?host={quote(str(sockets))}"
