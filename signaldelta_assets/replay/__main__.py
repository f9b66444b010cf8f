"""`python -m signaldelta_assets.replay`: serve an archive until interrupted, and print its address.

--archive PATH                                   a recorded archive, or a simulated one written before
--archive simulated:seed=7,entities=150,days=365 a new one, in a temporary folder unless --root names one
"""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from ..errors import DocumentError
from .recorded import RecordedArchive
from .server import ReplayServer
from .simulated import SimulatedArchive, SimulationPlan, simulate

_SIMULATED = "simulated:"


def _open(archive: str, root: Path | None, stack: contextlib.ExitStack) -> RecordedArchive:
    if archive == _SIMULATED.rstrip(":") or archive.startswith(_SIMULATED):
        folder = root or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="simulated-archive-")))
        simulate(SimulationPlan.parse(archive.partition(":")[2]), folder)
        return SimulatedArchive(folder)
    path = Path(archive)
    return SimulatedArchive(path) if (path / "plan.json").is_file() else RecordedArchive(path)


def serve(
    archive: Annotated[str, typer.Option(help="A folder, or simulated:seed=7,entities=150,days=365.")],
    port: Annotated[int, typer.Option(help="Loopback port; 0 takes a free one.")] = 0,
    ready_file: Annotated[Path | None, typer.Option(help="Gets the address once it is bound.")] = None,
    root: Annotated[Path | None, typer.Option(help="Where to write a new simulated archive.")] = None,
) -> None:
    """Answer the upstreams' endpoints from an archive on a loopback port."""
    # Without a handler a termination would leave the temporary folder behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.ExitStack() as stack:
        try:
            opened = _open(archive, root, stack)
        except (DocumentError, OSError) as error:
            raise typer.BadParameter(str(error), param_hint="--archive") from error
        server = ReplayServer(opened, port)
        typer.echo(server.url)
        server.run(ready_file)


if __name__ == "__main__":
    typer.run(serve)
