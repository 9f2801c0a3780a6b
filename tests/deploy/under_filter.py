"""Runs a command under the filter of system calls that a unit of systemd asks for: `under_filter.py UNIT COMMAND…`.

What the filter does not permit kills the process, whatever the unit's SystemCallErrorNumber: a test is to see it. Beside
SystemCallFilter= it puts RestrictAddressFamilies=, MemoryDenyWriteExecute= and NoNewPrivileges= in force."""

import ctypes
import os
import subprocess
import sys

ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 38, 65
EQUAL = 4


class Comparison(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("operator", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def settings(unit, name):
    with open(unit, encoding="utf-8") as lines:
        return [line.split("=", 1)[1].strip() for line in lines if line.startswith(f"{name}=")]


def group(name):
    """The system calls of `name`, which is one itself or a group like @system-service."""
    if not name.startswith("@"):
        return {name}
    shown = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True).stdout
    names = [line.strip() for line in shown.splitlines()[1:]]
    return set().union(*(group(one) for one in names if one and not one.startswith("#")))


def permitted(unit):
    calls = set()
    for line in settings(unit, "SystemCallFilter"):
        names = set().union(*(group(name) for name in line.removeprefix("~").split()))
        calls = calls - names if line.startswith("~") else calls | names
    # What systemd itself always permits, so that the command can be started and end.
    return calls | group("@default") | {"execve"}


def install(unit):
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(KILL_PROCESS)))
    for name in sorted(permitted(unit) - {"socket"}):
        number = library.seccomp_syscall_resolve_name(name.encode())
        # A call of another architecture.
        if number >= 0:
            assert library.seccomp_rule_add_array(context, ctypes.c_uint32(ALLOW), number, 0, None) == 0, name
    socket = library.seccomp_syscall_resolve_name(b"socket")
    for family in settings(unit, "RestrictAddressFamilies")[0].split():
        rule = Comparison(0, EQUAL, FAMILIES[family], 0)
        assert library.seccomp_rule_add_array(context, ctypes.c_uint32(ALLOW), socket, 1, ctypes.byref(rule)) == 0
    libc = ctypes.CDLL(None, use_errno=True)
    assert settings(unit, "NoNewPrivileges") == settings(unit, "MemoryDenyWriteExecute") == ["yes"]
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    # Known to Linux since 6.3.
    libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)
    assert library.seccomp_load(context) == 0


install(sys.argv[1])
os.execv(sys.argv[2], sys.argv[2:])
