"""What goes on beside the queries in the DNS benchmark: idle TCP connections, and updates."""

import http.client
import json
import resource
import socket
import threading
import time

from daemon import UnixConnection
from dns_peers import ZONE, value
from processes import FixtureError

# One client may have no more than some 28,000 local ports.
CONNECTIONS_PER_SOURCE = 1000


class IdleConnections:
    """TCP connections to a server, from several addresses of 127.0.0.0/8, each of which asks once and then says nothing."""

    def __init__(self, server, count, source):
        """`source(i)` is an address for i = 0, 1, ..."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < count + 100:
            raise FixtureError(f"{count} connections need as many descriptors, and this process may have {hard}; raise ulimit -n")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 100), hard))
        before = server.memory()
        self._sockets = []
        for number in range(count):
            one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            one.settimeout(5.0)
            one.bind((source(number // CONNECTIONS_PER_SOURCE), 0))
            one.connect((server.address, 53))
            self._sockets.append(one)
            ask_once(one, number)
        self.memory_each = (server.memory() - before) / count

    def still_open(self):
        count = 0
        for one in self._sockets:
            one.setblocking(False)
            try:
                count += one.recv(1) != b""
            except BlockingIOError:
                count += 1
            except OSError:
                pass
        return count

    def close(self):
        for one in self._sockets:
            one.close()


def ask_once(connection, number):
    """So that the server has had all the work with the connection that it will ever have."""
    name = b"".join(len(label).to_bytes(1, "big") + label for label in f"n{number % 7}.{ZONE}".encode().split(b".")) + b"\0"
    query = (number & 0xffff).to_bytes(2, "big") + bytes([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]) + name + bytes([0, 16, 0, 1])
    connection.sendall(len(query).to_bytes(2, "big") + query)
    answer = connection.recv(4096)
    if answer[2:4] != query[:2]:
        raise FixtureError(f"no answer over idle connection {number}")


class Updates:
    """
    `rate` times a second a value is put through the control socket, at names of its own: PUT and DELETE in turn, so that their number stays.
    Only between resume() and pause().
    """

    STREAMS = 16

    def __init__(self, path, rate):
        self._path, self._rate = path, rate
        self._running = threading.Event()
        self._ended = False
        self.done, self.error = 0, None
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(self.STREAMS)]
        for thread in self._threads:
            thread.start()

    def resume(self):
        self._running.set()

    def pause(self):
        self._running.clear()
        if self.error:
            raise FixtureError(f"an update failed: {self.error}")

    def close(self):
        self._ended = True
        self._running.set()
        for thread in self._threads:
            thread.join(10.0)

    def _work(self, number):
        connection = UnixConnection(self._path, 30.0)
        period, put = self.STREAMS / self._rate, True
        body = json.dumps({"value": value(number), "lifetime": "0"})
        target = f"/v1/txt/update{number}.{ZONE}"
        while True:
            if not self._running.is_set():
                self._running.wait()
                due = time.monotonic() + period * number / self.STREAMS
            if self._ended:
                return
            try:
                connection.request("PUT" if put else "DELETE", target, body if put else None)
                response = connection.getresponse()
                text = response.read()
                if response.status not in (200, 204):
                    self.error = f"{response.status} {text.decode('utf-8', 'replace')}"
                    return
            except (OSError, http.client.HTTPException) as error:
                self.error = str(error)
                return
            put = not put
            with self._lock:
                self.done += 1
            due = max(due + period, time.monotonic() - period)
            time.sleep(max(0.0, due - time.monotonic()))
