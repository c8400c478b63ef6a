#!/usr/bin/python3
"""The public API at its limits: many and slow connections, too much, too often, who may register, whose address counts, whose value goes."""

import concurrent.futures
import time

import base  # it says where the others are

from api_case import ANYONE, ApiTest
from api_client import Account, Api, Raw, ask_raw
from processes import wait_until

TOKEN = "correct-horse-battery-staple"


class Connections(ApiTest):
    def test_thousand_idle_connections_while_a_client_is_served(self):
        idle = []
        try:
            for number in range(1000):
                idle.append(Raw(self.net.responder, self.port, source=self.source(number // 190)))
            api = self.net.api(source=self.source(20))
            account = api.register()
            slowest = 0.0
            for number in range(50):
                began = time.monotonic()
                self.assertEqual(api.update(account, base.value(number)).status, 200)
                slowest = max(slowest, time.monotonic() - began)
            self.assertLess(slowest, 1.0)
            # A new connection for each request is served as well.
            for number in range(20):
                fresh = self.net.api(source=self.source(21))
                self.assertEqual(fresh.update(account, base.value(100 + number)).status, 200)
                fresh.close()
            # What went for the new ones went from the idle ones, and not many.
            alive = sum(1 for one in idle if not one.closed(timeout=0.001))
            self.assertGreater(alive, 900)
        finally:
            for one in idle:
                one.close()

    def test_one_address_does_not_take_all(self):
        """Beyond its share an address loses its own longest idle connections, and another is served."""
        idle = [Raw(self.net.responder, self.port, source=self.source(30)) for _ in range(300)]
        try:
            wait_until(lambda: sum(1 for one in idle[:100] if one.closed(timeout=0.001)) >= 90, "its first connections are closed")
            self.assertFalse(idle[-1].closed(timeout=0.01))
            self.assertEqual(self.net.api(source=self.source(31)).request("GET", "/health").status, 200)
            self.assertEqual(self.net.api(source=self.source(30)).request("GET", "/health").status, 200)
        finally:
            for one in idle:
                one.close()

    def drip(self, octets, pause):
        """Sends them one by one until the server has enough; returns (seconds, what it said)."""
        raw = self.raw(timeout=30)
        began = time.monotonic()
        raw.socket.settimeout(pause)
        said = b""
        for octet in octets:
            try:
                raw.send(bytes([octet]))
                part = raw.socket.recv(4096)
                said += part
                break
            except TimeoutError:
                continue
            except OSError:
                break
        return time.monotonic() - began, said

    def test_drip_fed_requests_are_given_up_and_nobody_else_waits(self):
        head = b"POST /update HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            header = pool.submit(self.drip, b"POST /register HTTP/1.1\r\nX-Filler: " + b"a" * 5000, 0.05)
            body = pool.submit(self.drip, head + b"b" * 900, 0.05)
            # A full line at a time, too, and never an end.
            lines = pool.submit(self.drip, b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 500, 0.05)
            api = self.net.api(source=self.source(40))
            account = api.register()
            while not (header.done() and body.done() and lines.done()):
                began = time.monotonic()
                self.assertEqual(api.update(account, base.VALUE).status, 200)
                self.assertLess(time.monotonic() - began, 1.0)
                time.sleep(0.1)
            for one in (header, body, lines):
                seconds, said = one.result()
                self.assertLess(seconds, 25)
                if said:
                    self.assertIn(b" 408 ", said.split(b"\r\n")[0])

    def test_too_large(self):
        before = self.memory()
        for octets, status in (
                (b"POST /register HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n", 413),
                (b"POST /register HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + b" " * 5000, 413),
                (b"POST /register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"400\r\n" + b"a" * 1024 + b"\r\n") * 8, 413),
                (b"POST /register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n", 413),
                (b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20000, 431),
                (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431)):
            with self.subTest(octets=octets[:70]):
                reply = ask_raw(self.net.responder, self.port, octets)
                self.assertEqual(reply.status, status, reply)
                self.assertIn("error", reply.json())
        largest = b"POST /register HTTP/1.1\r\nHost: x\r\nContent-Length: 4096\r\n\r\n" + b'{"x": "' + b"a" * (4096 - 9) + b'"}'
        self.assertEqual(ask_raw(self.net.responder, self.port, largest).status, 201)
        self.assertLess(self.memory() - before, 16 << 20)

    def test_nonsense_is_refused_and_the_next_connection_served(self):
        for octets in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300), b"\0" * 400, b"GET\r\n\r\n", b"POST /register HTTP/9.9\r\n\r\n",
                       b"POST /register HTTP/1.1\r\n\r\n", b"POST /register HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                       b"POST /register HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
                       b"POST /register HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                       b"POST /register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"POST /register HTTP/1.1\nHost: x\n\n"):
            with self.subTest(octets=octets[:60]):
                raw = self.raw(timeout=5)
                raw.send(octets)
                try:
                    reply = raw.receive()
                    self.assertIn(reply.status // 100, (4, 5), reply)
                except ConnectionError:
                    pass
                self.assertEqual(self.net.api().request("GET", "/health").status, 200)

    def test_pipelined_requests_are_answered_in_their_order(self):
        account = self.net.api().register()
        body = '{"subdomain": "%s", "txt": "%s"}'
        requests = b""
        for number in range(10):
            text = body % (account.subdomain, base.value(number))
            requests += (f"POST /update HTTP/1.1\r\nHost: x\r\nX-Api-User: {account.username}\r\nX-Api-Key: {account.password}\r\n"
                         f"Content-Length: {len(text)}\r\n\r\n{text}").encode()
        raw = self.raw()
        raw.send(requests)
        for number in range(10):
            self.assertEqual(raw.receive().text(), f'{{"txt": "{base.value(number)}"}}')

    def test_half_a_request_and_gone(self):
        for octets in (b"", b"POST", b"POST /register HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{"):
            for _ in range(50):
                raw = Raw(self.net.responder, self.port)
                raw.send(octets)
                raw.close()
        self.assertEqual(self.net.api().request("GET", "/health").status, 200)

    def test_metrics_are_for_this_host_alone(self):
        api = self.net.api()
        reply = api.request("GET", "/metrics")
        self.assertEqual(reply.status, 200)
        self.assertIn("countersign_build_info", reply.text())
        for field in ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded"):
            with self.subTest(field=field):
                self.assertEqual(api.request("GET", "/metrics", headers={field: "for=192.0.2.1" if field == "Forwarded" else "192.0.2.1"}).status, 404)


class Registration(ApiTest):
    """Each mode by a reload, which the daemon takes while it runs."""

    internet = {}

    def use(self, text):
        self.net.daemon.reload(api=text)

    @classmethod
    def setUpClass(cls):
        cls.internet = {"api": 'registration = "closed"\n'}
        super().setUpClass()
        cls.token_file = cls.net.scene.write("token", TOKEN + "\n")

    def becomes(self, status, **options):
        wait_until(lambda: self.register(**options).status == status, f"POST /register is answered {status}: {self.register(**options)}", 5)

    def register(self, source=1, headers=None, forwarded=None, body=None):
        return Api(self.net.responder, self.port, source=self.source(source), forwarded=forwarded).request("POST", "/register", body, headers)

    def test_closed_open_token_and_addresses(self):
        self.use('registration = "closed"\n')
        closed = self.register()
        self.assertEqual((closed.status, closed.text().strip()), (404, "404 page not found"))
        self.use('registration = "open"\nregistration_rate = { per_address = 0, burst = 0 }\n')
        self.becomes(201)
        self.use(f'registration = "token"\nregistration_token_file = "{self.token_file}"\nregistration_rate = {{ per_address = 0, burst = 0 }}\n')
        self.becomes(401)
        self.assertEqual(self.register(headers={"Authorization": "Bearer wrong"}).status, 401)
        self.assertEqual(self.register(headers={"Authorization": f"Bearer {TOKEN}x"}).status, 401)
        self.assertEqual(self.register(headers={"Authorization": f"Bearer {TOKEN}"}).status, 201)
        self.assertNotIn(TOKEN, self.net.daemon.child.log())
        self.use(f'registration = "open"\nregistration_allow = ["{self.source(5)}/32", "2001:db8::/32"]\nregistration_rate = {{ per_address = 0, burst = 0 }}\n')
        self.becomes(403)
        self.assertEqual(self.register(source=5).status, 201)
        # What a stranger says of himself does not count.
        self.assertEqual(self.register(forwarded=self.source(5)).status, 403)

    def test_rate_of_registrations(self):
        self.use('registration = "open"\nregistration_rate = { per_address = 1, burst = 3 }\n')
        self.becomes(201, source=10)
        answers = [self.register(source=11) for _ in range(5)]
        self.assertEqual([reply.status for reply in answers], [201, 201, 201, 429, 429])
        self.assertRegex(answers[-1].header("Retry-After"), r"^[1-9][0-9]?$")
        self.assertIn("error", answers[-1].json())
        self.assertEqual(self.register(source=12).status, 201, "another address has its own")

    def test_number_of_registrations(self):
        now = self.net.control.request("GET", "/v1/status")[1]["registrations"]
        self.use(f'registration = "open"\nregistration_rate = {{ per_address = 0, burst = 0 }}\nmax_registrations = {max(1, now + 2)}\n')
        self.becomes(201, source=15)
        wait_until(lambda: self.register(source=15).status == 403, "the limit is reached", 5)
        self.assertIn("error", self.register(source=15).json())
        self.assertEqual(self.net.control.request("GET", "/v1/status")[1]["registrations"], max(1, now + 2))

    def test_forwarded_address_counts_from_a_trusted_proxy_alone(self):
        proxy, stranger, client, other = self.source(60), self.source(61), "192.0.2.7", "198.51.100.9"
        self.use(f'registration = "open"\nregistration_allow = ["{client}/32"]\ntrusted_proxies = ["{proxy}/32", "10.0.0.0/8"]\n'
                 "registration_rate = { per_address = 0, burst = 0 }\n")
        self.becomes(201, source=60, forwarded=client)
        for source, forwarded, status in (
                (61, client, 403), (60, None, 403), (60, other, 403), (60, f"{client}, {other}", 403), (60, f"{other}, {client}", 201),
                (60, f"{other}, {client}, 10.1.2.3", 201), (60, "nonsense", 403), (60, f"{client}, nonsense", 403), (60, f" ,{client} , ", 201)):
            with self.subTest(source=source, forwarded=forwarded):
                self.assertEqual(self.register(source=source, forwarded=forwarded).status, status)
        self.assertNotEqual(proxy, stranger)

    def test_allowfrom_is_kept_to(self):
        self.use(ANYONE + f'trusted_proxies = ["{self.source(70)}/32"]\n')
        self.becomes(201, source=71)
        made = self.register(source=71, body='{"allowfrom": ["%s/32", "192.0.2.0/24"]}' % self.source(71))
        account = Account(made.json())
        for source, forwarded, status in ((71, None, 200), (72, None, 401), (70, "192.0.2.9", 200), (70, "198.51.100.1", 401), (71, "198.51.100.1", 200)):
            with self.subTest(source=source, forwarded=forwarded):
                reply = Api(self.net.responder, self.port, source=self.source(source), forwarded=forwarded).update(account, base.VALUE)
                self.assertEqual(reply.status, status, reply)


class Sharing(ApiTest):
    internet = {"api": ANYONE + "update_rate = { per_account = 5, burst = 20 }\n", "challenge": "[challenge]\nmax_values = 4"}

    def test_rate_of_updates_is_each_accounts_own(self):
        api = self.net.api()
        busy, other = api.register(), api.register()
        answers = [api.update(busy, base.value(number)) for number in range(40)]
        refused = [reply for reply in answers if reply.status == 429]
        self.assertEqual([reply.status for reply in answers[:20]], [200] * 20)
        self.assertGreater(len(refused), 5)
        self.assertRegex(refused[0].header("Retry-After"), r"^[1-9]")
        self.assertEqual(api.update(other, base.VALUE).status, 200)
        # It may again after a while.
        wait_until(lambda: api.update(busy, base.VALUE).status == 200, "the account may update again", 5, pause=0.1)

    def test_newest_value_is_never_lost_and_the_oldest_goes(self):
        api = self.net.api()
        account = api.register()
        for number in range(8):
            self.assertEqual(api.update(account, base.value(number)).status, 200)
            self.assertEqual(self.texts(account), [base.value(one) for one in range(max(0, number - 3), number + 1)])
        # A repeated one is the newest again, and evicts nobody.
        self.assertEqual(api.update(account, base.value(5)).status, 200)
        self.assertEqual(self.texts(account), [base.value(one) for one in (4, 5, 6, 7)])

    def test_two_writers_of_one_name_do_not_evict_each_other(self):
        account = self.net.register("--name", "n20.example.test", "--for", "n20.example.test")
        api, fqdn = self.net.api(), "_acme-challenge.n20.example.test"
        for number in range(2):
            self.assertEqual(self.net.control.put(account.fulldomain, base.value(number))[0], 200)
        for number in range(10, 18):
            self.assertEqual(api.update(account, base.value(number)).status, 200)
        # The control socket's two are there, and the account's newest two.
        self.assertEqual(self.texts(account), [base.value(one) for one in (0, 1, 16, 17)])
        # /present refuses where it would have to take from another.
        full = api.present(account, fqdn, base.value(30))
        self.assertEqual(full.status, 409, full)
        self.assertIn("error", full.json())
        # cleanup takes its own value only.
        self.assertEqual(api.cleanup(account, fqdn, base.value(0)).status, 200)
        self.assertEqual(api.cleanup(account, fqdn, base.value(16)).status, 200)
        self.assertEqual(self.texts(account), [base.value(one) for one in (0, 1, 17)])
        self.net.control.delete(account.fulldomain)

    def test_each_change_has_its_line_in_the_log_and_no_line_has_a_secret(self):
        since = len(self.net.daemon.child.log())
        account = self.net.register("--name", "n21.example.test", "--for", "n21.example.test")
        api = self.net.api(source=self.source(5))
        api.update(account, base.value(1))
        api.present(account, account.fulldomain, base.value(2))
        api.cleanup(account, account.fulldomain, base.value(1))
        for what, text in (("value added", base.value(1)), ("value added", base.value(2)), ("value removed", base.value(1))):
            self.log_line(since, what, f"who={account.username}", f"from={self.source(5)}", account.fulldomain, text)
        self.net.api(source=self.source(6)).request("POST", "/update", {"subdomain": account.subdomain, "txt": base.VALUE}, {**account.headers, "X-Api-Key": "q" * 40})
        self.log_line(since, "refused", self.source(6), account.username)
        log = self.net.daemon.child.log()
        for secret in (account.password, "q" * 40, account.basic["Authorization"].split()[1]):
            self.assertNotIn(secret, log)
        self.net.control.delete(account.fulldomain)

    def test_nothing_of_a_stranger_breaks_a_log_line(self):
        since = len(self.net.daemon.child.log())
        octets = ("POST /update HTTP/1.1\r\nHost: x\r\nX-Api-User: a\tb=\"c\" level=error who=root\r\nX-Api-Key: " + "z" * 40 + "\r\nContent-Length: 2\r\n\r\n{}").encode()
        self.assertEqual(ask_raw(self.net.responder, self.port, octets, source=self.source(9)).status, 401)
        line = self.log_line(since, self.source(9))
        self.assertNotIn("\t", line)
        self.assertNotIn(" who=root", line)

    def test_guessing_is_slowed_down_for_its_address_alone(self):
        account = self.net.api().register()
        guesser = self.net.api(source=self.source(11))
        statuses = [guesser.request("POST", "/update", {"subdomain": account.subdomain, "txt": base.VALUE},
                                    {"X-Api-User": account.username, "X-Api-Key": f"{number:040d}"}).status for number in range(40)]
        self.assertEqual(set(statuses), {401, 429})
        self.assertEqual(statuses[0], 401)
        self.assertEqual(self.net.api(source=self.source(12)).update(account, base.VALUE).status, 200)
        # Who knows the password is served even from there.
        self.assertEqual(guesser.update(account, base.value(3)).status, 200)


class Off(base.SystemTest):
    def test_no_api_without_configuration(self):
        self.assertNotIn("api=", self.net.daemon.ready_line())
        with self.assertRaises(ConnectionRefusedError):
            self.net.api().request("GET", "/health")


if __name__ == "__main__":
    base.main()
