#!/usr/bin/python3
"""countersignd from its start: problems in the configuration, ports in use, what it owns, which user it runs as, how it ends."""

import json
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import time
import unittest

import base
import dns_wire
from daemon import Countersignd, built_program, zone_tables
from isolation import AddressBlock, can_drop_to
from processes import Scene

# Each line with its one problem, and words that its message has to hold.
_WRONG = """\
state_dir = 7
no_such_key = true
log_level = "loud"

[dns]
listen = ["127.0.0.1:99999"]
workrs = 3

[[zone]]
name = "auth..example.test"
nameservers = []

[[zone]]
name = "good.example.test"
nameservers = ["ns1.good.example.test"]
hostmaster = "hostmaster@example.test"
records = ["ns1 A 300.1.2.3"]

[challenge]
lifetime = "soon"
"""
_PROBLEMS = {1: "state_dir", 2: "no_such_key", 3: "log_level", 6: "listen", 7: "workers", 10: "auth..example.test", 17: "300.1.2.3", 20: "lifetime"}


class Configuration(unittest.TestCase):
    def setUp(self):
        self.scene = Scene()
        self.addCleanup(self.scene.close)

    def check(self, text):
        path = self.scene.write("countersign.toml", text)
        command = [built_program("countersignd", "dnsd"), "--config", path, "--check"]
        return path, subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    def test_all_problems_at_once_with_their_places(self):
        path, result = self.check(_WRONG)
        text = result.stdout + result.stderr
        self.assertEqual(result.returncode, 2, text)
        placed = {}
        for line in text.splitlines():
            found = re.match(rf"^{re.escape(path)}:(\d+):(\d+): (.*)", line)
            if found:
                placed.setdefault(int(found.group(1)), []).append(found.group(3))
        for number, word in _PROBLEMS.items():
            self.assertIn(number, placed, f"no problem reported on line {number} ({word}):\n{text}")
            self.assertTrue(any(word in message for message in placed[number]), f"line {number}: '{word}' is not in {placed[number]}")

    def test_start_with_problems_does_not_start(self):
        path = self.scene.write("countersign.toml", _WRONG)
        result = subprocess.run([built_program("countersignd", "dnsd"), "--config", path], capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertNotIn("ready dns=", result.stdout + result.stderr)

    def test_broken_toml_has_its_place(self):
        path, result = self.check('state_dir = "/x"\n[dns\nlisten = 3\n')
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stdout + result.stderr, rf"(?m)^{re.escape(path)}:2:\d+: ")

    def test_missing_file_is_named(self):
        result = subprocess.run(
            [built_program("countersignd", "dnsd"), "--check", "--config", "/nonexistent/x.toml"], capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn("/nonexistent/x.toml", result.stderr + result.stdout)

    def test_good_configuration_passes_without_privileges(self):
        text = f'state_dir = "{self.scene.path("s")}"\n[dns]\nlisten = ["127.0.0.1:53"]\n' + zone_tables("127.0.0.2", "127.0.0.3", "127.0.0.4")
        path = self.scene.write("countersign.toml", text)
        command = [built_program("countersignd", "dnsd"), "--check", "--config", path]
        nobody = pwd.getpwnam("nobody")
        as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []} if can_drop_to(nobody.pw_uid) and self._reachable(command[0]) else {}
        result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd="/", **as_nobody)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertFalse(os.path.exists(self.scene.path("s")), "--check made something")

    @staticmethod
    def _reachable(program):
        """Whether another user can run it: a build folder below a closed home directory cannot be reached."""
        while program != "/":
            if not os.stat(program).st_mode & stat.S_IXOTH:
                return False
            program = os.path.dirname(program)
        return True

    def test_version_and_help(self):
        for program, folder in (("countersignd", "dnsd"), ("countersign", "acme")):
            for option in ("--version", "--help"):
                result = subprocess.run([built_program(program, folder), option], capture_output=True, text=True, timeout=20, check=False)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertTrue(result.stdout.strip(), f"{program} {option} says nothing on stdout")


class Start(unittest.TestCase):
    def setUp(self):
        self.scene, self.block = Scene(), AddressBlock()
        self.addCleanup(self.block.close)
        self.addCleanup(self.scene.close)
        self.address = self.block.address(3)

    def daemon(self, **options):
        zones = zone_tables(self.address, self.block.address(6), self.block.address(7))
        return Countersignd(self.scene, self.address, zones=zones, **options)

    def test_port_in_use_names_the_process_that_holds_it(self):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(socket.AF_INET, kind) as holder:
                holder.bind((self.address, 53))
                if kind == socket.SOCK_STREAM:
                    holder.listen(1)
                with self.assertRaises(base.FixtureError) as raised:
                    self.daemon(name=f"second-{kind.name}")
                text = str(raised.exception)
                self.assertIn(f"{self.address}:53", text)
                self.assertIn(str(os.getpid()), text, "the process that holds the port is not named")
                with open("/proc/self/comm", encoding="ascii") as comm:
                    self.assertIn(comm.read().strip(), text)

    def test_second_daemon_on_the_same_state_is_refused(self):
        first = self.daemon()
        command = [first.program, "--config", first.config]
        result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertTrue(first.child.running())
        self.assertEqual(first.control.put("x.auth.example.test", base.VALUE)[0], 200)

    def test_ready_line_addresses_and_answers_over_udp_and_tcp(self):
        second = self.block.address(13)
        daemon = self.daemon(listen=[f"{self.address}:53", f"{second}:53"])
        line = daemon.ready_line()
        self.assertRegex(line, rf"dns=\S*{re.escape(self.address)}:53")
        self.assertIn(f"{second}:53", line)
        self.assertIn(f"control={daemon.socket}", line)
        for address in (self.address, second):
            for tcp in (False, True):
                answer = dns_wire.ask(address, "auth.example.test", "SOA", tcp=tcp)
                self.assertEqual((answer.rcode, answer.authoritative), ("NOERROR", True))

    def test_ipv6(self):
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
                probe.bind(("::1", 0))
                port = probe.getsockname()[1]
        except OSError as error:
            self.skipTest(f"no IPv6 loopback here: {error.strerror}")
        daemon = self.daemon(listen=[f"[::1]:{port}"])
        daemon.control.put("six.auth.example.test", base.VALUE)
        for tcp in (False, True):
            self.assertEqual(dns_wire.ask("::1", "six.auth.example.test", "TXT", port=port, tcp=tcp).texts(), [base.VALUE])

    def test_privileges_are_dropped_and_owners_are_right(self):
        if not can_drop_to(pwd.getpwnam("nobody").pw_uid):
            self.skipTest("not root: no other user to become")
        daemon = self.daemon()
        nobody = pwd.getpwnam("nobody")
        with open(f"/proc/{daemon.child.pid}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        self.assertEqual(status["Uid"].split(), [str(nobody.pw_uid)] * 4)
        self.assertEqual(status["Gid"].split(), [str(nobody.pw_gid)] * 4)
        self.assertEqual(status["Groups"].split() or [str(nobody.pw_gid)], [str(nobody.pw_gid)])
        self.assertEqual(int(status["CapEff"], 16), 0, "capabilities are left")
        self.assertEqual(int(status["CapPrm"], 16), 0, "capabilities are left")
        expected = {
            daemon.state: (0, 0o755), os.path.join(daemon.state, "dnsd"): (nobody.pw_uid, 0o700),
            daemon.socket: (0, 0o660),
        }
        for path, (owner, mode) in expected.items():
            found = os.stat(path)
            self.assertEqual((found.st_uid, oct(stat.S_IMODE(found.st_mode))), (owner, oct(mode)), path)
        self.assertEqual(os.stat(daemon.socket).st_gid, nobody.pw_gid)
        store = os.stat(os.path.join(daemon.state, "dnsd", "store.sqlite3"))
        self.assertEqual(store.st_uid, nobody.pw_uid)
        self.assertEqual(stat.S_IMODE(store.st_mode) & 0o077, 0, "others can read the store")

    def test_sigterm_drains_and_ends_with_0(self):
        daemon = self.daemon()
        daemon.control.put("x.auth.example.test", base.VALUE)
        began = time.monotonic()
        self.assertEqual(daemon.stop(), 0)
        self.assertLess(time.monotonic() - began, 4)
        daemon.start()
        self.assertEqual(daemon.texts("x.auth.example.test"), [base.VALUE])

    def test_signals_during_the_stop_do_not_cut_it_short(self):
        daemon = self.daemon()
        for number in (signal.SIGHUP, signal.SIGTERM):
            for _ in range(3):
                daemon.control.put("x.auth.example.test", base.VALUE)
                daemon.child.send(signal.SIGTERM)
                while daemon.child.running():
                    daemon.child.send(number)
                    # As fast as Python can they would be a flood that nothing gets on under.
                    time.sleep(0.0005)
                self.assertEqual(daemon.child.exit_code(), 0, daemon.child.log())
                self.assertIn("event=stopped", daemon.child.log())
                daemon.child.kill()
                daemon.start()
                self.assertEqual(daemon.texts("x.auth.example.test"), [base.VALUE])

    def test_stale_socket_of_a_killed_daemon_is_no_obstacle(self):
        daemon = self.daemon()
        daemon.kill()
        self.assertTrue(os.path.exists(daemon.socket))
        daemon.start()
        self.assertEqual(daemon.control.request("GET", "/v1/status")[0], 200)

    def test_malformed_packets_do_no_harm(self):
        daemon = self.daemon()
        query = dns_wire.make_query("auth.example.test", "SOA")
        junk = [b"", b"\0", query[:11], query[:20], query + b"x", b"\xff" * 12, query[:12] + b"\xc0\x0c\0\x10\0\1", b"\x12\x34\x84\0" + query[4:], os.urandom(400), query[:4] + b"\xff\xff" * 4]
        for message in junk:
            try:
                dns_wire.exchange(self.address, message, timeout=0.15)
            except OSError:
                pass
            try:
                dns_wire.exchange(self.address, message, tcp=True, timeout=0.15)
            except OSError:
                pass
        # RFC 1035 section 4.1.1: a response is never answered, else two servers could talk for ever.
        with self.assertRaises(OSError):
            dns_wire.exchange(self.address, b"\x12\x34\x84\0" + query[4:], timeout=0.3)
        self.assertTrue(daemon.child.running())
        self.assertEqual(dns_wire.ask(self.address, "auth.example.test", "SOA").rcode, "NOERROR")
        status, report = daemon.control.request("GET", "/v1/status")
        self.assertEqual(status, 200, json.dumps(report))


if __name__ == "__main__":
    base.main()
