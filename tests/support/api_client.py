"""Clients of the public HTTP API: a plain one, and one that sends octets as they are and reads answers strictly."""

import base64
import http.client
import json
import re
import socket
import ssl
from dataclasses import dataclass, field


@dataclass
class Reply:
    status: int
    fields: list = field(default_factory=list)  # (name as sent, value)
    body: bytes = b""
    version: str = "HTTP/1.1"

    def header(self, name):
        """The value of a header field, its lines joined; None when there is none."""
        found = [value for key, value in self.fields if key.lower() == name.lower()]
        return ", ".join(found) if found else None

    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise AssertionError(f"not JSON: {self}") from None


class Raw:
    """One connection, octet by octet: pipelining, half requests, whatever a stranger may send."""

    def __init__(self, address, port, *, timeout=10.0, source=None, tls=None, server_name=None):
        self.socket = socket.create_connection((address, port), timeout=timeout, source_address=(source, 0) if source else None)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=server_name or address)
        self._data = b""

    def send(self, octets):
        self.socket.sendall(octets)

    def _fill(self):
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionError("the server closed the connection")
        self._data += part

    def _until(self, mark):
        while mark not in self._data:
            self._fill()
        head, self._data = self._data.split(mark, 1)
        return head

    def _exactly(self, count):
        while len(self._data) < count:
            self._fill()
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def receive(self, head_only=False):
        """The next reply; raises AssertionError for one that is no good HTTP/1.1, ConnectionError at the end."""
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        found = re.fullmatch(r"(HTTP/1\.[01]) (\d{3}) ?(.*)", head[0])
        if not found:
            raise AssertionError(f"no status line: {head[0]!r}")
        reply = Reply(int(found.group(2)), version=found.group(1))
        for line in head[1:]:
            name, colon, value = line.partition(":")
            if not colon or not re.fullmatch(r"[A-Za-z0-9-]+", name):
                raise AssertionError(f"a bad header line: {line!r}")
            reply.fields.append((name, value.strip()))
        if reply.status < 200 or reply.status in (204, 304) or head_only:
            return reply
        if (reply.header("Transfer-Encoding") or "").lower() == "chunked":
            while size := int(self._until(b"\r\n"), 16):
                reply.body += self._exactly(size)
                self._exactly(2)
            self._until(b"\r\n")
        elif reply.header("Content-Length") is not None:
            reply.body = self._exactly(int(reply.header("Content-Length")))
        else:
            raise AssertionError(f"an answer whose end cannot be seen: {reply}")
        return reply

    def ask(self, octets):
        self.send(octets)
        return self.receive()

    def closed(self, timeout=5.0):
        """Whether the server closes without a further octet."""
        self.socket.settimeout(timeout)
        try:
            return not self._data and self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def close(self):
        self.socket.close()


def ask_raw(address, port, octets, **options):
    """One request on a connection of its own."""
    raw = Raw(address, port, **options)
    try:
        return raw.ask(octets)
    finally:
        raw.close()


class Account:
    """What POST /register gave."""

    def __init__(self, document):
        self.document = document
        self.username, self.password = document["username"], document["password"]
        self.subdomain, self.fulldomain = document["subdomain"], document["fulldomain"]

    @property
    def headers(self):
        return {"X-Api-User": self.username, "X-Api-Key": self.password}

    @property
    def basic(self):
        return {"Authorization": "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()}


class Api:
    """
    The public API at one place, over one connection that is kept and made anew when it has ended. `trust`: the CA file for HTTPS; `source`: the
    client's own address.
    """

    def __init__(self, address, port, *, trust=None, source=None, timeout=15.0, forwarded=None):
        self.address, self.port, self.source, self.timeout, self.forwarded = address, port, source, timeout, forwarded
        self._context = ssl.create_default_context(cafile=trust) if trust else None
        self._connection = None

    def _connect(self):
        source = (self.source, 0) if self.source else None
        if self._context:
            return http.client.HTTPSConnection(self.address, self.port, timeout=self.timeout, source_address=source, context=self._context)
        return http.client.HTTPConnection(self.address, self.port, timeout=self.timeout, source_address=source)

    def request(self, method, target, body=None, headers=None):
        headers = dict(headers or {})
        if self.forwarded:
            headers["X-Forwarded-For"] = self.forwarded
        raw = json.dumps(body) if isinstance(body, (dict, list)) else body
        self._connection = self._connection or self._connect()
        try:
            self._connection.request(method, target, raw, headers)
            response = self._connection.getresponse()
            reply = Reply(response.status, response.getheaders(), response.read())
        except BaseException:
            self.close()
            raise
        if response.will_close:
            self.close()
        return reply

    def close(self):
        if self._connection:
            self._connection.close()
            self._connection = None

    def register(self, body=None, headers=None):
        """An account, or AssertionError."""
        reply = self.request("POST", "/register", body, headers)
        if reply.status != 201:
            raise AssertionError(f"POST /register: {reply.status} {reply.text()}")
        return Account(reply.json())

    def update(self, account, text, **more):
        return self.request("POST", "/update", {"subdomain": account.subdomain, "txt": text, **more}, account.headers)

    def present(self, account, fqdn, text):
        return self.request("POST", "/present", {"fqdn": fqdn, "value": text}, account.basic)

    def cleanup(self, account, fqdn, text):
        return self.request("POST", "/cleanup", {"fqdn": fqdn, "value": text}, account.basic)
