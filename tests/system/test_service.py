#!/usr/bin/python3
"""countersignd under a service manager: reload, notifications, watchdog, sockets handed over, the sandbox, and the units themselves."""

import ctypes
import errno
import os
import re
import signal
import socket
import struct
import subprocess
import time
import unittest
from unittest import mock

import base
import dns_wire
from daemon import ROOT, Control, Countersignd, built_program
from isolation import AddressBlock, can_drop_to
from processes import Scene, find_program, tail, wait_until
from service_manager import NOBODY, Manager, UnprivilegedDaemon, activator, filtered

_CHAOS = struct.pack(">HHHHHH", 7, 0, 1, 0, 0, 0) + b"\7version\4bind\0" + struct.pack(">HH", 16, 3)


def feed(fifo, text, before=None):
    """Writes a pipe for who reads it, calls `before` when that one waits."""
    def opened():
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return None
    writer = wait_until(opened, f"a reader of {fifo}")
    if before:
        before()
    os.write(writer, text.encode("ascii"))
    os.close(writer)


def expected_sandbox(program):
    """What this machine's kernel has, asked apart from the daemon; a build with sanitizers does without."""
    with open(program, "rb") as file:
        code = file.read()
    if b"__asan_init" in code or b"__tsan_init" in code:
        return "none"
    with open("/proc/self/status", encoding="ascii") as file:
        parts = ["seccomp"] if "\nSeccomp:" in file.read() else []
    # landlock_create_ruleset, which has this number on every architecture but Alpha; it answers with its version.
    if ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1) >= 1:
        parts.append("landlock")
    return ",".join(parts) or "none"


class ServiceTest(unittest.TestCase):
    def setUp(self):
        self.scene, self.block = Scene(), AddressBlock()
        self.addCleanup(self.block.close)
        self.addCleanup(self.scene.close)
        self.address = self.block.address(3)

    def zone(self, name="auth.example.test", more=""):
        return f'[[zone]]\nname = "{name}"\nnameservers = ["ns1.example.net"]\nhostmaster = "hostmaster@example.test"\n{more}\n'

    def daemon(self, **options):
        return Countersignd(self.scene, self.address, zones=self.zone(), **options)

    def change(self, daemon, *pairs):
        with open(daemon.config, encoding="utf-8") as file:
            text = file.read()
        for old, new in pairs:
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.scene.write(os.path.relpath(daemon.config, self.scene.folder), text)

    def reload(self, daemon, outcome="event=reloaded"):
        before = daemon.child.log().count(outcome)
        daemon.child.send(signal.SIGHUP)
        wait_until(lambda: daemon.child.log().count(outcome) > before, f"{outcome} in the log:\n{tail(daemon.child.log_path, 20)}")

    def limit(self, daemon, kind, soft):
        """Sets a limit of the running daemon (prlimit's name of it) and returns what it was."""
        # As the daemon's user: it may change its own processes' limits, root in a user namespace not another's.
        command = [find_program("prlimit", "util-linux"), f"--pid={daemon.child.pid}", f"--{kind}"]
        options = {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": [], "cwd": "/", "check": True}
        before = subprocess.run([*command, "--output=SOFT", "--noheadings"], capture_output=True, text=True, **options).stdout.strip()
        subprocess.run([*command[:-1], f"--{kind}={soft}:"], **options)
        return before

    def serial(self, name):
        return dns_wire.ask(self.address, name, "SOA").rcode

    def samples(self, daemon):
        status, text = daemon.control.request("GET", "/metrics")
        self.assertEqual(status, 200)
        return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))


class Reload(ServiceTest):
    def test_what_is_new_is_served_and_what_is_gone_is_refused(self):
        daemon = self.daemon()
        daemon.control.put("a.auth.example.test", base.VALUE)
        self.change(daemon, ("workers = 1\n", 'workers = 1\nversion = "one"\n'), ("[[zone]]", self.zone("new.example.test") + "[[zone]]"))
        self.reload(daemon)
        self.assertEqual(self.serial("new.example.test"), "NOERROR")
        self.assertEqual(daemon.texts("a.auth.example.test"), [base.VALUE])
        self.assertIn(b"\3one", dns_wire.exchange(self.address, _CHAOS))
        self.assertEqual(daemon.control.put("b.new.example.test", base.VALUE)[0], 200)
        self.change(daemon, (self.zone("new.example.test"), ""))
        self.reload(daemon)
        self.assertEqual(self.serial("new.example.test"), "REFUSED")
        self.assertEqual(daemon.control.put("b.new.example.test", base.VALUE)[0], 404)
        self.assertNotIn("needs a restart", daemon.child.log())
        samples = self.samples(daemon)
        self.assertEqual((samples['countersign_reloads_total{result="done"}'], samples["countersign_config_last_reload_successful"]), ("2", "1"))

    def test_problems_are_all_logged_and_change_nothing(self):
        daemon = self.daemon()
        self.change(daemon, ("workers = 1\n", 'workers = 1\nversion = "one"\nnsid = 5\n'), ("[[zone]]", self.zone("new.example.test", 'records = ["ns1 A 300.1.2.3"]') + "[[zone]]"))
        self.reload(daemon, "not reloaded")
        log = daemon.child.log()
        self.assertRegex(log, re.escape(daemon.config) + r":\d+:\d+: dns\.nsid: is an integer")
        self.assertRegex(log, re.escape(daemon.config) + r":\d+:\d+: zone\[1\]\.records\[0\]: ")
        self.assertEqual((self.serial("new.example.test"), self.serial("auth.example.test")), ("REFUSED", "NOERROR"))
        self.assertNotIn(b"\3one", dns_wire.exchange(self.address, _CHAOS))
        samples = self.samples(daemon)
        self.assertEqual((samples['countersign_reloads_total{result="failed"}'], samples["countersign_config_last_reload_successful"]), ("1", "0"))
        self.change(daemon, ("nsid = 5", 'nsid = "5"'), ("300.1.2.3", "192.0.2.3"))
        self.reload(daemon)
        self.assertEqual(self.serial("new.example.test"), "NOERROR")
        self.assertEqual(self.samples(daemon)["countersign_config_last_reload_successful"], "1")

    def test_what_needs_a_restart_is_named_and_the_rest_applied(self):
        daemon = self.daemon()
        self.change(daemon, ("workers = 1", 'workers = 2\nversion = "one"'), (f'["{self.address}:53"]', f'["{self.block.address(9)}:53"]'), ('log_level = "info"', 'log_level = "error"'))
        daemon.child.send(signal.SIGHUP)
        wait_until(lambda: b"\3one" in dns_wire.exchange(self.address, _CHAOS), "the new version")
        wait_until(lambda: self.samples(daemon)['countersign_reloads_total{result="done"}'] == "1", "a reload")
        # The level went up before these lines were written.
        self.assertNotIn("event=reloaded", daemon.child.log())
        self.change(daemon, ('log_level = "error"', 'log_level = "info"'))
        self.reload(daemon)
        self.assertIn('event="needs a restart: dns.listen, dns.workers"', daemon.child.log())

    def test_a_burst_becomes_one_more_and_nobody_waits_for_a_slow_file(self):
        daemon = self.daemon()
        fifo = self.scene.path("slow.zone")
        os.mkfifo(fifo)
        os.chmod(fifo, 0o644)
        self.change(daemon, ("[[zone]]", self.zone("slow.example.test", f'file = "{fifo}"') + "[[zone]]"))
        daemon.child.send(signal.SIGHUP)
        wait_until(lambda: "event=reloading" in daemon.child.log(), "the reload began")
        for _ in range(5):
            daemon.child.send(signal.SIGHUP)
            time.sleep(0.02)
        # The reading thread hangs in open(); queries, TCP and updates do not.
        self.assertEqual(daemon.control.put("a.auth.example.test", base.VALUE)[0], 200)
        for tcp in (False, True):
            self.assertEqual(daemon.texts("a.auth.example.test", tcp=tcp), [base.VALUE])
        self.assertEqual(self.serial("slow.example.test"), "REFUSED")
        for number in (1, 2):
            feed(fifo, f"@ TXT round{number}\n")
            wait_until(lambda: daemon.child.log().count("event=reloaded") == number, f"reload {number}:\n{tail(daemon.child.log_path, 9)}")
        self.assertEqual(daemon.texts("slow.example.test"), ["round2"])
        time.sleep(0.1)
        self.assertEqual(daemon.child.log().count("event=reloading"), 2)

    def test_a_reload_that_is_asked_for_during_the_start_is_done_after_it(self):
        fifo = self.scene.path("slow.zone")
        os.mkfifo(fifo)
        os.chmod(fifo, 0o644)

        class Slow(Countersignd):
            def start(self):
                self.child = self.scene.start(self.name, [self.program, "--config", self.config])
                feed(fifo, "@ TXT first\n", lambda: self.child.send(signal.SIGHUP))
                self.child.wait_ready(self.ready_line, "ready")
                feed(fifo, "@ TXT second\n")
        daemon = Slow(self.scene, self.address, zones=self.zone(more=f'file = "{fifo}"'))
        wait_until(lambda: daemon.texts("auth.example.test") == ["second"], "the second reading")

    def test_a_stop_does_not_wait_for_a_file_that_never_comes(self):
        daemon = self.daemon()
        fifo = self.scene.path("never.zone")
        os.mkfifo(fifo)
        os.chmod(fifo, 0o644)
        self.change(daemon, ("[[zone]]", self.zone("slow.example.test", f'file = "{fifo}"') + "[[zone]]"))
        daemon.child.send(signal.SIGHUP)
        wait_until(lambda: "event=reloading" in daemon.child.log(), "the reload began")
        wait_until(lambda: "the configuration is still being read" in daemon.child.log(), "a warning")
        daemon.child.send(signal.SIGTERM)
        self.assertEqual(daemon.child.wait(15), 0, daemon.child.log())
        self.assertEqual(daemon.child.log().count("the configuration is still being read;"), 1)
        self.assertIn("event=stopped", daemon.child.log())

    def test_a_reload_without_a_thread_to_read_is_a_failed_one(self):
        daemon = self.daemon()
        if daemon.user != "nobody":
            self.skipTest("not root: no limit of processes can be set for another user")
        before = self.limit(daemon, "nproc", 0)
        self.reload(daemon, "not reloaded: no thread")
        samples = self.samples(daemon)
        self.assertEqual((samples['countersign_reloads_total{result="failed"}'], samples["countersign_config_last_reload_successful"]), ("1", "0"))
        self.limit(daemon, "nproc", before)
        self.reload(daemon)
        self.assertEqual(self.samples(daemon)["countersign_config_last_reload_successful"], "1")

    def test_files_that_the_user_may_not_read_are_said_to_be_that(self):
        daemon = self.daemon()
        if daemon.user != "nobody":
            self.skipTest("not root: no other user to become")
        secret = self.scene.write("cookie.secret", "00" * 16 + "\n", mode=0o600)
        self.change(daemon, ("workers = 1", f'workers = 1\ncookie_secret_file = "{secret}"'))
        self.reload(daemon, "not reloaded")
        self.assertIn("dns.cookie_secret_file", daemon.child.log())
        wait_until(lambda: 'a reload reads files as the user \\"nobody\\"' in daemon.child.log(), "the reason")
        os.chmod(secret, 0o644)
        self.reload(daemon)
        os.chmod(daemon.config, 0o600)
        self.reload(daemon, "not reloaded")

    def test_log_on_a_closed_pipe_ends_nothing(self):
        daemon = self.daemon()
        daemon.stop()
        reader, writer = os.pipe()
        process = subprocess.Popen([daemon.program, "--config", daemon.config], stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        os.close(writer)
        wait_until(lambda: b"ready" in os.read(reader, 4096), "ready")
        os.close(reader)
        for _ in range(3):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.05)
            self.assertEqual(daemon.control.put("a.auth.example.test", base.VALUE)[0], 200)
        wait_until(lambda: int(self.samples(daemon)['countersign_reloads_total{result="done"}']) >= 1, "a reload")
        process.terminate()
        self.assertEqual(process.wait(10), 0)


    def test_log_on_a_pipe_that_nobody_reads_stops_nothing(self):
        daemon = self.daemon()
        daemon.stop()
        reader, writer = os.pipe()
        process = subprocess.Popen([daemon.program, "--config", daemon.config], stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_until(lambda: b"ready" in os.read(reader, 4096), "ready")
        os.set_blocking(writer, False)
        for size in (4096, 1):
            with self.assertRaises(BlockingIOError):
                while True:
                    os.write(writer, b"x" * size)
        os.set_blocking(writer, True)
        for number in (1, 2, 3):
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: int(self.samples(daemon)['countersign_reloads_total{result="done"}']) >= number, "a reload")
            for tcp in (False, True):
                self.assertEqual(dns_wire.ask(self.address, "auth.example.test", "SOA", tcp=tcp).rcode, "NOERROR")
        os.set_blocking(reader, False)
        with self.assertRaises(BlockingIOError):
            while os.read(reader, 65536):
                pass
        process.terminate()
        self.assertEqual(process.wait(10), 0)
        said = os.read(reader, 65536).decode("ascii")
        # Each reload has two lines; the file is the same, so that there is no third.
        self.assertRegex(said, r'event="log lines were lost: stderr was not read in time" lines=[6-9]\n')
        self.assertIn("event=stopped", said)
        for end in (reader, writer):
            os.close(end)


class Notifications(ServiceTest):
    def setUp(self):
        super().setUp()
        self.manager = Manager(self.scene)
        self.addCleanup(self.manager.close)

    def test_ready_reload_and_stop(self):
        with mock.patch.dict(os.environ, NOTIFY_SOCKET=self.manager.path):
            daemon = self.daemon()
        self.assertEqual(self.manager.next(), "READY=1")
        for broken in (False, True):
            if broken:
                self.change(daemon, ("workers = 1", "workers = true"))
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            daemon.child.send(signal.SIGHUP)
            found = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", self.manager.next())
            self.assertTrue(found)
            self.assertTrue(before <= int(found.group(1)) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
            self.assertEqual(self.manager.next(), "READY=1")
        daemon.child.send(signal.SIGTERM)
        self.assertEqual(self.manager.next(), "STOPPING=1")

    def test_the_watchdog_is_told_twice_in_its_time(self):
        with mock.patch.dict(os.environ, NOTIFY_SOCKET=self.manager.path, WATCHDOG_USEC="200000"):
            self.daemon()
        self.assertEqual(self.manager.next(), "READY=1")
        began = time.monotonic()
        for _ in range(5):
            self.assertEqual(self.manager.next(), "WATCHDOG=1")
        self.assertTrue(0.3 < time.monotonic() - began < 2)
        with mock.patch.dict(os.environ, NOTIFY_SOCKET=self.manager.path, WATCHDOG_USEC="200000", WATCHDOG_PID="1"):
            Countersignd(self.scene, self.block.address(4), zones=self.zone(), name="other")
        told = [self.manager.next() for _ in range(4)]
        self.assertEqual(told.count("READY=1"), 1, told)


class Activation(ServiceTest):
    def make(self, *sockets):
        return UnprivilegedDaemon(self.scene, activator(*sockets), self.address, zones=self.zone(), listen=["192.0.2.77:53"])

    def test_handed_over_sockets_are_used_by_a_daemon_that_was_never_root(self):
        path = self.scene.path("control.sock")
        second = self.block.address(5)
        daemon = self.make(f"tcp={self.address}", f"udp={self.address}", f"unix={path}", f"udp={second}", f"tcp={second}")
        self.assertRegex(daemon.ready_line(), rf"dns={re.escape(self.address)}:53,{re.escape(second)}:53 control={re.escape(path)}$")
        self.assertFalse(os.path.exists(daemon.socket), "the configured control socket was made as well")
        daemon.control = Control(path)
        if daemon.user:
            os.chown(path, 0, 0)
        self.assertEqual(daemon.control.put("a.auth.example.test", base.VALUE)[0], 200)
        for address in (self.address, second):
            for tcp in (False, True):
                self.assertEqual(dns_wire.ask(address, "a.auth.example.test", "TXT", tcp=tcp).texts(), [base.VALUE])
        with open(f"/proc/{daemon.child.pid}/environ", "rb") as file:
            self.assertIn(b"LISTEN_FDS", file.read(), "not started by a manager")
        self.change(daemon, ("192.0.2.77:53", "192.0.2.78:53"))
        self.reload(daemon)
        self.assertNotIn("needs a restart", daemon.child.log())
        self.assertEqual(daemon.stop(), 0)
        self.assertTrue(os.path.exists(path), "the manager's socket was removed")
        self.assertNotIn("UDP and TCP only", daemon.child.log())

    def test_udp_without_tcp_is_warned_of(self):
        daemon = self.make(f"udp={self.address}")
        self.assertEqual(os.stat(daemon.socket).st_uid, NOBODY.pw_uid if can_drop_to(NOBODY.pw_uid) else 0)
        self.assertIn(f'add=ListenStream={self.address}:53', daemon.child.log().replace('"', ""))
        self.assertEqual(daemon.control.put("a.auth.example.test", base.VALUE)[0], 200)
        self.assertEqual(daemon.texts("a.auth.example.test"), [base.VALUE])

    def test_what_is_no_socket_is_refused(self):
        with self.assertRaises(base.FixtureError) as raised:
            self.make(f"udp={self.address}", "file=/dev/null")
        self.assertIn('descriptor 4 (\\"name1\\") that the service manager handed over is no socket', str(raised.exception))


class ControlSocket(ServiceTest):
    def test_a_want_of_descriptors_is_logged_once_and_gets_over(self):
        daemon = self.daemon()
        if daemon.user != "nobody":
            self.skipTest("not root: no limit of the daemon can be set")
        before = self.limit(daemon, "nofile", 4)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(10)
            client.connect(daemon.socket)
            client.sendall(b"GET /v1/txt HTTP/1.0\r\n\r\n")
            complaint = "cannot accept a connection on the control socket"
            wait_until(lambda: complaint in daemon.child.log(), "a complaint")
            time.sleep(0.5)  # ten more attempts
            self.assertEqual(daemon.child.log().count(complaint), 1)
            self.limit(daemon, "nofile", before)
            self.assertRegex(client.recv(100), rb"^HTTP/1\.[01] 200 OK")


class Sandbox(ServiceTest):
    def test_every_thread_is_in_it(self):
        daemon = self.daemon()
        found = re.search(r"sandbox=(\S+)", daemon.child.log())
        self.assertTrue(found, daemon.child.log())
        expected = expected_sandbox(daemon.program)
        self.assertEqual(found.group(1), expected)
        if "seccomp" not in expected:
            self.skipTest(f"sandbox={expected}: no seccomp in this build or kernel")
        tasks = os.listdir(f"/proc/{daemon.child.pid}/task")
        self.assertGreaterEqual(len(tasks), 3)
        for task in tasks:
            with open(f"/proc/{daemon.child.pid}/task/{task}/status", encoding="ascii") as file:
                status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))

    def test_the_control_socket_is_removed_from_within_it(self):
        daemon = UnprivilegedDaemon(self.scene, activator(f"udp={self.address}", f"tcp={self.address}"), self.address, zones=self.zone())
        self.assertTrue(os.path.exists(daemon.socket))
        self.assertEqual(daemon.stop(), 0)
        self.assertFalse(os.path.exists(daemon.socket), daemon.child.log())

    def test_the_daemon_runs_under_the_filters_of_its_units(self):
        analyze = find_program("systemd-analyze", "systemd")
        if subprocess.run([analyze, "syscall-filter", "@default"], capture_output=True, check=False).returncode != 0:
            self.skipTest("systemd-analyze knows no system call filters here")
        if not can_drop_to(NOBODY.pw_uid):
            self.skipTest("not root: no other user to become")
        fronts = {
            "countersignd.service": [
                find_program("setpriv", "util-linux"), f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups", "--no-new-privs",
                "--inh-caps=-all,+net_bind_service", "--ambient-caps=-all,+net_bind_service", "--bounding-set=-all,+net_bind_service"],
            "countersignd-activated.service": activator(f"udp={self.address}", f"tcp={self.address}"),
        }
        for unit, front in fronts.items():
            front = [*front, *filtered(os.path.join(ROOT, "conf", unit))]
            daemon = UnprivilegedDaemon(self.scene, front, self.address, zones=self.zone(), name=unit)
            with open(f"/proc/{daemon.child.pid}/status", encoding="ascii") as file:
                self.assertRegex(file.read(), r"(?s)CapPrm:\t0+\nCapEff:\t0+\n.*Seccomp_filters:\t[2-9]\n")
            self.assertEqual(daemon.control.put("a.auth.example.test", base.VALUE, lifetime="1s")[0], 200)
            for tcp in (False, True):
                self.assertEqual(daemon.texts("a.auth.example.test", tcp=tcp), [base.VALUE])
            self.reload(daemon)
            wait_until(lambda: daemon.texts("a.auth.example.test") == [], "the value's end")
            self.assertEqual(daemon.stop(), 0)


class Units(unittest.TestCase):
    def setUp(self):
        self.scene = Scene()
        self.addCleanup(self.scene.close)
        self.analyze = find_program("systemd-analyze", "systemd")

    def test_exposure(self):
        for unit, threshold in (("countersignd.service", 17), ("countersignd-activated.service", 15)):
            command = [self.analyze, "security", "--offline=true", "--no-pager", f"--threshold={threshold}", os.path.join(ROOT, "conf", unit)]
            result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
            self.assertLessEqual(float(level.group(1)) * 10, threshold)

    def test_systemd_understands_them(self):
        paths = []
        for name in ("countersignd.service", "countersignd-activated.service", "countersignd.socket"):
            with open(os.path.join(ROOT, "conf", name), encoding="utf-8") as file:
                # It looks whether the program is there.
                paths.append(self.scene.write(f"units/{name}", file.read().replace("/usr/sbin/countersignd", built_program("countersignd", "dnsd"))))
        result = subprocess.run([self.analyze, "verify", *paths], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((result.returncode, result.stdout + result.stderr), (0, ""))

    def test_they_name_the_paths_of_the_configuration(self):
        texts = {}
        for name in ("countersignd.service", "countersignd-activated.service", "countersignd.socket", "countersign.toml"):
            with open(os.path.join(ROOT, "conf", name), encoding="utf-8") as file:
                texts[name] = file.read()
        self.assertIn('control_socket = "/run/countersign/control.sock"', texts["countersign.toml"])
        self.assertIn("ListenStream=/run/countersign/control.sock\n", texts["countersignd.socket"])
        self.assertIn('state_dir      = "/var/lib/countersign"', texts["countersign.toml"])
        for unit in ("countersignd.service", "countersignd-activated.service"):
            self.assertIn("StateDirectory=countersign/dnsd\n", texts[unit])


if __name__ == "__main__":
    base.main()
