"""The servers that the DNS benchmark drives, all with the same names, and the client that drives them."""

import concurrent.futures
import json
import os
import subprocess

import dns_wire
from daemon import Countersignd, UnixConnection
from dns_servers import start_nsd
from processes import FixtureError, find_program

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ZONE = "auth.test"
# Up to here the values come through the control socket, as in real use; more of them as static records in a master file.
MOST_PUBLISHED = 10_000


def value(number):
    """What the client expects n<number> to own (dns_generator.cpp)."""
    return f"{number:043d}"


def bench_program(name):
    for build in filter(None, [os.environ.get("COUNTERSIGN_BUILD"), os.path.join(ROOT, "build", "release"), os.path.join(ROOT, "build", "dev")]):
        path = os.path.join(build, "tests", "bench", name)
        if os.access(path, os.X_OK):
            return path
    raise FixtureError(f"cannot find {name}; build it: cmake --build --preset release --target {name}")


def zone_file(scene, address, names):
    lines = [f"$ORIGIN {ZONE}.", "$TTL 1", f"@ SOA ns1.{ZONE}. hostmaster.{ZONE}. 1 3600 900 604800 1", "@ NS ns1", f"ns1 A {address}"]
    lines += [f'n{number} TXT "{value(number)}"' for number in range(names)]
    return scene.write(f"zone-{address}", "\n".join(lines) + "\n")


class Server:
    def __init__(self, name, address, child, check="full", socket=""):
        self.name, self.address, self.check, self.group, self.socket = name, address, check, child.pid, socket

    def cpu_ns(self):
        """Run time of all threads of all processes of the server (each server is a session of its own), and of those that answer UDP in ours."""
        total = answering = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                    session = int(file.read().rpartition(")")[2].split()[3])
                if session != self.group:
                    continue
                for thread in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                        own = int(file.read().split()[0])
                    total += own
                    with open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii", errors="replace") as file:
                        answering += own if file.read().startswith("udp-") else 0
            except (OSError, ValueError):
                continue
        return total, answering

    def memory(self):
        """Octets of resident memory of its first process, without pages of files."""
        with open(f"/proc/{self.group}/status", encoding="ascii", errors="replace") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
        return int(fields["RssAnon"].split()[0]) * 1024


def start_countersignd(scene, address, names, connections=0, name="countersignd"):
    zone = f'[[zone]]\nname = "{ZONE}"\nnameservers = ["ns1.{ZONE}"]\nhostmaster = "hostmaster@{ZONE}"\nrecords = ["ns1 A {address}"]\n'
    if names > MOST_PUBLISHED:
        text = "$TTL 1\n" + "\n".join(f'n{number} TXT "{value(number)}"' for number in range(names)) + "\n"
        zone += f'file = "{scene.write(f"{name}-zone", text)}"\n'
    dns = "rate_limit = { responses_per_second = 0 }\n"
    if connections:
        dns += f'tcp_max_connections = {4 * connections // 3 + 10}\ntcp_max_per_address = {connections + 10}\ntcp_idle_timeout = "10m"\n'
    daemon = Countersignd(scene, address, zones=zone, dns=dns, name=name)
    if names <= MOST_PUBLISHED:
        publish(daemon.socket, names)
    return Server(name, address, daemon.child, socket=daemon.socket)


def publish(socket, names, streams=32):
    def put(first):
        connection = UnixConnection(socket, 30.0)
        for number in range(first, names, streams):
            connection.request("PUT", f"/v1/txt/n{number}.{ZONE}", json.dumps({"value": value(number), "lifetime": "0"}))
            response = connection.getresponse()
            text = response.read()
            if response.status != 200:
                raise FixtureError(f"PUT n{number}.{ZONE}: {response.status} {text.decode('utf-8', 'replace')}")
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(streams) as pool:
        for _ in pool.map(put, range(min(streams, names))):
            pass


def start_peer_nsd(scene, address, names, connections=0):
    options = [f"tcp-count: {connections + 10}", "tcp-query-count: 0", "tcp-timeout: 600"] if connections else []
    child = start_nsd(scene, "nsd", address, {ZONE: zone_file(scene, address, names)}, options)
    return Server("NSD", address, child)


def start_knot(scene, address, names, connections=0):
    file = zone_file(scene, address, names)
    folder = scene.path("knot")
    os.makedirs(folder)
    config = scene.write("knot/knot.conf", f"""
server:
    rundir: "{folder}"
    listen: {address}@53
    udp-workers: 1
    tcp-workers: 1
    tcp-max-clients: {connections + 10}
    tcp-idle-timeout: 600
    background-workers: 1
log:
  - target: stderr
    any: warning
database:
    storage: "{folder}"
template:
  - id: default
    storage: "{folder}"
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
zone:
  - domain: {ZONE}
    file: "{file}"
""")
    child = scene.start("knotd", [find_program("knotd", "knot"), "-c", config])
    child.wait_ready(lambda: dns_wire.answers_at(address, ZONE), f"answering on {address}", 120.0)
    return Server("Knot", address, child)


def start_reflector(scene, address):
    child = scene.start("reflector", [bench_program("bench_dns_reflector"), f"{address}:53"])
    child.wait_ready(lambda: "ready" in child.log(), "ready")
    return Server("floor", address, child, "id")


class Client:
    """The generator as a process that is told slice after slice."""

    def __init__(self, arguments):
        command = [bench_program("bench_dns_generator"), *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def slice(self, server, milliseconds):
        """(answered, lost, wrong, seconds, microseconds of the server's CPU per answered query, of its UDP threads alone)"""
        before = server.cpu_ns()
        self._process.stdin.write(f"{server.address}:53 {milliseconds} {server.check}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        cpu, workers = (after - earlier for after, earlier in zip(server.cpu_ns(), before))
        if not line:
            raise FixtureError(f"the generator ended with status {self._process.wait()}")
        answered, lost, wrong, elapsed = map(int, line.split())
        if answered == 0:
            raise FixtureError(f"{server.name} at {server.address} answered nothing ({lost} lost, {wrong} wrong)")
        return answered, lost, wrong, elapsed / 1e9, cpu / 1e3 / answered, workers / 1e3 / answered

    def close(self):
        self._process.stdin.close()
        self._process.wait()


