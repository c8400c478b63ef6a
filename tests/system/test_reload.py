#!/usr/bin/python3
"""SIGHUP while queries run over UDP and TCP and updates come through the control socket: nothing is lost, nothing wrong is said, and what is broken changes nothing."""

import os
import random
import signal
import struct
import threading
import time
import unittest

import base
import raw_dns
from daemon import Countersignd
from isolation import AddressBlock
from processes import Scene, wait_until
from raw_dns import NOERROR, NSID, NXDOMAIN, REFUSED, SOA, TXT, A, opt_record, option, query

ZONE, SECOND, THIRD = "auth.example.test", "second.example.test", "third.example.net"
KEPT = "kept.auth.example.test"


def txt(text):
    return bytes([len(text)]) + text.encode()


def zone_table(name, records, file=""):
    quoted = ", ".join(f'"{record}"' for record in records)
    return f'[[zone]]\nname = "{name}"\nnameservers = ["ns.{name}"]\nhostmaster = "hostmaster@example.test"\nrecords = ["ns A 192.0.2.1", {quoted}]\nfile = "{file}"\n\n'


class Asker(threading.Thread):
    """Asks again and again what `checks` say: (name, type, acceptable), where acceptable(reply) is None or what is wrong. One try each: a lost query is one too many."""

    def __init__(self, server, tcp, checks):
        super().__init__(daemon=True)
        self.server, self.tcp, self.checks = server, tcp, checks
        self.asked = self.lost = 0
        self.slowest, self.wrong = 0.0, []
        self._ended = threading.Event()

    def run(self):
        peer, rng = None, random.Random(self.tcp)
        while not self._ended.is_set():
            name, rtype, wrong = rng.choice(self.checks)
            began = time.monotonic()
            try:
                peer = peer or (raw_dns.Tcp if self.tcp else raw_dns.Udp)(self.server)
                octets = peer.ask(query(name, rtype, ident=rng.getrandbits(16), opt=opt_record(option(NSID))), timeout=3.0)
            except OSError:
                octets = None
                self._ended.wait(0.01)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.asked += 1
            self.lost += octets is None
            if octets is not None and (reason := wrong(raw_dns.parse(octets))):
                self.wrong.append(f"{name} {raw_dns.type_name(rtype)}: {reason}: {raw_dns.parse(octets)}")
            # A connection that stays, and now and then a new one.
            if peer and (octets is None or (self.tcp and self.asked % 50 == 0)):
                peer.close()
                peer = None
        if peer:
            peer.close()

    def stop(self):
        self._ended.set()
        self.join(20)

    def __str__(self):
        return f"{'TCP' if self.tcp else 'UDP'}: {self.asked} asked, {self.lost} lost, {len(self.wrong)} wrong, slowest {self.slowest * 1000:.0f} ms"


class Reload(unittest.TestCase):
    maxDiff = None
    tails = ""

    def setUp(self):
        self.scene, self.block = Scene(), AddressBlock()
        self.addCleanup(self.block.close)
        self.addCleanup(self.scene.close)
        self.addCleanup(self._keep_logs)
        self.server = self.block.address(3)
        zones = zone_table(ZONE, ["www A 192.0.2.10", "fixed A 192.0.2.9"]) + zone_table(SECOND, ["www A 192.0.2.20"])
        self.daemon = Countersignd(self.scene, self.server, zones=zones, dns='rate_limit = { responses_per_second = 0, slip = 2 }\nnsid = "before"')
        self.assertEqual(self.daemon.control.put(KEPT, base.VALUE)[0], 200)

    def run(self, result=None):
        before = len(result.failures) + len(result.errors) if result else 0
        super().run(result)
        if result and len(result.failures) + len(result.errors) > before:
            print(f"==== logs after {self.id()}\n{self.tails}", flush=True)
        return result

    def _keep_logs(self):
        self.tails = self.scene.log_tails(20)

    def configuration(self):
        with open(self.daemon.config, encoding="utf-8") as file:
            return file.read()

    def write(self, text):
        # Whole or not at all, as an editor or a package does it.
        new = self.daemon.config + ".new"
        with open(new, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(new, 0o644)
        os.replace(new, self.daemon.config)

    def reloads(self):
        """How many ended, and how."""
        text = self.daemon.child.log()
        return text.count("not reloaded"), len([line for line in text.splitlines() if "reloaded" in line and "not reloaded" not in line])

    def reload(self, text=None, *, good=True):
        """Writes the configuration, sends SIGHUP, waits for its end; the log since."""
        if text is not None:
            self.write(text)
        failed, done = self.reloads()
        start = len(self.daemon.child.log())
        self.daemon.child.send(signal.SIGHUP)
        wait_until(lambda: self.reloads() != (failed, done), "the reload ends", 15)
        log = self.daemon.child.log()[start:]
        self.assertEqual(self.reloads(), (failed, done + 1) if good else (failed + 1, done), log)
        return log

    def ask(self, name, rtype, tcp=False):
        octets = raw_dns.ask_once(self.server, query(name, rtype, opt=opt_record(option(NSID))), tcp=tcp)
        self.assertIsNotNone(octets)
        return raw_dns.parse(octets)

    def rdatas(self, name, rtype=A):
        reply = self.ask(name, rtype)
        return (reply.rcode, [record.rdata for record in reply.answer])

    def serial(self, zone=ZONE):
        (soa,) = self.ask(zone, SOA).answer
        return struct.unpack(">I", soa.rdata[-20:-16])[0]

    def start_askers(self, checks):
        askers = [Asker(self.server, tcp, checks) for tcp in (False, True)]
        for asker in askers:
            asker.start()
        self.addCleanup(lambda: [asker.stop() for asker in askers])
        return askers

    def judge(self, askers):
        for asker in askers:
            asker.stop()
            print(f"\n{asker}", end="", flush=True)
            self.assertEqual((asker.lost, asker.wrong[:3]), (0, []), asker)
            self.assertGreater(asker.asked, 50, "hardly asked")

    @staticmethod
    def one_of(*rdatas, rcodes=(NOERROR,)):
        def wrong(reply):
            if reply.rcode not in rcodes:
                return f"RCODE {reply.rcode}"
            if reply.rcode == NOERROR and [record.rdata for record in reply.answer] not in [[rdata] for rdata in rdatas]:
                return "not one of the expected answers"
            return None
        return wrong

    def test_records_zones_and_nsid_change_without_a_lost_query(self):
        old, new = b"\xc0\0\2\x0a", b"\xc0\0\2\x0b"
        state = {"nsids": {b"before", b"after"}}

        def nsid(reply):
            found = reply.options().get(NSID, [None])[0]
            return None if found in state["nsids"] else f"NSID {found}"
        askers = self.start_askers([
            (f"www.{ZONE}", A, self.one_of(old, new)), (f"fixed.{ZONE}", A, self.one_of(b"\xc0\0\2\x09")), (KEPT, TXT, self.one_of(txt(base.VALUE))),
            (f"www.{SECOND}", A, self.one_of(b"\xc0\0\2\x14", rcodes=(NOERROR, REFUSED))), (f"www.{THIRD}", A, self.one_of(b"\xc0\0\2\x1e", rcodes=(NOERROR, REFUSED))),
            (ZONE, SOA, nsid)])
        self.assertEqual(self.rdatas(f"www.{THIRD}"), (REFUSED, []))
        self.assertEqual(self.daemon.control.put(f"value.{SECOND}", base.VALUE)[0], 200)
        cookie = self._cookie()
        serial, first = self.serial(), self.configuration()
        text = first.replace("192.0.2.10", "192.0.2.11").replace('nsid = "before"', 'nsid = "after"')
        text = text.replace(zone_table(SECOND, ["www A 192.0.2.20"]), zone_table(THIRD, ["www A 192.0.2.30"]))
        log = self.reload(text)
        self.assertNotIn("needs a restart", log)
        for tcp in (False, True):
            self.assertEqual([record.rdata for record in self.ask(f"www.{ZONE}", A, tcp).answer], [new])
            self.assertEqual(self.ask(ZONE, SOA, tcp).options(), {NSID: [b"after"]})
        state["nsids"] = {b"after"}
        self.assertEqual(self.rdatas(f"www.{THIRD}"), (NOERROR, [b"\xc0\0\2\x1e"]))
        self.assertEqual((self.rdatas(f"www.{SECOND}"), self.rdatas(SECOND, SOA)), ((REFUSED, []), (REFUSED, [])))
        self.assertGreater(self.serial(), serial, "changed records and the old serial")
        self.assertEqual(self.daemon.control.put(f"late.{SECOND}", base.VALUE)[0], 404)
        self.assertEqual(self.daemon.control.put(f"new.{THIRD}", base.VALUE)[0], 200)
        zones = {zone["name"] for zone in self.daemon.control.request("GET", "/v1/status")[1]["zones"]}
        self.assertEqual(zones, {ZONE, THIRD})
        # A cookie from before is still one of ours: the secret made at the start is for life (RFC 7873 section 5.4 asks without a question).
        reply = raw_dns.parse(raw_dns.ask_once(self.server, query(questions=[], opt=opt_record(option(raw_dns.COOKIE, cookie)))))
        self.assertEqual(reply.rcode, NOERROR, "a cookie from before the reload is refused")
        # The zone that went comes back with its value.
        serial = self.serial()
        state["nsids"] = {b"after", b"before"}
        self.reload(first)
        self.assertEqual(self.rdatas(f"value.{SECOND}", TXT), (NOERROR, [txt(base.VALUE)]))
        self.assertGreater(self.serial(), serial)
        self.judge(askers)

    def _cookie(self):
        reply = raw_dns.parse(raw_dns.ask_once(self.server, query(ZONE, opt=opt_record(option(raw_dns.COOKIE, b"12345678")))))
        return reply.options()[raw_dns.COOKIE][0]

    def test_thirty_reloads_in_a_row_beside_updates(self):
        askers = self.start_askers([
            (f"www.{ZONE}", A, self.one_of(*(bytes([192, 0, 2, last]) for last in range(10, 41)))), (KEPT, TXT, self.one_of(txt(base.VALUE))),
            (f"fixed.{ZONE}", A, self.one_of(b"\xc0\0\2\x09")), (f"www.{THIRD}", A, self.one_of(b"\xc0\0\2\x1e", rcodes=(NOERROR, REFUSED)))])
        stop, acknowledged, problems = threading.Event(), {}, []
        updaters = [threading.Thread(target=self._update, args=(worker, stop, acknowledged, problems), daemon=True) for worker in range(3)]
        for updater in updaters:
            updater.start()
        first, serial = self.configuration(), self.serial()
        began = time.monotonic()
        for number in range(1, 31):
            text = first.replace("192.0.2.10", f"192.0.2.{10 + number}") + (zone_table(THIRD, ["www A 192.0.2.30"]) if number % 2 else "")
            self.reload(text)
            self.assertEqual(self.rdatas(f"www.{ZONE}"), (NOERROR, [bytes([192, 0, 2, 10 + number])]))
            self.assertEqual(self.rdatas(f"www.{THIRD}"), (NOERROR, [b"\xc0\0\2\x1e"]) if number % 2 else (REFUSED, []))
        seconds = time.monotonic() - began
        stop.set()
        for updater in updaters:
            updater.join(20)
        self.assertEqual(problems, [])
        print(f"\n30 reloads in {seconds:.1f} s, beside {len(acknowledged)} updates", end="")
        self.assertGreater(len(acknowledged), 30)
        self.judge(askers)
        self.assertGreaterEqual(self.serial() - serial, 30)
        expected = {name: [text] for name, text in acknowledged.items() if text} | {KEPT: [base.VALUE]}
        self.assertEqual(self.daemon.control.values(), expected)
        for name, text in list(acknowledged.items())[-200:]:
            self.assertEqual(self.rdatas(name, TXT), (NOERROR, [txt(text)]) if text else (NXDOMAIN, []))
        # And all of it is on disk.
        self.daemon.restart()
        self.assertEqual(self.daemon.control.values(), expected)

    def _update(self, worker, stop, acknowledged, problems):
        number = 0
        while not stop.is_set():
            number += 1
            name, text = f"u{worker}-{number}.{ZONE}", base.value(number)
            status, answer = self.daemon.control.put(name, text)
            # Visible before its 200, whatever is being reloaded.
            seen = raw_dns.parse(raw_dns.ask_once(self.server, query(name, TXT)))
            if status != 200 or [record.rdata for record in seen.answer] != [txt(text)]:
                problems.append(f"put {name}: {status} {answer}, then {seen}")
            acknowledged[name] = text
            if number % 3 == 0:
                status, answer = self.daemon.control.delete(name)
                seen = raw_dns.parse(raw_dns.ask_once(self.server, query(name, TXT)))
                if status != 204 or seen.rcode != NXDOMAIN:
                    problems.append(f"delete {name}: {status} {answer}, then {seen}")
                acknowledged[name] = ""

    def test_large_master_file(self):
        names = 20000
        path = self.scene.path("large.records")

        def write(last):
            with open(path, "w", encoding="ascii") as file:
                file.writelines(f"n{number} 60 A 10.{number >> 8}.{number & 255}.{last}\n" for number in range(names))
        write(1)
        text = self.configuration() + zone_table(THIRD, ["first A 192.0.2.30"], path)
        checks = [(f"n{number}.{THIRD}", A, self.one_of(*(bytes([10, number >> 8, number & 255, last]) for last in (1, 2)))) for number in range(0, names, 97)]
        self.reload(text)
        askers = self.start_askers([*checks, (KEPT, TXT, self.one_of(txt(base.VALUE)))])
        began = time.monotonic()
        for last in (2, 1, 2, 1, 2):
            write(last)
            self.reload()
            for number in (0, names // 2, names - 1):
                self.assertEqual(self.rdatas(f"n{number}.{THIRD}"), (NOERROR, [bytes([10, number >> 8, number & 255, last])]))
        print(f"\n5 reloads of {names} names in {time.monotonic() - began:.1f} s", end="")
        self.judge(askers)

    def test_signals_faster_than_reloads(self):
        first = self.configuration()
        askers = self.start_askers([(KEPT, TXT, self.one_of(txt(base.VALUE))), (f"www.{ZONE}", A, self.one_of(*(bytes([192, 0, 2, last]) for last in range(10, 31))))])
        for number in range(1, 21):
            self.write(first.replace("192.0.2.10", f"192.0.2.{10 + number}"))
            self.daemon.child.send(signal.SIGHUP)
        # What the file says last is what is served in the end.
        wait_until(lambda: self.rdatas(f"www.{ZONE}") == (NOERROR, [bytes([192, 0, 2, 30])]), "the last configuration is in effect", 15)
        self.assertTrue(self.daemon.child.running())
        self.judge(askers)

    def test_broken_configuration_changes_nothing_and_says_where(self):
        first = self.configuration()
        line = first[: first.index("nsid")].count("\n") + 1
        askers = self.start_askers([(KEPT, TXT, self.one_of(txt(base.VALUE))), (f"www.{ZONE}", A, self.one_of(b"\xc0\0\2\x0a"))])
        master = self.scene.write("records", "one A 192.0.2.5\ntwo A 300.2.2.2\n")
        cases = {
            "value": (first.replace('nsid = "before"', "nsid = 7"), [f"{self.daemon.config}:{line}:", "nsid"]),
            "unknown key": (first.replace('nsid = "before"', 'nsidd = "x"'), [f"{self.daemon.config}:{line}:", "nsidd"]),
            "record": (first.replace("www A 192.0.2.10", "www A 192.0.2.300").replace("before", "after"), [f"{self.daemon.config}:", "192.0.2.300"]),
            "no TOML": (first + "\n[dns\n", [f"{self.daemon.config}:{first.count(chr(10)) + 2}:"]),
            "no zones": (first[: first.index("[[zone]]")], ["zone"]),
            "master file": (first.replace('file = ""', f'file = "{master}"', 1), [master, "line 2"]),
            "master file that is not there": (first.replace('file = ""', 'file = "/nonexistent/records"', 1), ["/nonexistent/records"]),
        }
        serial = self.serial()
        for label, (text, words) in cases.items():
            with self.subTest(label):
                log = self.reload(text, good=False)
                for word in words:
                    self.assertIn(word, log)
                self.assertEqual(self.rdatas(f"www.{ZONE}"), (NOERROR, [b"\xc0\0\2\x0a"]))
                self.assertEqual(self.ask(ZONE, SOA).options(), {NSID: [b"before"]})
                self.assertEqual(self.serial(), serial)
        os.unlink(self.daemon.config)
        self.assertIn(self.daemon.config, self.reload(good=False))
        self.reload(first.replace("192.0.2.10", "192.0.2.10"))
        self.assertEqual(self.rdatas(KEPT, TXT), (NOERROR, [txt(base.VALUE)]))
        self.judge(askers)

    def test_what_needs_a_restart_is_named_and_the_rest_is_done(self):
        first = self.configuration()
        other = self.block.address(8)
        changes = {
            "dns.listen": (f"{self.server}:53", f"{other}:53"), "dns.workers": ("workers = 1", "workers = 2"), "state_dir": ('/state"', '/state2"'),
            "control_socket": ("control.sock", "other.sock"), "user": (f'user = "{self.daemon.user}"', 'user = "daemon"'),
        }
        for key, (before, after) in changes.items():
            with self.subTest(key):
                self.assertIn(before, first)
                log = self.reload(first.replace(before, after).replace("192.0.2.10", "192.0.2.11"))
                (named,) = [text for text in log.splitlines() if "needs a restart" in text]
                self.assertIn(key, named)
                for absent in set(changes) - {key}:
                    self.assertNotIn(absent, named)
                self.assertEqual(self.rdatas(f"www.{ZONE}"), (NOERROR, [b"\xc0\0\2\x0b"]))
                self.assertNotIn("needs a restart", self.reload(first))
        self.assertIsNone(raw_dns.ask_once(other, query(ZONE), timeout=0.2))
        self.assertEqual(self.daemon.control.values(), {KEPT: [base.VALUE]})

    def test_unchanged_configuration_keeps_the_serial(self):
        serial = self.serial()
        self.reload()
        self.assertEqual(self.serial(), serial)

    def test_values_that_new_records_hide_are_kept(self):
        name = f"hidden.{ZONE}"
        self.assertEqual(self.daemon.control.put(name, base.VALUE)[0], 200)
        first = self.configuration()
        for record, rtype in (("hidden CNAME www", A), ("hidden NS ns.elsewhere.invalid.", raw_dns.NS)):
            self.reload(first.replace("fixed A 192.0.2.9", f'fixed A 192.0.2.9", "{record}'))
            self.assertNotIn(txt(base.VALUE), [found.rdata for found in self.ask(name, TXT).answer])
            self.assertEqual(self.daemon.control.put(name, base.value(2))[0], 400)
            self.reload(first)
            self.assertEqual(self.rdatas(name, TXT), (NOERROR, [txt(base.VALUE)]))


if __name__ == "__main__":
    base.main(own_network=True)
