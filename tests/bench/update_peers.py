"""The servers that the benchmark of updates drives, and its clients: countersignd with registrations, BIND and Knot with a TSIG key."""

import hashlib
import os
import secrets
import sqlite3
import subprocess
import time
import uuid

import dns_wire
from daemon import Countersignd
from dns_peers import ZONE, Server, bench_program, publish, zone_file
from processes import FixtureError, find_program
from updates import UpdateKey

KEY = "bench"
# Registrations in one transaction.
BATCH = 50_000


class Result:
    """One slice of a load: what it did, how long it took, and the server's CPU for one update."""

    def __init__(self, line, cpu_ns):
        numbers = [int(word) for word in line.split()]
        self.done, self.errors, elapsed, self.p50, self.p99, self.longest, self.asked, self.missed, self.asked_p50, self.asked_longest = numbers
        self.rate = self.done / (elapsed / 1e9)
        self.cpu_us = cpu_ns / 1e3 / self.done if self.done else 0.0


class Load:
    """A generator as a process that is told slice after slice."""

    def __init__(self, program, arguments):
        self.name = program
        self._process = subprocess.Popen([bench_program(program), *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, *words):
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def finish(self):
        line = self._process.stdout.readline()
        if not line:
            raise FixtureError(f"{self.name} ended with status {self._process.wait()}")
        return line

    def slice(self, server, *words):
        before = server.cpu_ns()[0]
        self.start(*words)
        line = self.finish()
        return Result(line, server.cpu_ns()[0] - before)

    def close(self):
        self._process.stdin.close()
        self._process.wait()


class Ours:
    """countersignd with `registrations` accounts, their passwords in a file for the generator."""

    API_PORT = 8053

    def __init__(self, scene, address, registrations, *, names, max_values):
        folder = f"countersignd-{address}"
        self.accounts = scene.path(f"accounts-{address}")
        zone = f'[[zone]]\nname = "{ZONE}"\nnameservers = ["ns1.{ZONE}"]\nhostmaster = "hostmaster@{ZONE}"\nrecords = ["ns1 A {address}"]\n'
        api = (f'registration = "open"\nregistration_rate = {{ per_address = 0, burst = 0 }}\nupdate_rate = {{ per_account = 0, burst = 0 }}\n'
               f"max_registrations = {registrations + 5_000_000}\n")
        self.daemon = Countersignd(
            scene, address, zones=zone, dns="rate_limit = { responses_per_second = 0 }", challenge=f"[challenge]\nmax_values = {max_values}", api=api,
            keys=[(KEY, [f"*.{ZONE}"])], name=folder)
        self.key = self.daemon.keys[KEY]
        self.daemon.stop()
        write_registrations(os.path.join(self.daemon.state, "dnsd", "store.sqlite3"), self.accounts, registrations)
        began = time.monotonic()
        self.daemon.start()
        self.start_seconds = time.monotonic() - began
        publish(self.daemon.socket, names)
        self.address, self.api = address, f"{address}:{self.API_PORT}"
        self.name = "countersignd"

    @property
    def server(self):
        return Server(self.name, self.address, self.daemon.child, socket=self.daemon.socket)

    def load(self):
        return Load("bench_http_load", ["--accounts", self.accounts, "--zone", ZONE, "--dns", f"{self.address}:53"])


def wire(name):
    return b"".join(bytes([len(label)]) + label for label in name.encode().split(b".")) + b"\0"


def write_registrations(store, accounts, count):
    """Into the store of a daemon that is stopped, as zones/STORE.md describes it, and into the generator's file."""
    now = int(time.time() * 1000)
    database = sqlite3.connect(store, isolation_level=None)
    try:
        with open(accounts, "w", encoding="ascii") as file:
            for first in range(0, count, BATCH):
                rows = []
                for _ in range(min(BATCH, count - first)):
                    username, subdomain = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4)), str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
                    password = secrets.token_urlsafe(30)
                    file.write(f"{username} {password} {subdomain}\n")
                    rows.append((username, hashlib.sha256(password.encode()).digest(), wire(f"{subdomain}.{ZONE}"), subdomain, now))
                database.execute("BEGIN")
                database.executemany(
                    "INSERT INTO registration (username, secret, name, subdomain, allow_from, domains, label, created) VALUES (?, ?, ?, ?, '', '', '', ?)", rows)
                database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise FixtureError(f"cannot write registrations into {store}: {error}") from None
    finally:
        database.close()


def start_bind(scene, address):
    key = UpdateKey(scene, f"{KEY}-bind", [])
    subprocess.run([find_program("ip", "iproute2"), "addr", "add", f"{address}/32", "dev", "lo"], check=True)
    folder = scene.path("bind-updates")
    os.makedirs(folder)
    # Its own copy: it writes the zone anew.
    with open(zone_file(scene, address, 0), encoding="ascii") as file:
        zone = scene.write("bind-updates/auth.zone", file.read())
    config = scene.write("bind-updates/named.conf", f"""
include "{key.file}";
options {{
    directory "{folder}";
    pid-file none;
    session-keyfile none;
    listen-on port 53 {{ {address}; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    notify no;
    minimal-responses yes;
}};
controls {{ }};
zone "{ZONE}" {{ type primary; file "{zone}"; allow-update {{ key "{key.name}"; }}; }};
""")
    child = scene.start("named", [find_program("named", "bind9"), "-g", "-n", "1", "-c", config])
    child.wait_ready(lambda: dns_wire.answers_at(address, ZONE), f"answering on {address}")
    return Server("BIND", address, child), key


def start_knot(scene, address):
    """Its journal is synced at each (grouped) change, as ours is: journal-db-mode robust."""
    key = UpdateKey(scene, f"{KEY}-knot", [])
    folder = scene.path("knot-updates")
    os.makedirs(folder)
    with open(zone_file(scene, address, 0), encoding="ascii") as file:
        zone = scene.write("knot-updates/auth.zone", file.read())
    config = scene.write("knot-updates/knot.conf", f"""
server:
    rundir: "{folder}"
    listen: {address}@53
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: warning
key:
  - id: {key.name}
    algorithm: {key.algorithm}
    secret: {key.secret}
acl:
  - id: update
    key: {key.name}
    action: update
database:
    storage: "{folder}"
    journal-db-mode: robust
template:
  - id: default
    storage: "{folder}"
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
zone:
  - domain: {ZONE}
    file: "{zone}"
    acl: update
""")
    child = scene.start("knotd", [find_program("knotd", "knot"), "-c", config])
    child.wait_ready(lambda: dns_wire.answers_at(address, ZONE), f"answering on {address}", 60.0)
    return Server("Knot", address, child), key


def rfc2136_load(key, names):
    return Load("bench_rfc2136_load", ["--zone", ZONE, "--key", key.name, "--secret", key.secret, "--names", names])
