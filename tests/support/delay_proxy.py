#!/usr/bin/python3
"""
A DNS proxy, UDP and TCP, that holds questions of one type back for a while before it passes them on: a slow CA, made from a prompt one.
Each question is logged as one line: transport, type, name as it was spelled.
"""

import argparse
import asyncio
import struct

from dns_wire import TYPES, TYPE_NAMES, decode_name


def question_of(message):
    name, position = decode_name(message, 12)
    (number,) = struct.unpack(">H", message[position : position + 2])
    return name, number


class Proxy:
    def __init__(self, upstream, delay, kind):
        self.upstream, self.delay, self.kind = upstream, delay, TYPES[kind]

    async def hold(self, message, transport):
        try:
            name, number = question_of(message)
        except (IndexError, struct.error, ValueError):
            return
        print(f"{transport} {TYPE_NAMES.get(number, number)} {name}", flush=True)
        if number == self.kind and self.delay > 0:
            await asyncio.sleep(self.delay)

    async def over_udp(self, message, reply):
        await self.hold(message, "udp")
        loop = asyncio.get_running_loop()
        answered = loop.create_future()

        class Upstream(asyncio.DatagramProtocol):
            def datagram_received(self, data, _address):
                if not answered.done():
                    answered.set_result(data)

            def error_received(self, error):
                if not answered.done():
                    answered.set_exception(error)

        transport, _ = await loop.create_datagram_endpoint(Upstream, remote_addr=(self.upstream, 53))
        try:
            transport.sendto(message)
            reply(await asyncio.wait_for(answered, 10))
        except (OSError, asyncio.TimeoutError):
            pass
        finally:
            transport.close()

    async def over_tcp(self, reader, writer):
        try:
            while True:
                message = await reader.readexactly(struct.unpack(">H", await reader.readexactly(2))[0])
                await self.hold(message, "tcp")
                up_reader, up_writer = await asyncio.open_connection(self.upstream, 53)
                up_writer.write(struct.pack(">H", len(message)) + message)
                (length,) = struct.unpack(">H", await up_reader.readexactly(2))
                writer.write(struct.pack(">H", length) + await up_reader.readexactly(length))
                up_writer.close()
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class Listener(asyncio.DatagramProtocol):
    def __init__(self, proxy):
        self.proxy, self.transport, self.tasks = proxy, None, set()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        # Kept in a set: the event loop holds tasks weakly.
        task = asyncio.ensure_future(self.proxy.over_udp(data, lambda reply: self.transport.sendto(reply, address)))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def serve(arguments):
    proxy = Proxy(arguments.upstream, arguments.delay, arguments.type)
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: Listener(proxy), local_addr=(arguments.listen, 53))
    server = await asyncio.start_server(proxy.over_tcp, arguments.listen, 53, backlog=1024)
    print(f"listening on {arguments.listen}", flush=True)
    async with server:
        await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", required=True, metavar="ADDRESS")
    parser.add_argument("--upstream", required=True, metavar="ADDRESS")
    parser.add_argument("--delay", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--type", default="TXT", choices=sorted(TYPES))
    try:
        asyncio.run(serve(parser.parse_args()))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
