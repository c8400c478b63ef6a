"""
Zones in which every kind of name occurs, and queries that ask for all of it and around it: what two servers are compared on.
Everything comes from one seeded generator, so a difference can be had again.
"""

import random
from dataclasses import dataclass

import raw_dns
from raw_dns import AAAA, ANY, AXFR, CNAME, DS, IN, MX, NS, SOA, SRV, TXT, A

ZONE = "diff.example.test"
NESTED = "inner.diff.example.test"
OTHER = "other.example.net"
HOSTMASTER = "hostmaster@example.test"
HOSTS = 140


def _long_name(octets, last="long"):
    """A name below the zone with exactly that many octets in wire form."""
    room = octets - len(raw_dns.wire(f"{last}.{ZONE}"))
    parts = []
    while room > 0:
        length = min(63, room - 1)
        if room - 1 - length == 1:  # never leave one octet, which is no label
            length -= 1
        parts.append("x" * length)
        room -= length + 1
    return ".".join([*parts, last])


def _txt(rng, octets):
    """A TXT RDATA of exactly that many octets, as quoted strings."""
    strings = []
    while octets > 0:
        length = min(255, octets - 1)
        strings.append('"' + "".join(rng.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(length)) + '"')
        octets -= length + 1
    return " ".join(strings)


def _hosts(rng):
    lines = []
    for number in range(HOSTS):
        owner = f"h{number}"
        for _ in range(rng.randint(1, 4)):
            lines.append(f"{owner} {60 + number} A 192.0.2.{rng.randrange(256)}")
        if number % 2:
            lines.append(f"{owner} 300 AAAA 2001:db8::{number:x}")
        if number % 3 == 0:
            lines.append(f'{owner} 120 TXT "v=host{number}" "second string" ""')
        if number % 7 == 0:
            lines.append(f"{owner} 300 MX 10 h{(number + 1) % HOSTS}")
    return lines


def _aliases():
    lines = [f"c{number} 200 CNAME c{number + 1}" for number in range(1, 6)] + ["c6 200 CNAME h1"]
    # Longer than any server follows.
    lines += [f"far{number} 200 CNAME far{number + 1}" for number in range(40)] + ["far40 200 CNAME h2"]
    lines += [f"edge{number} 200 CNAME edge{number + 1}" for number in range(12)] + ["edge12 200 CNAME h2"]
    lines += ["self 200 CNAME self", "loop1 200 CNAME loop2", "loop2 200 CNAME loop3", "loop3 200 CNAME loop1", "into-loop 200 CNAME loop1"]
    lines += ["to-missing 200 CNAME nowhere.at.all", "to-nodata 200 CNAME mailonly", "mailonly 200 MX 5 h5", "to-ent 200 CNAME ent",
              "to-cut 200 CNAME www.d1", "to-at-cut 200 CNAME d2", "to-outside 200 CNAME www.elsewhere.invalid.", "to-wild 200 CNAME some.wild",
              "to-wild-alias 200 CNAME some.wild-alias", f"to-nested 200 CNAME www.{NESTED}.", f"to-other 200 CNAME www.{OTHER}.",
              f"to-other-missing 200 CNAME missing.{OTHER}.", f"to-other-back 200 CNAME back.{OTHER}.", "to-apex 200 CNAME @"]
    return lines


def _wildcards():
    return [
        "*.wild 100 A 192.0.2.99", '*.wild 100 TXT "any"', "host.wild 100 A 192.0.2.98", "sub.ent.wild 100 A 192.0.2.97",
        '*.deep.wild 100 TXT "deeper"', "*.wild-alias 100 CNAME h3", "*.wild-chain 100 CNAME more.wild-alias", "*.wild-loop 100 CNAME again.wild-loop",
        "*.wild-missing 100 CNAME missing", "*.wild-mx 100 MX 10 h4", "x.*.middle 100 A 192.0.2.96", '*.below.entone.enttwo 100 TXT "below empty non-terminals"',
        # A wildcard beside a delegation, which hides what is below it and nothing else.
        "*.beside 100 A 192.0.2.95", "cut.beside 600 NS ns.elsewhere.invalid.", "*.occluded.d3 100 A 192.0.2.94",
        "*.*.double 100 A 192.0.2.93", "*.unknown 100 TYPE65401 \\# 3 010203",
    ]


def _delegations():
    lines = []
    for number in range(20):
        cut = f"d{number}"
        lines += [f"{cut} 600 NS ns1.{cut}", f"ns1.{cut} 600 A 198.51.100.{number}", f"ns1.{cut} 600 AAAA 2001:db8:1::{number:x}"]
        if number % 2:
            lines += [f"{cut} 600 NS ns2.{cut}", f"ns2.{cut} 600 A 198.51.100.{100 + number}"]
        if number % 3 == 0:
            lines.append(f"{cut} 600 NS ns{number}.elsewhere.invalid.")
        if number % 4 == 0:
            lines.append(f"{cut} 500 DS {1000 + number} 13 2 {number:02x}" + "ab" * 31)
        if number % 5 == 0:
            # Glue of a sibling (RFC 9471), and an address of this zone itself.
            lines += [f"{cut} 600 NS ns1.d{(number + 1) % 20}", f"{cut} 600 NS h7"]
    lines += ["www.d1 100 A 192.0.2.200", 'd3 100 TXT "occluded at the cut"', "deeper.cut.d4 600 NS ns.elsewhere.invalid.",
              "outside-only 600 NS ns.elsewhere.invalid.", f"{NESTED}. 600 NS ns1.{NESTED}.", f"ns1.{NESTED}. 600 A 192.0.2.1",
              f"{NESTED}. 600 DS 4242 13 2 " + "cd" * 32]
    # A delegation with more glue than 512 octets hold, and one with more than any UDP answer holds.
    for cut, count in (("wide", 13), ("wider", 40)):
        for number in range(count):
            lines += [f"{cut} 600 NS name-server-{number}.{cut}", f"name-server-{number}.{cut} 600 A 203.0.113.{number}",
                      f"name-server-{number}.{cut} 600 AAAA 2001:db8:2::{number:x}"]
    return lines


def _large(rng):
    """RRsets whose answers end just below and above 512, 1232 and 4096 octets."""
    lines, owners = [], []
    for limit in (512, 1232, 4096):
        for around in (-3, -2, -1, 0, 1, 2):
            for kind, overhead in (("plain", 0), ("edns", 11)):
                owner = f"txt-{kind}-{limit}-{around + 3}"
                # Header, question (owner at 12), record head with a pointer to it, the OPT that the reply has.
                used = 12 + len(raw_dns.wire(f"{owner}.{ZONE}")) + 4 + 12 + overhead
                lines.append(f"{owner} 30 TXT {_txt(rng, limit + around - used)}")
                owners.append(owner)
    for count in (5, 20, 28, 29, 30, 60, 73, 74, 75, 200, 600):
        owner = f"many{count}"
        lines += [f"{owner} 30 A 10.0.{number // 256}.{number % 256}" for number in range(count)]
        owners.append(owner)
    lines += [f"manymx 30 MX {number} h{number}" for number in range(60)]
    lines.append(f"huge 30 TXT {_txt(rng, 20000)}")
    return lines, [*owners, "manymx", "huge"]


_ODD = [
    'nul\\000octet 50 TXT "nul"', 'dot\\.inside 50 TXT "dot"', '\\228umlaut 50 TXT "latin"', '\\091bracket 50 TXT "bracket"', 'space\\032in 50 TXT "space"',
    '\\255\\254\\253 50 TXT "high"', 'a\\"quote 50 TXT "quote"', 'back\\\\slash 50 TXT "backslash"', 'UPPER.Case 50 TXT "Case Of Strings Is Kept"',
    'odd 50 TXT "\\000\\001\\255" "" "\\"\\\\"', "odd 50 TYPE65400 \\# 4 0a000001", "odd 50 TYPE65402 \\# 0", 'odd 50 HINFO "cpu" "os"',
    '@ 3600 CAA 0 issue "ca.example"', "@ 3600 MX 10 h0", "@ 3600 MX 20 mx.elsewhere.invalid.", '@ 3600 TXT "v=spf1 -all"', "_sip._tcp 50 SRV 1 2 5060 h8",
    "_sip._tcp 50 SRV 1 3 5060 h9", "_gone._tcp 50 SRV 0 0 0 .", "mx-alias 50 MX 1 c1", "mx-wild 50 MX 1 some.wild", "mx-cut 50 MX 1 ns1.d1", "ptr 50 PTR h3",
    "_443._tcp 50 TLSA 3 1 1 " + "ab" * 32, "ssh 50 SSHFP 1 1 " + "cd" * 20, 'naptr 50 NAPTR 10 10 "u" "sip" "!^.*$!sip:x@y!" .',
    'a.b.c.d.ent 50 TXT "below four empty non-terminals"', 'zero 0 TXT "no time to live"', 'longest-ttl 2147483647 TXT "2^31-1"',
]


@dataclass
class Zones:
    texts: dict  # {zone: master file without SOA}
    names: dict  # {zone: owners in presentation form, absolute}
    large: list  # owners of large RRsets


def build(seed):
    rng = random.Random(seed)
    large, large_owners = _large(rng)
    long_ones = [f'{_long_name(octets)} 40 TXT "{octets} octets"' for octets in (200, 254, 255)]
    lines = ["@ 3600 NS ns1", "@ 3600 NS ns2.elsewhere.invalid.", "ns1 3600 A 192.0.2.1", "ns1 3600 AAAA 2001:db8::53", f"@ 3600 NS ns3.{OTHER}."]
    lines += _hosts(rng) + _aliases() + _wildcards() + _delegations() + large + _ODD + long_ones
    nested = [f"@ 3600 NS ns1.{NESTED}.", "ns1 3600 A 192.0.2.1", "@ 90 A 192.0.2.90", "www 90 A 192.0.2.91", "*.wild 90 A 192.0.2.92", "up 90 CNAME h1." + ZONE + ".",
              "deep.ent 90 A 192.0.2.93", "sub 90 NS ns.elsewhere.invalid."]
    other = [f"@ 3600 NS ns3.{OTHER}.", "ns3 3600 A 192.0.2.3", "www 70 A 192.0.2.70", f"back 70 CNAME c1.{ZONE}.", 'txt 70 TXT "other"']
    texts = {ZONE: lines, NESTED: nested, OTHER: other}
    return Zones({zone: f"$ORIGIN {zone}.\n" + "\n".join(found) + "\n" for zone, found in texts.items()},
                 {zone: sorted({_absolute(line.split(" ", 1)[0], zone) for line in found}) for zone, found in texts.items()},
                 [f"{owner}.{ZONE}." for owner in large_owners])


def _absolute(owner, zone):
    if owner == "@":
        return zone + "."
    return owner if owner.endswith(".") else f"{owner}.{zone}."


@dataclass
class Query:
    what: str
    wire: bytes
    tcp: bool
    name: tuple = ()
    type: int = 0
    rclass: int = IN
    plain: bool = True  # one well-formed question, opcode QUERY

    def __str__(self):
        return f"{self.what}: {raw_dns.text_of(self.name)} {raw_dns.type_name(self.type)} class {self.rclass} over {'TCP' if self.tcp else 'UDP'}: {self.wire.hex()}"


# What is asked often, sometimes, and by nobody but a test. RRSIG and NSEC are not in an unsigned zone.
_TYPES = [A] * 6 + [AAAA] * 3 + [TXT] * 6 + [MX, MX, NS, NS, CNAME, CNAME, SOA, DS, DS, SRV, 12, 13, 257, 65, 64, 48, 43, 44, 52, 35, 46, 47, 50, 51, 39]
_ODD_TYPES = [ANY, ANY, 0, 666, 1000, 65400, 65401, 65402, 65535, 32768, 32769, 3, 4, 7, 8, 10, 38, 99]
# Types that ask for no record (RFC 6895 section 3.1): each server has its own mind about some of them.
_META_TYPES = [41, 128, 249, 250, 251, AXFR, 253, 254]


class Generator:
    def __init__(self, zones, seed):
        self.rng, self.zones = random.Random(seed), zones
        self.owners = [raw_dns.labels(name) for names in zones.names.values() for name in names]
        self.large = [raw_dns.labels(name) for name in zones.large]
        # Where something is special there are fewer names than there are plain hosts; draw from both alike.
        self.special = [owner for owner in self.owners if not owner[0][:1] == b"h"]

    def name(self):
        """(why, labels): an owner, or something near one."""
        owner = self.rng.choice(self.special if self.rng.random() < 0.75 else self.owners)
        kind = self.rng.choice(["owner"] * 5 + ["parent", "below", "below2", "sibling", "typo", "star", "filled", "outside"])
        if kind == "parent" and len(owner) > 3:
            owner = owner[self.rng.randint(1, len(owner) - 3) :]
        elif kind == "below":
            owner = (self._label(), *owner)
        elif kind == "below2":
            owner = (self._label(), self._label(), *owner)
        elif kind == "sibling":
            owner = (self._label(), *owner[1:])
        elif kind == "typo":
            owner = (owner[0] + b"z", *owner[1:])
        elif kind == "star":
            owner = (b"*", *owner[1:])
        elif kind == "filled" and b"*" in owner:
            owner = tuple(self._label() if label == b"*" else label for label in owner)
        elif kind == "outside":
            owner = self.rng.choice([(b"www", b"elsewhere", b"invalid"), (), (b"test",), (b"example", b"test"), (b"x" + owner[-3], *owner[-2:]), (b"net",)])
        if len(raw_dns.wire(owner)) > 255 or any(len(label) > 63 for label in owner):
            return "owner", self.rng.choice(self.owners)
        return kind, owner

    def _label(self):
        return self.rng.choice([b"a", b"www", b"*", b"_acme-challenge", b"ns1", b"h1", b"some", bytes([self.rng.randrange(256)]), b"y" * 63])

    def _cased(self, name):
        return tuple(bytes(octet ^ 0x20 if chr(octet).isalpha() and octet < 128 and self.rng.random() < 0.5 else octet for octet in label) for label in name)

    def _opt(self):
        if self.rng.random() < 0.35:
            return None
        size = self.rng.choice([0, 511, 512, 513, 1000, 1220, 1232, 1233, 1400, 4096, 65535])
        return raw_dns.opt_record(flags=raw_dns.DO if self.rng.random() < 0.3 else 0, size=size)

    def every(self):
        """Every owner and a name below it, for every type that is in the zones and some that are not."""
        for owner in self.owners:
            below = (b"below", *owner)
            for name in (owner, below) if len(raw_dns.wire(below)) <= 255 else (owner,):
                for rtype in (A, AAAA, TXT, MX, NS, CNAME, SOA, DS, SRV, ANY, 12, 13, 35, 44, 52, 65, 257, 65400):
                    message = raw_dns.query(name, rtype, ident=self.rng.getrandbits(16), opt=raw_dns.opt_record(size=4096))
                    yield Query("every", message, False, name, rtype)

    def ordinary(self):
        why, name = self.name()
        if self.rng.random() < 0.15:
            why, name = "large", self.rng.choice(self.large)
        rtype = self.rng.choice(_TYPES if self.rng.random() < 0.85 else _ODD_TYPES)
        asked = self._cased(name) if self.rng.random() < 0.5 else name
        flags = self.rng.choice([0, 0, 0, raw_dns.RD, raw_dns.CD, raw_dns.AD, raw_dns.RD | raw_dns.CD])
        message = raw_dns.query(asked, rtype, ident=self.rng.getrandbits(16), flags=flags, opt=self._opt())
        return Query(why, message, self.rng.random() < 0.2, asked, rtype)

    def odd(self):
        """Something that a well-behaved resolver does not send."""
        _, name = self.name()
        ident, rng = self.rng.getrandbits(16), self.rng
        rtype = rng.choice([A, TXT, SOA])
        kind = rng.choice(["opcode", "class", "flags", "trailing", "header", "questions", "no question", "edns1", "edns flags", "edns option", "two opts",
                           "opt owner", "opt length", "cut", "answer in query", "response", "short", "pointer", "label type", "meta"])
        tcp = rng.random() < 0.2 and kind not in ("response", "short", "cut")
        base = raw_dns.query(name, rtype, ident=ident)
        rclass, message = IN, base
        if kind == "opcode":
            message = raw_dns.query(name, rtype, ident=ident, opcode=rng.choice([1, 2, 3, 6, 7, 9, 15]), flags=rng.choice([0, raw_dns.RD]))
        elif kind == "class":
            rclass = rng.choice([0, 2, raw_dns.CH, raw_dns.HS, raw_dns.CLASS_NONE, raw_dns.CLASS_ANY, 65535])
            message = raw_dns.query(name, rtype, ident=ident, rclass=rclass)
        elif kind == "meta":
            rtype = rng.choice(_META_TYPES)
            message = raw_dns.query(name, rtype, ident=ident, opt=self._opt())
        elif kind == "flags":
            message = raw_dns.query(name, rtype, ident=ident, flags=rng.choice([raw_dns.AA, raw_dns.TC, raw_dns.RA, raw_dns.Z, 0x07B0, 0x000F, 0x0003]))
        elif kind == "trailing":
            message = base + bytes(rng.randrange(256) for _ in range(rng.randint(1, 20)))
        elif kind == "header":
            message = raw_dns.query(ident=ident, questions=[], flags=rng.choice([0, raw_dns.RD]), counts=(rng.choice([0, 1, 2]), 0, 0, 0))
        elif kind == "questions":
            question = raw_dns.wire(name) + b"\0\x10\0\1"
            message = raw_dns.query(ident=ident, questions=[question, question])
        elif kind == "no question":
            message = raw_dns.query(ident=ident, questions=[], opt=raw_dns.opt_record())
        elif kind == "edns1":
            message = raw_dns.query(name, rtype, ident=ident, opt=raw_dns.opt_record(version=rng.choice([1, 2, 255]), flags=rng.choice([0, raw_dns.DO])))
        elif kind == "edns flags":
            message = raw_dns.query(name, rtype, ident=ident, opt=raw_dns.opt_record(flags=rng.choice([0x0080, 0x2000, 0x3FFF])))
        elif kind == "edns option":
            message = raw_dns.query(name, rtype, ident=ident, opt=raw_dns.opt_record(raw_dns.option(rng.choice([100, 4, 65001, 8]), b"\0\1\0\0")))
        elif kind == "two opts":
            message = raw_dns.query(name, rtype, ident=ident, opt=raw_dns.opt_record(), additional=raw_dns.opt_record())
        elif kind == "opt owner":
            message = raw_dns.query(name, rtype, ident=ident, opt=raw_dns.opt_record(owner=b"\1a\0"))
        elif kind == "opt length":
            message = raw_dns.query(name, rtype, ident=ident, opt=raw_dns.opt_record(rng.choice([b"\0", b"\0\3\0\1", b"\0\3\0"])))
        elif kind == "cut":
            message = base[: rng.randint(12, len(base) - 1)]
        elif kind == "answer in query":
            record = raw_dns.wire(name) + b"\0\1\0\1\0\0\0\0\0\4\1\2\3\4"
            message = raw_dns.query(name, rtype, ident=ident, additional=record, counts=(1, *rng.choice([(1, 0, 0), (0, 1, 0), (0, 0, 1)])))
        elif kind == "response":
            message = raw_dns.query(name, rtype, ident=ident, flags=raw_dns.QR)
        elif kind == "short":
            message = base[: rng.randint(1, 11)]
        elif kind == "pointer":
            message = raw_dns.query(ident=ident, questions=[rng.choice([b"\xc0\x0c", b"\xc0\xff", b"\1a\xc0\x0c", b"\xc0\0"]) + b"\0\x10\0\1"])
        elif kind == "label type":
            message = raw_dns.query(ident=ident, questions=[rng.choice([b"\x41a\0", b"\x80\0", b"\x40"]) + b"\0\x10\0\1"])
        return Query(kind, message, tcp, name, rtype, rclass, plain=kind in ("meta", "trailing", "flags", "edns flags", "edns option"))
