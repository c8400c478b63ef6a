#!/usr/bin/python3
"""
Wall time of `countersign issue` as a whole process, until the certificate is on disk, beside lego, uacme, dehydrated and certbot in the same run.

Two little Internets on loopback, alike but for the responder of the delegated zone: countersignd for ours, BIND (RFC 2136, TTL 0) for the others.
The CA (Pebble) answers at once, refuses no nonce and reuses no authorization; a validating resolver is in between. In the second half each TXT
answer to the CA is held back one second. Accounts exist before the clock starts. The clients take turns; figures are medians in seconds. HTTP
requests are counted at the CA. --many and --batch N add twenty certificates in turn and at once, and N in one batch with everybody's CPU.
"""

import argparse
import json
import os
import statistics
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import issue_many  # noqa: E402
import peers  # noqa: E402
import zone_files  # noqa: E402
from authority import certificate_names, found_pebbles  # noqa: E402
from isolation import isolate  # noqa: E402
from little_internet import LittleInternet  # noqa: E402
from processes import FixtureError, stop_on_signals  # noqa: E402

WILDCARD = ["www.example.test", "*.www.example.test"]
# What each case has to stay under for ours (seconds), from the project's goals.
PROMPT = [("1 name", zone_files.NUMBERED[:1], 0.3), ("x + *.x", WILDCARD, 0.3), ("10 names", zone_files.NUMBERED[:10], 0.4),
          ("50 names", zone_files.NUMBERED[:50], 0.6), ("100 names", zone_files.NUMBERED[:100], None)]
SLOW = [("1 name, 1 s", zone_files.NUMBERED[:1], None), ("x + *.x, 1 s", WILDCARD, None), ("10 names, 1 s", zone_files.NUMBERED[:10], 1.4),
        ("50 names, 1 s", zone_files.NUMBERED[:50], None), ("100 names, 1 s", zone_files.NUMBERED[:100], None)]
# The goal for POSTs and GETs other than newNonce, without repeated polls.
REQUEST_GOALS = {"1 name": 9, "50 names": 107}
# A case that once took this long is not repeated as often as the others.
LONG, VERY_LONG = 8.0, 30.0


class Ours:
    name = "countersign"

    def __init__(self, net):
        self.net = net
        self.issue(["mail.example.test"])

    def issue(self, names, timeout=120.0):
        run = self.net.run("issue", "--json", "--force", "--cert-name", f"bench-{len(names)}", *names, timeout=timeout)
        if run.code != 0:
            raise FixtureError(str(run))
        if certificate_names(self.net.live(f"bench-{len(names)}", "cert.pem")) != sorted(names):
            raise FixtureError(f"another certificate than asked for: {run}")
        return run.seconds


def count(requests):
    """{"all", "nonces", "first"}: requests, newNonce among them, and the rest without polls: POSTs to the same resource again."""
    nonces = sum(1 for _, path in requests if path.startswith("/nonce-plz"))
    polls = sum(max(0, sum(1 for _, path in requests if path.startswith(prefix)) - 1) for prefix in ("/my-order/",))
    return {"all": len(requests), "nonces": nonces, "first": len(requests) - nonces - polls}


class Table:
    """The times of each client in each case."""

    def __init__(self):
        self.times, self.notes, self.requests = {}, {}, {}

    def add(self, client, case, seconds):
        self.times.setdefault((client, case), []).append(seconds)

    def give_up(self, client, case, note):
        self.notes[client, case] = note

    def finished(self, client, case, repeats):
        if (client, case) in self.notes:
            return True
        done = self.times.get((client, case), [])
        wanted = repeats
        if done and max(done) > VERY_LONG:
            wanted = 1
        elif done and max(done) > LONG:
            wanted = min(repeats, 2)
        return len(done) >= wanted

    def median(self, client, case):
        done = self.times.get((client, case))
        return statistics.median(done) if done else None

    def cell(self, client, case):
        middle = self.median(client, case)
        return f"{middle:.2f}" if middle is not None else self.notes.get((client, case), "-")


def run_cases(clients, cases, table, arguments):
    for _turn in range(arguments.repeats):
        for case, names, _goal in cases:
            for client in clients:
                if table.finished(client.name, case, arguments.repeats):
                    continue
                if arguments.quick and client.name != Ours.name and skipped_in_quick(client.name, len(names)):
                    table.give_up(client.name, case, "skipped")
                    continue
                measure(client, case, names, table, arguments.timeout)
                print(f"  {case:16} {client.name:12} {table.times.get((client.name, case), [table.notes.get((client.name, case))])[-1]}", file=sys.stderr)


def skipped_in_quick(client, names):
    """Cases that take the slow clients minutes."""
    return names > (1 if client == "lego" else 10)


def measure(client, case, names, table, timeout):
    before = len(client.net.pebble.requests())
    try:
        table.add(client.name, case, client.issue(names, timeout=timeout))
        table.requests.setdefault((client.name, case), []).append(count(client.net.pebble.requests(before)))
    except (TimeoutError, AssertionError) as error:
        if isinstance(error, AssertionError) and "no end within" not in str(error):
            raise
        table.give_up(client.name, case, f"> {timeout:.0f}")
    except FixtureError as error:
        if isinstance(client, Ours):
            raise
        print(f"  {client.name} failed: {str(error)[-400:]}", file=sys.stderr)
        table.give_up(client.name, case, "failed")


def start_clients(net, bind_net, wanted):
    clients = [Ours(net)]
    for kind in peers.PEERS:
        if kind.name not in wanted:
            continue
        try:
            clients.append(kind(bind_net))
        except FixtureError as error:
            print(f"without {kind.name}: {str(error)[-400:]}", file=sys.stderr)
    return clients


def report(table, cases, clients):
    names = [client for client in [Ours.name, *(kind.name for kind in peers.PEERS)] if client in clients]
    print(f"\n{'seconds, median':18}" + "".join(f"{name:>13}" for name in names) + f"{'best peer/ours':>16}{'goal':>7}  requests")
    rows = []
    for case, _names, goal in cases:
        middle = table.median(Ours.name, case)
        others = [table.median(name, case) for name in names if name != Ours.name and table.median(name, case) is not None]
        ratio = f"{min(others) / middle:.1f}x" if others and middle else "-"
        requests = {name: table.requests[name, case] for name in names if (name, case) in table.requests}
        shown = "/".join(f"{statistics.median(entry['first'] for entry in requests[name]):.0f}" if name in requests else "-" for name in names)
        print(f"{case:18}" + "".join(f"{table.cell(name, case):>13}" for name in names) + f"{ratio:>16}{goal if goal else '-':>7}  {shown}")
        rows.append({
            "case": case, "goal_s": goal, "clients": {name: table.times.get((name, case), table.notes.get((name, case))) for name in names},
            "best_peer_over_ours": min(others) / middle if others and middle else None, "requests": requests, "request_goal": REQUEST_GOALS.get(case),
        })
    few, many = table.median(Ours.name, SLOW[0][0]), table.median(Ours.name, SLOW[-1][0])
    if few and many:
        print(f"ours at the slow CA: {len(SLOW[-1][1])} names take {many / few:.2f} times as long as one (goal: 1.5)")
    return rows


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench issue", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few repeats, and without the cases that take slow clients minutes")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, the table on stderr")
    parser.add_argument("--repeats", type=int, help="how often each case is run (default 7, quick 3)")
    parser.add_argument("--timeout", type=float, help="seconds after which a run is given up (default 300, quick 60)")
    parser.add_argument("--peers", default=",".join(kind.name for kind in peers.PEERS), help="which other clients, with commas; empty for none")
    parser.add_argument("--pebble", help="version of the Pebble to use (default: the oldest found, which all clients understand)")
    parser.add_argument("--many", action="store_true", help="also twenty certificates in turn and at once (minutes with slow clients)")
    parser.add_argument("--batch", type=int, default=0, metavar="N", help="also N certificates of ours by one --batch (1000 takes about a minute)")
    parser.add_argument("--jobs", type=int, default=8, help="of that batch (default 8)")
    parser.add_argument("--no-table", action="store_true", help="only what --batch asks for")
    parser.add_argument("--no-slow-ca", action="store_true", help="only the CA that answers at once")
    arguments = parser.parse_args()
    arguments.repeats = arguments.repeats or (3 if arguments.quick else 7)
    arguments.timeout = arguments.timeout or (60.0 if arguments.quick else 300.0)
    return arguments


def main():
    arguments = parse_arguments()
    stop_on_signals()
    if arguments.json:
        # Everything for people, tables included, goes to stderr then.
        document, sys.stdout = sys.stdout, sys.stderr
    try:
        isolate()
        found = found_pebbles()
        version = arguments.pebble or next(iter(found))
        if version not in found:
            raise FixtureError(f"no Pebble {version} here; found: {', '.join(found)}")
        rows, wanted = [], [name for name in arguments.peers.split(",") if name]
        print(f"CA: Pebble {version}; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; {arguments.repeats} repeats")
        halves = [] if arguments.no_table else [(PROMPT, 0.0)] if arguments.no_slow_ca else [(PROMPT, 0.0), (SLOW, 1.0)]
        for cases, hold_back in halves:
            options = {"pebble": (version, found[version]), "hold_back": hold_back}
            with LittleInternet(**options) as net, LittleInternet(responder="bind", **options) as bind_net:
                clients, table = start_clients(net, bind_net, wanted), Table()
                run_cases(clients, cases, table, arguments)
                rows += report(table, cases, [client.name for client in clients])
                if arguments.many and not hold_back:
                    rows += issue_many.twenty(net, clients[1:], 1 if arguments.quick else 3)
        print("\nrequests: HTTP requests at the CA in the sequence of the clients, without newNonce and repeated polls of the order; goals of ours: "
              + ", ".join(f"{case} {goal}" for case, goal in REQUEST_GOALS.items()))
        batches = []
        if arguments.batch:
            batches.append(issue_many.batch(version, found[version], arguments.batch, arguments.jobs))
    except FixtureError as error:
        print(f"bench issue: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if arguments.json:
        json.dump({"pebble": version, "repeats": arguments.repeats, "cases": rows, "batches": batches}, document, indent=1)
        document.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
