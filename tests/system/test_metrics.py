#!/usr/bin/python3
"""Prometheus metrics on the control socket: promtool has nothing to say about them, and each kind of query moves its counter."""

import re
import subprocess
import unittest

import base
import dns_wire
from daemon import Countersignd, UnixConnection
from isolation import AddressBlock
from processes import Scene, find_program

_DNS = """\
nsid = "test"
rate_limit = { responses_per_second = 20, slip = 2 }
"""
_ZONES = """\
[[zone]]
name = "auth.example.test"
nameservers = ["ns1.auth.example.test"]
hostmaster = "hostmaster@example.test"
records = ["ns1 A 192.0.2.1", "child NS ns.child.example.net."]
"""


def parse(text):
    """{"name{labels}": value} of every sample."""
    samples = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, value = line.rsplit(" ", 1)
        assert name not in samples, f"twice: {name}"
        samples[name] = float(value)
    return samples


class Metrics(unittest.TestCase):
    def setUp(self):
        self.scene, self.block = Scene(), AddressBlock()
        self.addCleanup(self.block.close)
        self.addCleanup(self.scene.close)
        self.address = self.block.address(3)
        self.daemon = Countersignd(self.scene, self.address, zones=_ZONES, dns=_DNS)

    def fetch(self):
        connection = UnixConnection(self.daemon.socket, 10.0)
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        text = response.read().decode("utf-8")
        connection.close()
        self.assertEqual(response.status, 200, text)
        self.assertEqual(response.getheader("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
        return text

    def moved(self, act):
        """What changed while `act` ran, but for the process's own figures."""
        before = parse(self.fetch())
        act()
        after = parse(self.fetch())
        self.assertEqual(set(before), set(after))
        return {name: after[name] - before[name] for name in after if after[name] != before[name] and not name.startswith("process_")}

    def ask(self, name, kind, **options):
        return dns_wire.ask(self.address, name, kind, **options)

    def test_promtool_finds_nothing_to_say(self):
        self.ask("auth.example.test", "SOA")
        result = subprocess.run([find_program("promtool", "prometheus"), "check", "metrics"], input=self.fetch(), capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual((result.returncode, result.stdout + result.stderr), (0, ""))

    def test_process(self):
        samples = parse(self.fetch())
        with open(f"/proc/{self.daemon.child.pid}/status", encoding="ascii") as file:
            resident = next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) * 1024
        self.assertLess(abs(samples["process_resident_memory_bytes"] - resident), 4 << 20)
        self.assertEqual([value for name, value in samples.items() if re.match(r'countersign_build_info{version="[0-9.]+"}$', name)], [1])

    def test_each_kind_of_query_moves_its_counters(self):
        self.daemon.control.put("a.auth.example.test", base.VALUE)
        queries = [
            ("a.auth.example.test", "TXT", "NOERROR", []),
            ("a.auth.example.test", "A", "NOERROR", ["nodata"]),
            ("x.auth.example.test", "TXT", "NXDOMAIN", []),
            ("www.example.org", "CAA", "REFUSED", []),
            ("a.child.auth.example.test", "AAAA", "NOERROR", ["referral"]),
        ]
        for tcp in (False, True):
            for name, kind, rcode, kinds in queries:
                changes = self.moved(lambda: self.assertEqual(self.ask(name, kind, tcp=tcp).rcode, rcode))
                expected = {
                    f'countersign_dns_queries_total{{transport="{"tcp" if tcp else "udp"}"}}': 1,
                    f'countersign_dns_responses_total{{rcode="{rcode}"}}': 1,
                    f'countersign_dns_questions_total{{type="{kind}"}}': 1,
                    "countersign_dns_edns_queries_total": 1,
                    **{f'countersign_dns_answers_total{{kind="{what}"}}': 1 for what in ["all", *kinds]},
                }
                if tcp:
                    expected["countersign_dns_tcp_accepted_total"] = 1
                # The client's end may be seen a moment later.
                changes.pop("countersign_dns_tcp_connections", None)
                self.assertEqual(changes, expected, f"{name} {kind} tcp={tcp}")

    def test_junk_and_the_rate_limit_are_counted(self):
        def junk():
            for message in (b"short", b"\x12\x34\x84\0" + bytes(8)):
                with self.assertRaises(OSError):
                    dns_wire.exchange(self.address, message, timeout=0.2)
        changes = self.moved(junk)
        self.assertEqual(changes, {
            'countersign_dns_queries_total{transport="udp"}': 2,
            'countersign_dns_dropped_total{reason="short"}': 1,
            'countersign_dns_dropped_total{reason="response"}': 1,
        })

        def flood():
            for _ in range(200):
                try:
                    dns_wire.exchange(self.address, dns_wire.make_query("auth.example.test", "SOA"), timeout=0.01)
                except OSError:
                    pass
        changes = self.moved(flood)
        limited = changes.get('countersign_dns_rate_limited_total{fate="all"}', 0)
        self.assertGreater(limited, 50, changes)
        slipped = changes['countersign_dns_rate_limited_total{fate="slipped"}']
        self.assertEqual(slipped + changes['countersign_dns_dropped_total{reason="rate"}'], limited, changes)

    def test_values_and_reloads(self):
        zone = '{zone="auth.example.test"}'

        def publish():
            self.daemon.control.put("a.auth.example.test", base.VALUE)
            self.daemon.control.put("a.auth.example.test", base.value(2))
        changes = self.moved(publish)
        self.assertEqual({name: changes.get(name) for name in changes if "dns" not in name}, {
            f"countersign_zone_names{zone}": 1, f"countersign_zone_values{zone}": 2, f"countersign_zone_serial{zone}": 2, "countersign_store_commits_total": 2})


if __name__ == "__main__":
    base.main()
