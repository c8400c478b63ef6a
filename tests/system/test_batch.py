#!/usr/bin/python3
"""Many certificates by one `issue --batch`, with every Pebble found."""

import base
import odd_ca
import zone_files
from odd_ca import OddCa

NAMES = zone_files.NUMBERED


class Batches(base.OwnStateTest):
    def batch(self, own, lines, *arguments, timeout=60.0):
        path = own.write("batch", "\n".join(lines) + "\n")
        return own.issue("--batch", path, *arguments, timeout=timeout)

    def test_all_values_stand_before_the_first_challenge(self):
        with OddCa(self.net.pebble) as ca:
            own = self.own(ca.url)
            lines = [f"{name} *.{name}" if number % 4 == 0 else name for number, name in enumerate(NAMES[:24])]
            published = []
            ca.watch = lambda exchange: exchange.step == "challenge" and not published and published.append(self.net.control.values())
            run = self.batch(own, lines, "--jobs", "8")
            self.assert_exit(run, 0)
            found = run.json()
            self.assertEqual((found["issued"], found["unchanged"], found["failed"], found["status"]), (24, 0, 0, "done"))
            for line in lines:
                own.check_pair(line.split()[0], line.split())
            self.assertEqual(len(published[0]), 24, "the first challenge was triggered before all values stood")
            self.assertEqual(sum(len(values) for values in published[0].values()), 30)
            # One account, one directory; nonces are not asked for one by one.
            self.assertEqual(len(ca.requests("account")), 1)
            self.assertEqual(len(ca.requests("directory")), 1)
            self.assertEqual(len(ca.requests("order")), 24)
            self.assertLess(len(ca.requests("nonce")), 40)
            own.check()
            # All are there: nothing is asked for again.
            before = len(ca.requests("order"))
            again = self.batch(own, lines)
            self.assert_exit(again, 0)
            self.assertEqual((again.json()["issued"], again.json()["unchanged"]), (0, 24))
            self.assertEqual(len(ca.requests("order")), before)

    def test_one_failure_stops_nobody(self):
        with OddCa(self.net.pebble) as ca:
            own = self.own(ca.url)
            bad = zone_files.target(NAMES[31])
            ca.watch = lambda exchange: exchange.step == "challenge" and self.net.control.delete(bad)
            run = self.batch(own, ["# the first ones", NAMES[30], "", f"{NAMES[31]}  # cannot be", "bare.example.test", NAMES[32]], "--jobs", "2")
            self.assert_exit(run, 3)
            found = run.json()
            self.assertEqual((found["issued"], found["failed"], found["status"]), (2, 2, "some failed"))
            by_name = {entry["name"]: entry for entry in found["certificates"]}
            self.assertEqual({name: entry["status"] for name, entry in by_name.items()},
                             {NAMES[30]: "issued", NAMES[31]: "failed", "bare.example.test": "failed", NAMES[32]: "issued"})
            self.assertIn("_acme-challenge.bare.example.test", by_name["bare.example.test"]["error"]["message"])
            for name in (NAMES[30], NAMES[32]):
                own.check_pair(name, [name])
            self.assertRegex(run.err, r"2 issued, 0 left alone, 2 failed")
            own.check()

    def test_bad_files(self):
        own = self.own()
        orders = self.net.pebble.orders()
        cases = {
            "nothing": ([], "batch"), "comments only": (["# none"], "batch"), "a bad name": ([NAMES[33], "-bad-.example.test"], "2: "),
            "the same certificate twice": ([NAMES[33], NAMES[34], f"*.{NAMES[33]}"], "3: "), "octets": (["\x01\x02\x1b[2J"], "1: "),
        }
        for label, (lines, words) in cases.items():
            with self.subTest(label=label):
                run = self.batch(own, lines)
                self.assertIn(words, self.message(run, 2))
                self.assertNotIn("\x1b", run.text())
        self.assert_exit(own.issue("--batch", "/nonexistent"), 2)
        self.assert_exit(own.issue("--batch", own.folder), 2)
        for jobs in ("0", "65", "-1", "many"):
            self.assert_exit(self.batch(own, [NAMES[33]], "--jobs", jobs), 2)
        self.assertEqual(self.net.pebble.orders(), orders)

    def test_interrupted(self):
        with OddCa(self.net.pebble) as ca:
            own = self.own(ca.url)
            ca.fault("poll", odd_ca.json_edit(lambda document: document.update(status="pending")))
            path = own.write("batch", "\n".join(NAMES[40:52]) + "\n")
            run = own.issue("--batch", path, "--jobs", "4", interrupt_when=lambda: len(ca.requests("poll")) > 8)
            self.assert_exit(run, 130)
            self.assert_nothing_published()
            own.check()
            ca.behave()
            self.assert_exit(own.issue("--batch", path), 0)
            for name in NAMES[40:52]:
                own.check_pair(name, [name])


base.with_every_pebble(globals(), Batches)
del Batches


if __name__ == "__main__":
    base.main()
