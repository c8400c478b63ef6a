#!/usr/bin/python3
"""
What resolvers and their test suites ask a name server, octet by octet: ISC's genreport list and RFC 8906 section 8, cookies, NSID, EDE, EXPIRE,
TCP keepalive, the CHAOS names, TSIG with a key that we do not have. Each over UDP and TCP, IPv4 and IPv6; and then real clients.
"""

import base64
import re
import socket
import struct
import subprocess
import time
import unittest

import base
import conformance_rows
import raw_dns
from conformance_rows import CLIENT
from daemon import Countersignd
from isolation import AddressBlock
from processes import Scene, find_program
from raw_dns import BADCOOKIE, BADVERS, CH, COOKIE, EDE, EXPIRE, FORMERR, IN, KEEPALIVE, NOERROR, NOTAUTH, NSID, REFUSED, SOA, TSIG, TXT, opt_record, option, query

ZONE = "auth.example.test"
NAME, VERSION = "ns1.conformance", "a version of ours"
SECRET, OLD_SECRET = bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf"), bytes.fromhex("445536bcd2513298075a5d379663c962")
IDLE = 7  # seconds, told by the keepalive option in tenths


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 53))
        return True
    except OSError as error:
        print(f"no IPv6 loopback here, so IPv4 only: {error.strerror}", flush=True)
        return False


class ConformanceTest(unittest.TestCase):
    """A daemon whose `dns` lines a class sets, and the ways to reach it."""

    dns = ""
    listen = None
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.scene, cls.block = Scene(), AddressBlock()
        cls.addClassCleanup(cls.block.close)
        cls.addClassCleanup(cls.scene.close)
        cls.address = cls.block.address(3)
        cls.addresses = [cls.address] + (["::1"] if has_ipv6() else [])
        strings = " ".join('\\"' + "x" * 250 + '\\"' for _ in range(8))
        zones = f"""
[[zone]]
name = "{ZONE}"
nameservers = ["ns1.{ZONE}"]
hostmaster = "hostmaster@example.test"
records = ["ns1 A 192.0.2.1", "@ 300 TXT \\"apex\\"", "@ CAA 0 issue \\"ca.example\\"", "large TXT {strings}"]
"""
        secrets = cls.scene.write("cookie-secrets", f"{SECRET.hex()}\n{OLD_SECRET.hex()}\n", mode=0o600)
        listen = cls.listen or [f"[{address}]:53" if ":" in address else f"{address}:53" for address in cls.addresses]
        dns = f'rate_limit = {{ responses_per_second = 0, slip = 2 }}\ncookie_secret_file = "{secrets}"\ntcp_idle_timeout = "{IDLE}s"\n{cls.dns}'
        cls.daemon = Countersignd(cls.scene, cls.address, zones=zones, listen=listen, dns=dns)

    def run(self, result=None):
        before = len(result.failures) + len(result.errors) if result else 0
        super().run(result)
        if result and len(result.failures) + len(result.errors) > before:
            print(f"==== logs after {self.id()}\n{self.scene.log_tails(8)}", flush=True)
        return result

    def source(self, address):
        """Where our queries come from: cookies are made for that address."""
        return address if ":" in address else self.block.address(9)

    def ways(self):
        return [(address, tcp) for address in self.addresses for tcp in (False, True)]

    def ask(self, message, tcp=False, address=None, source=None):
        """The decoded reply, which has the query's ID and QR, its question where it has one, and OPT where that was sent."""
        octets = raw_dns.ask_once(address or self.address, message, tcp=tcp, source=source or self.source(address or self.address))
        self.assertIsNotNone(octets, f"no reply to {message.hex()}")
        reply = raw_dns.parse(octets)
        self.assertEqual(octets[:2], message[:2])
        self.assertTrue(reply.has(raw_dns.QR))
        if reply.questions:
            self.assertEqual(octets[12 : 12 + len(raw_dns.wire(reply.questions[0][0])) + 4], message[12 : 12 + len(raw_dns.wire(reply.questions[0][0])) + 4], "the question is not echoed")
        return reply

    def everywhere(self, message, check, label=""):
        """Asks in each way; `check(reply)`."""
        for address, tcp in self.ways():
            with self.subTest(label, address=address, tcp=tcp):
                reply = self.ask(message, tcp, address)
                try:
                    check(reply)
                except AssertionError as error:
                    raise AssertionError(f"{error}\n{reply}") from None


class Queries(ConformanceTest):
    dns = f'nsid = "{NAME}"\nversion = "{VERSION}"'

    def test_genreport_and_rfc8906_section_8(self):
        count = 0
        for row in conformance_rows.rows(ZONE, f"large.{ZONE}"):
            for address, tcp in self.ways():
                if (row.udp_only and tcp) or (row.tcp_only and not tcp):
                    continue
                count += 1
                with self.subTest(row.name, address=address, tcp=tcp):
                    reply = self.ask(row.message, tcp, address)
                    if reply.rcode != raw_dns.NOTIMP:
                        self.assertEqual(len(reply.questions), 1, f"no question in the answer\n{reply}")
                    row.check(self, reply)
        print(f"\n{count} answers judged", flush=True)

    def test_every_type_at_the_apex(self):
        for name, number in conformance_rows.TYPES.items():
            def check(reply, number=number):
                self.assertEqual((reply.rcode, reply.has(raw_dns.AA), reply.has(raw_dns.TC)), (NOERROR, True, False))
                self.assertEqual({record.type for record in reply.answer}, {number} & {TXT, 257}, "there is data for TXT and CAA alone")
                self.assertEqual([record.type for record in reply.authority], [] if reply.answer else [SOA])
            self.everywhere(query(ZONE, number), check, name)

    def test_types_that_are_in_no_zone(self):
        for number in (41, 249, TSIG):
            self.everywhere(query(ZONE, number), lambda reply: self.assertEqual(reply.rcode, FORMERR), raw_dns.type_name(number))
        for number in (253, 254):
            self.everywhere(query(ZONE, number), lambda reply: self.assertIn(reply.rcode, (NOERROR, raw_dns.NOTIMP)), raw_dns.type_name(number))

        def nxname(reply):  # RFC 9824 section 3.4
            self.assertEqual(reply.rcode, FORMERR)
            self.assertEqual([data[:2] for data in reply.options().get(EDE, [])], [b"\0\x1e"])
        self.everywhere(query(ZONE, 128, opt=opt_record()), nxname, "NXNAME")

    def test_classes(self):
        for rclass in (0, 2, raw_dns.HS, raw_dns.CLASS_NONE, 65280):
            self.everywhere(query(ZONE, SOA, rclass=rclass), lambda reply: self.assertEqual((reply.rcode, reply.answer), (REFUSED, [])), f"class {rclass}")

    def test_names_that_are_not_ours(self):
        def check(reply):
            self.assertEqual((reply.rcode, reply.has(raw_dns.AA), reply.answer, reply.authority), (REFUSED, False, [], []))

        def explained(reply):
            check(reply)
            (data,) = reply.options()[EDE]
            self.assertEqual(data[:2], b"\0\x14", "not EDE 20, Not Authoritative")
            data[2:].decode("utf-8")
        for name in ("", "test", "example.test", "www.example.org"):
            self.everywhere(query(name, SOA), check, name)
            self.everywhere(query(name, SOA, opt=opt_record()), explained, name)

    def test_several_questions_and_none(self):
        question = raw_dns.wire(ZONE) + struct.pack(">2H", SOA, IN)
        for message in (query(questions=[question, question]), query(questions=[]), query(questions=[], opt=opt_record())):
            self.everywhere(message, lambda reply: self.assertEqual((reply.rcode, reply.answer), (FORMERR, [])), message.hex())

    def test_silence_for_what_is_no_query(self):
        for message in (b"", b"\x12", query(ZONE)[:11], query(ZONE, flags=raw_dns.QR), query(ZONE, flags=raw_dns.QR, opcode=15)):
            with self.subTest(message.hex()):
                self.assertIsNone(raw_dns.ask_once(self.address, message, timeout=0.3))
        self.assertEqual(self.ask(query(ZONE)).rcode, NOERROR)

    def test_edns_that_is_malformed(self):
        wrong = {"two OPTs": query(ZONE, opt=opt_record(), additional=opt_record()), "OPT not at the root": query(ZONE, opt=opt_record(owner=b"\1a\0")),
                 "option beyond the OPT": query(ZONE, opt=opt_record(b"\0\3\0\5ab")), "half an option": query(ZONE, opt=opt_record(b"\0\3\0"))}
        for label, message in wrong.items():
            self.everywhere(message, lambda reply: self.assertEqual((reply.rcode, reply.answer), (FORMERR, [])), label)

    def test_nsid(self):
        self.everywhere(query(ZONE, opt=opt_record(option(NSID))), lambda reply: self.assertEqual(reply.options(), {NSID: [NAME.encode()]}), "asked for")
        self.everywhere(query(ZONE, opt=opt_record()), lambda reply: self.assertEqual(reply.options(), {}), "not asked for")

    def test_expire(self):
        def check(reply):
            (soa,) = reply.answer
            self.assertEqual(reply.options()[EXPIRE], [soa.rdata[-8:-4]], "not the SOA's EXPIRE")  # RFC 7314 section 3.2
        self.everywhere(query(ZONE, opt=opt_record(option(EXPIRE))), check)

    def test_zoneversion(self):
        def check(reply):
            serial = self.ask(query(ZONE)).answer[0].rdata[-20:-16]
            self.assertEqual(reply.options(), {raw_dns.ZONEVERSION: [bytes([3, 0]) + serial]})  # RFC 9660 section 2.1: labels of the zone, type 0
        for name in (ZONE, f"ns1.{ZONE}", f"missing.{ZONE}"):
            self.everywhere(query(name, opt=opt_record(option(raw_dns.ZONEVERSION))), check, name)

        def without(reply):
            self.assertNotIn(raw_dns.ZONEVERSION, reply.options())
        self.everywhere(query("example.org", opt=opt_record(option(raw_dns.ZONEVERSION))), without, "in no zone")

    def test_tcp_keepalive(self):
        message = query(ZONE, opt=opt_record(option(KEEPALIVE)))
        for address in self.addresses:
            self.assertEqual(self.ask(message, True, address).options(), {KEEPALIVE: [struct.pack(">H", IDLE * 10)]})
            # RFC 7828 section 3.2.1: not over UDP.
            self.assertEqual(self.ask(message, False, address).options(), {})
        self.assertEqual(self.ask(query(ZONE, opt=opt_record()), True).options(), {}, "sent without being asked for")

    def test_chaos_names(self):
        expected = {"version.bind": VERSION, "version.server": VERSION, "id.server": NAME, "hostname.bind": NAME, "VeRsIoN.BiNd": VERSION}
        for name, text in expected.items():
            def check(reply, text=text):
                self.assertEqual(reply.rcode, NOERROR)
                self.assertEqual([(record.type, record.rclass, record.rdata) for record in reply.answer], [(TXT, CH, bytes([len(text)]) + text.encode())])
            self.everywhere(query(name, TXT, rclass=CH), check, name)
        for name, rclass in (("version.bind", IN), ("authors.bind", CH), (ZONE, CH), ("bind", CH)):
            self.everywhere(query(name, TXT, rclass=rclass), lambda reply: self.assertEqual((reply.rcode, reply.answer), (REFUSED, [])), f"{name} {rclass}")


class NotConfigured(ConformanceTest):
    def test_who_we_are_is_told_nobody(self):
        self.everywhere(query(ZONE, opt=opt_record(option(NSID))), lambda reply: self.assertEqual((reply.rcode, reply.options()), (NOERROR, {})), "NSID")
        for name in ("version.bind", "version.server", "id.server", "hostname.bind"):
            self.everywhere(query(name, TXT, rclass=CH), lambda reply: self.assertEqual((reply.rcode, reply.answer), (REFUSED, [])), name)


class WildcardAddresses(ConformanceTest):
    """Listening on 0.0.0.0 and ::, an answer comes from the address that was asked: a connected socket takes no other."""

    listen = ["0.0.0.0:53", "[::]:53"]

    def test_answers_come_from_the_address_that_was_asked(self):
        for address in [*(self.block.address(last) for last in (3, 4, 77)), "127.0.0.1", *self.addresses[1:]]:
            for tcp in (False, True):
                with self.subTest(address=address, tcp=tcp):
                    octets = raw_dns.ask_once(address, query(ZONE), tcp=tcp)
                    self.assertIsNotNone(octets, "no answer from this address")
                    self.assertEqual(raw_dns.parse(octets).rcode, NOERROR)


class Cookies(ConformanceTest):
    """RFC 7873 and RFC 9018. A query without a question tells whether the server took the cookie (RFC 7873 section 5.4)."""

    def cookie(self, reply):
        (data,) = reply.options()[COOKIE]
        return data

    def made(self, address, age=0, secret=SECRET, client=CLIENT, head=b"\1\0\0\0", source=None):
        return client + raw_dns.server_cookie(secret, client, source or self.source(address), time.time() - age, head)

    def bare(self, cookie):
        return query(questions=[], opt=opt_record(option(COOKIE, cookie)))

    def assert_fresh(self, cookie, address, client=CLIENT):
        self.assertEqual(len(cookie), 24)
        (when,) = struct.unpack(">I", cookie[12:16])
        self.assertLess(abs(time.time() - when), 3, "the time in the cookie is not now")
        self.assertEqual(cookie, client + raw_dns.server_cookie(SECRET, client, self.source(address), when))

    def test_client_cookie_gets_a_server_cookie_that_is_taken_the_next_time(self):
        for address, tcp in self.ways():
            with self.subTest(address=address, tcp=tcp):
                reply = self.ask(query(ZONE, opt=opt_record(option(COOKIE, CLIENT))), tcp, address)
                self.assertEqual((reply.rcode, len(reply.answer)), (NOERROR, 1))
                cookie = self.cookie(reply)
                self.assert_fresh(cookie, address)
                again = self.ask(query(ZONE, opt=opt_record(option(COOKIE, cookie))), tcp, address)
                self.assertEqual((again.rcode, len(again.answer)), (NOERROR, 1))
                self.assertEqual(self.cookie(again)[:8], CLIENT)
                self.assertEqual(self.ask(self.bare(cookie), tcp, address).rcode, NOERROR)

    def test_without_question(self):
        for address in self.addresses:
            good, elsewhere = self.made(address), self.made(address, source="192.0.2.9")
            cases = {
                "client cookie alone": (CLIENT, NOERROR), "good": (good, NOERROR), "an hour old, almost": (self.made(address, 3590), NOERROR),
                "too old": (self.made(address, 3700), BADCOOKIE), "a little ahead": (self.made(address, -290), NOERROR), "too far ahead": (self.made(address, -400), BADCOOKIE),
                "the older secret": (self.made(address, secret=OLD_SECRET), NOERROR), "another secret": (self.made(address, secret=bytes(16)), BADCOOKIE),
                "another address": (elsewhere, BADCOOKIE), "another client cookie": (b"\0" * 8 + good[8:], BADCOOKIE), "one bit": (good[:-1] + bytes([good[-1] ^ 1]), BADCOOKIE),
                "reserved octets kept in the hash": (self.made(address, head=b"\1\xab\xcd\xef"), NOERROR), "another version": (self.made(address, head=b"\2\0\0\0"), BADCOOKIE),
                "server part of 8 octets": (good[:16], BADCOOKIE), "server part of 32 octets": (good + bytes(16), BADCOOKIE),
            }
            for label, (cookie, rcode) in cases.items():
                with self.subTest(label, address=address):
                    reply = self.ask(self.bare(cookie), False, address)
                    self.assertEqual((raw_dns.RCODE_NAMES[reply.rcode], reply.questions, reply.answer), (raw_dns.RCODE_NAMES[rcode], [], []))
                    got = self.cookie(reply)
                    self.assertEqual(got[:8], cookie[:8])
                    if rcode == BADCOOKIE:
                        self.assert_fresh(got, address, cookie[:8])

    def test_wrong_server_cookie_does_not_stop_an_ordinary_query(self):
        for address, tcp in self.ways():
            with self.subTest(address=address, tcp=tcp):
                reply = self.ask(query(ZONE, opt=opt_record(option(COOKIE, CLIENT + bytes(16)))), tcp, address)
                self.assertEqual((reply.rcode, len(reply.answer)), (NOERROR, 1))
                self.assert_fresh(self.cookie(reply), address)

    def test_cookie_older_than_half_an_hour_is_renewed(self):
        reply = self.ask(query(ZONE, opt=opt_record(option(COOKIE, self.made(self.address, 2000)))))
        self.assert_fresh(self.cookie(reply), self.address)

    def test_cookie_of_the_older_secret_is_renewed_by_the_first(self):
        reply = self.ask(query(ZONE, opt=opt_record(option(COOKIE, self.made(self.address, secret=OLD_SECRET)))))
        self.assert_fresh(self.cookie(reply), self.address)

    def test_lengths_that_no_cookie_has(self):
        for length in (0, 1, 7, 9, 15, 41, 100):
            message = query(ZONE, opt=opt_record(option(COOKIE, bytes(length))))
            self.everywhere(message, lambda reply: self.assertEqual((reply.rcode, reply.answer), (FORMERR, [])), f"{length} octets")

    def test_only_the_first_of_two_counts(self):  # RFC 7873 section 5.2
        reply = self.ask(query(ZONE, opt=opt_record(option(COOKIE, CLIENT), option(COOKIE, b"\7" * 8))))
        self.assertEqual(reply.rcode, NOERROR)
        self.assert_fresh(self.cookie(reply), self.address)

    def test_no_cookie_unless_asked(self):
        self.everywhere(query(ZONE, opt=opt_record()), lambda reply: self.assertNotIn(COOKIE, reply.options()))

    def test_bad_version_comes_first(self):
        self.everywhere(query(ZONE, opt=opt_record(option(COOKIE, CLIENT + bytes(16)), version=1)), lambda reply: self.assertEqual(reply.rcode, BADVERS))


class UnknownKey(ConformanceTest):
    """RFC 8945 section 5.2.1: NOTAUTH, and an unsigned TSIG with BADKEY."""

    def tsig(self, key="unknown.key", algorithm="hmac-sha256", mac=bytes(32)):
        rdata = raw_dns.wire(algorithm) + int(time.time()).to_bytes(6, "big") + struct.pack(">2H", 300, len(mac)) + mac + struct.pack(">3H", 0x1234, 0, 0)
        return raw_dns.wire(key) + struct.pack(">HHIH", TSIG, raw_dns.CLASS_ANY, 0, len(rdata)) + rdata

    def signed(self, *records, opt=None):
        return query(ZONE, SOA, opt=opt, additional=b"".join(records), counts=(1, 0, 0, len(records) + (1 if opt else 0)))

    def check(self, reply, key):
        self.assertEqual((reply.rcode, reply.answer), (NOTAUTH, []))
        (record,) = reply.additional
        self.assertEqual((record.owner, record.type, record.rclass, record.ttl), (raw_dns.labels(key), TSIG, raw_dns.CLASS_ANY, 0))
        position = len(raw_dns.wire("hmac-sha256"))
        self.assertEqual(record.rdata[:position].lower(), raw_dns.wire("hmac-sha256"))
        mac_size, = struct.unpack_from(">H", record.rdata, position + 8)
        ident, error, _ = struct.unpack_from(">3H", record.rdata, position + 10 + mac_size)
        self.assertEqual((mac_size, ident, error), (0, 0x1234, 17), "not an unsigned BADKEY")

    def test_signed_query(self):
        for key in ("unknown.key", "."):
            self.everywhere(self.signed(self.tsig(key)), lambda reply, key=key: self.check(reply, key), key)
            self.everywhere(self.signed(self.tsig(key), opt=opt_record()), lambda reply, key=key: self.check(reply, key), key + " with EDNS")

    def test_signed_update(self):
        """Refused for its opcode, which comes first where UPDATE is not implemented (RFC 2136 section 3.1), or for its key."""
        def check(reply):
            if reply.rcode != raw_dns.NOTIMP:
                self.check(reply, "unknown.key")
        self.everywhere(query(ZONE, SOA, opcode=5, additional=self.tsig()), check)

    def test_tsig_that_is_malformed(self):
        one = self.tsig()
        not_last = one + raw_dns.wire(ZONE) + b"\0\1\0\1\0\0\0\0\0\4\1\2\3\4"
        for label, message in (("two", self.signed(one, one)), ("not last", query(ZONE, SOA, additional=not_last, counts=(1, 0, 0, 2)))):
            self.everywhere(message, lambda reply: self.assertEqual((reply.rcode, reply.answer), (FORMERR, [])), label)


class Clients(ConformanceTest):
    """kdig, dig, drill and the two nsupdates, as people run them."""

    dns = f'nsid = "{NAME}"'
    KEY = base64.b64encode(b"k" * 32).decode()

    def tool(self, name, package, *arguments, stdin=""):
        run = subprocess.run([find_program(name, package), *arguments], input=stdin, capture_output=True, text=True, timeout=30, check=False)
        return run.stdout + run.stderr

    def test_kdig(self):
        for more in ((), ("+tcp",)):
            text = self.tool("kdig", "knot-dnsutils", f"@{self.address}", "+cookie", "+nsid", "+norec", *more, ZONE, "SOA")
            self.assertIn("status: NOERROR", text)
            self.assertIn(f'"{NAME}"', text)
            self.assertRegex(text, r"(?i)cookie: ?[0-9a-f]{16}")
            self.assertNotIn("WARNING", text.upper())

    def test_dig_uses_its_cookie_again(self):
        text = self.tool("dig", "bind9-dnsutils", f"@{self.address}", "+cookie", "+norec", ZONE, "SOA")
        found = re.search(r"COOKIE: ([0-9a-f]{48}) \(good\)", text)
        self.assertTrue(found, text)
        self.assertIn("status: NOERROR", text)
        again = self.tool("dig", "bind9-dnsutils", f"@{self.address}", f"+cookie={found.group(1)[:16]}", "+norec", ZONE, "SOA")
        self.assertRegex(again, rf"COOKIE: {found.group(1)[:16]}[0-9a-f]{{32}} \(good\)")
        whole = self.tool("dig", "bind9-dnsutils", f"@{self.address}", f"+cookie={found.group(1)}", "+norec", "+ednsopt=8:00010000", ZONE, "SOA")
        self.assertIn("status: NOERROR", whole)
        self.assertNotIn(";; Warning", whole)

    def test_dig_truncation_and_tcp(self):
        text = self.tool("dig", "bind9-dnsutils", f"@{self.address}", "+bufsize=512", "+norec", f"large.{ZONE}", "TXT")
        self.assertIn("Truncated, retrying in TCP mode", text)
        self.assertIn("ANSWER: 1,", text)

    def test_drill(self):
        for more in ((), ("-t",), ("-D",)):
            text = self.tool("drill", "ldnsutils", *more, "SOA", ZONE, f"@{self.address}")
            self.assertIn("rcode: NOERROR", text)
            self.assertRegex(text, rf"(?m)^{re.escape(ZONE)}\.\s+\d+\s+IN\s+SOA")

    def test_dig_with_a_key_that_we_do_not_have(self):
        for more in ((), ("+tcp",)):
            text = self.tool("dig", "bind9-dnsutils", f"@{self.address}", "-y", f"hmac-sha256:unknown.key:{self.KEY}", "+norec", *more, ZONE, "SOA")
            self.assertIn("status: NOTAUTH", text)
            self.assertIn("BADKEY", text)

    def test_updates_with_a_key_that_we_do_not_have(self):
        commands = f"server {self.address}\nzone {ZONE}\nupdate add x.{ZONE}. 60 TXT \"x\"\nsend\n"
        text = self.tool("nsupdate", "bind9-dnsutils", "-y", f"hmac-sha256:unknown.key:{self.KEY}", stdin=commands)
        self.assertRegex(text, r"update failed: NOTIMP|BADKEY")
        text = self.tool("knsupdate", "knot-dnsutils", "-y", f"hmac-sha256:unknown.key:{self.KEY}", stdin=commands)
        self.assertRegex(text, r"NOTIMPL|NOTAUTH|BADKEY")
        self.assertEqual(self.ask(query(f"x.{ZONE}", TXT)).rcode, raw_dns.NXDOMAIN)


if __name__ == "__main__":
    base.main(own_network=True)
