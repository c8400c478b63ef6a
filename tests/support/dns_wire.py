"""DNS messages over UDP and TCP, as much as tests need (RFC 1035 section 4), and nothing from outside Python."""

import os
import random
import socket
import struct
from dataclasses import dataclass, field

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "TXT": 16, "AAAA": 28, "OPT": 41, "DS": 43, "DNSKEY": 48, "CAA": 257, "ANY": 255}
TYPE_NAMES = {number: name for name, number in TYPES.items()}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 9: "NOTAUTH"}


@dataclass
class Record:
    name: str
    type: str
    ttl: int
    value: object  # text for names and addresses, list of bytes for TXT, raw bytes otherwise


@dataclass
class Answer:
    ident: int
    flags: int
    question: str
    answers: list = field(default_factory=list)
    authority: list = field(default_factory=list)
    additional: list = field(default_factory=list)

    @property
    def rcode(self):
        return RCODES.get(self.flags & 15, str(self.flags & 15))

    @property
    def authoritative(self):
        return bool(self.flags & 0x0400)

    @property
    def truncated(self):
        return bool(self.flags & 0x0200)

    @property
    def validated(self):
        return bool(self.flags & 0x0020)

    def texts(self):
        """The TXT values of the answer section, strings joined, sorted."""
        return sorted(b"".join(r.value).decode("latin-1") for r in self.answers if r.type == "TXT")


def encode_name(name):
    wire = b""
    for label in name.rstrip(".").split("."):
        if label:
            raw = label.encode("ascii")
            if len(raw) > 63:
                raise ValueError(f"label too long in '{name}'")
            wire += bytes([len(raw)]) + raw
    return wire + b"\0"


def decode_name(message, position):
    labels, end, hops = [], None, 0
    while True:
        length = message[position]
        if length >= 0xC0:
            if end is None:
                end = position + 2
            hops += 1
            if hops > 64:
                raise ValueError("compression loop")
            position = (length & 0x3F) << 8 | message[position + 1]
        elif length == 0:
            return ".".join(labels) + ".", (position + 1 if end is None else end)
        else:
            labels.append(message[position + 1 : position + 1 + length].decode("latin-1"))
            position += 1 + length


def make_query(name, rtype="TXT", *, recurse=False, edns=True, do=False):
    ident = random.getrandbits(16)
    flags = 0x0100 if recurse else 0
    query = struct.pack(">6H", ident, flags, 1, 0, 0, 1 if edns else 0)
    query += encode_name(name) + struct.pack(">2H", TYPES.get(rtype, rtype), 1)
    if edns:
        query += b"\0" + struct.pack(">HHIH", TYPES["OPT"], 1232, 0x8000 if do else 0, 0)
    return query


def _decode_value(message, rtype, start, length):
    data = message[start : start + length]
    if rtype == "A":
        return socket.inet_ntop(socket.AF_INET, data)
    if rtype == "AAAA":
        return socket.inet_ntop(socket.AF_INET6, data)
    if rtype in ("NS", "CNAME"):
        return decode_name(message, start)[0]
    if rtype == "SOA":
        primary, position = decode_name(message, start)
        mailbox, position = decode_name(message, position)
        return (primary, mailbox, *struct.unpack(">5I", message[position : position + 20]))
    if rtype == "TXT":
        strings, position = [], 0
        while position < len(data):
            strings.append(data[position + 1 : position + 1 + data[position]])
            position += 1 + data[position]
        return strings
    return data


def parse(message):
    ident, flags, questions, *counts = struct.unpack(">6H", message[:12])
    position, question = 12, ""
    for _ in range(questions):
        question, position = decode_name(message, position)
        position += 4
    answer = Answer(ident, flags, question)
    for section, count in zip((answer.answers, answer.authority, answer.additional), counts):
        for _ in range(count):
            name, position = decode_name(message, position)
            number, _rclass, ttl, length = struct.unpack(">HHIH", message[position : position + 10])
            position += 10
            rtype = TYPE_NAMES.get(number, f"TYPE{number}")
            section.append(Record(name, rtype, ttl, _decode_value(message, rtype, position, length)))
            position += length
    return answer


def _receive_exactly(stream, count):
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            raise ConnectionError("the server closed the connection in the middle of a message")
        data += part
    return data


def exchange(address, message, *, port=53, tcp=False, timeout=2.0):
    """Sends one message and returns the reply's bytes; raises OSError (TimeoutError) when there is none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if tcp:
        with socket.create_connection((address, port), timeout=timeout) as stream:
            stream.sendall(struct.pack(">H", len(message)) + message)
            (length,) = struct.unpack(">H", _receive_exactly(stream, 2))
            return _receive_exactly(stream, length)
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(timeout)
        datagrams.connect((address, port))
        datagrams.send(message)
        return datagrams.recv(65535)


def ask(address, name, rtype="TXT", *, port=53, tcp=False, timeout=2.0, **options):
    """One question, one parsed Answer. Options: recurse, edns, do."""
    query = make_query(name, rtype, **options)
    answer = parse(exchange(address, query, port=port, tcp=tcp, timeout=timeout))
    if answer.ident != struct.unpack(">H", query[:2])[0]:
        raise ValueError("reply with a foreign id")
    return answer


def answers_at(address, name, rtype="SOA", port=53):
    """Whether a server there answers this question without error: for waiting until it is up."""
    try:
        return ask(address, name, rtype, port=port, timeout=0.5).rcode == "NOERROR"
    except (OSError, ValueError, IndexError):
        return False


if __name__ == "__main__":
    import sys

    if len(sys.argv) < 3:
        sys.exit(f"usage: {os.path.basename(sys.argv[0])} ADDRESS NAME [TYPE] [tcp]")
    reply = ask(sys.argv[1], sys.argv[2], *(sys.argv[3:4] or ["TXT"]), tcp="tcp" in sys.argv)
    print(reply)
