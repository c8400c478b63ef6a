#!/usr/bin/python3
"""
NSD and countersignd are given the same zones and asked the same few thousand generated queries. Answers are compared field by field; each difference
has to fall under a rule of the table in tests/support/differential_rules.py, which says why it is right, or the test fails with both answers.
"""

import collections
import functools
import os
import time
import unittest

import base
import differential_rules as rules
import differential_zone
import raw_dns
from daemon import Countersignd
from dns_servers import start_nsd
from isolation import AddressBlock
from processes import Scene

SEED = int(os.environ.get("COUNTERSIGN_SEED", "20261122"))
ORDINARY, ODD = 12000, 1200
# Enough to see a pattern; beyond that nobody reads.
_SHOWN = 12


class Servers:
    """Both servers with the same zones, the SOA values of ours in NSD's master files."""

    def __init__(self):
        self.scene, self.block = Scene(), AddressBlock()
        try:
            self.zones = differential_zone.build(SEED)
            self.ours, self.theirs = self.block.address(3), self.block.address(4)
            self.daemon = Countersignd(self.scene, self.ours, zones=self._tables(), dns="max_udp_payload = 1232\nrate_limit = { responses_per_second = 0, slip = 2 }")
            start_nsd(self.scene, "nsd", self.theirs, self._master_files(), ["ipv4-edns-size: 1232", "hide-identity: yes", "minimal-responses: no"])
        except BaseException:
            self.close()
            raise

    def _tables(self):
        text = ""
        servers = {differential_zone.ZONE: f"ns1.{differential_zone.ZONE}", differential_zone.NESTED: f"ns1.{differential_zone.NESTED}",
                   differential_zone.OTHER: f"ns3.{differential_zone.OTHER}"}
        for zone, lines in self.zones.texts.items():
            path = self.scene.write(f"{zone}.records", lines)
            text += f'[[zone]]\nname = "{zone}"\nnameservers = ["{servers[zone]}"]\nhostmaster = "{differential_zone.HOSTMASTER}"\nfile = "{path}"\nnegative_ttl = "7s"\n'
        return text

    def _master_files(self):
        files = {}
        for zone, lines in self.zones.texts.items():
            reply = raw_dns.parse(raw_dns.ask_once(self.ours, raw_dns.query(zone, raw_dns.SOA)))
            (soa,) = reply.answer
            text = f"$ORIGIN {zone}.\n@ {soa.ttl} TYPE6 \\# {len(soa.rdata)} {soa.rdata.hex()}\n"
            files[zone] = self.scene.write(f"{zone}.master", text + lines)
        return files

    def close(self):
        self.scene.close()
        self.block.close()


class Pair:
    """One query to both servers at a time. Behind each goes a question that is always answered: what has not come before its answer does not come."""

    def __init__(self, ours, theirs):
        self.addresses = (ours, theirs)
        self._udp = [raw_dns.Udp(address) for address in self.addresses]

    def ask(self, query):
        ours, theirs = (self.ask_one(side, query.wire, query.tcp) for side in (0, 1))
        if ours is not None and theirs is None:
            # NSD sends about a hundred errors each second, not more; in the next one it does again.
            time.sleep(1.05)
            theirs = self.ask_one(1, query.wire, query.tcp)
        return ours, theirs

    def ask_one(self, side, wire, tcp):
        # An ID that no reply to the query can have, whatever is wrong with it.
        last = bytes(octet ^ 0xFF for octet in (wire + b"\0\0")[:2])
        sentinel = raw_dns.query(differential_zone.ZONE, raw_dns.SOA, ident=int.from_bytes(last, "big"))
        if tcp:
            return self._ask_tcp(side, wire, sentinel)
        for _ in range(3):
            self._udp[side].socket.send(wire)
            self._udp[side].socket.send(sentinel)
            reply = self._udp[side].receive(b"", 3.0)
            while reply is not None:
                if reply[:2] == last:
                    return None
                behind = self._udp[side].receive(b"", 3.0)
                if behind is not None and behind[:2] == last:
                    return reply
                reply = behind
        raise AssertionError(f"{self.addresses[side]} does not answer any more, after {wire.hex()}")

    def _ask_tcp(self, side, wire, sentinel):
        stream = raw_dns.Tcp(self.addresses[side])
        try:
            reply = stream.ask(wire, sentinel)
            return None if reply is not None and reply[:2] == sentinel[:2] else reply
        finally:
            stream.close()

    def close(self):
        for udp in self._udp:
            udp.close()


class Differential(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.servers = Servers()
        cls.addClassCleanup(cls.servers.close)
        cls.pair = Pair(cls.servers.ours, cls.servers.theirs)
        cls.addClassCleanup(cls.pair.close)

    def run_queries(self, queries):
        context = rules.Context(self.servers.zones, *(functools.partial(self.pair.ask_one, side) for side in (0, 1)))
        equal, counted, unexplained = 0, collections.Counter(), []
        began = time.monotonic()
        for query in queries:
            ours, theirs = self.pair.ask(query)
            differences, used = rules.compare(context, query, ours, theirs)
            counted.update(used)
            equal += not differences and not used
            if differences:
                unexplained.append((query, differences, ours, theirs))
        seconds = time.monotonic() - began
        print(f"\nseed {SEED}: {len(queries)} queries in {seconds:.1f} s, {equal} answered alike, {len(queries) - equal - len(unexplained)} alike but for these rules:")
        for name, count in counted.most_common():
            print(f"  {count:5} {name}: {rules.WHY[name]}")
        return counted, unexplained

    def assert_explained(self, unexplained):
        if not unexplained:
            return
        text = [f"{len(unexplained)} differences that no rule explains"]
        for query, differences, ours, theirs in unexplained[:_SHOWN]:
            text.append(f"---- {', '.join(sorted(differences))}: {query}\ncountersignd: {rules.shown(ours)}\nnsd: {rules.shown(theirs)}")
        kinds = collections.Counter((query.what, tuple(sorted(differences))) for query, differences, _, _ in unexplained)
        text += [f"{count:5} {what}: {', '.join(differences)}" for (what, differences), count in kinds.most_common()]
        self.fail("\n".join(text))

    def test_every_owner(self):
        generator = differential_zone.Generator(self.servers.zones, SEED)
        _, unexplained = self.run_queries(list(generator.every()))
        self.assert_explained(unexplained)

    def test_ordinary_queries(self):
        generator = differential_zone.Generator(self.servers.zones, SEED)
        _, unexplained = self.run_queries([generator.ordinary() for _ in range(ORDINARY)])
        self.assert_explained(unexplained)

    def test_odd_queries(self):
        generator = differential_zone.Generator(self.servers.zones, SEED + 1)
        _, unexplained = self.run_queries([generator.odd() for _ in range(ODD)])
        self.assert_explained(unexplained)
        self.assertTrue(self.servers.daemon.child.running())


if __name__ == "__main__":
    base.main(own_network=True)
