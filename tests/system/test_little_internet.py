#!/usr/bin/python3
"""The fixture itself: it validates, randomises case, holds back, cleans up, and other clients get certificates in it."""

import os
import signal
import subprocess
import sys
import time
import unittest

import base
import dns_servers
import dns_wire
import peers
import zone_files
from authority import certificate_names, found_pebbles
from little_internet import LittleInternet
from processes import wait_until

# A program that starts a child which gives up root, and then is killed.
_ORPHAN_MAKER = """
import sys
sys.path.insert(0, sys.argv[1])
from processes import Scene
scene = Scene()
script = 'sleep 600 & sleep 600'
child = scene.start('sleeper', ['/bin/sh', '-c', script])
print(child.pid, scene.folder, flush=True)
sys.stdin.read()
"""


class Fixture(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # uacme 1.7.4 refuses challenges that it does not know, which Pebble offers from 2.10 on: the oldest serves them all.
        cls.net = LittleInternet(responder="bind", pebble=next(iter(found_pebbles().items())))
        cls.addClassCleanup(cls.net.close)

    def test_resolver_validates_the_parent_and_finds_the_child_insecure(self):
        parent = dns_wire.ask(self.net.resolver, "_acme-challenge.www.example.test", "CNAME", recurse=True, do=True)
        self.assertTrue(parent.validated, parent)
        child = dns_wire.ask(self.net.resolver, "ns1.auth.example.test", "A", recurse=True, do=True)
        self.assertEqual(child.rcode, "NOERROR")
        self.assertFalse(child.validated, child)
        self.assertEqual(child.answers[0].value, self.net.responder)

    def test_resolver_refuses_what_the_parent_did_not_sign(self):
        forged = self.net.scene.write("forged.zone", zone_files.parent_zone("127.0.0.9", "127.0.0.9", "127.0.0.9", "127.0.0.9"))
        address = self.net.block.address(20)
        dns_servers.start_nsd(self.net.scene, "nsd-forged", address, {zone_files.PARENT: forged})
        anchor = next(iter(path for path in os.listdir(self.net.scene.path("parent")) if path.endswith(".key")))
        with self.assertRaises(base.FixtureError):
            # Its readiness is an answer that validates, which never comes.
            dns_servers.start_unbound(
                self.net.scene, self.net.block.address(21), address, self.net.scene.path("parent", anchor), name="unbound-forged", patience=1.5)
        refused = dns_wire.ask(self.net.block.address(21), zone_files.PARENT, "SOA", recurse=True)
        self.assertEqual(refused.rcode, "SERVFAIL")

    def test_resolver_randomises_the_case_of_names(self):
        # A proxy at the dead address shows what arrives at an authoritative server.
        proxy = dns_servers.start_delay_proxy(self.net.scene, self.net.dead, self.net.responder, 0.0, name="case")
        try:
            dns_wire.ask(self.net.resolver, "_acme-challenge.darkname.example.test", "TXT", recurse=True, timeout=5)
        except TimeoutError:
            pass
        names = [line.split()[2] for line in proxy.log().splitlines() if line.startswith("udp")]
        proxy.terminate()
        self.assertTrue(names)
        self.assertTrue(any(name not in (name.lower(), name.upper()) for name in names), names)

    def test_delay_proxy_holds_txt_back_over_udp_and_tcp(self):
        address = self.net.block.address(22)
        dns_servers.start_delay_proxy(self.net.scene, address, self.net.resolver, 0.3, name="hold")
        for tcp in (False, True):
            began = time.monotonic()
            self.assertEqual(dns_wire.ask(address, "example.test", "SOA", recurse=True, tcp=tcp).rcode, "NOERROR")
            self.assertLess(time.monotonic() - began, 0.25)
            began = time.monotonic()
            self.assertEqual(dns_wire.ask(address, "example.test", "TXT", recurse=True, tcp=tcp).rcode, "NOERROR")
            self.assertGreaterEqual(time.monotonic() - began, 0.3)

    def test_uacme_gets_a_certificate_for_a_name_and_its_wildcard(self):
        names = ["www.example.test", "*.www.example.test"]
        client = peers.Uacme(self.net)
        client.issue(names, timeout=60)
        self.assertEqual(certificate_names(client.certificate(names)), sorted(names))

    def test_kill_9_leaves_neither_processes_nor_files(self):
        support = os.path.dirname(os.path.abspath(peers.__file__))
        with subprocess.Popen([sys.executable, "-c", _ORPHAN_MAKER, support], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
            group, folder = program.stdout.readline().split()
            self.assertTrue(os.path.isdir(folder))
            program.send_signal(signal.SIGKILL)
        wait_until(lambda: not _group_lives(int(group)), "the child's process group ends")
        wait_until(lambda: not os.path.exists(folder), "the temporary folder goes")


def _group_lives(group):
    """Whether a process of this group is more than a zombie."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                    state, _parent, its_group = file.read().rsplit(")", 1)[1].split()[:3]
            except OSError:
                continue
            if int(its_group) == group and state not in ("Z", "X"):
                return True
    return False


if __name__ == "__main__":
    # BIND wants an address added to lo.
    base.main(own_network=True)
