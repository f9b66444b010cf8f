"""Code versions: the hash of the sources and parameters that decide what an asset or an extractor makes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .canonical import hash_document, sha256_hex


def source_files(module: str) -> list[tuple[str, Path]]:
    """Return (name, path) of each source of `module`, a package's whole. Imports nothing of it.

    Raises ModuleNotFoundError where there is no such source.
    """
    top, *inner = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"code_version: no source for module {module!r}")
    origin = Path(spec.origin)
    if inner:
        # Asking for the spec of an inner module would run the packages around it.
        package = origin.parent.joinpath(*inner)
        origin = package / "__init__.py" if package.is_dir() else package.with_name(f"{package.name}.py")
    if not origin.is_file():
        raise ModuleNotFoundError(f"code_version: no source for module {module!r}")
    if origin.name != "__init__.py":
        return [(module, origin)]
    root = origin.parent
    return [(f"{module}/{path.relative_to(root).as_posix()}", path) for path in sorted(root.rglob("*.py"))]


def code_version(modules: Sequence[str], parameters: Any = None) -> str:
    """Return the SHA-256 over the source bytes of `modules` and the canonical form of `parameters`.

    A package name stands for all its ``.py`` files. Names, not paths, enter the hash, so that the version is
    the same wherever the project is installed. Reads source files: call it when definitions are built, not
    while a module is imported by others.
    """
    files = sorted({item for module in modules for item in source_files(module)})
    return hash_document(
        {"files": {name: sha256_hex(path.read_bytes()) for name, path in files}, "parameters": parameters}
    )
