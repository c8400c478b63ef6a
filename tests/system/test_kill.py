#!/usr/bin/python3
"""
kill -9 of an issuance: at each of its HTTP requests (before the CA sees it, before its answer comes, and just behind), at each of its changes on the
disk, and at random moments. Whenever it is: nothing that counts is torn, live/ is a matching pair, every key that the CA knows is on the disk, and
the next run goes on or begins anew, succeeds, and cleans up.

COUNTERSIGN_TEST_KILLS=N sets how many random moments there are (default 30).
"""

import os
import random
import re
import shutil
import subprocess
import threading
import time
import unittest

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import base
import zone_files
from odd_ca import OddCa, decode
from own_state import OwnState, public_der
from wrong_certificates import request_in

RANDOM_ROUNDS = int(os.environ.get("COUNTERSIGN_TEST_KILLS", "30"))
# What changes something on the disk, in a way that a kill between two of them could show.
DISK_CALLS = ["mkdir", "rename", "symlink", "unlink", "fsync", "chmod", "fchmod", "fchown", "ftruncate", "rmdir", "unlinkat"]


def jwk_der(jwk):
    """An EC public key as JWS have it, as SubjectPublicKeyInfo."""
    numbers = [int.from_bytes(decode(jwk[part]), "big") for part in ("x", "y")]
    key = ec.EllipticCurvePublicNumbers(*numbers, ec.SECP256R1()).public_key()
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class Killed(base.SystemTest):
    def setUp(self):
        self.ca = OddCa(self.net.pebble)
        self.addCleanup(self.ca.close)

    # One round.

    def start(self, own, name, wrapper=()):
        return self.launch(own, [*wrapper, *self.net.command("issue", "--json", "--force", name, config=own.config)])

    def launch(self, own, command):
        log = open(os.path.join(own.folder, "killed.log"), "wb")  # pylint: disable=consider-using-with
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=own.folder, start_new_session=True)
        log.close()
        self.net.scene.guard(process.pid)
        return process

    def finish(self, process, patience=20):
        try:
            return process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("no end, and nothing killed it") from None
        finally:
            self.net.scene.release(process.pid)

    def round(self, label, kill, with_certificate, wrapper=()):
        """`kill(process)` arranges for the end, or waits for it. Gives whether the client was really killed."""
        name = random.choice(zone_files.NUMBERED)
        own = OwnState(self.net, f"{self._testMethodName}-{label}", self.ca.url)
        self.ca.watch = self.ca.after = None
        if with_certificate:
            first = own.issue(name)
            self.assert_exit(first, 0)
        before = own.target(name)
        seen = len(self.ca.seen)
        process = self.start(own, name, wrapper)
        kill(process)
        code = self.finish(process)
        self.ca.watch = self.ca.after = None
        # What was on its way to the CA gets there.
        time.sleep(0.01)
        requests = self.ca.seen[seen:]
        with self.subTest(label=label, requests=[f"{request.step}{'' if request.forwarded else ' (not seen by the CA)'}" for request in requests]):
            self.judge(own, name, before, requests)
            self.next_run(own, name, before, requests)
        shutil.rmtree(own.folder)
        return code != 0

    def judge(self, own, name, before, requests):
        own.check(temporary=True)
        if own.target(name) != before:
            own.check_pair(name, [name])
        for request in requests:
            if not request.forwarded:
                continue
            if request.step == "account":
                self.assertIn(jwk_der(request.protected["jwk"]), self.keys(own, "accounts"), "the CA has an account whose key is lost")
            if request.step == "finalize":
                self.assertIn(public_der(request_in(request)), self.keys(own, "archive"), "the CA has a request whose key is lost")

    @staticmethod
    def keys(own, folder):
        """Those that can be read: one that was being written when the end came was not in use yet."""
        return own.readable_keys(folder).values()

    def next_run(self, own, name, before, requests):
        seen = len(self.ca.seen)
        after = own.issue("--force", name)
        self.assert_exit(after, 0)
        own.check()
        own.check_pair(name, [name])
        if not own.target(name) or own.target(name) == before:
            self.fail(f"nothing new is live: {after}")
        self.assertEqual(own.left_values(name), {}, str(after))
        left = [key for key in ("pending_order", "pending", "published") if own.record(name).get(key)]
        self.assertEqual(left, [], f"unfinished in the record: {own.record(name)}")
        now = self.ca.seen[seen:]
        accounts = {str(request.protected["jwk"]) for request in requests + now if request.step == "account" and request.forwarded}
        self.assertLessEqual(len(accounts), 1, "a second account was made")
        asked = any(request.step == "finalize" and request.forwarded for request in requests)
        installed = any(request.step == "certificate" for request in requests)
        if asked and not installed:
            self.assertEqual([request.path for request in now if request.step == "order"], [], "the order that the CA has its request for was given up")
        for issuance in os.listdir(own.path("archive", name)):
            files = sorted(os.listdir(own.path("archive", name, issuance)))
            self.assertEqual(files, ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"], f"archive/{name}/{issuance}")

    # Where it ends.

    def at_request(self, number, moment):
        """Ends it at its `number`th request: "before" the CA sees it, "after" the CA answered, or just "behind" that answer."""
        def kill(process):
            base_number = len(self.ca.seen)
            done = threading.Event()

            def watch(exchange):
                if exchange.number - base_number == number and not done.is_set():
                    done.set()
                    if moment == "behind":
                        threading.Timer(random.uniform(0, 0.004), process.kill).start()
                    else:
                        process.kill()
                        process.wait()

            if moment == "before":
                self.ca.watch = watch
            else:
                self.ca.after = watch

        # The hook has to be there before the first request: see `round`.
        return kill

    def test_at_every_request(self):
        for with_certificate in (False, True):
            for moment in ("before", "after", "behind"):
                number = 1
                while self.round(f"{moment}-{number}-{with_certificate}", self.at_request(number, moment), with_certificate):
                    number += 1
                # Fewer where the CA takes names for proved (it may reuse an authorization), or is quicker than the first poll.
                self.assertGreater(number, 5, "an issuance has more requests than that")

    @unittest.skipUnless(shutil.which("strace") and subprocess.run(["strace", "-qq", "true"], capture_output=True, check=False).returncode == 0,
                         "needs strace and the right to trace")
    def test_at_every_change_on_the_disk(self):
        rounds = 0
        for call, number in self.disk_changes():
            wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
            rounds += self.round(f"{call}-{number}", lambda process: None, with_certificate=number % 2 == 0, wrapper=wrapper)
        self.assertGreater(rounds, 20, "hardly anything was killed")

    def disk_changes(self):
        """[(call, the how manieth it is of its thread)] of what a run on an empty STATE changes: strace counts them by thread."""
        own = OwnState(self.net, "count", self.ca.url)
        log = os.path.join(own.folder, "strace.log")
        process = self.start(own, zone_files.NUMBERED[0], ["strace", "-f", "-qq", "-o", log, "-e", "trace=" + ",".join(f"?{call}" for call in DISK_CALLS)])
        self.assertEqual(self.finish(process), 0)
        counts, changes = {}, set()
        with open(log, encoding="utf-8", errors="replace") as file:
            for line in file:
                if found := re.match(r"(\d+) +(\w+)\(.*?(= 0|<unfinished \.\.\.>)?$", line):
                    thread_and_call = found[1], found[2]
                    counts[thread_and_call] = counts.get(thread_and_call, 0) + 1
                    if found[3]:
                        changes.add((found[2], counts[thread_and_call]))
        return sorted(changes)

    def test_at_random_moments(self):
        own = OwnState(self.net, "measure", self.ca.url)
        whole = own.issue(zone_files.NUMBERED[0])
        self.assert_exit(whole, 0)
        killed = 0
        for number in range(RANDOM_ROUNDS):
            def kill(process):
                time.sleep(random.uniform(0, whole.seconds))
                process.kill()

            killed += self.round(f"random-{number}", kill, with_certificate=random.random() < 0.5)
        self.assertGreater(killed, RANDOM_ROUNDS // 3, "hardly anything was killed")

    def test_a_batch_at_random_moments(self):
        for number in range(max(4, RANDOM_ROUNDS // 4)):
            own = OwnState(self.net, f"batch-{number}", self.ca.url)
            names = random.sample(zone_files.NUMBERED, 6)
            own.write("batch", "\n".join(names) + "\n")
            arguments = ["issue", "--json", "--batch", os.path.join(own.folder, "batch"), "--jobs", "3"]
            seen = len(self.ca.seen)
            process = self.launch(own, self.net.command(*arguments, config=own.config))
            time.sleep(random.uniform(0, 0.3))
            process.kill()
            self.finish(process)
            time.sleep(0.01)
            with self.subTest(number=number):
                own.check(temporary=True)
                asked = [request for request in self.ca.seen[seen:] if request.step == "finalize" and request.forwarded]
                lost = [request for request in asked if public_der(request_in(request)) not in self.keys(own, "archive")]
                self.assertEqual(lost, [], "the CA has requests whose keys are lost")
                after = own.run(*arguments)
                self.assert_exit(after, 0)
                own.check()
                for name in names:
                    own.check_pair(name, [name])
                self.assert_nothing_published()
            shutil.rmtree(own.folder)

    def tearDown(self):
        self.assert_nothing_published()


if __name__ == "__main__":
    base.main()
