#!/usr/bin/python3
"""
What an answered query costs, and how many one core answers: countersignd beside NSD and Knot, all up at once with the same names.

Each server runs with one worker, pinned to the first core; the client is pinned to the second and keeps a window of queries outstanding. The
servers are driven in turn in short slices, so that what else the machine does hits all of them; figures are medians over the slices. CPU is the
scheduler's run time of all the server's threads divided by the answered queries. Absolute figures mean little on a shared machine: the ratios
(x, against NSD in the same round) do. "floor" sends every packet back unread. Rate limiting is off in the peers as in ours.

  --tcp N         the queries go over N TCP connections that stay open, pipelined; there is no floor then
  --idle-tcp N    countersignd twice: one holds N idle TCP connections while both answer over UDP. Prints the cost with and without, and the
                  memory that a connection takes
  --updates N     countersignd alone, in turn with N updates a second through the control socket and without
  --instructions  instructions per query of the responder alone, counted by valgrind's callgrind: no noise, no kernel, no cache misses
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

from dns_load import IdleConnections, Updates  # noqa: E402
from dns_peers import ZONE, Client, bench_program, start_countersignd, start_knot, start_peer_nsd, start_reflector  # noqa: E402
from isolation import AddressBlock, isolate_if_needed  # noqa: E402
from processes import FixtureError, Scene, find_program, stop_on_signals  # noqa: E402

# From the project's goals (1,000 names): CPU and queries per second against NSD, CPU against the floor.
GOALS = {1_000: (0.82, 1.2, 1.08), 100_000: (0.62, 1.6, 1.10), 1_000_000: (0.58, 1.75, 1.10)}
# --instructions: two counts of queries, whose difference is free of the start.
FEW_QUERIES, MANY_QUERIES = 20_000, 120_000


class Turn:
    """What is measured in turn with others: a server, and what goes on meanwhile."""

    def __init__(self, name, server, meanwhile=contextlib.nullcontext):
        self.name, self.server, self._meanwhile = name, server, meanwhile

    def slice(self, client, milliseconds):
        with self._meanwhile():
            return client.slice(self.server, milliseconds)


def measure(client, turns, rounds, milliseconds):
    for turn in turns:
        turn.slice(client, milliseconds)
    slices = {turn.name: [] for turn in turns}
    for number in range(rounds):
        # Another one begins each time, or one server would always come after the same other.
        for turn in turns[number % len(turns):] + turns[:number % len(turns)]:
            slices[turn.name].append(turn.slice(client, milliseconds))
    return slices


def cpu(entry):
    return entry[4]


def worker_cpu(entry):
    return entry[5]


def qps(entry):
    return entry[0] / entry[3]


def median_ratio(ours, theirs, pick):
    return statistics.median(pick(a) / pick(b) for a, b in zip(ours, theirs))


def summary(slices, base):
    result = {}
    for name, own in slices.items():
        row = {
            "us": statistics.median(map(cpu, own)), "x": median_ratio(own, slices[base], cpu),
            "qps": statistics.median(map(qps, own)), "qps_x": median_ratio(own, slices[base], qps),
            "answered": sum(entry[0] for entry in own), "lost": sum(entry[1] for entry in own), "wrong": sum(entry[2] for entry in own),
        }
        if "floor" in slices:
            row["x_floor"] = median_ratio(own, slices["floor"], cpu)
        if all(worker_cpu(entry) for entry in own) and all(worker_cpu(entry) for entry in slices[base]):
            row["worker_us"] = statistics.median(map(worker_cpu, own))
            row["worker_x"] = median_ratio(own, slices[base], worker_cpu)
        result[name] = row
    return result


def print_table(result, base):
    width = max(14, *(len(name) + 2 for name in result))
    print(f"{'server':{width}}{'us/query':>10}{f'x {base}':>8}{'x floor':>9}{'queries/s':>11}{f'x {base}':>8}{'answered':>12}{'lost':>7}{'wrong':>7}")
    for name, row in result.items():
        floor = f"{row['x_floor']:9.2f}" if "x_floor" in row else f"{'-':>9}"
        print(f"{name:{width}}{row['us']:10.2f}{row['x']:8.2f}{floor}{row['qps']:11,.0f}{row['qps_x']:8.2f}{row['answered']:12,}{row['lost']:7}{row['wrong']:7}")


def print_goals(result, names):
    if names in GOALS:
        ours, (most_cpu, least_qps, most_floor) = result["countersignd"], GOALS[names]
        print(f"goals at {names:,} names: CPU {ours['x']:.2f} of NSD's (at most {most_cpu}), {ours['x_floor']:.2f} of the floor's (at most {most_floor}), "
              f"queries per second {ours['qps_x']:.2f} of NSD's (at least {least_qps})")


class Bench:
    """Cores, addresses and the client of one run."""

    def __init__(self, scene, options):
        self.everywhere = os.sched_getaffinity(0)
        if len(self.everywhere) < 2:
            raise FixtureError("this needs two cores: one for the servers, one for the client")
        self.server_core, self.client_core = sorted(self.everywhere)[:2]
        self.scene, self.options, self.block = scene, options, AddressBlock()

    @contextlib.contextmanager
    def starting_servers(self):
        # Children inherit it.
        os.sched_setaffinity(0, {self.server_core})
        try:
            yield
        finally:
            os.sched_setaffinity(0, {self.client_core})

    def measure(self, turns):
        options = self.options
        arguments = ["--names", str(options.names), "--zone", ZONE, "--window", str(options.window)]
        if options.mixed:
            arguments += ["--random-case", "--absent-percent", "10"]
        if options.tcp:
            arguments += ["--tcp", str(options.tcp)]
        client = Client(arguments)
        try:
            return measure(client, turns, options.rounds, options.slice)
        finally:
            client.close()


def compare_servers(bench, options):
    scene, address, names = bench.scene, bench.block.address, options.names
    with bench.starting_servers():
        servers = [start_countersignd(scene, address(1), names, options.tcp), start_peer_nsd(scene, address(2), names, options.tcp),
                   start_knot(scene, address(3), names, options.tcp)]
        if not options.tcp:
            servers.append(start_reflector(scene, address(4)))
    result = summary(bench.measure([Turn(server.name, server) for server in servers]), "NSD")

    def show():
        print_table(result, "NSD")
        if not options.tcp:
            print_goals(result, names)
    return {"servers": result}, show


def compare_idle(bench, options):
    scene, address, count = bench.scene, bench.block.address, options.idle_tcp
    with bench.starting_servers():
        alone = start_countersignd(scene, address(1), options.names)
        holding = start_countersignd(scene, address(2), options.names, count, "countersignd-idle")
    idle = IdleConnections(holding, count, lambda number: address(100 + number))
    try:
        result = summary(bench.measure([Turn("alone", alone), Turn(f"{count} idle TCP", holding)]), "alone")
        left = idle.still_open()
    finally:
        idle.close()
    if left != count:
        raise FixtureError(f"of {count} idle connections {left} were left at the end")

    def show():
        print_table(result, "alone")
        print(f"memory of an idle TCP connection: {idle.memory_each:,.0f} octets (resident, without the kernel's)")
    return {"servers": result, "octets_per_connection": idle.memory_each}, show


def compare_updates(bench, options):
    with bench.starting_servers():
        server = start_countersignd(bench.scene, bench.block.address(1), options.names)
    updates, busy = Updates(server.socket, options.updates), 0.0

    @contextlib.contextmanager
    def updating():
        nonlocal busy
        updates.resume()
        start = time.monotonic()
        yield
        busy += time.monotonic() - start
        updates.pause()

    name = f"{options.updates}/s updates"
    try:
        result = summary(bench.measure([Turn("alone", server), Turn(name, server, updating)]), "alone")
    finally:
        updates.close()
    rate = updates.done / busy

    def show():
        print_table(result, "alone")
        print(f"{rate:,.0f} updates a second while they ran; CPU of the threads that answer: {result[name]['worker_x']:.2f} of that without updates")
    return {"servers": result, "updates_per_second": rate}, show


def count_instructions(options):
    """Instructions per query, by names and mode."""
    valgrind, program = find_program("valgrind", "valgrind"), bench_program("bench_respond_loop")

    def total(scene, *arguments):
        file = scene.path("callgrind.out")
        run = subprocess.run([valgrind, "--tool=callgrind", f"--callgrind-out-file={file}", program, *map(str, arguments)], capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise FixtureError(f"{program} {' '.join(map(str, arguments))}: status {run.returncode}\n{run.stderr[-1000:]}")
        with open(file, encoding="ascii", errors="replace") as profile:
            return next(int(line.split()[1]) for line in profile if line.startswith(("totals:", "summary:")))

    result = {}
    with Scene("countersign-bench-") as scene:
        for mode in ("plain", "mixed", "zones", "limited"):
            # The last two are plain with 1,000 zones and with rate limiting: one size tells.
            for names in options.instruction_names if mode in ("plain", "mixed") else options.instruction_names[:1]:
                few, many = (total(scene, names, queries, mode) for queries in (FEW_QUERIES, MANY_QUERIES))
                result[f"{mode} {names}"] = (many - few) / (MANY_QUERIES - FEW_QUERIES)

    def show():
        print(f"{'mode':8}{'names':>10}{'instructions/query':>20}")
        for key, count in result.items():
            mode, names = key.split()
            print(f"{mode:8}{int(names):10,}{count:20,.0f}")
    return {"instructions": result}, show


def run(options):
    if options.instructions:
        result, show = count_instructions(options)
    else:
        with Scene("countersign-bench-") as scene:
            bench = Bench(scene, options)
            try:
                kind = compare_idle if options.idle_tcp else compare_updates if options.updates else compare_servers
                result, show = kind(bench, options)
            finally:
                os.sched_setaffinity(0, bench.everywhere)
    if options.json:
        print(json.dumps({"names": options.names, "window": options.window, "rounds": options.rounds, "slice_ms": options.slice, "mixed": options.mixed,
                          "tcp": options.tcp, **result}))
    else:
        show()
    return 1 if any(row["wrong"] for name, row in result.get("servers", {}).items() if name not in ("NSD", "Knot", "floor")) else 0


def parse_options():
    parser = argparse.ArgumentParser(prog="scripts/bench dns", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=None, help="names with one TXT value each (default 1,000; for --instructions 1,000 and 100,000)")
    parser.add_argument("--rounds", type=int, default=60, help="slices for each server (default 60)")
    parser.add_argument("--slice", type=int, default=150, metavar="MS", help="length of a slice in milliseconds (default 150)")
    parser.add_argument("--window", type=int, default=128, help="queries outstanding (default 128)")
    parser.add_argument("--mixed", action="store_true", help="random case, and 10 %% of the names do not exist")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--tcp", type=int, default=0, metavar="N", help="over N persistent TCP connections")
    kinds.add_argument("--idle-tcp", type=int, default=0, metavar="N", help="with and without N idle TCP connections")
    kinds.add_argument("--updates", type=int, default=0, metavar="N", help="with and without N updates a second")
    kinds.add_argument("--instructions", action="store_true", help="instructions per query, by callgrind")
    parser.add_argument("--quick", action="store_true", help="10 slices of 100 ms: whether it works, not how fast it is")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    options.instruction_names = [options.names] if options.names else [1_000, 100_000]
    options.names = 1_000 if options.names is None else options.names
    if options.names < 1 or options.rounds < 1 or options.slice < 10 or not 1 <= options.window <= 4096:
        parser.error("--names and --rounds are at least 1, --slice at least 10, --window 1 to 4096")
    if not 0 <= options.tcp <= 4096 or not 0 <= options.idle_tcp <= 60_000 or not 0 <= options.updates <= 10_000:
        parser.error("--tcp is at most 4096, --idle-tcp 60,000, --updates 10,000")
    if options.quick:
        options.rounds, options.slice = 10, 100
    return options


def main():
    options = parse_options()
    stop_on_signals()
    try:
        if not options.instructions:
            isolate_if_needed()
        return run(options)
    except FixtureError as error:
        print(f"bench dns: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
