"""Run a command, count its writing system calls, and kill it just before one of them.

    python -m tests.fuzz.killer LOG AT COMMAND...

Every call of every process and thread of the command that writes a file, changes a folder, or sends through a socket
is counted, in the order in which they happen, and its name goes to LOG, one a line. Just before call number AT every
process of the command is killed, and this program exits with 137. AT 0 kills nothing.

strace's fault injection counts for each thread apart, so it cannot kill at the third call of the second worker; hence
a tracer of its own, which needs Linux 5.3 or later on x86-64 or arm64.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_X86_64 = {
    "write": 1, "pwrite64": 18, "writev": 20, "pwritev": 296, "pwritev2": 328, "sendfile": 40, "copy_file_range": 326,
    "sendto": 44, "sendmsg": 46, "sendmmsg": 307, "truncate": 76, "ftruncate": 77, "fallocate": 285, "fsync": 74,
    "fdatasync": 75, "rename": 82, "renameat": 264, "renameat2": 316, "link": 86, "linkat": 265, "symlink": 88,
    "symlinkat": 266, "unlink": 87, "unlinkat": 263, "mkdir": 83, "mkdirat": 258, "rmdir": 84, "chmod": 90,
    "fchmod": 91, "fchmodat": 268,
}  # fmt: skip
_ARM64 = {
    "write": 64, "pwrite64": 68, "writev": 66, "pwritev": 70, "pwritev2": 287, "sendfile": 71, "copy_file_range": 285,
    "sendto": 206, "sendmsg": 211, "sendmmsg": 269, "truncate": 45, "ftruncate": 46, "fallocate": 47, "fsync": 82,
    "fdatasync": 83, "renameat": 38, "renameat2": 276, "linkat": 37, "symlinkat": 36, "unlinkat": 35, "mkdirat": 34,
    "fchmod": 52, "fchmodat": 53,
}  # fmt: skip
_BY_MACHINE = {"x86_64": _X86_64, "aarch64": _ARM64}
_THROUGH_DESCRIPTOR = frozenset(
    {"write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "sendto", "sendmsg", "sendmmsg"}
)
KILLED = 137

_TRACEME, _CONTINUE_TO_SYSCALL, _SET_OPTIONS, _GET_SYSCALL_INFO = 0, 24, 0x4200, 0x420E
_OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100000  # SYSGOOD, FORK, VFORK, CLONE, EXEC, EXITKILL
_ENTRY = 1
_WALL = 0x40000000


class _Call(ctypes.Structure):
    """ptrace_syscall_info at the entry of a call."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("padding", ctypes.c_uint8 * 3),
        ("architecture", ctypes.c_uint32),
        ("instruction", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
    )


def is_supported() -> bool:
    return sys.platform == "linux" and platform.machine() in _BY_MACHINE


class _Tracer:
    def __init__(self, log: Path, at: int) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
        self._libc.ptrace.restype = ctypes.c_long
        self._names = {number: name for name, number in _BY_MACHINE[platform.machine()].items()}
        self._log = log.open("w", encoding="ascii")
        self._at, self._count = at, 0

    def run(self, command: Sequence[str]) -> int:
        """The exit code of the command, KILLED where it was killed."""
        child = os.fork()
        if not child:
            self._libc.ptrace(_TRACEME, 0, None, None)
            os.execv(command[0], list(command))
        os.waitpid(child, _WALL)
        self._libc.ptrace(_SET_OPTIONS, child, None, _OPTIONS)
        self._resume(child)
        code = 0
        while True:
            try:
                thread, status = os.waitpid(-1, _WALL)
            except ChildProcessError:
                self._log.close()
                return code
            if os.WIFSTOPPED(status):
                self._stopped(thread, status)
            elif thread == child:
                code = os.waitstatus_to_exitcode(status)

    def _stopped(self, thread: int, status: int) -> None:
        number = os.WSTOPSIG(status)
        deliver = 0
        if number == signal.SIGTRAP | 0x80:
            self._count_call(thread)
        elif number == signal.SIGSTOP or status >> 16:
            pass  # how a new process or thread begins, or an event such as exec
        else:
            deliver = number
        self._resume(thread, deliver)

    def _count_call(self, thread: int) -> None:
        call = _Call()
        self._libc.ptrace(_GET_SYSCALL_INFO, thread, ctypes.sizeof(call), ctypes.addressof(call))
        name = self._names.get(call.number) if call.op == _ENTRY else None
        if name is None or (name in _THROUGH_DESCRIPTOR and not _is_kept(thread, call.arguments[0])):
            return
        self._count += 1
        self._log.write(f"{name}\n")
        if self._count == self._at:
            self._log.close()
            os._exit(KILLED)  # EXITKILL: the kernel kills everything that is traced, before the call is made

    def _resume(self, thread: int, deliver: int = 0) -> None:
        self._libc.ptrace(_CONTINUE_TO_SYSCALL, thread, None, deliver)


def _is_kept(thread: int, descriptor: int) -> bool:
    """Whether what is written there outlives the process: a file or a socket, not a pipe or a device."""
    try:
        target = str(Path(f"/proc/{thread}/fd/{ctypes.c_int(descriptor).value}").readlink())
    except OSError:
        return False
    return target.startswith("socket:") or (target.startswith("/") and not target.startswith(("/dev/", "/proc/")))


if __name__ == "__main__":
    sys.exit(_Tracer(Path(sys.argv[1]), int(sys.argv[2])).run(sys.argv[3:]))
