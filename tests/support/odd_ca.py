"""
A CA that misbehaves: an HTTPS proxy in front of a real Pebble, so that one step of a real issuance breaks and all others are as they should be.
Pebble makes every URL from the Host header and compares the JWS' `url` with it, and the header is passed on as it came: so the proxy's own URL is
that of a whole CA, and nothing has to be rewritten.

  ca = OddCa(net.pebble)
  ca.fault("finalize", answer_page(500), times=1)
  net.run("issue", "--ca", ca.url, ...)
  ca.seen  # every exchange
"""

import base64
import http.client
import http.server
import json
import socket
import socketserver
import ssl
import threading
import time

# The steps of an issuance, by where Pebble has them.
STEPS = {
    "/dir": "directory", "/nonce-plz": "nonce", "/sign-me-up": "account", "/order-plz": "order", "/authZ/": "authorization",
    "/chalZ/": "challenge", "/my-order/": "poll", "/finalize-order/": "finalize", "/certZ/": "certificate",
}
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Cut(Exception):
    """Ends the connection at once."""


def decode(text):
    """base64url without padding, as JWS have it."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def step_of(path):
    for prefix, step in STEPS.items():
        if path == prefix or (prefix.endswith("/") and path.startswith(prefix)):
            return step
    return "other"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, list(headers), body

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def replace_header(self, name, value=None):
        self.headers = [(key, old) for key, old in self.headers if key.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))
        return self

    def head(self, length=None):
        lines = [f"HTTP/1.1 {self.status} {http.client.responses.get(self.status, '')}"]
        lines += [f"{key}: {value}" for key, value in self.headers]
        lines.append(f"Content-Length: {len(self.body) if length is None else length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Exchange:
    """One request and what becomes of it."""

    def __init__(self, ca, handler, number, nth, body):
        self.ca, self._handler = ca, handler
        self.method, self.path, self.headers, self.body = handler.command, handler.path, handler.headers, body
        self.step, self.number, self.nth = step_of(self.path), number, nth  # `nth` of its step; both from 1
        self.forwarded = False
        self.status = None
        self.time = time.monotonic()

    def _part(self, name):
        try:
            return decode(json.loads(self.body)[name])
        except (ValueError, KeyError, TypeError):
            return b""

    @property
    def protected(self):
        return json.loads(self._part("protected") or b"{}")

    @property
    def payload(self):
        return json.loads(self._part("payload") or b"{}")

    def forward(self):
        self.forwarded = True
        answer = self._handler.ask_upstream(self.body)
        return answer

    def send(self, data):
        """Raw octets instead of an answer."""
        self._handler.wfile.write(data)
        self._handler.wfile.flush()


class OddCa:
    """
    Listens on the CA's own address at a port of its own. `watch(exchange)` is called before each request is passed on, `after(exchange)` when there is
    an answer. `tls`: another certificate and key than the CA's (paths).
    """

    def __init__(self, pebble, watch=None, tls=None):
        self.pebble, self.watch, self.after = pebble, watch, None
        self.seen, self._faults, self._lock, self._connections = [], [], threading.Lock(), set()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*(tls or (pebble.certificate, pebble.private_key)))
        self.tls = context
        self.upstream_tls = ssl.create_default_context(cafile=pebble.bundle)
        ca = self

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, block_on_close, request_queue_size = True, False, 256

            def handle_error(self, request, client_address):
                pass  # a client that was killed, mostly

        self._server = Server((pebble.address, 0), type("Handler", (_Handler,), {"ca": ca}))
        self.port = self._server.server_address[1]
        self.url = f"https://{pebble.address}:{self.port}/dir"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            for connection in list(self._connections):
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def fault(self, step, act, times=None, skip=0):
        """From now on `act(exchange)` gives the answer to the requests of this step: `times` of them (None: all), after `skip` others."""
        with self._lock:
            self._faults.append([step, act, times, skip])
        return self

    def behave(self):
        with self._lock:
            self._faults.clear()

    def requests(self, step=None):
        return [exchange for exchange in list(self.seen) if step is None or exchange.step == step]

    # What follows is the handlers'.

    def begin(self, handler, body):
        with self._lock:
            step = step_of(handler.path)
            nth = 1 + sum(1 for exchange in self.seen if exchange.step == step)
            exchange = Exchange(self, handler, len(self.seen) + 1, nth, body)
            self.seen.append(exchange)
            act = self._choose(step)
        return exchange, act

    def _choose(self, step):
        for fault in self._faults:
            if fault[0] not in (step, "any"):
                continue
            if fault[3] > 0:
                fault[3] -= 1
                continue
            if fault[2] is None:
                return fault[1]
            if fault[2] > 0:
                fault[2] -= 1
                return fault[1]
        return None

    def connected(self, connection):
        with self._lock:
            self._connections.add(connection)

    def disconnected(self, connection):
        with self._lock:
            self._connections.discard(connection)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ca = None
    _upstream = None

    def setup(self):
        # TLS in the connection's own thread: a client that says nothing must hold up nobody else.
        self.request.settimeout(60)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = self.ca.tls.wrap_socket(self.request, server_side=True)
        self.ca.connected(self.request)
        super().setup()

    def finish(self):
        try:
            super().finish()
        finally:
            self.ca.disconnected(self.request)
            if self._upstream:
                self._upstream.close()
            self.request.close()

    def log_message(self, *_):
        pass

    def ask_upstream(self, body):
        headers = {key: value for key, value in self.headers.items() if key.lower() not in _HOP_BY_HOP}
        for last in (False, True):
            try:
                if self._upstream is None:
                    self._upstream = http.client.HTTPSConnection(
                        self.ca.pebble.address, self.ca.pebble.port, timeout=60, context=self.ca.upstream_tls)
                self._upstream.request(self.command, self.path, body or None, headers)
                response = self._upstream.getresponse()
                kept = [(key, value) for key, value in response.getheaders() if key.lower() not in _HOP_BY_HOP]
                return Answer(response.status, kept, response.read())
            except (OSError, http.client.HTTPException):
                # Go closes idle connections; nothing was answered then.
                self._upstream = None
                if last:
                    raise

    def _exchange(self):
        length = int(self.headers.get("Content-Length") or 0)
        exchange, act = self.ca.begin(self, self.rfile.read(length))
        try:
            if self.ca.watch:
                self.ca.watch(exchange)
            answer = act(exchange) if act else exchange.forward()
            exchange.status = answer.status
            if self.ca.after:
                self.ca.after(exchange)
            self.wfile.write(answer.head() + (b"" if self.command == "HEAD" else answer.body))
            self.wfile.flush()
        except (Cut, OSError, http.client.HTTPException):
            self.close_connection = True

    do_GET = do_POST = do_HEAD = _exchange


# What can go wrong. Each gives a fault's `act`.

_PAGE = b"<html><head><title>Sorry</title></head><body><h1>The proxy in front of the CA is unwell</h1></body></html>"


def answer_page(status, *headers):
    """A page for people instead of the CA's answer, as a load balancer gives it; the CA never sees the request."""
    return lambda exchange: Answer(status, [("Content-Type", "text/html"), *headers], _PAGE)


def answer_problem(status, kind, detail, *headers):
    body = json.dumps({"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail, "status": status}).encode()
    return lambda exchange: Answer(status, [("Content-Type", "application/problem+json"), *headers], body)


def cut(exchange):
    """The connection ends; the CA never sees the request."""
    raise Cut


def lose_answer(exchange):
    """The CA does what it is asked, and the connection ends before its answer."""
    exchange.forward()
    raise Cut


def cut_in_the_middle(exchange):
    answer = exchange.forward()
    exchange.send(answer.head() + answer.body[: len(answer.body) // 2])
    raise Cut


def cut_in_the_head(exchange):
    head = exchange.forward().head()
    exchange.send(head[: len(head) // 2])
    raise Cut


def slow(seconds):
    def act(exchange):
        time.sleep(seconds)
        return exchange.forward()

    return act


def drip(pieces, pause):
    """The answer in pieces."""
    def act(exchange):
        answer = exchange.forward()
        whole = answer.head() + answer.body
        size = max(1, len(whole) // pieces)
        for start in range(0, len(whole), size):
            exchange.send(whole[start : start + size])
            time.sleep(pause)
        raise Cut

    return act


def no_http(exchange):
    exchange.send(b"220 mail.example.test ESMTP ready\r\n")
    raise Cut


def change(edit):
    """The CA's answer, changed: edit(answer)."""
    def act(exchange):
        answer = exchange.forward()
        edit(answer)
        return answer

    return act


def body(octets):
    return change(lambda answer: setattr(answer, "body", octets))


def half_of_the_body(answer):
    answer.body = answer.body[: len(answer.body) // 2]


def content_type(value):
    return change(lambda answer: answer.replace_header("Content-Type", value))


def without(header):
    return change(lambda answer: answer.replace_header(header))


def with_header(header, value):
    return change(lambda answer: answer.replace_header(header, value))


def redirect(status, target):
    return lambda exchange: Answer(status, [("Location", target)], b"")


def json_edit(edit):
    """edit(document) changes the JSON in place."""
    def act(answer):
        document = json.loads(answer.body)
        edit(document)
        answer.body = json.dumps(document).encode()

    return change(act)


def endless(exchange):
    """A body that never ends."""
    answer = exchange.forward().replace_header("Transfer-Encoding", "chunked")
    exchange.send(answer.head().replace(b"Content-Length: %d\r\n" % len(answer.body), b""))
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    for _ in range(2000):
        exchange.send(chunk)
    raise Cut


def huge_headers(exchange):
    return exchange.forward().replace_header("X-Long", "x" * (1 << 19))


def oversized(octets):
    """A body longer than any of this kind is."""
    def edit(answer):
        answer.body = answer.body + b" " * octets

    return change(edit)
