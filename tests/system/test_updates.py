#!/usr/bin/python3
"""Dynamic updates (RFC 2136) and TSIG (RFC 8945) at the whole daemon, octet by octet: every prerequisite, every RCODE, all or nothing, and no replay."""

import socket
import struct
import time

import base
import dns_wire
import raw_dns
import updates
import zone_files
from processes import wait_until
from raw_dns import ANY, CLASS_ANY, CLASS_NONE, IN, SOA, TSIG, TXT, A, ask_once, opt_record
from updates import (
    BADKEY, BADSIG, BADTIME, BADTRUNC, FORMERR, NOERROR, NOTAUTH, NOTIMP, NOTZONE, NXDOMAIN, NXRRSET, REFUSED, YXDOMAIN, YXRRSET, Updater, UpdateKey, add, delete,
    delete_name, delete_rrset, name_in_use, name_not_in_use, record, rrset_equals, rrset_exists, rrset_not_exists, sign, tsig_of, txt, update, verify)

ZONE = zone_files.ZONE
FIRST, SECOND, THIRD = (base.value(number) for number in (1, 2, 3))
BOTH = (False, True)


class WithKeys(base.SystemTest):
    internet = {"keys": [("main", [f"*.{ZONE}", zone_files.NS_ZONE]), ("second", [f"*.{ZONE}"], "hmac-sha512"), ("narrow", [f"one.{ZONE}", f"*.below.{ZONE}"])],
                "challenge": "[challenge]\nmax_values = 16"}

    def setUp(self):
        self.key = self.net.daemon.keys["main"]
        self.updater = Updater(self.net.responder, self.key)
        self.name = f"{updates.nonce()}.{ZONE}"

    def tearDown(self):
        self.net.control.delete(self.name)

    def texts(self, name=None):
        return self.net.daemon.texts(name or self.name)

    def ask(self, message, tcp=False, timeout=5.0):
        answer = ask_once(self.net.responder, message, tcp=tcp, timeout=timeout)
        self.assertIsNotNone(answer, "no answer")
        return answer

    def serial(self):
        return dns_wire.ask(self.net.responder, ZONE, "SOA").answers[0].value[2]


class Changes(WithKeys):
    def test_add_and_delete_in_every_way_over_udp_and_tcp(self):
        for tcp in BOTH:
            self.updater.tcp = tcp
            self.assertEqual(self.updater(ZONE, add(self.name, FIRST), add(self.name, SECOND)), NOERROR)
            self.assertEqual(self.texts(), [FIRST, SECOND])
            self.assertEqual(self.updater(ZONE, delete(self.name, FIRST)), NOERROR)
            self.assertEqual(self.texts(), [SECOND])
            self.assertEqual(self.updater(ZONE, add(self.name, THIRD), delete_rrset(self.name)), NOERROR)
            self.assertEqual(self.texts(), [])
            self.assertEqual(self.updater(ZONE, add(self.name, FIRST)), NOERROR)
            self.assertEqual(self.updater(ZONE, delete_name(self.name)), NOERROR)
            self.assertEqual(self.texts(), [])

    def test_changes_follow_each_other_as_they_stand(self):
        self.assertEqual(self.updater(ZONE, delete_rrset(self.name), add(self.name, FIRST), delete(self.name, FIRST), add(self.name, SECOND)), NOERROR)
        self.assertEqual(self.texts(), [SECOND])

    def test_visible_as_soon_as_it_is_acknowledged(self):
        for number in range(100):
            name = f"seen{number}-{self.name}"
            self.assertEqual(self.updater(ZONE, add(name, base.value(number))), NOERROR)
            self.assertEqual(self.texts(name), [base.value(number)])
            self.assertEqual(self.updater(ZONE, delete_rrset(name)), NOERROR)
            self.assertEqual(self.texts(name), [])

    def test_serial_grows_with_a_change_only(self):
        before = self.serial()
        self.assertEqual(self.updater(ZONE, add(self.name, FIRST)), NOERROR)
        after = self.serial()
        self.assertGreater(after, before)
        self.assertEqual(self.updater(ZONE, delete(self.name, SECOND)), NOERROR)
        self.assertEqual(self.updater(ZONE), NOERROR)
        self.assertEqual(self.serial(), after)

    def test_deleting_a_set_takes_the_keys_own_values_alone(self):
        self.net.control.put(self.name, FIRST)
        other = Updater(self.net.responder, self.net.daemon.keys["second"])
        self.assertEqual(other(ZONE, add(self.name, SECOND)), NOERROR)
        self.assertEqual(self.updater(ZONE, delete_rrset(self.name), add(self.name, THIRD)), NOERROR)
        self.assertEqual(self.texts(), [FIRST, SECOND, THIRD])
        self.assertEqual(self.updater(ZONE, delete_name(self.name)), NOERROR)
        self.assertEqual(self.texts(), [FIRST, SECOND])
        owners = {entry["value"]: entry["owner"] for entry in self.net.control.request("GET", f"/v1/txt?name={self.name}")[1]}
        self.assertEqual(owners, {FIRST: "control", SECOND: "key:second"})

    def test_full_name_refuses_and_keeps_what_it_has(self):
        values = [base.value(number) for number in range(16)]
        self.assertEqual(self.updater(ZONE, *(add(self.name, text) for text in values)), NOERROR)
        self.assertEqual(self.updater(ZONE, add(self.name, base.value(99))), REFUSED)
        answer = dns_wire.ask(self.net.responder, self.name, "TXT", tcp=True)
        self.assertEqual(answer.texts(), values)

    def test_all_or_nothing(self):
        self.assertEqual(self.updater(ZONE, add(self.name, FIRST)), NOERROR)
        # The last of the changes is not allowed, out of the zone, or one too many: nothing happens.
        elsewhere = f"{self.name}.elsewhere.test"
        for changes, rcode in (([record(self.name, A, IN, 60, b"\x7f\0\0\1")], REFUSED), ([add(elsewhere, FIRST)], NOTZONE),
                               ([record(self.name, ANY, IN, 60)], FORMERR), ([add(self.name, base.value(number)) for number in range(10, 30)], REFUSED)):
            self.assertEqual(self.updater(ZONE, delete(self.name, FIRST), add(f"more.{self.name}", SECOND), *changes), rcode)
            self.assertEqual((self.texts(), self.texts(f"more.{self.name}")), ([FIRST], []))

    def test_sixteen_octets_of_anything_and_strings_joined_are_values_as_they_are(self):
        two = record(self.name, TXT, IN, 60, txt("one", "two"))
        rcode = self.updater(ZONE, two)
        if rcode == NOERROR:
            self.assertEqual(self.texts(), ["onetwo"])
        else:
            self.assertEqual(rcode, REFUSED)
            self.assertEqual(self.texts(), [])

    def test_malformed_rdata_is_a_formerr(self):
        for rdata in (b"", b"\x05abc", b"\x03abc\x09"):
            with self.subTest(rdata=rdata):
                self.assertEqual(self.updater(ZONE, record(self.name, TXT, IN, 60, rdata)), FORMERR)
        self.assertEqual(self.texts(), [])


class Prerequisites(WithKeys):
    def check(self, rcode, *prerequisites):
        """With these prerequisites a change ends so, and happens only with NOERROR."""
        mark = f"mark.{self.name}"
        for tcp in BOTH:
            self.updater.tcp = tcp
            self.assertEqual(self.updater(ZONE, add(mark, THIRD), prerequisites=prerequisites), rcode)
            self.assertEqual(self.texts(mark), [THIRD] if rcode == NOERROR else [])
            self.assertEqual(self.updater(ZONE, delete_rrset(mark)), NOERROR)

    def test_name_in_use(self):
        self.check(NXDOMAIN, name_in_use(self.name))
        self.updater(ZONE, add(self.name, FIRST))
        self.check(NOERROR, name_in_use(self.name))
        self.check(NOERROR, name_in_use(f"ns1.{ZONE}"))
        self.check(NOERROR, name_in_use(ZONE))

    def test_name_not_in_use(self):
        self.check(NOERROR, name_not_in_use(self.name))
        self.updater(ZONE, add(self.name, FIRST))
        self.check(YXDOMAIN, name_not_in_use(self.name))
        self.check(YXDOMAIN, name_not_in_use(f"NS1.{ZONE}".upper()))

    def test_empty_non_terminal_is_not_in_use(self):
        self.updater(ZONE, add(f"leaf.inner.{self.name}", FIRST))
        self.check(NOERROR, name_not_in_use(f"inner.{self.name}"))
        self.check(NXDOMAIN, name_in_use(f"inner.{self.name}"))
        self.net.control.delete(f"leaf.inner.{self.name}")

    def test_rrset_exists(self):
        self.check(NXRRSET, rrset_exists(self.name))
        self.updater(ZONE, add(self.name, FIRST))
        self.check(NOERROR, rrset_exists(self.name))
        self.check(NXRRSET, rrset_exists(self.name, A))
        self.check(NOERROR, rrset_exists(f"ns1.{ZONE}", A))
        self.check(NOERROR, rrset_exists(ZONE, SOA))

    def test_rrset_does_not_exist(self):
        self.check(NOERROR, rrset_not_exists(self.name))
        self.updater(ZONE, add(self.name, FIRST))
        self.check(YXRRSET, rrset_not_exists(self.name))
        self.check(NOERROR, rrset_not_exists(self.name, A))
        self.check(YXRRSET, rrset_not_exists(f"ns1.{ZONE}", A))

    def test_rrset_equals(self):
        self.check(NXRRSET, rrset_equals(self.name, FIRST))
        self.updater(ZONE, add(self.name, FIRST), add(self.name, SECOND))
        self.check(NOERROR, rrset_equals(self.name, SECOND, FIRST))
        self.check(NOERROR, rrset_equals(self.name.upper(), FIRST), rrset_equals(self.name, SECOND))
        self.check(NXRRSET, rrset_equals(self.name, FIRST))
        self.check(NXRRSET, rrset_equals(self.name, FIRST, SECOND, THIRD))
        self.check(NOERROR, record(f"ns1.{ZONE}", A, IN, 0, socket.inet_aton(self.net.responder)))
        self.check(NXRRSET, record(f"ns1.{ZONE}", A, IN, 0, socket.inet_aton("192.0.2.1")))

    def test_first_that_does_not_hold_is_the_answer(self):
        self.updater(ZONE, add(self.name, FIRST))
        self.check(YXRRSET, name_in_use(self.name), rrset_not_exists(self.name), name_in_use(f"no.{self.name}"))

    def test_bad_prerequisites(self):
        ttl = record(self.name, TXT, CLASS_ANY, 5)
        data = record(self.name, TXT, CLASS_ANY, 0, txt("x"))
        foreign_class = record(self.name, TXT, 4, 0, txt("x"))
        for bad, rcode in ((ttl, FORMERR), (data, FORMERR), (foreign_class, FORMERR), (record(self.name, TXT, CLASS_NONE, 0, txt("x")), FORMERR),
                           (record(self.name, TXT, IN, 9, txt("x")), FORMERR), (name_in_use("elsewhere.test"), NOTZONE)):
            self.check(rcode, bad)


class Refusals(WithKeys):
    def test_zone_section(self):
        change = add(self.name, FIRST)
        question = raw_dns.wire(ZONE) + struct.pack(">2H", SOA, IN)
        for message, rcode in (
                (update(ZONE, change, zone_section=[]), FORMERR), (update(ZONE, change, zone_section=[question, question]), FORMERR),
                (update(ZONE, change, ztype=TXT), FORMERR), (update("elsewhere.test", add("x.elsewhere.test", FIRST)), NOTAUTH),
                (update(f"below.{ZONE}", add(f"x.below.{ZONE}", FIRST)), NOTAUTH), (update("example.test", change), NOTAUTH), (update(ZONE, change, zclass=3), NOTAUTH)):
            for tcp in BOTH:
                self.updater.tcp = tcp
                found, signature = self.updater.send(message)
                self.assertEqual(found, rcode, message)
                self.assertIsNotNone(signature, "what is refused is signed too")
        self.assertEqual(self.texts(), [])

    def test_prescan(self):
        for change, rcode in (
                (record(self.name, ANY, IN, 60), FORMERR), (record(self.name, 252, IN, 60), FORMERR), (record(self.name, TXT, CLASS_ANY, 7), FORMERR),
                (record(self.name, TXT, CLASS_ANY, 0, txt("x")), FORMERR), (record(self.name, 252, CLASS_ANY, 0), FORMERR),
                (record(self.name, TXT, CLASS_NONE, 7, txt("x")), FORMERR), (record(self.name, ANY, CLASS_NONE, 0), FORMERR),
                (record(self.name, TXT, 4, 0, txt("x")), FORMERR), (add("elsewhere.test", FIRST), NOTZONE), (add("example.test", FIRST), NOTZONE)):
            self.assertEqual(self.updater(ZONE, change), rcode, change)

    def test_permission(self):
        narrow = Updater(self.net.responder, self.net.daemon.keys["narrow"])
        for name, allowed in ((f"one.{ZONE}", True), (f"ONE.{ZONE}", True), (f"x.below.{ZONE}", True), (f"x.y.below.{ZONE}", True), (f"below.{ZONE}", False),
                              (f"x.one.{ZONE}", False), (f"two.{ZONE}", False), (ZONE, False)):
            self.assertEqual(narrow(ZONE, add(name, FIRST)), NOERROR if allowed else REFUSED, name)
            self.assertEqual(self.texts(name), [FIRST] if allowed else [])
            self.assertEqual(narrow(ZONE, delete_rrset(name)), NOERROR if allowed else REFUSED, name)
        for rtype, rdata in ((A, b"\x7f\0\0\1"), (raw_dns.CNAME, raw_dns.wire("x.test")), (raw_dns.NS, raw_dns.wire("x.test")), (SOA, raw_dns.wire("a.test") * 2 + bytes(20))):
            self.assertEqual(self.updater(ZONE, record(self.name, rtype, IN, 60, rdata)), REFUSED)

    def test_unsigned_update_is_refused(self):
        for tcp in BOTH:
            answer = raw_dns.parse(self.ask(update(ZONE, add(self.name, FIRST)), tcp))
            self.assertEqual(answer.rcode, REFUSED)
        self.assertEqual(self.texts(), [])

    def test_cut_and_stuffed_messages_never_change_anything(self):
        whole = sign(update(ZONE, add(self.name, FIRST)), self.key)
        for end in range(12, len(whole), 3):
            answer = ask_once(self.net.responder, whole[:end], timeout=0.05 if end % 30 else 1.0)
            if answer is not None:
                self.assertNotEqual(raw_dns.parse(answer).rcode, NOERROR)
        for counts in ((1, 0, 2, 0), (1, 1, 1, 0), (1, 0, 65535, 0), (65535, 0, 1, 0)):
            found, _ = self.updater.send(update(ZONE, add(self.name, FIRST), counts=counts))
            self.assertNotEqual(found, NOERROR)
        self.assertEqual(self.texts(), [])

    def test_opt_record_is_fine_and_answered(self):
        message = update(ZONE, add(self.name, FIRST))
        message = message[:10] + struct.pack(">H", 1) + message[12:] + opt_record()
        self.assertEqual(self.updater.send(message)[0], NOERROR)
        self.assertEqual(self.texts(), [FIRST])


class Signatures(WithKeys):
    def change(self):
        return update(ZONE, add(self.name, FIRST))

    def test_errors(self):
        cases = [
            ("unknown key", {"name": "nobody"}, BADKEY), ("another algorithm", {"algorithm": "hmac-sha512"}, BADKEY),
            ("an algorithm that there is not", {"algorithm": "hmac-md5.sig-alg.reg.int"}, BADKEY),
            ("another secret", {"octets": bytes(32)}, BADSIG), ("one bit", {"spoil": True}, BADSIG),
            ("too old", {"when": int(time.time()) - 400}, BADTIME), ("from the future", {"when": int(time.time()) + 400}, BADTIME),
            ("a narrow fudge", {"when": int(time.time()) - 20, "fudge": 5}, BADTIME), ("truncated", {"length": 16}, BADTRUNC)]
        for what, how, error in cases:
            for tcp in BOTH:
                with self.subTest(what=what, tcp=tcp):
                    self.updater.tcp = tcp
                    message = self.change()
                    answer = self.ask(sign(message, self.key, **how), tcp)
                    self.assertEqual(raw_dns.parse(answer).rcode, NOTAUTH)
                    found = tsig_of(answer)
                    self.assertEqual(found.error, error, found)
                    if error in (BADKEY, BADSIG):
                        self.assertEqual(found.mac, b"", "signed with what cannot be trusted")
                    else:
                        verify(answer, self.key, sign(message, self.key, **how))
                    if error == BADTIME:
                        self.assertEqual(found.time, how["when"])
                        self.assertAlmostEqual(int.from_bytes(found.other, "big"), time.time(), delta=5)
        self.assertEqual(self.texts(), [])

    def test_mac_that_is_too_short_or_too_long_is_a_formerr(self):
        for length in (0, 9, 15, 33, 64):
            answer = raw_dns.parse(self.ask(sign(self.change(), self.key, length=length)))
            self.assertEqual(answer.rcode, FORMERR, length)
        self.assertEqual(self.texts(), [])

    def test_tsig_that_is_not_the_last_or_not_alone_is_a_formerr(self):
        signed = sign(self.change(), self.key)
        twice = sign(signed, self.key)
        behind = signed[:10] + struct.pack(">H", 2) + signed[12:] + opt_record()
        for message in (twice, behind):
            self.assertEqual(raw_dns.parse(self.ask(message)).rcode, FORMERR)
        self.assertEqual(self.texts(), [])

    def test_key_name_and_algorithm_in_any_case(self):
        for how in ({"name": "MAIN"}, {"name": "Main."}):
            found, _ = self.updater.send(self.change(), **how)
            self.assertEqual(found, NOERROR)

    def test_message_id_changed_on_the_way(self):
        """A forwarder sends its own ID: the MAC is over the original one (RFC 8945 section 5.1)."""
        signed = sign(self.change(), self.key)
        forwarded = struct.pack(">H", (struct.unpack(">H", signed[:2])[0] + 1) & 0xFFFF) + signed[2:]
        answer = self.ask(forwarded)
        self.assertEqual(raw_dns.parse(answer).rcode, NOERROR)
        self.assertEqual(answer[:2], forwarded[:2])
        self.assertEqual(self.texts(), [FIRST])

    def test_replayed_datagram_does_not_bring_a_value_back(self):
        signed = sign(self.change(), self.key)
        first = self.ask(signed)
        self.assertEqual(raw_dns.parse(first).rcode, NOERROR)
        # A retransmission is answered as the first one was.
        self.assertEqual(raw_dns.parse(self.ask(signed)).rcode, NOERROR)
        self.assertEqual(self.updater(ZONE, delete(self.name, FIRST)), NOERROR)
        self.assertEqual(self.texts(), [])
        serial = self.serial()
        for tcp in BOTH:
            for _ in range(3):
                self.ask(signed, tcp)
        self.assertEqual((self.texts(), self.serial()), ([], serial))

    def test_replay_after_a_restart_does_not_bring_a_value_back(self):
        # Of a client whose clock is fast.
        when = int(time.time()) + 3
        signed = sign(self.change(), self.key, when=when)
        self.assertEqual(raw_dns.parse(self.ask(signed)).rcode, NOERROR)
        self.assertEqual(self.updater(ZONE, delete(self.name, FIRST)), NOERROR)
        self.net.daemon.restart()
        for tcp in BOTH:
            answer = self.ask(signed, tcp)
            self.assertEqual((raw_dns.parse(answer).rcode, tsig_of(answer).error), (NOTAUTH, BADTIME))
        self.assertEqual(self.texts(), [])
        wait_until(lambda: int(time.time()) > when, "the second after the key's newest update")
        self.assertEqual(self.updater(ZONE, add(self.name, FIRST)), NOERROR)

    def test_signed_query_gets_a_signed_answer(self):
        self.net.control.put(self.name, FIRST)
        for name in ("main", "second"):
            key = self.net.daemon.keys[name]
            for tcp in BOTH:
                for rtype, rcode in ((TXT, NOERROR), (SOA, NOERROR)):
                    query = sign(raw_dns.query(self.name, rtype, ident=7, opt=opt_record()), key)
                    answer = self.ask(query, tcp)
                    verify(answer, key, query)
                    self.assertEqual(raw_dns.parse(answer).rcode, rcode)
        absent = sign(raw_dns.query(f"absent.{self.name}", TXT), self.key)
        answer = self.ask(absent)
        verify(answer, self.key, absent)
        self.assertEqual(raw_dns.parse(answer).rcode, NXDOMAIN)

    def test_answer_that_is_too_large_is_truncated_and_signed(self):
        for number in range(16):
            self.net.control.put(self.name, base.value(number))
        query = sign(raw_dns.query(self.name, TXT), self.key)
        answer = self.ask(query)
        verify(answer, self.key, query)
        self.assertTrue(raw_dns.parse(answer).has(raw_dns.TC))
        self.assertLessEqual(len(answer), 512)
        whole = self.ask(query, tcp=True)
        verify(whole, self.key, query)
        self.assertEqual(len(raw_dns.parse(whole).answer), 16)

    def test_bad_signature_on_a_query(self):
        for how, error in (({"name": "nobody"}, BADKEY), ({"spoil": True}, BADSIG), ({"when": int(time.time()) - 4000}, BADTIME)):
            answer = self.ask(sign(raw_dns.query(self.name, TXT), self.key, **how))
            parsed = raw_dns.parse(answer)
            self.assertEqual((parsed.rcode, tsig_of(answer).error), (NOTAUTH, error))
            self.assertEqual([one for one in parsed.answer if one.type != TSIG], [])


class Operation(WithKeys):
    def test_each_change_has_its_line_in_the_log(self):
        said = len(self.net.daemon.child.log())
        self.assertEqual(self.updater(ZONE, add(self.name, FIRST)), NOERROR)
        line = wait_until(lambda: next((line for line in self.net.daemon.child.log()[said:].splitlines() if self.name in line), ""), "a line about the change")
        self.assertIn("main", line)
        self.assertIn("127.", line)
        self.assertNotIn(self.key.secret, self.net.daemon.child.log())

    def test_reload_changes_keys(self):
        fresh = UpdateKey(self.net.scene, "fresh", [f"*.{ZONE}"])
        keys = {name: key for name, key in self.net.daemon.keys.items() if name != "second"}
        try:
            self.net.daemon.reload(keys={**keys, "fresh": fresh})
            wait_until(lambda: Updater(self.net.responder, fresh).send(self.message())[0] == NOERROR, "the new key works")
            gone = self.ask(sign(self.message(), self.net.daemon.keys["second"]))
            self.assertEqual(tsig_of(gone).error, BADKEY)
            self.assertEqual(self.updater(ZONE, add(self.name, SECOND)), NOERROR)
        finally:
            self.net.daemon.reload()
        wait_until(lambda: Updater(self.net.responder, self.net.daemon.keys["second"]).send(self.message())[0] == NOERROR, "the old key is back")

    def message(self):
        return update(ZONE, add(self.name, FIRST))

    def test_kill_9_loses_no_acknowledged_update(self):
        kept = []
        for number in range(30):
            name = f"kept{number}-{self.name}"
            self.assertEqual(self.updater(ZONE, add(name, base.value(number))), NOERROR)
            kept.append((name, base.value(number)))
        last = int(time.time())
        self.net.daemon.kill()
        self.net.daemon.start()
        # Until then nobody can tell what is signed with this key from what was applied before.
        wait_until(lambda: int(time.time()) > last, "the second after the key's newest update")
        for name, text in kept:
            self.assertEqual(self.texts(name), [text])
            self.net.control.delete(name)


class WithoutKeys(base.SystemTest):
    def test_update_is_not_implemented(self):
        key = UpdateKey(self.net.scene, "unknown", [])
        for message in (update(ZONE, add(f"x.{ZONE}", FIRST)), sign(update(ZONE, add(f"x.{ZONE}", FIRST)), key)):
            for tcp in BOTH:
                answer = ask_once(self.net.responder, message, tcp=tcp)
                self.assertIsNotNone(answer)
                self.assertIn(raw_dns.parse(answer).rcode, (NOTIMP, NOTAUTH) if tsig_of(message) else (NOTIMP,))
        self.assertEqual(self.net.daemon.texts(f"x.{ZONE}"), [])


if __name__ == "__main__":
    base.main()
