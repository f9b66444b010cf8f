"""Compiled functions: one way to make them, and a disk cache that knows every source a function was made of.

numba's own cache notices a change of the file a function stands in, not of the files it calls into, and would go on
running an old callee inside a new caller. Here a function's stamp covers its file, the stamps of the compiled functions
it calls, and the constants it reads from its module. Nothing is read or written before the first call.

NUMBA_CACHE_DIR moves the cache; by default it lies in __pycache__ beside the source.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache
from numba.core.dispatcher import Dispatcher

from .canonical import sha256_hex

_Function = TypeVar("_Function", bound=Callable[..., Any])


def jit(function: _Function) -> _Function:
    """Compile `function` on its first call, or load what an earlier process compiled from the same sources.

    Bits must not depend on the processor: fastmath stays off, without which LLVM neither reassociates nor contracts
    to FMA; division follows IEEE. The interpreter's lock is released.
    """
    return _compiled(function, inlined=False)


def inlined(function: _Function) -> _Function:
    """Compile `function` into its callers: a call would keep the compiler from making vectors of the loop around it."""
    return _compiled(function, inlined=True)


def threads() -> int:
    """Return the number of threads that numba is set to (NUMBA_NUM_THREADS)."""
    # The setting is defined by numba's option parser, which its stubs do not see.
    return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


def _compiled(function: _Function, *, inlined: bool) -> _Function:
    compiled: Any = numba.njit(nogil=True, fastmath=False, error_model="numpy", forceinline=inlined)(function)
    if compiled is not function:  # as it is with NUMBA_DISABLE_JIT
        compiled._cache = _Cache(function)
    return cast(_Function, compiled)


def source_stamp(function: Callable[..., Any]) -> str:
    """Return the SHA-256 of everything a compiled function was made of: its file, its callees, its constants."""
    return sha256_hex(repr(_sources(function, set())).encode())


def _sources(function: Callable[..., Any], seen: set[int]) -> list[object]:
    seen.add(id(function))
    code = function.__code__
    sources: list[object] = [sha256_hex(Path(code.co_filename).read_bytes())]
    scope = function.__globals__
    found = [(name, scope[name]) for name in code.co_names if name in scope]
    # A name read from a module may be an attribute of one: kernel.exp.
    for _, module in list(found):
        if type(module) is type(np):
            found += [(name, getattr(module, name)) for name in code.co_names if name in vars(module)]
    for name, value in sorted(found, key=lambda item: item[0]):
        if isinstance(value, Dispatcher):
            if id(value.py_func) not in seen:
                sources.append((name, _sources(value.py_func, seen)))
        elif isinstance(value, np.ndarray):
            sources.append((name, value.dtype.str, value.shape, sha256_hex(value.tobytes())))
        elif isinstance(value, bool | int | float | str | tuple):
            sources.append((name, repr(value)))
    return sources


class _Stamped(FunctionCache):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        index: Any = IndexDataCacheFile
        self._cache_file = index(self._cache_path, self._impl.filename_base, source_stamp(function))


class _Cache(NullCache):
    """numba's cache, made on its first use: importing a module does no I/O."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._made: Any = None

    @property
    def _cache(self) -> Any:
        if self._made is None:
            self._made = _Stamped(self._function)
        return self._made

    @property
    def cache_path(self) -> str:
        return str(self._cache.cache_path)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        return self._cache.load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        self._cache.save_overload(sig, data)

    def enable(self) -> None:
        self._cache.enable()

    def disable(self) -> None:
        self._cache.disable()

    def flush(self) -> None:
        self._cache.flush()
