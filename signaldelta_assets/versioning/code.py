"""Code versions: the hash of the sources and parameters that decide what an asset or an extractor makes."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Mapping, Sequence
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


@functools.lru_cache(maxsize=64)
def _parsed(source: str) -> ast.Module:
    """Read once for all the rules of a module. Nobody changes the tree."""
    return ast.parse(source)


def code_version(
    modules: Sequence[str], parameters: Any = None, *, registered_as: Mapping[str, str] | None = None
) -> str:
    """Return the SHA-256 over the sources of `modules` and the canonical form of `parameters`.

    A package name stands for all its ``.py`` files. Names, not paths, enter the hash, so that the version is
    the same wherever the project is installed. `registered_as` names, for some of the modules, the one registration
    that is meant: classes of that module registered under other names only do not count (`source_of`). Reads source
    files: call it when definitions are built, not while a module is imported by others.
    """
    names = registered_as or {}
    files = sorted({item for module in modules for item in source_files(module)})
    hashes = {
        name: sha256_hex(source_of(path.read_text("utf-8"), names[name]).encode() if name in names else
                         path.read_bytes())
        for name, path in files
    }  # fmt: skip
    return hash_document({"files": hashes, "parameters": parameters})


@functools.lru_cache(maxsize=512)
def source_of(source: str, name: str) -> str:
    """Return the lines of a module that decide what the class registered under `name` does; blank lines are left out.

    Left out are top-level classes whose decorator is called with other names only, ``@register("S001", "S002")``,
    unless what is kept refers to them. Functions, constants and plain classes of the module always count.
    """
    tree = _parsed(source)
    others = [
        node for node in tree.body if isinstance(node, ast.ClassDef) and _names(node) and name not in _names(node)
    ]
    kept = [node for node in tree.body if node not in others]
    for node in kept:
        # The list grows while it is walked: what a kept class refers to is kept, and what that refers to.
        mentioned = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        kept += [other for other in others if other.name in mentioned and other not in kept]
    lines = source.splitlines()
    for node in others:
        if node not in kept:
            first, last = min(decorator.lineno for decorator in node.decorator_list), node.end_lineno or node.lineno
            lines[first - 1 : last] = [""] * (last - first + 1)
    return "\n".join(line for line in lines if line.strip())


def _names(node: ast.ClassDef) -> set[str]:
    """Return the texts that the decorators of a class are called with."""
    return {
        argument.value
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call)
        for argument in decorator.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
