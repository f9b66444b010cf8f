"""The environment hash: the Python version and every pinned distribution that a run could have used."""

from __future__ import annotations

import importlib.metadata
import platform
from functools import cache
from typing import Any

from .canonical import hash_document

# The project's own version is not part of the environment: its code enters a run by its own hashes.
_OWN_DISTRIBUTION = "signaldelta"


@cache
def _distributions() -> tuple[tuple[str, str], ...]:
    found = {
        (dist.metadata["Name"] or "").lower().replace("_", "-"): dist.version
        for dist in importlib.metadata.distributions()
    }
    found.pop(_OWN_DISTRIBUTION, None)
    found.pop("", None)
    # Installers differ from machine to machine and no run imports them.
    for installer in ("pip", "uv", "setuptools", "wheel"):
        found.pop(installer, None)
    return tuple(sorted(found.items()))


def environment_manifest() -> dict[str, Any]:
    """Return what the environment is: implementation, Python version and the installed distributions."""
    return {
        "schema": "signaldelta.environment/1",
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "distributions": dict(_distributions()),
    }


def environment_hash() -> str:
    """Return the SHA-256 name of `environment_manifest`."""
    return hash_document(environment_manifest())
