"""How the API is served: every option of its server, here and nowhere else. ``signaldelta api`` serves by it.

What the options are for is said beside them; none is left to uvicorn's own variables of the environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI

from signaldelta_assets.observability import begin_logging
from signaldelta_assets.settings import Settings

from .walls.patience import PatientProtocol

FACTORY = "api.app:create"


@dataclass(frozen=True, slots=True)
class Serving:
    """How an app is served.

    host, port: where it listens. workers: processes behind that one port, each with connections and metrics of its own.
    trusted_proxies: whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed, addresses or networks; of nobody
    else, loopback included. graceful_seconds: how long what is under way may take once it is to stop; who follows a
    job comes again by himself. protocol: with what patience callers are heard.
    """

    host: str = "127.0.0.1"
    port: int = 8787
    workers: int = 1
    trusted_proxies: tuple[str, ...] = ()
    graceful_seconds: int = 5
    protocol: type[PatientProtocol] = PatientProtocol

    @classmethod
    def of(cls, settings: Settings, workers: int = 1) -> Serving:
        """As the settings say."""
        return cls(settings.api_host, settings.api_port, workers, settings.trusted_proxies)

    def options(self) -> dict[str, Any]:
        """Return uvicorn's options, as `uvicorn.Config` and `uvicorn.run` take them."""
        return {
            "host": self.host,
            "port": self.port,
            "workers": self.workers,
            "http": self.protocol,
            # There is none here, and what is no longer HTTP would pass by the protocol's limits.
            "ws": "none",
            # Nobody trusted: no header says who asks. By itself uvicorn believes whoever is on this machine.
            "proxy_headers": bool(self.trusted_proxies),
            "forwarded_allow_ips": list(self.trusted_proxies),
            "timeout_graceful_shutdown": self.graceful_seconds,
            # The app logs by the standard, each request with its route and without its query.
            "log_config": None,
            "access_log": False,
        }

    def config(self, app: FastAPI) -> uvicorn.Config:
        """Return the configuration of a server of `app` in this process."""
        return uvicorn.Config(app, **self.options())


def serve(serving: Serving, settings: Settings, factory: str = FACTORY) -> None:
    """Serve what `factory` makes until a signal comes. Ends the process with code 3 where the app does not start."""
    # The app does it in each worker; this process then only watches over them.
    logging = begin_logging("api", settings, stderr=True) if serving.workers > 1 else None
    try:
        uvicorn.run(factory, factory=True, **serving.options())
    finally:
        if logging is not None:
            logging.close()
