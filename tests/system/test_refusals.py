#!/usr/bin/python3
"""Runs that must fail: each says what is wrong and what to do, leaves nothing published, and orders nothing that cannot succeed."""

import os
import signal
import socket
import time
import unittest

import base
import dns_wire
from processes import wait_until


class Refusals(base.SystemTest):
    def setUp(self):
        self.orders = self.net.pebble.orders()

    def tearDown(self):
        self.assert_nothing_published()

    def assert_nothing_ordered(self):
        self.assertEqual(self.net.pebble.orders(), self.orders, "an order was made at the CA")

    def test_missing_delegation_names_the_record_to_add(self):
        for names in (["bare.example.test"], ["www.example.test", "bare.example.test", "*.plain.example.test"]):
            run = self.net.issue(*names)
            self.assert_exit(run, 1)
            for name in {name.removeprefix("*.") for name in names} - {"www.example.test"}:
                self.assertRegex(run.text(), rf"_acme-challenge\.{name}\.\s+(\d+\s+)?(IN\s+)?CNAME\s+{name}\.auth\.example\.test\.")
            self.assert_nothing_ordered()

    def test_delegation_to_a_zone_that_is_not_ours(self):
        run = self.net.issue("elsewhere.example.test")
        self.assert_exit(run, 1)
        self.assertIn("elsewhere.challenges.example.test", run.text())
        self.assert_nothing_ordered()

    def test_bad_names_are_refused_before_anything_is_ordered(self):
        cases = {
            "-bad.example.test": "-bad", "a..example.test": "a..example.test", "x" * 64 + ".example.test": "x" * 20, "foo bar.example.test": "foo bar",
            "*.*.example.test": "*.*", "www.*.example.test": "www.*", "127.0.0.1": "dns-01", "::1": "dns-01", "[2001:db8::1]": "dns-01",
            "_.example..": "_.example", "exa_mple!.test": "exa_mple!",
        }
        for name, word in cases.items():
            with self.subTest(name=name):
                run = self.net.issue("--", name)
                self.assert_exit(run, 2)
                self.assertIn(word, run.text())
        self.assert_nothing_ordered()

    def test_ip_address_is_told_why(self):
        run = self.net.issue("www.example.test", "192.0.2.7")
        self.assert_exit(run, 2)
        self.assertRegex(run.text(), r"192\.0\.2\.7.*dns-01 cannot prove|dns-01 cannot prove.*192\.0\.2\.7")
        self.assert_nothing_ordered()

    def test_no_name_and_an_unknown_option_are_bad_usage(self):
        self.assert_exit(self.net.run("issue"), 2)
        self.assert_exit(self.net.run("issue", "--no-such-option", "www.example.test"), 2)
        self.assert_exit(self.net.run("no-such-command"), 2)
        self.assert_nothing_ordered()

    def test_other_names_under_an_existing_certificate_are_refused(self):
        self.assert_exit(self.net.issue("n70.example.test"), 0)
        self.orders = self.net.pebble.orders()
        target = os.readlink(self.net.live("n70.example.test"))
        run = self.net.issue("n70.example.test", "n71.example.test")
        self.assert_exit(run, 2)
        self.assertIn("n70.example.test", run.text())
        self.assertEqual(os.readlink(self.net.live("n70.example.test")), target)
        self.assert_nothing_ordered()

    def test_name_server_that_does_not_have_the_value_fails_the_fence(self):
        triggers = self.net.pebble.triggers()
        run = self.net.issue("stalename.example.test")
        self.assert_exit(run, 1)
        self.assertIn(self.net.stale, run.text(), "the address with the wrong answer is not named")
        self.assertEqual(self.net.pebble.triggers(), triggers, "the CA was triggered")
        self.assertFalse(os.path.exists(self.net.live("stalename.example.test")))

    def test_glue_to_an_address_where_nobody_answers(self):
        run = self.net.issue("darkname.example.test", timeout=90)
        self.assert_exit(run, 1)
        self.assertIn("dark", run.text())
        self.assertFalse(os.path.exists(self.net.live("darkname.example.test")))

    def test_ca_unreachable(self):
        with socket.socket() as taken:
            taken.bind((self.net.block.address(30), 0))  # bound and never listening: refused at once
            ca = f"{self.net.block.address(30)}:{taken.getsockname()[1]}"
            run = self.net.issue("www.example.test", config=self._with_ca(f"https://{ca}/dir"))
        self.assert_exit(run, 1)
        self.assertIn(ca, run.text())
        self.assertFalse(os.path.exists(self.net.live("www.example.test")))

    def test_ca_with_a_certificate_that_is_not_trusted(self):
        with open(self.net.daemon.config, encoding="utf-8") as file:
            text = "".join(line for line in file if not line.startswith("ca_bundle"))
        run = self.net.issue("www.example.test", config=self.net.scene.write("untrusting.toml", text))
        self.assert_exit(run, 1)
        self.assertRegex(run.text(), r"(?i)certificate")
        self.assertIn(self.net.ca_address, run.text())

    def test_daemon_not_there(self):
        with open(self.net.daemon.config, encoding="utf-8") as file:
            text = file.read().replace("control.sock", "nobody.sock")
        run = self.net.issue("www.example.test", config=self.net.scene.write("lonely.toml", text))
        self.assert_exit(run, 1)
        self.assertIn("nobody.sock", run.text())
        self.assert_nothing_ordered()

    def test_configuration_with_problems(self):
        with open(self.net.daemon.config, encoding="utf-8") as file:
            text = file.read().replace("agree_tos", "agree_tso")
        path = self.net.scene.write("wrong.toml", text)
        run = self.net.issue("www.example.test", config=path)
        self.assert_exit(run, 2)
        self.assertRegex(run.text(), rf"{path}:\d+:\d+: .*agree_tso")
        self.assertIn("agree_tos", run.text())

    def test_terms_of_service_not_agreed(self):
        with open(self.net.daemon.config, encoding="utf-8") as file:
            text = file.read().replace("agree_tos = true", "agree_tos = false").replace('/state"', '/state-tos"')
        os.makedirs(self.net.scene.path("countersignd", "state-tos"), exist_ok=True)
        run = self.net.issue("www.example.test", config=self.net.scene.write("disagree.toml", text))
        self.assertIn(run.code, (1, 2), str(run))
        self.assertIn("agree", run.text())
        self.assert_nothing_ordered()

    def _with_ca(self, url):
        with open(self.net.daemon.config, encoding="utf-8") as file:
            text = file.read().replace(self.net.pebble.url, url)
        return self.net.scene.write("other-ca.toml", text)


class Interrupted(base.SystemTest):
    """Ctrl-C while the CA is validating."""

    internet = {"hold_back": 1.8}

    def test_ctrl_c_cleans_up_and_exits_130(self):
        triggers = self.net.pebble.triggers()
        run = self.net.issue("www.example.test", "*.www.example.test", interrupt_when=lambda: self.net.pebble.triggers() > triggers)
        self.assert_exit(run, 130)
        self.assertLess(run.seconds, 10)
        self.assert_nothing_published()
        self.assertEqual(self.net.daemon.texts("www.example.test.auth.example.test"), [])
        self.assertFalse(os.path.exists(self.net.live("www.example.test")))

    def test_sigterm_cleans_up_too(self):
        orders = self.net.pebble.orders()
        run = self.net.issue("n5.example.test", interrupt_when=lambda: self.net.pebble.orders() > orders, interrupt_with=signal.SIGTERM)
        self.assertNotEqual(run.code, 0, str(run))
        wait_until(lambda: self.net.control.values() == {}, "the values are removed")


class ValueTakenAway(base.SystemTest):
    """The CA sees another value than the one that was published: its refusal is shown whole."""

    internet = {"hold_back": 1.0}

    def test_problem_document_is_shown(self):
        name = "www.example.test.auth.example.test"
        began = time.monotonic()

        def spoil():
            if self.net.control.values() and self.net.pebble.triggers():
                self.net.control.delete(name)
                return True
            return False

        run = self.net.issue("www.example.test", meanwhile=spoil)
        self.assertLess(time.monotonic() - began, 30)
        self.assert_exit(run, 1)
        self.assertIn("www.example.test", run.text())
        self.assertRegex(run.text(), r"urn:ietf:params:acme:error:unauthorized|unauthorized")
        self.assertEqual(dns_wire.ask(self.net.responder, name, "TXT").texts(), [])
        self.assert_nothing_published()


if __name__ == "__main__":
    base.main()
