"""Port 53 on loopback addresses of our own: which address block is ours, and a network namespace where the machine's own is not free."""

import errno
import os
import random
import socket
import subprocess
import sys

from processes import FixtureError, find_program

_MARK = "COUNTERSIGN_ISOLATED"


def _bind_error(address):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((address, 53))
            except OSError as error:
                return error
    return None


def isolated():
    return bool(os.environ.get(_MARK))


def isolate_if_needed():
    """
    Does nothing where port 53 can be bound on 127.0.0.0/8. Elsewhere (not root, or a resolver of the machine holds it on every address)
    the program starts itself again in a network namespace of its own, where it is root.
    """
    error = _bind_error("127.97.53.1")
    if error is None:
        return
    reason = "not permitted" if error.errno in (errno.EACCES, errno.EPERM) else os.strerror(error.errno)
    if isolated():
        raise FixtureError(f"cannot bind port 53 on loopback even in a network namespace of our own: {reason}")
    print(f"port 53 on loopback: {reason}; going on in a network namespace of our own", file=sys.stderr)
    isolate()


def isolate():
    """Starts this program again in a network and mount namespace of its own, unless it is in one already."""
    if isolated():
        return
    unshare, ip = find_program("unshare", "util-linux"), find_program("ip", "iproute2")
    options = ["--net", "--mount"] if os.geteuid() == 0 else ["--map-root-user", "--net", "--mount"]
    probe = subprocess.run([unshare, *options, "/bin/true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        raise FixtureError(f"cannot make a network namespace: {probe.stderr.strip()}; run this as root, or allow user namespaces")
    # lo is down in a new namespace.
    script = f'{ip} link set lo up && exec "$@"'
    os.environ[_MARK] = "1"
    sys.stdout.flush()
    os.execv(unshare, [unshare, *options, "/bin/sh", "-c", script, "sh", sys.executable, *sys.argv])


def can_drop_to(user_id):
    """Whether this user exists in our user namespace, so that a daemon can become it."""
    if os.geteuid() != 0:
        return False
    with open("/proc/self/uid_map", encoding="ascii") as table:
        for line in table:
            first, _outside, count = map(int, line.split())
            if first <= user_id < first + count:
                return True
    return False


class AddressBlock:
    """
    127.A.B.*, held by an abstract Unix socket for as long as this object lives: so any number of instances run side by side,
    and nothing is left behind when one of them dies.
    """

    def __init__(self):
        for _ in range(200):
            prefix = f"127.{random.randint(64, 250)}.{random.randint(1, 250)}"
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                lock.bind(f"\0countersign-tests-{prefix}")
            except OSError:
                lock.close()
                continue
            if _bind_error(f"{prefix}.1") is None:
                self._lock, self.prefix = lock, prefix
                return
            lock.close()
        raise FixtureError("no free loopback addresses with port 53: is a DNS server listening on 0.0.0.0? (ss -lnup 'sport = :53' names it)")

    def address(self, last):
        return f"{self.prefix}.{last}"

    def close(self):
        self._lock.close()
