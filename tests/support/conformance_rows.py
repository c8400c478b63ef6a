"""The queries of ISC's DNS-Compliance-Testing (genreport) and of RFC 8906 section 8, each with what the answer has to be."""

from dataclasses import dataclass

import raw_dns
from raw_dns import AA, AD, BADCOOKIE, BADVERS, CD, COOKIE, DO, ECS, EXPIRE, NOERROR, NOTIMP, NSID, RA, RD, SOA, TC, Z, opt_record, option, query

# Every type that genreport asks for by name, the obsolete and the rare ones too, and two that nobody has defined.
TYPES = {
    "A": 1, "MD": 3, "MF": 4, "MB": 7, "MG": 8, "MR": 9, "NULL": 10, "WKS": 11, "PTR": 12, "HINFO": 13, "MINFO": 14, "MX": 15, "TXT": 16, "RP": 17,
    "AFSDB": 18, "X25": 19, "ISDN": 20, "RT": 21, "NSAP": 22, "NSAP-PTR": 23, "SIG": 24, "KEY": 25, "PX": 26, "GPOS": 27, "AAAA": 28, "LOC": 29,
    "NXT": 30, "EID": 31, "NIMLOC": 32, "SRV": 33, "ATMA": 34, "NAPTR": 35, "KX": 36, "CERT": 37, "A6": 38, "DNAME": 39, "SINK": 40, "APL": 42,
    "DS": 43, "SSHFP": 44, "IPSECKEY": 45, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "DHCID": 49, "NSEC3": 50, "NSEC3PARAM": 51, "TLSA": 52,
    "SMIMEA": 53, "HIP": 55, "NINFO": 56, "RKEY": 57, "TALINK": 58, "CDS": 59, "CDNSKEY": 60, "OPENPGPKEY": 61, "CSYNC": 62, "ZONEMD": 63,
    "SVCB": 64, "HTTPS": 65, "SPF": 99, "UINFO": 100, "UID": 101, "GID": 102, "UNSPEC": 103, "NID": 104, "L32": 105, "L64": 106, "LP": 107,
    "EUI48": 108, "EUI64": 109, "URI": 256, "CAA": 257, "AVC": 258, "DOA": 259, "AMTRELAY": 260, "TA": 32768, "DLV": 32769,
    "TYPE666": 666, "TYPE1000": 1000,
}


@dataclass
class Row:
    name: str
    message: bytes
    check: object  # (test case, reply) -> None
    udp_only: bool = False
    tcp_only: bool = False


def _head(flags, *, echoed, rcode=NOERROR, authoritative=True, allowed=0):
    """Flags and RCODE as they have to be; `allowed` are flags that may be there or not."""
    def check(test, reply):
        expected = raw_dns.QR | echoed | (AA if authoritative else 0)
        test.assertEqual(reply.flags & 0x87F0 & ~allowed, expected & ~allowed, "flags")
        test.assertEqual(raw_dns.RCODE_NAMES.get(reply.rcode, reply.rcode), raw_dns.RCODE_NAMES[rcode])
    return check


def _soa(test, reply):
    test.assertEqual([record.type for record in reply.answer], [SOA])


def _dns(flags=0, echoed=0, allowed=0):
    def check(test, reply):
        _head(flags, echoed=echoed, allowed=allowed)(test, reply)
        _soa(test, reply)
        test.assertIsNone(reply.opt, "an OPT that nobody asked for")
    return check


def _edns(*, flags=0, echoed=0, allowed=0, options=()):
    """NOERROR with the SOA and an OPT; of `options` some may be in the answer, no others."""
    def check(test, reply):
        _head(0, echoed=echoed, allowed=allowed)(test, reply)
        _soa(test, reply)
        test.assertIsNotNone(reply.opt, "no OPT")
        test.assertEqual((reply.edns_version, reply.edns_flags), (0, flags))
        test.assertLessEqual(set(reply.options()), set(options), "options that were not asked for")
    return check


def _bad_version(*, flags=(0,)):
    def check(test, reply):
        _head(0, echoed=0, rcode=BADVERS, authoritative=False, allowed=AA)(test, reply)
        test.assertEqual((reply.edns_version, reply.answer, reply.authority), (0, [], []))
        test.assertIn(reply.edns_flags, flags)
        test.assertNotIn(100, reply.options())
    return check


def _not_implemented(test, reply):
    test.assertEqual(reply.flags, raw_dns.QR | 15 << 11 | NOTIMP, "flags, opcode, RCODE")
    test.assertEqual((reply.questions, reply.answer, reply.authority, reply.additional), ([], [], [], []))


def _small(test, reply):
    test.assertLessEqual(reply.size, 512)
    test.assertEqual(reply.rcode, NOERROR)
    test.assertIsNotNone(reply.opt)


def _truncated(test, reply):
    _small(test, reply)
    test.assertTrue(reply.has(TC))


def _whole(test, reply):
    test.assertEqual((reply.rcode, reply.has(TC)), (NOERROR, False))
    test.assertIsNotNone(reply.opt)


def _cookie(test, reply):
    found = reply.options().get(COOKIE, [])
    if reply.rcode != BADCOOKIE:
        _edns(options=(COOKIE,))(test, reply)
    test.assertEqual(len(found), 1, "no cookie, or two")
    test.assertTrue(16 <= len(found[0]) <= 40, f"a cookie of {len(found[0])} octets")
    test.assertEqual(found[0][:8], CLIENT)


def _expire(test, reply):
    _edns(options=(EXPIRE,))(test, reply)
    test.assertEqual([len(data) for data in reply.options().get(EXPIRE, [])], [4])


CLIENT = bytes.fromhex("2464c4abcf10c957")
_SUBNET = option(ECS, b"\0\1\0\0")


def rows(apex, large):
    """`large`: an owner of a TXT RRset that no UDP answer can hold."""
    def edns(*options, **fields):
        return query(apex, SOA, opt=opt_record(*options, **{"size": 4096, **fields}))

    every_option = (option(NSID), _SUBNET, option(EXPIRE), option(COOKIE, CLIENT))
    every_code = (NSID, ECS, EXPIRE, COOKIE)
    unknown = option(100)
    return [
        Row("dns (8.1.1)", query(apex, SOA), _dns()),
        Row("aa", query(apex, SOA, flags=AA), _dns()),
        Row("tc", query(apex, SOA, flags=TC), _dns()),
        Row("ra", query(apex, SOA, flags=RA), _dns()),
        Row("zflag (8.1.3.4)", query(apex, SOA, flags=Z), _dns()),
        Row("ad (8.1.3.3)", query(apex, SOA, flags=AD), _dns(allowed=AD)),
        Row("cd (8.1.3.2)", query(apex, SOA, flags=CD), _dns(allowed=CD)),
        Row("rd (8.1.3.1)", query(apex, SOA, flags=RD), _dns(echoed=RD)),
        Row("opcode (8.1.4)", query(opcode=15, questions=[]), _not_implemented),
        Row("opcodeflg", query(opcode=15, questions=[], flags=0x07F0), _not_implemented),
        Row("opcode with a question", query(apex, SOA, opcode=15, flags=0x07F0), _not_implemented),
        Row("type1000 (8.1.2)", query(apex, 1000), lambda test, reply: (_head(0, echoed=0)(test, reply), test.assertEqual(reply.answer, []))),
        Row("edns (8.2.1)", edns(), _edns()),
        Row("edns1 (8.2.2)", edns(version=1), _bad_version()),
        Row("edns1opt (8.2.6)", edns(unknown, version=1), _bad_version()),
        Row("edns1do (8.2.9)", edns(version=1, flags=DO), _bad_version(flags=(0, DO))),
        Row("edns1flags (8.2.5)", edns(version=1, flags=0x0040), _bad_version()),
        Row("edns1nsid", edns(option(NSID), version=1), _bad_version()),
        Row("edns1cookie", edns(option(COOKIE, CLIENT), version=1), _bad_version()),
        Row("edns1expire", edns(option(EXPIRE), version=1), _bad_version()),
        Row("edns1subnet", edns(_SUBNET, version=1), _bad_version()),
        Row("edns255", edns(version=255), _bad_version()),
        Row("edns@512 (8.2.7)", query(apex, raw_dns.DNSKEY, opt=opt_record(size=512, flags=DO)), _small, udp_only=True),
        Row("edns@512, long answer", query(large, raw_dns.TXT, opt=opt_record(size=512, flags=DO)), _truncated, udp_only=True),
        Row("edns@100, long answer", query(large, raw_dns.TXT, opt=opt_record(size=100)), _truncated, udp_only=True),
        Row("ednstcp", query(apex, raw_dns.DNSKEY, opt=opt_record(size=512, flags=DO)), _whole, tcp_only=True),
        Row("ednstcp, long answer", query(large, raw_dns.TXT, opt=opt_record(size=512)), _whole, tcp_only=True),
        Row("ednsopt (8.2.3)", edns(unknown), _edns()),
        Row("ednsopt with data", edns(option(100, b"data")), _edns()),
        Row("ednsflags (8.2.4)", edns(flags=0x0080), _edns()),
        Row("ednsflags 0x0040", edns(flags=0x0040), _edns()),
        Row("do (8.2.8)", edns(flags=DO), _edns(flags=DO)),
        Row("docd", query(apex, SOA, flags=CD, opt=opt_record(flags=DO)), _edns(flags=DO, allowed=CD)),
        Row("optlist (8.2.10)", edns(*every_option), _edns(options=every_code)),
        Row("ednsnsid", edns(option(NSID)), _edns(options=(NSID,))),
        Row("ednsexpire", edns(option(EXPIRE)), _expire),
        Row("ednssubnet", edns(_SUBNET), _edns(options=(ECS,))),
        Row("ednscookie", edns(option(COOKIE, CLIENT)), _cookie),
        Row("bind11", query(apex, SOA, opt=opt_record(option(NSID), option(COOKIE, CLIENT), flags=DO)), _edns(flags=DO, options=(NSID, COOKIE))),
        Row("dig11", query(apex, SOA, flags=RD | AD, opt=opt_record(option(COOKIE, CLIENT), size=4096)), _edns(echoed=RD, allowed=AD, options=(COOKIE,))),
    ]
