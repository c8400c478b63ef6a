#!/usr/bin/python3
"""Certificates through delegated names, with every Pebble found: what they hold, what is on disk, what the CA asked."""

import json
import os
import stat
import time

import base
import dns_wire
import zone_files
from authority import certificate_names
from processes import tail


class Issuing:
    """A resolver in between, as a public CA has; nothing stays published, whatever happens."""

    def tearDown(self):
        self.assert_nothing_published()

    def test_single_name(self):
        run = self.net.issue("www.example.test")
        self.assert_exit(run, 0)
        self.net.check_certificate("www.example.test", ["www.example.test"])
        outcome = run.json()
        self.assertEqual(outcome["certificate"]["names"], ["www.example.test"])

    def test_wildcard_and_apex_at_once(self):
        names = ["example.test", "*.example.test"]
        run = self.net.issue(*names)
        self.assert_exit(run, 0)
        self.net.check_certificate("example.test", names)

    def test_wildcard_alone_takes_the_name_without_the_star(self):
        run = self.net.issue("*.n60.example.test")
        self.assert_exit(run, 0)
        self.net.check_certificate("n60.example.test", ["*.n60.example.test"])

    def test_25_names_in_one_certificate(self):
        names = zone_files.NUMBERED[:25]
        run = self.net.issue(*names)
        self.assert_exit(run, 0)
        self.net.check_certificate(names[0], names)

    def test_name_delegated_by_ns(self):
        run = self.net.issue("nsname.example.test", "*.nsname.example.test")
        self.assert_exit(run, 0)
        self.net.check_certificate("nsname.example.test", ["nsname.example.test", "*.nsname.example.test"])

    def test_chain_of_two_cnames(self):
        run = self.net.issue("chain.example.test")
        self.assert_exit(run, 0)
        self.net.check_certificate("chain.example.test", ["chain.example.test"])

    def test_international_name_duplicates_and_capitals(self):
        run = self.net.issue("bücher.example.test", "XN--BCHER-KVA.Example.Test.", "xn--bcher-kva.example.test")
        self.assert_exit(run, 0)
        name = f"{zone_files.IDN_LABEL}.example.test"
        self.net.check_certificate(name, [name])

    def test_valid_certificate_is_left_alone_without_force(self):
        self.assert_exit(self.net.issue("n61.example.test"), 0)
        target = os.readlink(self.net.live("n61.example.test"))
        orders = self.net.pebble.orders()
        again = self.net.issue("n61.example.test")
        self.assert_exit(again, 0)
        self.assertEqual(self.net.pebble.orders(), orders, "a second order was made")
        self.assertEqual(os.readlink(self.net.live("n61.example.test")), target)
        forced = self.net.issue("--force", "n61.example.test")
        self.assert_exit(forced, 0)
        self.assertEqual(self.net.pebble.orders(), orders + 1)
        self.assertNotEqual(os.readlink(self.net.live("n61.example.test")), target, "the switch was not made")

    def test_account_is_made_once_and_kept(self):
        self.assert_exit(self.net.issue("n62.example.test"), 0)
        before = len(self.net.pebble.requests())
        self.assert_exit(self.net.issue("n63.example.test"), 0)
        self.assertNotIn("/sign-me-up", [path for _, path in self.net.pebble.requests(before)])

    def test_ca_asked_through_the_delegation_and_the_daemon_saw_it(self):
        stream = self.net.control.record_queries()
        time.sleep(0.2)
        self.assert_exit(self.net.issue("n64.example.test", "*.n64.example.test"), 0)
        time.sleep(0.2)
        lines = stream.close()
        self.assertIsNone(stream.error)
        mine = [line for line in lines if line["name"].rstrip(".").lower() == "n64.example.test.auth.example.test"]
        self.assertTrue(mine, lines)
        # x and *.x: both values stood in one answer.
        self.assertTrue(any(line["values"] == 2 and line["rcode"] == "NOERROR" for line in mine), mine)
        self.assertLessEqual({"time", "client", "transport", "name", "type", "rcode", "values"}, set(mine[0]))

    def test_files_owners_and_modes(self):
        self.assert_exit(self.net.issue("n65.example.test"), 0)
        state = self.net.daemon.state
        modes = {
            state: 0o755, os.path.join(state, "acme"): 0o700,
            self.net.live("n65.example.test", "privkey.pem"): 0o600,
        }
        for folder, _folders, files in os.walk(os.path.join(state, "acme", "accounts")):
            for file in files:
                modes[os.path.join(folder, file)] = 0o600
        self.assertGreater(len(modes), 3, "no account was kept")
        for file in os.listdir(os.path.join(state, "acme", "certificates")):
            modes[os.path.join(state, "acme", "certificates", file)] = 0o600
        for path, mode in modes.items():
            found = os.stat(path)
            self.assertEqual((oct(stat.S_IMODE(found.st_mode)), found.st_uid), (oct(mode), os.geteuid()), path)
        self.assertTrue(os.path.islink(self.net.live("n65.example.test")))
        with open(os.path.join(state, "acme", "certificates", "n65.example.test.json"), encoding="utf-8") as file:
            self.assertIn("n65.example.test", json.dumps(json.load(file)))


base.with_every_pebble(globals(), Issuing)


class Nonces:
    """A CA that refuses half of all nonces (RFC 8555 section 6.5)."""

    internet = {"pebble_environment": {"PEBBLE_WFE_NONCEREJECT": "50"}}

    def test_issues_all_the_same(self):
        for names in (["www.example.test", "*.www.example.test"], zone_files.NUMBERED[:10]):
            run = self.net.issue(*names)
            self.assert_exit(run, 0)
            self.net.check_certificate(names[0], names)
        self.assert_nothing_published()


base.with_every_pebble(globals(), Nonces)


class SlowCa:
    """A CA that sleeps before it validates, and says when to come back where it can (Retry-After: Pebble 2.10)."""

    internet = {"pebble_environment": {"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "2"}, "retry_after": 1}

    def test_issues_in_about_the_time_that_the_ca_needs(self):
        run = self.net.issue(*zone_files.NUMBERED[:5])
        self.assert_exit(run, 0)
        self.assertLess(run.seconds, 12)
        self.assert_nothing_published()


base.with_every_pebble(globals(), SlowCa)


class Resolvers(base.SystemTest):
    """A resolver with QNAME minimisation: it asks for each label on the way, and 0x20 stays on."""

    internet = {"minimise": True}

    def test_issues_with_minimised_names(self):
        names = ["www.example.test", "*.www.example.test", "nsname.example.test"]
        self.assert_exit(self.net.issue(*names), 0)
        self.net.check_certificate("www.example.test", names)

    def test_answers_keep_the_case_of_the_question(self):
        self.net.control.put("x1.auth.example.test", base.VALUE)
        for tcp in (False, True):
            answer = dns_wire.ask(self.net.responder, "X1.aUTh.exAMple.TesT", "TXT", tcp=tcp)
            self.assertEqual(answer.question, "X1.aUTh.exAMple.TesT.")
            self.assertEqual(answer.answers[0].name, "X1.aUTh.exAMple.TesT.")
            self.assertEqual(answer.texts(), [base.VALUE])
        self.net.control.delete("x1.auth.example.test")

    def test_many_values_go_to_tcp_through_the_resolver(self):
        values = sorted(base.value(number) for number in range(16))
        for one in values:
            self.assertEqual(self.net.control.put("www.example.test.auth.example.test", one)[0], 200)
        try:
            small = dns_wire.ask(self.net.responder, "www.example.test.auth.example.test", "TXT", edns=False)
            self.assertTrue(small.truncated, "16 values do not fit into 512 octets")
            whole = dns_wire.ask(self.net.responder, "www.example.test.auth.example.test", "TXT", tcp=True)
            self.assertEqual(whole.texts(), values)
            through = dns_wire.ask(self.net.resolver, "_acme-challenge.www.example.test", "TXT", recurse=True, tcp=True, timeout=5)
            self.assertEqual(through.texts(), values)
        finally:
            self.net.control.delete("www.example.test.auth.example.test")
        self.assert_nothing_published()


class HoldBack(base.SystemTest):
    """The answer held back one second on the CA's side, as with a CA far away: flat in the number of names."""

    internet = {"hold_back": 1.0}

    def test_ten_names_take_about_as_long_as_one(self):
        one = self.net.issue(zone_files.NUMBERED[0])
        self.assert_exit(one, 0)
        ten = self.net.issue(*zone_files.NUMBERED[1:11])
        self.assert_exit(ten, 0)
        self.assertLess(ten.seconds, one.seconds + 1.5)
        self.assertEqual(certificate_names(self.net.live(zone_files.NUMBERED[1], "cert.pem")), sorted(zone_files.NUMBERED[1:11]))
        self.assertIn("TXT", tail(self.net.scene.path("delay.log"), 5), "the proxy saw no TXT question")


if __name__ == "__main__":
    base.main()
