"""Dynamic updates (RFC 2136) and TSIG (RFC 8945) octet by octet, well made or not: with Python's hmac, apart from any library that servers use."""

import base64
import hashlib
import hmac
import os
import random
import secrets
import struct
import time
from dataclasses import dataclass

from raw_dns import ANY, CLASS_ANY, CLASS_NONE, IN, SOA, TSIG, TXT, ask_once, name_at, parse, wire

UPDATE = 5
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, YXDOMAIN, YXRRSET, NXRRSET, NOTAUTH, NOTZONE = range(11)
BADSIG, BADKEY, BADTIME, BADTRUNC = 16, 17, 18, 22
_HASHES = {"hmac-sha1": hashlib.sha1, "hmac-sha224": hashlib.sha224, "hmac-sha256": hashlib.sha256, "hmac-sha384": hashlib.sha384,
           "hmac-sha512": hashlib.sha512, "hmac-md5.sig-alg.reg.int": hashlib.md5}
# What the configuration takes (sha1 and md5 are other matters).
ALGORITHMS = ["hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"]


class UpdateKey:
    """A TSIG key and its file in the form that BIND's tsig-keygen writes, for the server and for nsupdate alike."""

    def __init__(self, scene, name, allow, algorithm="hmac-sha256", bare=False):
        self.name, self.allow, self.algorithm = name, list(allow), algorithm
        self.octets = secrets.token_bytes(_HASHES[algorithm]().digest_size)
        self.secret = base64.b64encode(self.octets).decode()
        text = self.secret + "\n" if bare else f'key "{name}" {{\n\talgorithm {algorithm};\n\tsecret "{self.secret}";\n}};\n'
        # Readable for the user that the server becomes: it reads the file again at a reload.
        self.file = scene.write(f"keys/{name}.key", text)

    def table(self):
        allowed = ", ".join(f'"{pattern}"' for pattern in self.allow)
        return f'[[key]]\nname = "{self.name}."\nalgorithm = "{self.algorithm}"\nsecret_file = "{self.file}"\nallow = [{allowed}]\n'

    def dig(self):
        """The argument of -y, for dig, nsupdate, kdig and knsupdate."""
        return f"{self.algorithm}:{self.name}:{self.secret}"


def txt(*strings):
    """RDATA of a TXT record."""
    return b"".join(bytes([len(one)]) + one for one in (text.encode("latin-1") for text in strings))


def record(name, rtype, rclass, ttl, rdata=b""):
    return wire(name) + struct.pack(">HHIH", rtype, rclass, ttl, len(rdata)) + rdata


# Changes (RFC 2136 section 2.5).
def add(name, text, ttl=60):
    return record(name, TXT, IN, ttl, txt(text))


def delete(name, text):
    return record(name, TXT, CLASS_NONE, 0, txt(text))


def delete_rrset(name, rtype=TXT):
    return record(name, rtype, CLASS_ANY, 0)


def delete_name(name):
    return record(name, ANY, CLASS_ANY, 0)


# Prerequisites (section 2.4).
def name_in_use(name):
    return record(name, ANY, CLASS_ANY, 0)


def name_not_in_use(name):
    return record(name, ANY, CLASS_NONE, 0)


def rrset_exists(name, rtype=TXT):
    return record(name, rtype, CLASS_ANY, 0)


def rrset_not_exists(name, rtype=TXT):
    return record(name, rtype, CLASS_NONE, 0)


def rrset_equals(name, *texts, rtype=TXT):
    return b"".join(record(name, rtype, IN, 0, txt(text)) for text in texts)


def _count(records):
    """How many records there are in these octets."""
    count = position = 0
    while position < len(records):
        _, position = name_at(records, position)
        position += 10 + struct.unpack_from(">H", records, position + 8)[0]
        count += 1
    return count


def update(zone, *changes, prerequisites=(), ident=None, ztype=SOA, zclass=IN, zone_section=None, counts=None, flags=0):
    """An unsigned update. `zone_section`: instead of one question; `counts`: instead of the true ones."""
    questions = [wire(zone) + struct.pack(">2H", ztype, zclass)] if zone_section is None else zone_section
    before, changed = b"".join(prerequisites), b"".join(changes)
    counts = counts or (len(questions), _count(before), _count(changed), 0)
    ident = random.getrandbits(16) if ident is None else ident
    return struct.pack(">6H", ident, UPDATE << 11 | flags, *counts) + b"".join(questions) + before + changed


@dataclass
class Tsig:
    name: tuple
    algorithm: tuple
    time: int
    fudge: int
    mac: bytes
    original: int
    error: int
    other: bytes
    signed: bytes  # the message that was signed: without the record, with the original ID


def _labels_wire(name):
    return b"".join(bytes([len(label)]) + label.lower() for label in name) + b"\0"


def _variables(name, algorithm, when, fudge, error, other):
    return (_labels_wire(name) + struct.pack(">HI", CLASS_ANY, 0) + _labels_wire(algorithm) + when.to_bytes(6, "big")
            + struct.pack(">3H", fudge, error, len(other)) + other)


def _mac(algorithm, octets, *parts):
    return hmac.new(octets, b"".join(parts), _HASHES[algorithm]).digest()


def sign(message, key, *, when=None, fudge=300, length=None, name=None, algorithm=None, octets=None, error=0, other=b"", original=None, spoil=False):
    """
    The message with a TSIG record behind it. All the rest is for bad ones: another time, a MAC of `length` octets, another name, algorithm
    (on the wire) or secret, a MAC with one bit wrong.
    """
    when = int(time.time()) if when is None else when
    original = struct.unpack(">H", message[:2])[0] if original is None else original
    key_labels = tuple(part.encode() for part in (name or key.name).rstrip(".").split("."))
    algorithm_labels = tuple(part.encode() for part in (algorithm or key.algorithm).split("."))
    secret = key.octets if octets is None else octets
    hashed = algorithm if algorithm in _HASHES else key.algorithm
    mac = _mac(hashed, secret, struct.pack(">H", original) + message[2:], _variables(key_labels, algorithm_labels, when, fudge, error, other))
    if spoil:
        mac = bytes([mac[0] ^ 1]) + mac[1:]
    if length is not None:
        mac = (mac + bytes(length))[:length]
    rdata = (_labels_wire(algorithm_labels) + when.to_bytes(6, "big") + struct.pack(">2H", fudge, len(mac)) + mac
             + struct.pack(">3H", original, error, len(other)) + other)
    count = struct.unpack(">H", message[10:12])[0] + 1
    return (message[:10] + struct.pack(">H", count) + message[12:]
            + _labels_wire(key_labels) + struct.pack(">HHIH", TSIG, CLASS_ANY, 0, len(rdata)) + rdata)


def _last_record(message):
    """(owner, type, class, ttl, RDATA, where it begins) of the last record; without a look into the others' RDATA, which may be none."""
    questions, *counts = struct.unpack_from(">4H", message, 4)
    position, found = 12, None
    for _ in range(questions):
        position = name_at(message, position)[1] + 4
    for _ in range(sum(counts)):
        begin = position
        owner, position = name_at(message, position)
        rtype, rclass, ttl, length = struct.unpack_from(">HHIH", message, position)
        position += 10 + length
        found = (owner, rtype, rclass, ttl, message[position - length : position], begin)
    return found


def tsig_of(message):
    """The TSIG record at a message's end, or None."""
    last = _last_record(message)
    if last is None or last[1] != TSIG:
        return None
    owner, _, rclass, ttl, rdata, begin = last
    algorithm, position = name_at(rdata, 0)
    when = int.from_bytes(rdata[position : position + 6], "big")
    fudge, size = struct.unpack_from(">2H", rdata, position + 6)
    mac = rdata[position + 10 : position + 10 + size]
    original, error, length = struct.unpack_from(">3H", rdata, position + 10 + size)
    other = rdata[position + 16 + size :]
    if len(other) != length or rclass != CLASS_ANY or ttl != 0:
        raise ValueError("a malformed TSIG record")
    count = struct.unpack(">H", message[10:12])[0] - 1
    signed = struct.pack(">H", original) + message[2:10] + struct.pack(">H", count) + message[12:begin]
    return Tsig(owner, algorithm, when, fudge, mac, original, error, other, signed)


def verify(answer, key, request):
    """Raises ValueError unless the answer is signed with this key for this request (RFC 8945 section 5.3)."""
    found, asked = tsig_of(answer), tsig_of(request)
    if found is None:
        raise ValueError("the answer has no TSIG record")
    expected = _mac(key.algorithm, key.octets, struct.pack(">H", len(asked.mac)) + asked.mac, found.signed,
                    _variables(found.name, found.algorithm, found.time, found.fudge, found.error, found.other))
    if not hmac.compare_digest(expected, found.mac):
        raise ValueError(f"the answer's MAC is wrong: {found}")
    return found


class Updater:
    """One key at one server: builds, signs, sends, verifies."""

    def __init__(self, address, key, tcp=False):
        self.address, self.key, self.tcp = address, key, tcp

    def send(self, message, **signing):
        """(RCODE, TSIG record of the answer or None); the signature is verified where there has to be one."""
        signed = sign(message, self.key, **signing)
        answer = ask_once(self.address, signed, tcp=self.tcp, timeout=5.0)
        if answer is None:
            raise AssertionError("no answer to an update")
        parsed = parse(answer)
        if parsed.opcode != UPDATE or parsed.ident != struct.unpack(">H", message[:2])[0] or not parsed.has(0x8000):
            raise AssertionError(f"not an answer to the update: {parsed}")
        found = tsig_of(answer)
        if found is not None and found.error not in (BADKEY, BADSIG):
            verify(answer, self.key, signed)
        return parsed.rcode, found

    def __call__(self, zone, *changes, prerequisites=(), **options):
        """The RCODE of a correctly signed update; its answer has to be signed."""
        rcode, found = self.send(update(zone, *changes, prerequisites=prerequisites, **options))
        if found is None or found.error:
            raise AssertionError(f"RCODE {rcode}, and the answer is not signed as it should be: {found}")
        return rcode


def nonce():
    return os.urandom(6).hex()
