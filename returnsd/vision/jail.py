"""Takes from the running process all that decoding does not need: files, network, other processes.

What a decoder taken over by a hostile picture could still do is compute, and answer through its open socket.
Limits hold everywhere; the system call filter (seccomp) on x86-64 and arm64 Linux. Nothing can be given back.
"""

import ctypes
import os
import platform
import resource
import struct

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_SIGKILL = 9
_ADDRESS_SPACE_BYTES = 3 << 30
_FILE_BYTES = 1 << 20

# What numpy, OpenCV and Python call while they compute, and how memory and signals work. Numbers: the kernel's
# tables for x86-64 (arch/x86/entry/syscalls/syscall_64.tbl) and the generic one (arm64).
_ALLOWED = {
    "x86_64": {
        "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10,
        "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17,
        "sched_yield": 24, "mremap": 25, "madvise": 28, "dup2": 33, "getitimer": 36, "alarm": 37, "setitimer": 38,
        "getpid": 39, "sendto": 44, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47, "exit": 60, "ftruncate": 77,
        "gettimeofday": 96, "getrusage": 98, "sigaltstack": 131, "gettid": 186, "futex": 202,
        "sched_getaffinity": 204, "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229,
        "clock_nanosleep": 230, "exit_group": 231, "tgkill": 234, "ppoll": 271, "dup3": 292, "getcpu": 309,
        "getrandom": 318, "rseq": 334, "set_robust_list": 273,
    },
    "aarch64": {
        "dup3": 24, "ftruncate": 46, "close": 57, "lseek": 62, "read": 63, "write": 64, "pread64": 67, "ppoll": 73,
        "fstat": 80, "exit": 93, "exit_group": 94, "futex": 98, "getitimer": 102, "setitimer": 103,
        "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115, "sched_getaffinity": 123,
        "sched_yield": 124, "restart_syscall": 128, "tgkill": 131, "sigaltstack": 132, "rt_sigaction": 134,
        "rt_sigprocmask": 135, "rt_sigreturn": 139, "getrusage": 165, "getcpu": 168, "gettimeofday": 169,
        "getpid": 172, "gettid": 178, "sendto": 206, "recvfrom": 207, "sendmsg": 211, "recvmsg": 212, "brk": 214,
        "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226, "madvise": 233, "getrandom": 278, "rseq": 293,
        "set_robust_list": 99,
    },
}  # fmt: skip
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Classic BPF over struct seccomp_data { int nr; __u32 arch; ... }, linux/filter.h and linux/seccomp.h
_LOAD_WORD, _JUMP_EQUAL, _JUMP_IF_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_RET_KILL, _RET_EPERM, _RET_ENOSYS, _RET_ALLOW = 0x80000000, 0x00050001, 0x00050026, 0x7FFF0000
_NR_OFFSET, _ARCH_OFFSET, _FIRST_ARGUMENT_OFFSET = 0, 4, 16

# libde265 (HEIC) always works in a thread: clone may make one, and no process. glibc tries clone3 first, whose
# arguments a filter cannot see; told that there is none, it falls back.
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_CLONE_THREAD = 0x10000

_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, and end now if that happened already."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def close_in() -> bool:
    """Give up everything that decoding does not need; say whether system calls are filtered too."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_NOFILE, _first_free_descriptor()),
        (resource.RLIMIT_AS, _ADDRESS_SPACE_BYTES),
    ):
        _lower(limit, most)
    filtered = _filter_system_calls()
    if not filtered:
        _lower(resource.RLIMIT_NPROC, 0)  # no threads then either, so no HEIC
    return filtered


def _lower(limit: int, most: int) -> None:
    _, hard = resource.getrlimit(limit)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(limit, (most, most))


def _first_free_descriptor() -> int:
    """Return the lowest unused number: with it as the limit nothing can be opened, and what is open works on."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def _filter_system_calls() -> bool:
    machine = platform.machine()
    if machine not in _ALLOWED:
        return False
    allowed = sorted(_ALLOWED[machine].values())
    program = [
        _statement(_LOAD_WORD, 0, 0, _ARCH_OFFSET),
        _statement(_JUMP_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        _statement(_RETURN, 0, 0, _RET_KILL),
        _statement(_LOAD_WORD, 0, 0, _NR_OFFSET),
        _statement(_JUMP_EQUAL, 0, 1, _CLONE3),
        _statement(_RETURN, 0, 0, _RET_ENOSYS),
        _statement(_JUMP_EQUAL, 0, 4, _CLONE[machine]),
        _statement(_LOAD_WORD, 0, 0, _FIRST_ARGUMENT_OFFSET),
        _statement(_JUMP_IF_SET, 0, 1, _CLONE_THREAD),
        _statement(_RETURN, 0, 0, _RET_ALLOW),
        _statement(_RETURN, 0, 0, _RET_EPERM),
        *(_statement(_JUMP_EQUAL, len(allowed) - i, 0, number) for i, number in enumerate(allowed)),
        _statement(_RETURN, 0, 0, _RET_EPERM),
        _statement(_RETURN, 0, 0, _RET_ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(program))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    return int(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(header), 0, 0)) == 0


def _statement(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option}: {os.strerror(code)}")
