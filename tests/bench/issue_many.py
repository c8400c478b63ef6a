"""
Many certificates: a batch of ours with the CPU that each part of it takes, and twenty certificates one after another and at once beside the other
clients.
"""

import os
import resource
import statistics
import subprocess
import sys
import threading
import time

import zone_files
from little_internet import LittleInternet
from processes import FixtureError

_TICK = os.sysconf("SC_CLK_TCK")
TWENTY = zone_files.NUMBERED[:20]
# Seconds that ours has to stay under, from the project's goals.
TWENTY_GOALS = {"20 in turn": 5.0, "20 at once": 2.0}
# What ours may take of Pebble's CPU.
BATCH_GOAL = 0.1


def cpu_seconds(pid):
    """User and system time of a running process, all threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def batch(version, path, count, jobs):
    """Issues `count` certificates of one name each by one `--batch`, with an existing account; gives what was measured."""
    with LittleInternet(pebble=(version, path), names=count) as net:
        first = net.run("issue", "mail.example.test")
        if first.code != 0:
            raise FixtureError(str(first))
        names = zone_files.numbered(count)
        file = net.scene.write("batch", "\n".join(names) + "\n")
        servers = {"Pebble": net.pebble.child.pid, "countersignd": net.daemon.child.pid, "the resolver": net.unbound.pid}
        before = {name: cpu_seconds(pid) for name, pid in servers.items()}
        requests = len(net.pebble.requests())
        own = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = net.run("issue", "--json", "--batch", file, "--jobs", str(jobs), timeout=max(120.0, count * 1.0))
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        if run.code != 0 or run.json()["issued"] != count:
            raise FixtureError(f"not all were issued: exit status {run.code}: {run.err[-1500:]}")
        kernel = used.ru_stime - own.ru_stime
        cpu = {"countersign": used.ru_utime - own.ru_utime + kernel}
        cpu.update({name: cpu_seconds(pid) - before[name] for name, pid in servers.items()})
        made = net.pebble.requests()[requests:]
        nonces = sum(1 for _, path in made if path.startswith("/nonce-plz"))
    result = {
        "certificates": count, "jobs": jobs, "seconds": run.seconds, "per_second": count / run.seconds,
        "cpu_ms_each": {name: 1000 * value / count for name, value in cpu.items()},
        "ours_in_kernel_ms_each": 1000 * kernel / count,
        "ours_over_pebble": cpu["countersign"] / cpu["Pebble"], "requests_each": (len(made) - nonces) / count, "nonces_each": nonces / count,
        "busy_processors": sum(cpu.values()) / run.seconds,
    }
    show_batch(result)
    return result


def show_batch(result):
    print(f"\n{result['certificates']} certificates by --batch --jobs {result['jobs']}: {result['seconds']:.2f} s, {result['per_second']:.0f} per second; "
          f"{result['busy_processors']:.1f} of {os.cpu_count()} processors busy")
    for name, value in result["cpu_ms_each"].items():
        print(f"  CPU of {name:20}{value:8.2f} ms a certificate")
    print(f"  of ours, in the kernel {result['ours_in_kernel_ms_each']:.2f} ms (files, sockets)")
    print(f"  ours over Pebble's CPU: {result['ours_over_pebble']:.2f} (goal: {BATCH_GOAL}); HTTP requests a certificate: {result['requests_each']:.1f}, "
          f"newNonce besides: {result['nonces_each']:.2f}")


def in_turn(issue):
    began = time.monotonic()
    for name in TWENTY:
        issue([name])
    return time.monotonic() - began


def at_once(issue):
    errors = []

    def one(name):
        try:
            issue([name])
        except (FixtureError, TimeoutError, AssertionError) as error:
            errors.append(str(error))

    began = time.monotonic()
    threads = [threading.Thread(target=one, args=(name,)) for name in TWENTY]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise FixtureError(f"{len(errors)} of {len(TWENTY)} failed: {errors[0][-300:]}")
    return time.monotonic() - began


def ours_as_processes(net):
    def issue(names):
        run = net.run("issue", "--force", *names)
        if run.code != 0:
            raise FixtureError(str(run))

    return issue


def ours_as_a_batch(net):
    file = net.scene.write("twenty", "\n".join(TWENTY) + "\n")
    run = net.run("issue", "--force", "--batch", file, "--jobs", "20")
    if run.code != 0:
        raise FixtureError(str(run))
    return run.seconds


def twenty(net, clients, repeats):
    """Twenty certificates of one name each; `clients` are peers that were set up. Gives rows for the JSON document."""
    rows = []
    for case, way in (("20 in turn", in_turn), ("20 at once", at_once)):
        times = {"countersign": []}
        for turn in range(repeats):
            times["countersign"].append(way(ours_as_processes(net)))
            if way is at_once:
                times.setdefault("its --batch", []).append(ours_as_a_batch(net))
            for client in clients:
                if turn > 0 and (not times.get(client.name) or min(times[client.name]) > 30):
                    continue
                try:
                    times.setdefault(client.name, []).append(way(client.issue))
                except (FixtureError, TimeoutError, subprocess.SubprocessError) as error:
                    print(f"  {case}: {client.name}: {str(error)[-200:]}", file=sys.stderr)
                    times[client.name] = []
        shown = ", ".join(f"{name} {statistics.median(taken):.2f}" if taken else f"{name} failed" for name, taken in times.items())
        print(f"{case}, seconds: {shown} (goal: {TWENTY_GOALS[case]})", flush=True)
        rows.append({"case": case, "goal_s": TWENTY_GOALS[case], "clients": times})
    return rows
