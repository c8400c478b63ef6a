#!/usr/bin/python3
"""
What an answered query costs, and how many one core answers: countersignd beside NSD and Knot, all up at once with the same names.

Each server runs with one worker, pinned to the first core; the client is pinned to the second and keeps a window of queries outstanding. The
servers are driven in turn in short slices, so that what else the machine does hits all of them; figures are medians over the slices. CPU is the
scheduler's run time of all the server's threads divided by the answered queries. Absolute figures mean little on a shared machine: the ratios
(x, against NSD in the same round) do. "floor" sends every packet back unread. Rate limiting is off in the peers as in ours.
"""

import argparse
import concurrent.futures
import json
import os
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

import dns_wire  # noqa: E402
from daemon import Countersignd, UnixConnection  # noqa: E402
from dns_servers import start_nsd  # noqa: E402
from isolation import AddressBlock, isolate_if_needed  # noqa: E402
from processes import FixtureError, Scene, find_program, stop_on_signals  # noqa: E402

ZONE = "auth.test"
# Up to here the values come through the control socket, as in real use; more of them as static records in a master file.
MOST_PUBLISHED = 10_000
# From the project's goals (1,000 names): CPU and queries per second against NSD, CPU against the floor.
GOALS = {1_000: (0.82, 1.2, 1.08), 100_000: (0.62, 1.6, 1.10), 1_000_000: (0.58, 1.75, 1.10)}


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
    def __init__(self, name, address, child, check="full"):
        self.name, self.address, self.check, self.group = name, address, check, child.pid

    def cpu_ns(self):
        """Run time of all threads of all processes of the server (each server is a session of its own)."""
        total = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                    session = int(file.read().rpartition(")")[2].split()[3])
                if session != self.group:
                    continue
                for thread in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                        total += int(file.read().split()[0])
            except (OSError, ValueError):
                continue
        return total


def start_countersignd(scene, address, names):
    zone = f'[[zone]]\nname = "{ZONE}"\nnameservers = ["ns1.{ZONE}"]\nhostmaster = "hostmaster@{ZONE}"\nrecords = ["ns1 A {address}"]\n'
    if names > MOST_PUBLISHED:
        text = "$TTL 1\n" + "\n".join(f'n{number} TXT "{value(number)}"' for number in range(names)) + "\n"
        zone += f'file = "{scene.write("countersignd-zone", text)}"\n'
    daemon = Countersignd(scene, address, zones=zone)
    if names <= MOST_PUBLISHED:
        publish(daemon.socket, names)
    return Server("countersignd", address, daemon.child)


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


def start_knot(scene, address, file):
    folder = scene.path("knot")
    os.makedirs(folder)
    config = scene.write("knot/knot.conf", f"""
server:
    rundir: "{folder}"
    listen: {address}@53
    udp-workers: 1
    tcp-workers: 1
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
        """(answered, lost, wrong, seconds, microseconds of the server's CPU per answered query)"""
        before = server.cpu_ns()
        self._process.stdin.write(f"{server.address}:53 {milliseconds} {server.check}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        cpu = server.cpu_ns() - before
        if not line:
            raise FixtureError(f"the generator ended with status {self._process.wait()}")
        answered, lost, wrong, elapsed = map(int, line.split())
        if answered == 0:
            raise FixtureError(f"{server.name} at {server.address} answered nothing ({lost} lost, {wrong} wrong)")
        return answered, lost, wrong, elapsed / 1e9, cpu / 1e3 / answered

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def measure(client, servers, rounds, milliseconds):
    for server in servers:
        client.slice(server, milliseconds)
    slices = {server.name: [] for server in servers}
    for number in range(rounds):
        # Another one begins each time, or one server would always come after the same other.
        for server in servers[number % len(servers):] + servers[:number % len(servers)]:
            slices[server.name].append(client.slice(server, milliseconds))
    return slices


def summary(slices, base="NSD"):
    def median_ratio(ours, theirs, pick):
        return statistics.median(pick(a) / pick(b) for a, b in zip(ours, theirs))

    def cpu(entry):
        return entry[4]

    def qps(entry):
        return entry[0] / entry[3]

    result = {}
    for name, own in slices.items():
        result[name] = {
            "us": statistics.median(map(cpu, own)), "x": median_ratio(own, slices[base], cpu), "x_floor": median_ratio(own, slices["floor"], cpu),
            "qps": statistics.median(map(qps, own)), "qps_x": median_ratio(own, slices[base], qps),
            "answered": sum(entry[0] for entry in own), "lost": sum(entry[1] for entry in own), "wrong": sum(entry[2] for entry in own),
        }
    return result


def print_table(result, names):
    print(f"{'server':14}{'us/query':>10}{'x NSD':>8}{'x floor':>9}{'queries/s':>11}{'x NSD':>8}{'answered':>12}{'lost':>7}{'wrong':>7}")
    for name, row in result.items():
        print(f"{name:14}{row['us']:10.2f}{row['x']:8.2f}{row['x_floor']:9.2f}{row['qps']:11,.0f}{row['qps_x']:8.2f}{row['answered']:12,}{row['lost']:7}{row['wrong']:7}")
    if names in GOALS:
        ours, (cpu, qps, floor) = result["countersignd"], GOALS[names]
        print(f"goals at {names:,} names: CPU {ours['x']:.2f} of NSD's (at most {cpu}), {ours['x_floor']:.2f} of the floor's (at most {floor}), "
              f"queries per second {ours['qps_x']:.2f} of NSD's (at least {qps})")


def run(options):
    if len(os.sched_getaffinity(0)) < 2:
        raise FixtureError("this needs two cores: one for the servers, one for the client")
    server_core, client_core = sorted(os.sched_getaffinity(0))[:2]
    with Scene("countersign-bench-") as scene:
        block = AddressBlock()
        names, address = options.names, block.address
        everywhere = os.sched_getaffinity(0)
        # Children inherit it.
        os.sched_setaffinity(0, {server_core})
        servers = [start_countersignd(scene, address(1), names)]
        nsd = start_nsd(scene, "nsd", address(2), {ZONE: zone_file(scene, address(2), names)})
        servers.append(Server("NSD", address(2), nsd))
        servers.append(start_knot(scene, address(3), zone_file(scene, address(3), names)))
        servers.append(start_reflector(scene, address(4)))
        os.sched_setaffinity(0, {client_core})
        arguments = ["--names", str(names), "--zone", ZONE, "--window", str(options.window)]
        if options.mixed:
            arguments += ["--random-case", "--absent-percent", "10"]
        client = Client(arguments)
        try:
            slices = measure(client, servers, options.rounds, options.slice)
        finally:
            client.close()
            os.sched_setaffinity(0, everywhere)
    result = summary(slices)
    if options.json:
        print(json.dumps({"names": names, "window": options.window, "rounds": options.rounds, "slice_ms": options.slice, "mixed": options.mixed, "servers": result}))
    else:
        print_table(result, names)
    return 1 if result["countersignd"]["wrong"] else 0


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench dns", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=1000, help="names with one TXT value each (default 1,000)")
    parser.add_argument("--rounds", type=int, default=60, help="slices for each server (default 60)")
    parser.add_argument("--slice", type=int, default=150, metavar="MS", help="length of a slice in milliseconds (default 150)")
    parser.add_argument("--window", type=int, default=128, help="queries outstanding (default 128)")
    parser.add_argument("--mixed", action="store_true", help="random case, and 10 %% of the names do not exist")
    parser.add_argument("--quick", action="store_true", help="10 slices of 100 ms: whether it works, not how fast it is")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    if options.names < 1 or options.rounds < 1 or options.slice < 10 or not 1 <= options.window <= 4096:
        parser.error("--names and --rounds are at least 1, --slice at least 10, --window 1 to 4096")
    if options.quick:
        options.rounds, options.slice = 10, 100
    stop_on_signals()
    try:
        isolate_if_needed()
        return run(options)
    except FixtureError as error:
        print(f"bench dns: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
