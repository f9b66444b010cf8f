"""Dagster's own servers with the log standard: ``python -m signaldelta_assets.cli.dagster_process dagster-daemon run``.

They print what Dagster prints. Beside that every line that their loggers get goes to the deployment's log files, where
`signaldelta trace` finds it. Code servers and the processes of runs do so themselves (`defs.platform`, `defs.watch`).
"""

from __future__ import annotations

import sys

from signaldelta_assets.observability import begin_logging
from signaldelta_assets.settings import load_settings

SERVERS = ("dagster-daemon", "dagster-webserver")


def main(arguments: list[str]) -> None:
    """Run one of `SERVERS` with its arguments. Does not return: the server ends the process."""
    if not arguments or arguments[0] not in SERVERS:
        raise SystemExit(f"expected one of {', '.join(SERVERS)} and its arguments, found {arguments}")
    begin_logging(arguments[0], load_settings())
    sys.argv = arguments
    if arguments[0] == "dagster-daemon":
        from dagster._daemon.cli import main as serve
    else:
        from dagster_webserver.cli import main as serve
    serve()


if __name__ == "__main__":
    main(sys.argv[1:])
