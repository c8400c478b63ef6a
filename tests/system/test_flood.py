#!/usr/bin/python3
"""
Floods from many networks and from one, over UDP and TCP, all at once; and meanwhile clients that mean it: one with a cookie and one over TCP inside of
the network that is flooded from, six perspectives of a CA in six other networks. They lose nothing, memory does not grow, and the counters tell it.
"""

import json
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
import unittest

import base
import raw_dns
from daemon import Countersignd
from isolation import AddressBlock
from processes import Scene, find_program, wait_until

ZONE = "auth.example.test"
SECONDS = 10.0
LIMIT = 200
MAX_CONNECTIONS = 300
# A resolver's: unbound begins with 376 ms, doubles, and has up to five retries for an address.
TIMEOUTS = (0.376, 0.752, 1.5, 1.5, 1.5, 1.5)
GROWTH = 8 << 20
_FLOODER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support", "flooder.py")


class Client(threading.Thread):
    """Asks what `questions` gives until it is stopped, as a resolver does: retries, and TCP when TC says so."""

    def __init__(self, name, server, source, pause, *, transport="udp", cookie=False):
        super().__init__(name=name, daemon=True)
        self.server, self.source, self.pause, self.transport = server, source, pause, transport
        self.cookie = os.urandom(8) if cookie else b""
        self.asked = self.lost = self.retries = self.over_tcp = 0
        self.seconds, self.wrong = [], []
        self._ended, self._rng = threading.Event(), random.Random(name)

    def learn_cookie(self):
        reply = raw_dns.parse(raw_dns.ask_once(self.server, raw_dns.query(ZONE, opt=raw_dns.opt_record(raw_dns.option(raw_dns.COOKIE, self.cookie))), source=self.source))
        self.cookie = reply.options()[raw_dns.COOKIE][0]

    def run(self):
        while not self._ended.is_set():
            number = self._rng.randrange(6)
            rtype = self._rng.choice([raw_dns.TXT, raw_dns.TXT, raw_dns.NS, raw_dns.A, 28, 257])
            name = tuple(bytes(octet ^ 0x20 if chr(octet).isalpha() and self._rng.random() < 0.5 else octet for octet in label) for label in raw_dns.labels(f"p{number}.{ZONE}"))
            self._one(name, rtype, number)
            self._ended.wait(self.pause)

    def _one(self, name, rtype, number):
        began = time.monotonic()
        self.asked += 1
        reply = self._resolve(name, rtype)
        self.seconds.append(time.monotonic() - began)
        if reply is None:
            self.lost += 1
        elif not self._right(reply, name, rtype, number):
            self.wrong.append(str(reply))
        elif self.cookie:
            self.cookie = reply.options()[raw_dns.COOKIE][0]

    def _resolve(self, name, rtype):
        options = [raw_dns.option(raw_dns.COOKIE, self.cookie)] if self.cookie else []
        for attempt, timeout in enumerate(TIMEOUTS):
            self.retries += attempt > 0
            message = raw_dns.query(name, rtype, ident=self._rng.getrandbits(16), opt=raw_dns.opt_record(*options))
            octets = raw_dns.ask_once(self.server, message, tcp=self.transport == "tcp", source=self.source, timeout=timeout)
            if octets is None:
                continue
            reply = raw_dns.parse(octets)
            if not reply.has(raw_dns.TC):
                return reply
            self.over_tcp += 1
            octets = raw_dns.ask_once(self.server, message, tcp=True, source=self.source, timeout=timeout)
            if octets is not None:
                return raw_dns.parse(octets)
        return None

    @staticmethod
    def _right(reply, name, rtype, number):
        text = base.value(number).encode()
        expected = [bytes([len(text)]) + text] if rtype == raw_dns.TXT else []
        return (reply.rcode == raw_dns.NOERROR and reply.has(raw_dns.AA) and [record.rdata for record in reply.answer] == expected
                and reply.questions == [(name, rtype, raw_dns.IN)])

    def stop(self):
        self._ended.set()
        self.join(30)

    def __str__(self):
        slowest, median = max(self.seconds, default=0), statistics.median(self.seconds or [0])
        return (f"{self.name}: {self.asked} asked, {self.lost} lost, {len(self.wrong)} wrong, {self.retries} retries, {self.over_tcp} told to use TCP, "
                f"median {median * 1000:.1f} ms, slowest {slowest * 1000:.0f} ms")


class Flood(unittest.TestCase):
    def setUp(self):
        self.scene, self.block = Scene(), AddressBlock()
        self.addCleanup(self.block.close)
        self.addCleanup(self.scene.close)
        self.server = self.block.address(3)
        zones = f'[[zone]]\nname = "{ZONE}"\nnameservers = ["ns1.{ZONE}"]\nhostmaster = "hostmaster@example.test"\nrecords = ["ns1 A 192.0.2.1", "long TXT {self._long()}"]\n'
        self.daemon = Countersignd(self.scene, self.server, zones=zones, challenge='[challenge]\nlifetime = "1h"',
                                   dns=f"rate_limit = {{ responses_per_second = {LIMIT}, slip = 2 }}\ntcp_max_connections = {MAX_CONNECTIONS}")
        for number in range(6):
            self.assertEqual(self.daemon.control.put(f"p{number}.{ZONE}", base.value(number))[0], 200)
        # Ours are 127.A.B.*; the flooders' networks must be others.
        first = int(self.server.split(".")[1])
        self.networks = [f"127.{second}.{third}" for second in (first % 60 + 1, first % 60 + 2) for third in range(1, 200)]
        self.flooded, self.others = self.networks[0], self.networks[1:7]

    @staticmethod
    def _long():
        return " ".join('\\"' + "x" * 200 + '\\"' for _ in range(4))

    def flooder(self, label, kind, prefixes, **options):
        arguments = [part for key, text in options.items() for part in (f"--{key}", str(text))]
        command = [sys.executable, _FLOODER, kind, "--server", self.server, "--zone", ZONE, "--seconds", str(SECONDS), *arguments, "--prefixes", *prefixes]
        return self.scene.start(label, command)

    def memory(self):
        with open(f"/proc/{self.daemon.child.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmRSS:"))

    def growth(self):
        """What is no growth yet; a sanitizer keeps books of its own."""
        with open(f"/proc/{self.daemon.child.pid}/maps", encoding="ascii") as file:
            return GROWTH * (16 if re.search(r"lib[at]san", file.read()) else 1)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.daemon.child.pid}/fd"))

    @staticmethod
    def half_open():
        """Connections in SYN-RECV."""
        with open("/proc/net/tcp", encoding="ascii") as file:
            return sum(line.split()[3] == "03" for line in file)

    def counters(self):
        status, report = self.daemon.control.request("GET", "/v1/status")
        self.assertEqual(status, 200)
        return report["queries"]

    def start_flood(self):
        crowd = self.networks[10:]
        # A SYN is only half a connection where its answer has a way to go and nobody is there.
        subprocess.run([find_program("ip", "iproute2"), "route", "replace", "198.18.0.0/15", "dev", "lo"], check=True)
        return [
            self.flooder("subdomains", "subdomains", crowd, rate=40000), self.flooder("subdomains-one", "subdomains", [self.flooded], rate=10000, seed=2),
            self.flooder("reflection", "reflection", [self.flooded], rate=10000, name=f"p0.{ZONE}"), self.flooder("garbage", "garbage", crowd, rate=5000),
            self.flooder("silent", "silent", crowd, connections=400), self.flooder("silent-one", "silent", [self.flooded], connections=200, seed=3),
            self.flooder("slow", "slow", crowd, connections=100, name=f"long.{ZONE}"), self.flooder("half-open", "half-open", [self.flooded]),
        ]

    def clients(self):
        # The first three ask for what is flooded with, from where it is flooded from: only the cookie and TCP set them apart.
        clients = [Client("cookie", self.server, f"{self.flooded}.251", 0.02, cookie=True), Client("tcp", self.server, f"{self.flooded}.252", 0.02, transport="tcp"),
                   Client("plain", self.server, f"{self.flooded}.253", 0.05)]
        clients += [Client(f"perspective {number}", self.server, f"{network}.7", 0.03) for number, network in enumerate(self.others)]
        # As any client that asked here within the last hour.
        clients[0].learn_cookie()
        return clients

    def test_clients_that_mean_it_are_answered(self):
        memory, descriptors, before, began = self.memory(), self.descriptors(), self.counters(), time.monotonic()
        clients = self.clients()
        flooders = self.start_flood()
        for client in clients:
            client.start()
        most = half_open = 0
        while any(flooder.running() for flooder in flooders) and time.monotonic() - began < SECONDS * 3:
            most, half_open = max(most, self.memory()), max(half_open, self.half_open())
            time.sleep(0.1)
        for client in clients:
            client.stop()
        after, seconds = self.counters(), time.monotonic() - began
        moved = {key: after[key] - before[key] for key in after if isinstance(after[key], int) and after[key] != before[key]}
        tallies = [json.loads(flooder.log().splitlines()[-1]) for flooder in flooders]
        print(f"\n{seconds:.1f} s, memory {memory >> 20} MB before, {most >> 20} MB at most; up to {half_open} handshakes that never ended")
        for line in (*clients, *tallies, f"counters: {moved}"):
            print(f"  {line}", flush=True)
        self.judge_clients(clients)
        self.judge_limits(dict(zip((flooder.name for flooder in flooders), tallies)), moved)
        self.assertLess(most - memory, self.growth(), "memory grew")
        self.assertGreater(half_open, 20, "no half-open connections: the flood was none")
        wait_until(lambda: self.descriptors() <= descriptors + 2, "the connections of the flood are closed", 15)

    def judge_clients(self, clients):
        for client in clients:
            self.assertGreater(client.asked, 20, f"{client}: hardly asked")
            self.assertEqual(client.wrong, [], client)
            if client.name != "plain":
                self.assertEqual(client.lost, 0, client)
            if client.name == "cookie":
                # What has a cookie is not limited, whatever its neighbours do.
                self.assertEqual(client.over_tcp, 0, client)
        # Without a cookie, beside the flooders: what they ask for too is limited, and slip leads it to TCP.
        plain = next(client for client in clients if client.name == "plain")
        self.assertGreater(plain.over_tcp, 0, plain)
        self.assertLess(plain.lost, plain.asked / 10, plain)

    def judge_limits(self, tallies, moved):
        one = tallies["reflection"]
        self.assertGreater(one["sent"], LIMIT * SECONDS * 5, "too little of a flood to tell anything")
        # Whole answers: the limit, a burst of a second, and what the clients beside it leave over.
        self.assertLess(one["full"], LIMIT * (SECONDS + 2), "more whole answers than the limit allows")
        self.assertLess(one["reply_octets"], one["sent_octets"] * 3, "worth reflecting from")
        self.assertLess(tallies["subdomains-one"]["full"], LIMIT * (SECONDS + 2), "more whole answers than the limit allows")
        self.assertGreater(moved["rate_limited"], one["sent"] / 4)
        self.assertGreater(moved["slipped"], moved["rate_limited"] / 3)
        self.assertGreater(moved["tcp_accepted"], 500)
        self.assertGreater(sum(moved.get(key, 0) for key in ("tcp_closed_idle", "tcp_closed_for_room", "tcp_closed_for_address")), 300)
        self.assertTrue(self.daemon.child.running())


if __name__ == "__main__":
    base.main(own_network=True)
