#!/usr/bin/python3
"""What a CA can offer, with every Pebble found: chains, valid authorizations again, strictness, a second CA behind it, the experimental challenges."""

import re

from cryptography import x509

import base
import odd_ca
import zone_files
from authority import verify_chain
from odd_ca import OddCa
from own_state import OwnState, read_chain

NAMES = zone_files.NUMBERED


def common_name(pem):
    subject = x509.load_pem_x509_certificate(pem.encode()).subject
    return subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value


class Chains(base.OwnStateTest):
    internet = {"pebble_environment": {"PEBBLE_ALTERNATE_ROOTS": "2", "PEBBLE_CHAIN_LENGTH": "3"}}

    def last_issuer(self, own, name):
        chain = read_chain(own.live(name, "fullchain.pem"))
        self.assertEqual(len(chain), 4, "the leaf and three intermediates")
        return chain[-1].issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value

    def test_preferred_chain_by_the_name_of_its_issuer(self):
        own = self.own()
        roots = [self.net.pebble.root(number) for number in range(3)]
        names = [common_name(root) for root in roots]
        self.assertEqual(len(set(names)), 3)
        for number in (2, 1, 0):
            self.issued(own, "--force", "--preferred-chain", names[number], NAMES[0])
            self.assertEqual(self.last_issuer(own, NAMES[0]), names[number])
            verify_chain(self.net.scene, roots[number], own.live(NAMES[0], "chain.pem"), own.live(NAMES[0], "cert.pem"))
            own.check_pair(NAMES[0], [NAMES[0]])

    def test_without_a_wish_and_with_one_that_is_not_offered(self):
        own = self.own()
        default = common_name(self.net.pebble.root(0))
        run = self.issued(own, NAMES[1])
        self.assertEqual(run.json()["warnings"], [])
        self.assertEqual(self.last_issuer(own, NAMES[1]), default)
        run = self.issued(own, "--force", "--preferred-chain", "ISRG Root X9", NAMES[1])
        self.assertEqual(self.last_issuer(own, NAMES[1]), default)
        self.assertRegex(" ".join(run.json()["warnings"]), "ISRG Root X9")

    def test_alternates_that_cannot_be_had_spoil_nothing(self):
        with OddCa(self.net.pebble) as ca:
            own = self.own(ca.url)
            # The first request for a certificate is the default chain, the others are the alternates.
            ca.fault("certificate", odd_ca.answer_page(500), skip=1)
            run = self.issued(own, "--preferred-chain", common_name(self.net.pebble.root(1)), NAMES[2])
            own.check_pair(NAMES[2], [NAMES[2]])
            self.assertTrue(run.json()["warnings"], "nothing is said about the chain that was not to be had")


class Reuse(base.OwnStateTest):
    internet = {"pebble_environment": {"PEBBLE_AUTHZREUSE": "100"}}

    def test_what_the_ca_knows_already_is_not_proved_again(self):
        with OddCa(self.net.pebble) as ca:
            own = self.own(ca.url)
            self.issued(own, NAMES[0])
            before = len(ca.seen)
            run = self.issued(own, "--force", NAMES[0])
            later = [exchange.step for exchange in ca.seen[before:]]
            self.assertNotIn("challenge", later)
            self.assertNotIn("publish", [step["name"] for step in run.json()["steps"]])
            # A new name beside it: only that one is proved.
            self.issued(own, "--cert-name", "two", NAMES[0], NAMES[1])
            self.assertEqual(sum(1 for exchange in ca.seen[before:] if exchange.step == "challenge"), 1)
            own.check_pair("two", [NAMES[0], NAMES[1]])


class Strict(base.OwnStateTest):
    internet = {"pebble_options": {"strict": True}}

    def test_the_ca_finds_nothing_to_object_to(self):
        own = self.own()
        self.issued(own, "www.example.test", "*.www.example.test", NAMES[0])
        own.check_pair("www.example.test", ["www.example.test", "*.www.example.test", NAMES[0]])


class Fallbacks(base.OwnStateTest):
    """The first CA is down, or refuses; the second is there."""

    def test_first_one_is_down(self):
        with OddCa(self.net.pebble) as ca:
            nobody = f"https://{self.net.pebble.address}:1/dir"
            own = self.own(nobody, acme=f'fallback_ca = ["{ca.url}"]')
            run = self.issued(own, NAMES[60])
            own.check_pair(NAMES[60], [NAMES[60]])
            self.assertEqual(run.json()["certificate"]["ca"], ca.url)
            self.assertRegex(" ".join(run.json()["warnings"]) + run.err, re.escape(f"{self.net.pebble.address}:1"))

    def test_first_one_refuses_the_second_and_the_third_is_asked(self):
        with OddCa(self.net.pebble) as first, OddCa(self.net.pebble) as second:
            first.fault("order", odd_ca.answer_problem(403, "rejectedIdentifier", "not that name"))
            second.fault("order", odd_ca.answer_problem(429, "rateLimited", "too many", ("Retry-After", "86400")))
            own = self.own(first.url)
            run = self.issued(own, "--fallback-ca", second.url, "--fallback-ca", self.net.pebble.url, NAMES[61])
            self.assertEqual(run.json()["certificate"]["ca"], self.net.pebble.url)
            own.check_pair(NAMES[61], [NAMES[61]])
            self.assertEqual((len(first.requests("order")), len(second.requests("order"))), (1, 1))

    def test_all_fail_and_each_is_told(self):
        with OddCa(self.net.pebble) as first, OddCa(self.net.pebble) as second:
            first.fault("order", odd_ca.answer_problem(403, "rejectedIdentifier", "not that name"))
            second.fault("directory", odd_ca.answer_page(500))
            own = self.own(first.url)
            run = own.issue("--fallback-ca", second.url, NAMES[62])
            said = self.message(run)
            self.assertIn("not that name", said)
            self.assertIn("500", said)
            own.check()

    def test_a_fault_of_our_own_is_not_blamed_on_the_ca(self):
        # A missing delegation is the same everywhere.
        with OddCa(self.net.pebble) as second:
            own = self.own()
            said = self.message(own.issue("--fallback-ca", second.url, "bare.example.test"))
            self.assertIn("_acme-challenge.bare.example.test", said)
            self.assertEqual(second.requests("order"), [])


class Experimental(base.OwnStateTest):
    """dns-account-01 and dns-persist-01: only a new Pebble has them."""

    def test_dns_account_01(self):
        own = self.own()
        name = "labelled.example.test"
        if not self.net.pebble.new:
            # 2.4 has none; 2.6 has one of an older draft, at another name.
            self.assertRegex(self.message(own.issue("--challenge", "dns-account-01", name)), "(?i)dns-account-01")
            self.need_new_pebble("dns-account-01 of today's draft")
        self.issued(own, "--challenge", "dns-account-01", name, f"*.{name}")
        own.check_pair(name, [name, f"*.{name}"])
        records = own.run("delegate", "--challenge", "dns-account-01", name)
        self.assert_exit(records, 0)
        self.assertRegex(records.out, rf"^_[a-z2-7]{{16}}\._acme-challenge\.{name}\. .*CNAME ")

    def test_dns_persist_01(self):
        own = self.own()
        name = "persist.example.test"
        target = f"_validation-persist.{name}.auth.example.test"
        if not self.net.pebble.new:
            said = self.message(own.issue("--challenge", "dns-persist-01", name))
            self.assertIn("dns-persist-01", said)
            self.need_new_pebble("dns-persist-01")
        try:
            self.issued(own, "--challenge", "dns-persist-01", name)
            own.check_pair(name, [name])
            values = self.net.control.values(target)
            self.assertEqual(len(values.get(target, [])), 1, "the standing record does not stand")
            self.assertIn("accounturi=", values[target][0])
            # Again: the same record serves, and there is one.
            self.issued(own, "--force", "--challenge", "dns-persist-01", name)
            self.assertEqual(len(self.net.control.values(target)[target]), 1)
        finally:
            self.net.control.delete(target)


class Replacing(base.OwnStateTest):
    """`replaces` (RFC 9773 section 5): said where the CA has ARI, and no reason to fail when the CA does not want it."""

    def refuse(self, ca, answer):
        """The CA answers so to each order that replaces something."""
        ca.fault("order", lambda exchange: answer(exchange) if exchange.payload.get("replaces") else exchange.forward())

    def test_next_one_says_what_it_replaces(self):
        with OddCa(self.net.pebble) as ca:
            own = self.own(ca.url)
            self.issued(own, NAMES[70])
            self.issued(own, "--force", NAMES[70])
            first, second = [order.payload.get("replaces") for order in ca.requests("order")[:2]]
            self.assertIsNone(first)
            with_ari = b'"renewalInfo"' in self.net.pebble.get(self.net.pebble.url)[1]
            self.assertEqual(bool(second), with_ari)

    def test_a_ca_that_does_not_know_what_is_replaced(self):
        # Pebble cannot find one certificate of 256 again (a leading zero octet in its serial number), and answers 500.
        unknown = odd_ca.answer_problem(500, "serverInternal", "could not find an order for the given certificate")
        for number, answer in enumerate((unknown, odd_ca.answer_problem(409, "alreadyReplaced", "replaced before"), odd_ca.answer_problem(404, "malformed", "no such"))):
            with self.subTest(number=number), OddCa(self.net.pebble) as ca:
                own = OwnState(self.net, f"replaced-{number}", ca.url)
                self.issued(own, NAMES[71])
                self.refuse(ca, answer)
                self.issued(own, "--force", NAMES[71])
                own.check_pair(NAMES[71], [NAMES[71]])
                own.check()


base.with_every_pebble(globals(), Chains)
base.with_every_pebble(globals(), Reuse)
base.with_every_pebble(globals(), Strict)
base.with_every_pebble(globals(), Fallbacks)
base.with_every_pebble(globals(), Experimental)
base.with_every_pebble(globals(), Replacing)
del Replacing, Chains, Reuse, Strict, Fallbacks, Experimental


if __name__ == "__main__":
    base.main()
