"""What systemd does for a service, without systemd: notifications, sockets handed over, an unprivileged user, system call filters."""

import os
import pwd
import socket

from daemon import Countersignd
from isolation import can_drop_to

NOBODY = pwd.getpwnam("nobody")
# Not the one that runs this: `nobody` may not reach it.
_PYTHON = "/usr/bin/python3"

# Binds what is named on its command line as descriptors 3, 4, ..., becomes `nobody` and then the daemon, as systemd does it.
_ACTIVATOR = r"""
import os, socket, sys
uid, gid, *rest = sys.argv[1:]
specs, command = rest[:rest.index("--")], rest[rest.index("--") + 1:]
held = []
for spec in specs:
    kind, where = spec.split("=", 1)
    if kind == "file":
        held.append(open(where)); continue
    if kind == "unix":
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); made.bind(where); os.chmod(where, 0o660)
    else:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        made.bind((where, 53))
    if kind != "udp": made.listen(100)
    held.append(made)
high = [os.dup2(one.fileno(), 100 + i) for i, one in enumerate(held)]
for i, fd in enumerate(high): os.dup2(fd, 3 + i)
for fd in high: os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(held)), LISTEN_FDNAMES=":".join(f"name{i}" for i in range(len(held))))
if int(uid): os.setgroups([]); os.setgid(int(gid)); os.setuid(int(uid))
os.execv(command[0], command)
"""

# Sets up the SystemCallFilter= of a unit by libseccomp and becomes the command: what systemd would do.
_FILTERED = r"""
import ctypes, os, subprocess, sys
unit, command = sys.argv[1], sys.argv[2:]
def expand(word):
    if not word.startswith("@"): return {word}
    shown = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True).stdout
    return set().union(*(expand(line.strip()) for line in shown.splitlines()[1:] if line.strip() and not line.strip().startswith("#")))
allowed = set()
for line in open(unit):
    if not line.startswith("SystemCallFilter="): continue
    words = line.strip().split("=", 1)[1]
    names = set().union(*map(expand, words.lstrip("~").split()))
    allowed = allowed - names if words.startswith("~") else allowed | names
allowed |= {"execve"} | expand("@default")
library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
EPERM = 0x00050000 | 1
filter = ctypes.c_void_p(library.seccomp_init(EPERM))
for name in allowed:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number >= 0: assert library.seccomp_rule_add(filter, 0x7fff0000, number, 0) == 0, name
assert library.seccomp_load(filter) == 0
os.execv(command[0], command)
"""


class Manager:
    """Where READY=1 and the like arrive."""

    def __init__(self, scene):
        self.path = scene.path("notify.sock")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        os.chmod(self.path, 0o777)

    def next(self, timeout=10.0):
        self._socket.settimeout(timeout)
        return self._socket.recv(4096).decode("ascii")

    def close(self):
        self._socket.close()


class UnprivilegedDaemon(Countersignd):
    """Started as `nobody` by a command in front of its own, with folders as systemd makes them (StateDirectory=countersign/dnsd)."""

    def __init__(self, scene, front, *arguments, name="countersignd", **options):
        self.front = front
        if can_drop_to(NOBODY.pw_uid):
            for folder, mode in (("state/dnsd", 0o700), ("run", 0o755)):
                path = scene.path(name, folder)
                os.makedirs(path)
                os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
                os.chmod(path, mode)
        super().__init__(scene, *arguments, name=name, **options)

    def start(self):
        self.child = self.scene.start(self.name, [*self.front, self.program, "--config", self.config])
        self.child.wait_ready(self.ready_line, "ready")


def activator(*sockets):
    account = (NOBODY.pw_uid, NOBODY.pw_gid) if can_drop_to(NOBODY.pw_uid) else (0, 0)
    return [_PYTHON, "-c", _ACTIVATOR, *map(str, account), *sockets, "--"]


def filtered(unit):
    """The front of a command that runs under the SystemCallFilter= of the unit's file."""
    return [_PYTHON, "-c", _FILTERED, unit]
