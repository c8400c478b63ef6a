#!/usr/bin/python3
"""The public API at its limits: many and slow connections, too much, too often, who may register, whose address counts, certificates that change."""

import concurrent.futures
import os
import re
import signal
import ssl
import threading
import time

import base  # it says where the others are

import authority
import dns_wire
import zone_files
from api_client import Account, Api, Raw, ask_raw
from processes import wait_until

ZONE = zone_files.ZONE
TOKEN = "correct-horse-battery-staple"
ANYONE = 'registration = "open"\nregistration_rate = { per_address = 0, burst = 0 }\n'


class ApiTest(base.SystemTest):
    internet = {"api": ANYONE}

    @property
    def port(self):
        return self.net.daemon.API_PORT

    def source(self, number):
        """An address that no other test has used up the patience for."""
        return self.net.block.address(100 + number)

    def raw(self, **options):
        raw = Raw(self.net.responder, self.port, **options)
        self.addCleanup(raw.close)
        return raw

    def texts(self, account):
        return self.net.daemon.texts(account.fulldomain, tcp=True)

    def log_line(self, since, *parts):
        """The first line since then that has all the parts."""
        def found():
            return next((line for line in self.net.daemon.child.log()[since:].splitlines() if all(part in line for part in parts)), "")
        return wait_until(found, f"a log line with {parts}")

    def memory(self):
        with open(f"/proc/{self.net.daemon.child.pid}/status", encoding="ascii", errors="replace") as file:
            return int(re.search(r"RssAnon:\s*(\d+)", file.read()).group(1)) * 1024


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
        self.assertEqual(len(self.net.control.values()), 0)

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


class Certificates(ApiTest):
    """TLS with files that change under the running daemon."""

    internet = {"api": lambda scene, address: Certificates.tls_api(scene, address)}

    @staticmethod
    def tls_api(scene, address):
        certificate, key = authority.make_server_certificate(scene, address, "api")
        os.chmod(key, 0o644)
        return ANYONE + f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n'

    def served(self):
        """The serial number of the certificate that a client is shown."""
        context = ssl.create_default_context(cafile=self.net.pebble.bundle)
        raw = Raw(self.net.responder, self.port, tls=context)
        serial = raw.socket.getpeercert()["serialNumber"]
        raw.close()
        return serial

    def api(self, **options):
        return self.net.api(trust=self.net.pebble.bundle, **options)

    def switch(self, name):
        """New files under the names that the configuration has, each replaced at once, as a deploy hook does."""
        certificate, key = authority.make_server_certificate(self.net.scene, self.net.responder, name)
        os.chmod(key, 0o644)
        os.replace(key, self.net.scene.path("api.key"))
        os.replace(certificate, self.net.scene.path("api.pem"))

    def test_new_certificate_is_used_without_a_restart_and_connections_stay(self):
        first, pid = self.served(), self.net.daemon.child.pid
        api = self.api()
        account = api.register()
        self.switch("second")
        wait_until(lambda: self.served() != first, "the new certificate is served", 20, pause=0.1)
        self.assertEqual(api.update(account, base.VALUE).status, 200, "a connection of before goes on")
        self.assertEqual(self.net.daemon.child.pid, pid)
        # At once by SIGHUP.
        second = self.served()
        self.switch("third")
        self.net.daemon.child.send(signal.SIGHUP)
        wait_until(lambda: self.served() != second, "the third certificate is served", 4, pause=0.02)

    def test_bad_files_change_nothing_and_are_complained_about(self):
        good, since = self.served(), len(self.net.daemon.child.log())
        path = self.net.scene.path("api.pem")
        with open(path, encoding="ascii") as file:
            kept = file.read()
        for text in ("nonsense\n", "", kept[: len(kept) // 2]):
            self.net.scene.write("api.pem.new", text)
            os.replace(self.net.scene.path("api.pem.new"), path)
            self.net.daemon.child.send(signal.SIGHUP)
            wait_until(lambda: "api.pem" in self.net.daemon.child.log()[since:], "a line about the bad file", 20)
            self.assertEqual(self.served(), good)
            since = len(self.net.daemon.child.log())
        other, key = authority.make_server_certificate(self.net.scene, self.net.responder, "foreign")
        self.assertTrue(key)
        os.replace(other, path)  # not of this key
        self.net.daemon.child.send(signal.SIGHUP)
        wait_until(lambda: "api." in self.net.daemon.child.log()[since:], "a line about the key", 20)
        self.assertEqual(self.served(), good)
        self.net.scene.write("api.pem.new", kept)
        os.replace(self.net.scene.path("api.pem.new"), path)
        self.assertEqual(self.served(), good)

    def test_old_protocols_and_plain_http_are_refused(self):
        context = ssl.create_default_context(cafile=self.net.pebble.bundle)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        raw = Raw(self.net.responder, self.port, tls=context)
        self.assertEqual(raw.socket.version(), "TLSv1.2")
        raw.close()
        with self.assertRaises((ssl.SSLError, OSError)):
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
            old.set_ciphers("DEFAULT@SECLEVEL=0")
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
            Raw(self.net.responder, self.port, tls=old).close()
        raw = self.raw()
        raw.send(b"POST /register HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        try:
            self.assertEqual(raw.receive().status, 400)
        except (ConnectionError, AssertionError):
            pass
        self.assertEqual(self.api().request("GET", "/health").status, 200)

    def test_handshakes_that_stop_half_way_hold_nobody_up(self):
        stuck = [Raw(self.net.responder, self.port, source=self.source(50)) for _ in range(100)]
        try:
            for one in stuck:
                one.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")
            began = time.monotonic()
            self.assertEqual(self.api(source=self.source(51)).request("GET", "/health").status, 200)
            self.assertLess(time.monotonic() - began, 1)
            wait_until(lambda: stuck[0].closed(timeout=0.05), "a handshake without an end is given up", 25)
        finally:
            for one in stuck:
                one.close()

    def test_many_clients_at_once(self):
        account = self.api().register()
        lock, errors = threading.Lock(), []

        def work(number):
            api = self.api()
            for one in range(10):
                reply = api.update(account, base.value(100 * number + one))
                if reply.status != 200:
                    with lock:
                        errors.append(reply)
            api.close()

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))
        self.assertEqual(errors, [])
        self.assertEqual(len(dns_wire.ask(self.net.responder, account.fulldomain, "TXT", tcp=True).texts()), 16)


class Off(base.SystemTest):
    def test_no_api_without_configuration(self):
        self.assertNotIn("api=", self.net.daemon.ready_line())
        with self.assertRaises(ConnectionRefusedError):
            self.net.api().request("GET", "/health")


if __name__ == "__main__":
    base.main()
