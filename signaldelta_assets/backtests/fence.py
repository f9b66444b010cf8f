"""The kernel's fence around a run: what a library in C asks the system for is refused too, by name.

The guard sees what Python code calls. Arrow or libpq open files and sockets below it, so on Linux a seccomp filter
stops the run's process at every such system call until its parent has looked at it: the parent lets it go on, or kills
the process and knows the call. Where a kernel or a container does not allow that, the guard is alone; the manifest says
which it was, outside every hash.

A path is looked at while the process waits, and read again by the kernel: a fence against code that reaches further
than it should, not against code that races it. Reading the clock is no system call and stays with the guard.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import platform
import select
import socket
import struct
import threading
from collections.abc import Callable

SECCOMP, HOOK = "seccomp", "hook"

# Linux's numbers: (audit architecture, seccomp's own, calls by name). Paths of a call: (place of the folder's
# descriptor, place of the path) each, and the place of the flags of open(2) where it has them.
_X86_64 = {
    "open": 2, "creat": 85, "openat": 257, "truncate": 76, "rename": 82, "mkdir": 83, "rmdir": 84, "link": 86,
    "unlink": 87, "symlink": 88, "mkdirat": 258, "unlinkat": 263, "renameat": 264, "linkat": 265, "symlinkat": 266,
    "renameat2": 316, "chmod": 90, "fchmodat": 268, "fchmodat2": 452, "chown": 92, "lchown": 94, "fchownat": 260,
    "mknod": 133, "mknodat": 259, "setxattr": 188, "lsetxattr": 189, "socket": 41,
    "fork": 57, "vfork": 58, "execve": 59, "execveat": 322, "ptrace": 101,
    "clone": 56, "clone3": 435, "openat2": 437, "io_uring_setup": 425,
}  # fmt: skip
_AARCH64 = {
    "openat": 56, "truncate": 45, "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37, "renameat": 38,
    "renameat2": 276, "fchmodat": 53, "fchmodat2": 452, "fchownat": 54, "mknodat": 33, "setxattr": 5, "lsetxattr": 6,
    "socket": 198, "execve": 221, "execveat": 281, "ptrace": 117, "clone": 220, "clone3": 435,
    "openat2": 437, "io_uring_setup": 425,
}  # fmt: skip
_MACHINES = {"x86_64": (0xC000003E, 317, _X86_64), "aarch64": (0xC00000B7, 277, _AARCH64)}
_PATHS: dict[str, tuple[tuple[int | None, int], ...]] = {
    "open": ((None, 0),), "creat": ((None, 0),), "openat": ((0, 1),), "truncate": ((None, 0),),
    "rename": ((None, 0), (None, 1)), "renameat": ((0, 1), (2, 3)), "renameat2": ((0, 1), (2, 3)),
    "mkdir": ((None, 0),), "mkdirat": ((0, 1),), "rmdir": ((None, 0),), "unlink": ((None, 0),), "unlinkat": ((0, 1),),
    "chmod": ((None, 0),), "fchmodat": ((0, 1),), "fchmodat2": ((0, 1),), "chown": ((None, 0),),
    "lchown": ((None, 0),), "fchownat": ((0, 1),), "mknod": ((None, 0),), "mknodat": ((0, 1),),
    "setxattr": ((None, 0),), "lsetxattr": ((None, 0),), "link": ((None, 0), (None, 1)),
    "linkat": ((0, 1), (2, 3)), "symlink": ((None, 1),), "symlinkat": ((1, 2),),
}  # fmt: skip
_FLAGS = {"open": 1, "openat": 2}
# Said not to exist, so that callers take the older call that can be looked at.
_ABSENT = ("clone3", "openat2", "io_uring_setup")

_ALLOW, _NOTIFY, _ERRNO, _KILL = 0x7FFF0000, 0x7FC00000, 0x00050000, 0x80000000
_LOAD, _EQUAL, _SET, _ABOVE, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_NEW_LISTENER_IN_ALL_THREADS = 0x08 | 0x01 | 0x10
_RECEIVE, _SEND, _CONTINUE = 0xC0502100, 0xC0182101, 1
_CLONE_THREAD, _X32, _AT_FDCWD = 0x10000, 0x40000000, -100
_PATH_BYTES, _PAGE = 4096, 4096
# What the C library and allocators ask before they start a thread: how many processors, how memory is given out.
_MACHINE = ("/sys/devices/system/cpu/online", "/proc/sys/vm/overcommit_memory")


def _program(architecture: int, calls: dict[str, int]) -> bytes:
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0),
             (_ABOVE, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]  # fmt: skip
    for name, number in calls.items():
        if name == "clone":
            continue
        answer = _ERRNO | errno.ENOSYS if name in _ABSENT else _NOTIFY
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, answer)]
    # A thread is allowed, a process is not.
    steps += [(_EQUAL, 0, 3, calls["clone"]), (_LOAD, 0, 0, 16), (_SET, 1, 0, _CLONE_THREAD), (_RETURN, 0, 0, _NOTIFY)]
    return b"".join(struct.pack("HBBI", *step) for step in [*steps, (_RETURN, 0, 0, _ALLOW)])


def close_process(report: int) -> str:
    """Put up the fence in this process, all threads; hand it to the parent over the socket `report`. Return its name.

    Call it before the guard is armed: loading what it needs is refused afterwards.
    """
    known = _MACHINES.get(platform.machine()) if platform.system() == "Linux" else None
    with socket.socket(fileno=report) as parent:
        listener = -1
        if known is not None:
            architecture, seccomp, calls = known
            program = _program(architecture, calls)
            code = ctypes.create_string_buffer(program, len(program))
            filters = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.prctl(38, 1, 0, 0, 0) == 0:
                listener = libc.syscall(seccomp, 1, _NEW_LISTENER_IN_ALL_THREADS, filters)
        if listener < 0:
            return HOOK
        socket.send_fds(parent, [b"f"], [listener])
        os.close(listener)
    return SECCOMP


class Fence:
    """The parent's side: `report` is the socket for the child; `watch` looks at its calls in a thread.

    `allows(path, flags)` is asked for each path (absolute) with the flags of open(2). `refused` names the call that
    ended the process; `kind` says which fence there is.
    """

    def __init__(self, allows: Callable[[str, int], bool]) -> None:
        self._allows = allows
        self._ours, self.report = socket.socketpair()
        self.refused: str | None = None
        self.kind = HOOK

    def watch(self, kill: Callable[[], None]) -> None:
        """Look at the calls of the process until it ends; `kill` it at the first that is refused."""
        self.report.close()
        self._thread = threading.Thread(target=self._watch, args=(kill,), daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until the process is gone and everything it asked for was answered."""
        self._thread.join()

    def _watch(self, kill: Callable[[], None]) -> None:
        with self._ours:
            _, found, *_ = socket.recv_fds(self._ours, 1, 1)
        if not found:
            return
        self.kind = SECCOMP
        listener = found[0]
        names = {number: name for name, number in _MACHINES[platform.machine()][2].items()}
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        try:
            while poll.poll()[0][1] & select.POLLIN:
                notice = array.array("B", bytes(80))
                try:
                    fcntl.ioctl(listener, _RECEIVE, notice)
                    number, process, _, call, _, _, *arguments = struct.unpack("QIIiIQ6Q", notice)
                    self.refused = self._refuse(names[call], process, arguments)
                    if self.refused is not None:
                        kill()
                        return
                    fcntl.ioctl(listener, _SEND, struct.pack("QqiI", number, 0, 0, _CONTINUE))
                except OSError as error:
                    # The process was ended meanwhile: nobody waits for an answer.
                    if error.errno not in (errno.ENOENT, errno.ESRCH):
                        raise
        finally:
            os.close(listener)

    def _refuse(self, name: str, process: int, arguments: list[int]) -> str | None:
        if name not in _PATHS:
            return name
        reading = name in _FLAGS
        flags = arguments[_FLAGS[name]] if reading else os.O_WRONLY
        for folder, place in _PATHS[name]:
            path = _path(process, None if folder is None else arguments[folder], arguments[place])
            if path not in _MACHINE and not self._allows(path, flags):
                doing = " for writing" if flags & (os.O_WRONLY | os.O_RDWR) else " for reading"
                return f"{name}({path!r}){doing if reading else ''}"
        return None


def _path(process: int, folder: int | None, address: int) -> str:
    """The absolute path at `address` of the process, relative to its folder or to a descriptor of it."""
    found = b""
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:  # noqa: PTH123 - no file to anyone but the kernel
        while b"\0" not in found and len(found) < _PATH_BYTES:
            # Not beyond the page: the next one may not be there.
            memory.seek(address + len(found))
            found += memory.read(_PAGE - (address + len(found)) % _PAGE)
    path = os.fsdecode(found.partition(b"\0")[0])
    descriptor = _AT_FDCWD if folder is None else ctypes.c_int(folder & 0xFFFFFFFF).value
    base = f"/proc/{process}/cwd" if descriptor == _AT_FDCWD else f"/proc/{process}/fd/{descriptor}"
    return path if path.startswith("/") else f"{os.readlink(base)}/{path}"  # noqa: PTH115
