"""DNS messages octet by octet, for tests that judge a server: any header, any option, a strict decoder, and cookies (RFC 9018)."""

import select
import socket
import struct
import time
from dataclasses import dataclass, field

QR, AA, TC, RD, RA, Z, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0040, 0x0020, 0x0010
DO = 0x8000
NSID, ECS, EXPIRE, COOKIE, KEEPALIVE, PADDING, EDE, ZONEVERSION = 3, 8, 9, 10, 11, 12, 15, 19
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, NOTAUTH, BADVERS, BADCOOKIE = 0, 1, 2, 3, 4, 5, 9, 16, 23
RCODE_NAMES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 9: "NOTAUTH", 16: "BADVERS", 23: "BADCOOKIE"}
IN, CH, HS, CLASS_NONE, CLASS_ANY = 1, 3, 4, 254, 255
A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT, DS, RRSIG, DNSKEY = 1, 2, 5, 6, 12, 15, 16, 28, 33, 41, 43, 46, 48
TSIG, IXFR, AXFR, ANY = 250, 251, 252, 255
_TYPE_NAMES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 41: "OPT", 43: "DS",
               46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR", 255: "ANY", 257: "CAA"}


def type_name(number):
    return _TYPE_NAMES.get(number, f"TYPE{number}")


def labels(text):
    """Labels of a name in presentation form; `\\DDD` and `\\.` as in master files (RFC 1035 section 5.1)."""
    found, label, position = [], bytearray(), 0
    while position < len(text):
        char = text[position]
        if char == ".":
            if label:
                found.append(bytes(label))
            label = bytearray()
        elif char == "\\" and text[position + 1].isdigit():
            label.append(int(text[position + 1 : position + 4]))
            position += 3
        elif char == "\\":
            label.append(ord(text[position + 1]))
            position += 1
        else:
            label.append(ord(char))
        position += 1
    if label:
        found.append(bytes(label))
    return tuple(found)


def wire(name):
    """The wire form of a tuple of labels, or of a name in presentation form."""
    if isinstance(name, str):
        name = labels(name)
    return b"".join(bytes([len(label)]) + label for label in name) + b"\0"


def text_of(name):
    """The presentation form of a tuple of labels."""
    def escaped(octet):
        if octet in b'.\\"();@$':
            return "\\" + chr(octet)
        return chr(octet) if 33 <= octet <= 126 else f"\\{octet:03d}"
    return "".join("".join(map(escaped, label)) + "." for label in name) or "."


def option(code, data=b""):
    return struct.pack(">2H", code, len(data)) + data


def opt_record(*options, version=0, flags=0, size=1232, owner=b"\0", extended=0):
    data = b"".join(options)
    return owner + struct.pack(">HHBBHH", OPT, size, extended, version, flags, len(data)) + data


def query(name="", rtype=SOA, *, rclass=IN, ident=0x1234, flags=0, opcode=0, opt=None, questions=None, additional=b"", counts=None):
    """One message. `questions`: the whole section instead of one question; `counts`: the four counts instead of the true ones."""
    section = [wire(name) + struct.pack(">2H", rtype, rclass)] if questions is None else questions
    records = (opt or b"") + additional
    counts = counts or (len(section), 0, 0, (1 if opt else 0) + (1 if additional else 0))
    return struct.pack(">6H", ident, flags | opcode << 11, *counts) + b"".join(section) + records


@dataclass(frozen=True)
class Record:
    owner: tuple
    type: int
    rclass: int
    ttl: int
    rdata: bytes  # names in it uncompressed

    def folded(self):
        """Itself in a form to compare: names are equal in any case (RFC 4343)."""
        rdata = self.rdata.lower() if self.type in _NAMES_IN_RDATA else self.rdata
        return (fold(self.owner), self.type, self.rclass, self.ttl, rdata)

    def __str__(self):
        return f"{text_of(self.owner)} {self.ttl} {type_name(self.type)} {self.rdata[:60]!r}{'...' if len(self.rdata) > 60 else ''}"


def fold(name):
    return tuple(label.lower() for label in name)


# Octets before the name or names, and how many names: the types that RFC 1035 lets a server compress, and SRV, which some compress.
_NAMES_IN_RDATA = {NS: (0, 1), CNAME: (0, 1), PTR: (0, 1), SOA: (0, 2), MX: (2, 1), SRV: (6, 1)}


@dataclass
class Message:
    ident: int
    flags: int  # with opcode and RCODE
    questions: list = field(default_factory=list)  # (labels as sent, type, class)
    answer: list = field(default_factory=list)
    authority: list = field(default_factory=list)
    additional: list = field(default_factory=list)  # without the OPT
    opt: Record | None = None
    size: int = 0

    @property
    def opcode(self):
        return self.flags >> 11 & 15

    @property
    def rcode(self):
        return (self.flags & 15) | (self.opt.ttl >> 24 << 4 if self.opt else 0)

    @property
    def edns_version(self):
        return self.opt.ttl >> 16 & 0xFF

    @property
    def edns_flags(self):
        return self.opt.ttl & 0xFFFF

    def has(self, flag):
        return bool(self.flags & flag)

    def options(self):
        """{code: [data]} of the OPT."""
        found, data, position = {}, self.opt.rdata if self.opt else b"", 0
        while position < len(data):
            code, length = struct.unpack_from(">2H", data, position)
            if len(data) - position - 4 < length:
                raise ValueError("an EDNS option longer than the OPT")
            found.setdefault(code, []).append(data[position + 4 : position + 4 + length])
            position += 4 + length
        return found

    def __str__(self):
        names = [name for name in ("QR", "AA", "TC", "RD", "RA", "Z", "AD", "CD") if self.flags & globals()[name]]
        lines = [f"id {self.ident} opcode {self.opcode} {RCODE_NAMES.get(self.rcode, self.rcode)} {' '.join(names)}, {self.size} octets"]
        lines += [f"  question {text_of(n)} {type_name(t)} class {c}" for n, t, c in self.questions]
        for section in ("answer", "authority", "additional"):
            lines += [f"  {section} {record}" for record in getattr(self, section)]
        if self.opt:
            lines.append(f"  OPT version {self.edns_version} flags {self.edns_flags:#06x} size {self.opt.rclass} options {self.options()}")
        return "\n".join(lines)


def name_at(data, position):
    """(labels, position behind); a pointer leads backward only, so there is an end."""
    found, end, limit = [], None, position
    while True:
        length = data[position]
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | data[position + 1]
            end = position + 2 if end is None else end
            if target >= limit:
                raise ValueError(f"a compression pointer at {position} that does not lead backward")
            position = limit = target
        elif length > 63:
            raise ValueError(f"label type {length >> 6} at {position}")
        elif length == 0:
            return tuple(found), (position + 1 if end is None else end)
        else:
            if position + 1 + length > len(data):
                raise ValueError("a label beyond the message")
            found.append(data[position + 1 : position + 1 + length])
            position += 1 + length


def _rdata(data, rtype, start, length):
    if start + length > len(data):
        raise ValueError("RDATA beyond the message")
    if rtype not in _NAMES_IN_RDATA:
        return data[start : start + length]
    before, count = _NAMES_IN_RDATA[rtype]
    position, made = start + before, data[start : start + before]
    for _ in range(count):
        name, position = name_at(data, position)
        made += wire(name)
    if position > start + length:
        raise ValueError("a name beyond its RDATA")
    return made + data[position : start + length]


def parse(data):
    """Decodes a message strictly: ValueError for whatever a resolver could choke on, octets behind the end among it."""
    try:
        return _parse(data)
    except (IndexError, struct.error) as error:
        raise ValueError(f"message cut short: {error}") from None


def _parse(data):
    ident, flags, qdcount, *counts = struct.unpack_from(">6H", data)
    message, position = Message(ident, flags, size=len(data)), 12
    for _ in range(qdcount):
        name, position = name_at(data, position)
        message.questions.append((name, *struct.unpack_from(">2H", data, position)))
        position += 4
    for section, count in zip((message.answer, message.authority, message.additional), counts):
        for _ in range(count):
            owner, position = name_at(data, position)
            rtype, rclass, ttl, length = struct.unpack_from(">HHIH", data, position)
            position += 10
            record = Record(owner, rtype, rclass, ttl, _rdata(data, rtype, position, length))
            position += length
            if rtype == OPT and section is message.additional:
                if message.opt or owner:
                    raise ValueError("a second OPT" if message.opt else "an OPT that is not at the root")
                message.opt = record
            else:
                section.append(record)
    if position != len(data):
        raise ValueError(f"{len(data) - position} octets behind the message")
    return message


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Udp:
    """A connected UDP socket to one server, from a source address of choice."""

    def __init__(self, address, port=53, source=None):
        self.socket = socket.socket(family_of(address), socket.SOCK_DGRAM)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect((address, port))
        self.source = self.socket.getsockname()[0]

    def ask(self, message, timeout=2.0):
        """The reply with the query's ID, or None; a refused port counts as silence."""
        self.socket.send(message)
        return self.receive(message[:2], timeout)

    def receive(self, ident, timeout):
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.socket], [], [], left)[0]:
                return None
            try:
                reply = self.socket.recv(65535)
            except ConnectionError:
                return None
            if reply[:2] == ident or len(ident) < 2:
                return reply
        return None

    def close(self):
        self.socket.close()


class Tcp:
    """A TCP connection to one server."""

    def __init__(self, address, port=53, source=None, timeout=2.0):
        self.socket = socket.socket(family_of(address), socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        try:
            if source:
                self.socket.bind((source, 0))
            self.socket.connect((address, port))
        except OSError:
            self.socket.close()
            raise
        self.source = self.socket.getsockname()[0]

    def ask(self, *messages, timeout=2.0):
        """Sends them all; the next reply, or None when the server closes or is silent."""
        self.socket.settimeout(timeout)
        try:
            self.socket.sendall(b"".join(struct.pack(">H", len(message)) + message for message in messages))
            head = self._exactly(2)
            return self._exactly(struct.unpack(">H", head)[0]) if head else None
        except OSError:
            return None

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                return None
            data += part
        return data

    def close(self):
        self.socket.close()


def ask_once(address, message, *, tcp=False, port=53, source=None, timeout=2.0):
    """The reply's octets on a fresh socket, or None."""
    try:
        peer = (Tcp if tcp else Udp)(address, port, source)
    except OSError:
        return None
    try:
        return peer.ask(message, timeout=timeout)
    finally:
        peer.close()


def siphash24(key, data):
    """SipHash-2-4 with 64 bits of output, little-endian as RFC 9018 section 4.4 uses it."""
    mask = (1 << 64) - 1
    k0, k1 = struct.unpack("<2Q", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotate(x, bits):
        return (x << bits | x >> (64 - bits)) & mask

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & mask
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[3]) & mask
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & mask
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & mask
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)

    tail = data[len(data) // 8 * 8 :]
    words = list(struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8]))
    words.append(int.from_bytes(tail, "little") | (len(data) & 0xFF) << 56)
    for word in words:
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return struct.pack("<Q", v[0] ^ v[1] ^ v[2] ^ v[3])


def server_cookie(secret, client_cookie, address, when, head=b"\x01\0\0\0"):
    """The 16 octets of a server cookie, version 1 (RFC 9018 section 4)."""
    source = socket.inet_pton(family_of(address), address)
    start = head + struct.pack(">I", int(when) & 0xFFFFFFFF)
    return start + siphash24(secret, client_cookie + start + source)
