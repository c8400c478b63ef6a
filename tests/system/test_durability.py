#!/usr/bin/python3
"""What was acknowledged stays: kill -9 at any moment, a full disk, a restart in the middle of an issuance; and what is past its time goes."""

import os
import random
import threading
import time
import unittest

import base
import dns_wire
from processes import wait_until

ZONE = "auth.example.test"


class Killed(base.SystemTest):
    def test_acknowledged_values_survive_kill_9_again_and_again(self):
        acknowledged, lock = {}, threading.Lock()
        for round_number in range(6):
            stop = threading.Event()

            def update(worker, round_number=round_number, stop=stop):
                number = 0
                while not stop.is_set():
                    name, text = f"k{round_number}-{worker}-{number}.{ZONE}", base.value(random.randrange(10**6))
                    try:
                        status, _ = self.net.control.put(name, text)
                    except OSError:
                        return  # killed in the middle: not acknowledged
                    except Exception:  # a reply cut short is http.client's own exception
                        return
                    if status != 200:
                        return
                    with lock:
                        acknowledged[name] = text
                    number += 1

            workers = [threading.Thread(target=update, args=(worker,)) for worker in range(4)]
            for worker in workers:
                worker.start()
            time.sleep(random.uniform(0.1, 0.4))
            self.net.daemon.kill()
            stop.set()
            for worker in workers:
                worker.join()
            self.net.daemon.start()
            kept = self.net.control.values()
            lost = [name for name, text in acknowledged.items() if text not in kept.get(name, [])]
            self.assertEqual(lost, [], f"round {round_number}: {len(lost)} of {len(acknowledged)} acknowledged values are lost")
        self.assertGreater(len(acknowledged), 30)
        for name, text in random.sample(sorted(acknowledged.items()), 30):
            self.assertEqual(self.net.daemon.texts(name), [text])

    def test_removal_survives_kill_9(self):
        name = f"removed.{ZONE}"
        self.assertEqual(self.net.control.put(name, base.VALUE)[0], 200)
        self.assertEqual(self.net.control.delete(name)[0], 204)
        self.net.daemon.kill()
        self.net.daemon.start()
        self.assertEqual(self.net.control.values(name), {})
        self.assertEqual(dns_wire.ask(self.net.responder, name, "TXT").rcode, "NXDOMAIN")

    def test_serial_never_goes_back(self):
        def serial():
            return dns_wire.ask(self.net.responder, ZONE, "SOA").answers[0].value[2]

        first = serial()
        self.net.control.put(f"serial.{ZONE}", base.VALUE)
        second = serial()
        self.assertGreater(second, first)
        self.net.daemon.kill()
        self.net.daemon.start()
        self.assertGreaterEqual(serial(), second)
        self.net.control.delete(f"serial.{ZONE}")

    def test_clean_restart_keeps_values_and_lifetimes(self):
        name = f"kept.{ZONE}"
        self.net.control.put(name, base.VALUE, "2h")
        before = self.net.control.request("GET", f"/v1/txt?name={name}")[1]
        self.net.daemon.restart()
        self.assertEqual(self.net.control.request("GET", f"/v1/txt?name={name}")[1], before)
        self.net.control.delete(name)


class KilledDuringIssuance(base.SystemTest):
    """The CA's question is held back long enough for a restart between publishing and validation."""

    internet = {"hold_back": 1.5}

    def test_value_survives_and_the_run_ends_cleanly(self):
        name, found = f"www.example.test.{ZONE}", {}

        def crash():
            if not self.net.pebble.triggers():
                return False
            found["before"] = self.net.control.values(name)
            self.net.daemon.kill()
            self.net.daemon.start()
            found["after"] = self.net.control.values(name)
            return True

        run = self.net.issue("www.example.test", meanwhile=crash)
        self.assertIn("before", found, f"the CA was never triggered: {run}")
        self.assertEqual(len(found["before"].get(name, [])), 1, str(run))
        self.assertEqual(found["after"], found["before"], "the value did not survive")
        # The answer was there when the CA asked, so the run has no reason to fail.
        self.assert_exit(run, 0)
        self.net.check_certificate("www.example.test", ["www.example.test"])
        self.assert_nothing_published()


class Lifetimes(base.SystemTest):
    def test_expired_value_is_pruned(self):
        name = f"short.{ZONE}"
        self.assertEqual(self.net.control.put(name, base.VALUE, "1s")[0], 200)
        self.assertEqual(self.net.daemon.texts(name), [base.VALUE])
        began = time.monotonic()
        wait_until(lambda: dns_wire.ask(self.net.responder, name, "TXT").rcode == "NXDOMAIN", "the value leaves the DNS", 4)
        self.assertGreater(time.monotonic() - began, 0.5, "pruned before its time")
        self.assertEqual(self.net.control.values(name), {})

    def test_value_that_expired_while_the_daemon_was_down_is_not_served(self):
        name, longer = f"down.{ZONE}", f"longer.{ZONE}"
        self.net.control.put(name, base.VALUE, "1s")
        self.net.control.put(longer, base.VALUE, "1h")
        self.net.daemon.kill()
        time.sleep(1.2)
        self.net.daemon.start()
        wait_until(lambda: self.net.daemon.texts(name) == [], "the value is gone after the restart", 2)
        self.assertEqual(self.net.daemon.texts(longer), [base.VALUE])
        self.net.control.delete(longer)

    def test_same_value_again_refreshes_its_lifetime(self):
        name = f"again.{ZONE}"
        self.net.control.put(name, base.VALUE, "1s")
        self.net.control.put(name, base.VALUE, "1h")
        time.sleep(1.5)
        self.assertEqual(self.net.daemon.texts(name), [base.VALUE])
        self.net.control.delete(name)

    def test_each_value_has_its_own_deadline(self):
        name, other = f"pair.{ZONE}", base.value(7)
        self.net.control.put(name, base.VALUE, "1s")
        self.net.control.put(name, other, "1h")
        self.assertEqual(len(self.net.daemon.texts(name)), 2)
        wait_until(lambda: self.net.daemon.texts(name) == [other], "the short one goes alone", 4)
        self.net.control.delete(name)


def _can_mount():
    return os.geteuid() == 0 and os.system("unshare --mount true 2>/dev/null") == 0


@unittest.skipUnless(_can_mount(), "needs a mount namespace (root or a user namespace) for a small tmpfs")
class DiskFull(base.SystemTest):
    internet = {"state_mount": "2m"}

    def setUp(self):
        self.filler = self.net.daemon.seen("filler")

    def fill(self):
        with open(self.filler, "wb", buffering=0) as file:
            for size in (65536, 4096, 512, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue

    def test_updates_are_refused_nothing_acknowledged_is_lost_and_it_recovers(self):
        kept = {f"full{number}.{ZONE}": base.value(number) for number in range(20)}
        for name, text in kept.items():
            self.assertEqual(self.net.control.put(name, text)[0], 200)
        self.fill()
        # A page or two may be left in the write-ahead log that was allocated before.
        refused = None
        for number in range(3000):
            name, text = f"late{number}.{ZONE}", base.value(5000 + number)
            status, answer = self.net.control.put(name, text)
            if status != 200:
                refused = (status, answer, name)
                break
            kept[name] = text
        self.assertIsNotNone(refused, "the disk is full and every update is acknowledged")
        status, answer, name = refused
        self.assertEqual(status, 503, answer)
        self.assertTrue(answer, "a refusal without a reason")
        # What was refused is not served, what was acknowledged is, and DNS goes on.
        self.assertEqual(self.net.daemon.texts(name), [])
        self.assert_all_served(kept)
        status, report = self.net.control.request("GET", "/v1/status")
        self.assertEqual(status, 200)
        self.assertIs(report["store"]["ok"], False, report)
        os.unlink(self.filler)
        wait_until(lambda: self.net.control.put(name, base.VALUE)[0] == 200, "updates work again", 10)
        kept[name] = base.VALUE
        self.assert_all_served(kept)
        self.assertIs(self.net.control.request("GET", "/v1/status")[1]["store"]["ok"], True)

    def assert_all_served(self, kept):
        listed = self.net.control.values()
        self.assertEqual({name: listed.get(name) for name in kept}, {name: [text] for name, text in kept.items()})
        for name, text in list(kept.items())[:40]:
            self.assertEqual(self.net.daemon.texts(name), [text], name)


if __name__ == "__main__":
    base.main()
