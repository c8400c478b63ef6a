#!/usr/bin/python3
"""The public API over TLS: files that change under the running daemon, good and bad ones, old protocols, handshakes without an end."""

import concurrent.futures
import os
import signal
import ssl
import threading
import time

import base  # it says where the others are

import authority
import dns_wire
from api_case import ANYONE, ApiTest
from api_client import Raw
from processes import wait_until


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


if __name__ == "__main__":
    base.main()
