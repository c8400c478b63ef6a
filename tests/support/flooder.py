#!/usr/bin/python3
"""
One kind of flood against a DNS server on loopback, for some seconds; prints one JSON line of what it sent and got. Kinds:
  subdomains  questions for random names below the zone, from many networks
  reflection  the same question again and again from one network, whose address may be a forged one
  garbage     random octets, and the beginnings of questions, from many networks
  silent      TCP connections that never ask, from many networks, opened again as soon as they are closed
  slow        TCP connections that send a question octet by octet, and some that ask for a long answer and never take it
  half-open   SYN packets whose connection is never completed (needs a raw socket and a route back to nowhere)
"""

import argparse
import errno
import json
import os
import random
import select
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import raw_dns  # noqa: E402


class Tally:
    def __init__(self):
        self.sent = self.sent_octets = self.replies = self.full = self.truncated = self.reply_octets = self.opened = self.closed = self.refused = 0

    def sent_one(self, octets):
        self.sent += 1
        self.sent_octets += octets

    def take(self, sockets):
        """Counts the replies that are there."""
        for one in sockets:
            while True:
                try:
                    reply = one.recv(4096)
                except OSError:
                    break
                self.replies += 1
                self.reply_octets += len(reply)
                if len(reply) > 3 and reply[2] & 2:
                    self.truncated += 1
                else:
                    self.full += 1


def udp_sockets(server, prefixes, last):
    found = []
    for prefix in prefixes:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((f"{prefix}.{last}", 0))
        one.connect((server, 53))
        one.setblocking(False)
        found.append(one)
    return found


def subdomain(rng, zone):
    return raw_dns.query((b"%x" % rng.getrandbits(40), *zone), raw_dns.TXT, ident=rng.getrandbits(16), opt=raw_dns.opt_record())


def garbage(rng, zone):
    kind = rng.random()
    if kind < 0.5:
        return rng.randbytes(rng.randint(1, 600))
    if kind < 0.75:
        return subdomain(rng, zone)[: rng.randint(3, 40)]
    message = bytearray(subdomain(rng, zone))
    message[rng.randrange(len(message))] = rng.randrange(256)
    return bytes(message)


def flood_udp(options, tally, make):
    rng = random.Random(options.seed)
    zone = raw_dns.labels(options.zone)
    sockets = udp_sockets(options.server, options.prefixes, rng.randint(1, 250))
    messages = [make(rng, zone) for _ in range(4096)]
    end, pause, count = time.monotonic() + options.seconds, 0.0, 0
    if options.rate:
        pause = 64 / options.rate
    while (now := time.monotonic()) < end:
        for _ in range(64):
            message = messages[rng.randrange(len(messages))] if len(messages) > 1 else messages[0]
            try:
                sockets[count % len(sockets)].send(message)
                tally.sent_one(len(message))
            except OSError as error:
                # Its answers are not taken fast enough, or the port was refused: both are the server's doing.
                if error.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.ECONNREFUSED):
                    raise
            count += 1
        if count % 1024 == 0 or len(sockets) == 1:
            tally.take(sockets)
        left = now + pause - time.monotonic()
        if left > 0:
            time.sleep(left)
    time.sleep(0.2)
    tally.take(sockets)


def open_tcp(server, prefixes, rng):
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        one.bind((f"{rng.choice(prefixes)}.{rng.randint(1, 250)}", 0))
        one.setblocking(False)
        one.connect((server, 53))
    except BlockingIOError:
        pass
    except OSError:
        one.close()
        raise
    return one


def flood_tcp(options, tally, message, per_step):
    """Holds `connections` of them; each sends `per_step` octets of the message at a time (None: nothing), reads nothing."""
    rng = random.Random(options.seed)
    connections, position = [], {}
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        opened = 0
        while len(connections) < options.connections and opened < 50:
            try:
                connections.append(open_tcp(options.server, options.prefixes, rng))
            except OSError:
                tally.refused += 1
                break
            tally.opened += 1
            opened += 1
        poll = select.poll()
        by_number = {one.fileno(): one for one in connections}
        for number in by_number:
            poll.register(number, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        for number, _ in poll.poll(50):
            one = by_number.pop(number)
            one.close()
            position.pop(one, None)
            tally.closed += 1
        connections = list(by_number.values())
        if per_step:
            for one in connections:
                start = position.get(one, 0)
                try:
                    one.send(message[start % len(message) : start % len(message) + per_step])
                    position[one] = start + per_step
                    tally.sent_one(per_step)
                except OSError:
                    pass
        time.sleep(0.05)
    for one in connections:
        one.close()


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def flood_syn(options, tally):
    """The route of 198.18.0.0/15 (RFC 2544) leads to lo, where nobody has these addresses: the handshake never ends."""
    rng = random.Random(options.seed)
    target = socket.inet_aton(options.server)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        end = time.monotonic() + options.seconds
        while time.monotonic() < end:
            source = bytes([198, 18 + rng.randrange(2), rng.randrange(256), rng.randint(1, 254)])
            head = struct.pack(">HHIIBBHHH", rng.randint(1024, 65535), 53, rng.getrandbits(32), 0, 5 << 4, 2, 65535, 0, 0)
            sum_of = checksum(source + target + struct.pack(">BBH", 0, 6, len(head)) + head)
            segment = head[:16] + struct.pack(">H", sum_of) + head[18:]
            packet = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), rng.getrandbits(16), 0, 64, 6, 0, source, target) + segment
            raw.sendto(packet, (options.server, 0))
            tally.sent_one(len(packet))
            time.sleep(0.001)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["subdomains", "reflection", "garbage", "silent", "slow", "half-open"])
    parser.add_argument("--server", required=True)
    parser.add_argument("--zone", required=True)
    parser.add_argument("--name", default="", help="what reflection asks for")
    parser.add_argument("--prefixes", nargs="+", default=["127.0.0"], help="networks of the sources, three octets each")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=0, help="questions per second, 0 = as many as possible")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tally = Tally()
    question = raw_dns.query(options.name or options.zone, raw_dns.TXT, opt=raw_dns.opt_record())
    framed = struct.pack(">H", len(question)) + question
    if options.kind == "subdomains":
        flood_udp(options, tally, subdomain)
    elif options.kind == "garbage":
        flood_udp(options, tally, garbage)
    elif options.kind == "reflection":
        flood_udp(options, tally, lambda rng, zone: question)
    elif options.kind == "silent":
        flood_tcp(options, tally, b"", 0)
    elif options.kind == "slow":
        # One octet at a time, or a hundred questions whose answers nobody takes.
        half = argparse.Namespace(**{**vars(options), "seconds": options.seconds / 2})
        flood_tcp(half, tally, framed, 1)
        flood_tcp(half, tally, framed * 100, len(framed) * 100)
    else:
        flood_syn(options, tally)
    print(json.dumps({"kind": options.kind, **{key: number for key, number in vars(tally).items() if number}}), flush=True)


if __name__ == "__main__":
    main()
