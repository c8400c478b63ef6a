#!/usr/bin/python3
"""ACME clients as they are, by the acme-dns API and by httpreq: certificates from the CA through the daemon; and the requests of those that Debian has not."""

import base64
import json
import os
import socket
import ssl
import threading

import base  # it says where the others are

import api_peers
import authority
import replayed_clients
import zone_files
from processes import FixtureError, wait_until

ZONE = zone_files.ZONE


def open_api(scene, address):
    # Registration from anywhere, as often as a test needs it; TLS beside plain HTTP is another daemon's matter.
    return 'registration = "open"\nregistration_rate = { per_address = 0, burst = 0 }\n'


class Clients(base.SystemTest):
    internet = {"api": open_api}

    def served(self, name):
        return self.net.daemon.texts(name)

    def new_name(self, number):
        return f"fresh{number}.{zone_files.PARENT}"

    def test_lego_acme_dns_registers_says_the_cname_and_issues(self):
        name = self.new_name(1)
        client = api_peers.LegoAcmeDns(self.net)
        with self.assertRaises(FixtureError) as refused:
            client.issue([name], timeout=60)
        if "unrecognized DNS provider" in str(refused.exception):
            self.skipTest("this lego is built without its acme-dns provider (Debian's is); what it sends is replayed below")
        self.assertIn("CNAME", str(refused.exception))
        account = client.accounts()[name]
        self.assertIn(account["fulldomain"], str(refused.exception))
        self.assertEqual(account["fulldomain"], f"{account['subdomain']}.{ZONE}")
        self.net.delegate(name, account["fulldomain"])
        names = [name, f"*.{name}"]
        client.issue(names, timeout=60)
        self.assert_certificate(client.certificate(names), names)
        # Nobody deletes by this API: both values are there still.
        self.assertEqual(len(self.served(account["fulldomain"])), 2)

    def test_certbot_with_a_manual_hook(self):
        name = self.new_name(2)
        client = api_peers.CertbotAcmeDns(self.net)
        with self.assertRaises(FixtureError):
            client.issue([name], timeout=60)
        self.net.delegate(name, client.accounts()[name]["fulldomain"])
        names = [name, f"*.{name}"]
        client.issue(names, timeout=60)
        self.assert_certificate(os.path.join(os.path.dirname(client.certificate(names)), "fullchain.pem"), names)

    def httpreq(self, name, **options):
        account = self.net.register("--name", name, "--for", name)
        self.assertEqual(account.fulldomain, f"{name}.{ZONE}")
        client = api_peers.LegoHttpreq(self.net, account, **options)
        names = [name, f"*.{name}"]
        client.issue(names, timeout=90)
        self.assert_certificate(client.certificate(names), names)
        # cleanup took away just what present had brought.
        self.assertEqual(self.served(account.fulldomain), [])

    def test_lego_httpreq(self):
        self.httpreq("n70.example.test")

    def test_lego_httpreq_that_follows_the_cname(self):
        self.httpreq("n71.example.test", follows=True)

    def test_lego_httpreq_in_raw_mode(self):
        self.httpreq("n72.example.test", mode="RAW")

    def test_dehydrated_with_curl(self):
        name = "n73.example.test"
        account = self.net.register("--name", name, "--for", name)
        client = api_peers.DehydratedPresent(self.net, account)
        names = [name, f"*.{name}"]
        client.issue(names, timeout=60)
        self.assert_certificate(os.path.join(os.path.dirname(client.certificate(names)), "fullchain.pem"), names)
        self.assertEqual(self.served(account.fulldomain), [])

    def test_two_clients_at_one_name_do_not_disturb_each_other(self):
        """A value of the control socket stands at the name, while another client issues for it."""
        name = "n74.example.test"
        account = self.net.register("--name", name, "--for", name)
        self.assertEqual(self.net.control.put(account.fulldomain, base.VALUE)[0], 200)
        client = api_peers.DehydratedPresent(self.net, account)
        client.issue([name], timeout=60)
        self.assertEqual(self.served(account.fulldomain), [base.VALUE])
        self.net.control.delete(account.fulldomain)


class OverTls(base.SystemTest):
    """`countersign issue --server https://...` on another machine, with credentials of its own and no control socket."""

    internet = {"api": lambda scene, address: OverTls.tls_api(scene, address)}

    @staticmethod
    def tls_api(scene, address):
        certificate, key = authority.make_server_certificate(scene, address, "api")
        os.chmod(key, 0o644)  # the user that the daemon becomes reads it again when it changes
        return f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n'

    def remote(self, name, names=None):
        """A configuration of another machine: another state, another control socket where nobody is."""
        run = self.net.run("register", "--name", name, "--for", name, "--format", "acme-dns")
        self.assert_exit(run, 0)
        credentials = self.net.scene.write(f"remote-{name}/credentials.json", run.out, mode=0o600)
        state = self.net.scene.path(f"remote-{name}", "state")
        server = f"https://{self.net.responder}:{self.net.daemon.API_PORT}"
        config = self.net.scene.write(f"remote-{name}/countersign.toml", (
            f'state_dir = "{state}"\ncontrol_socket = "{self.net.scene.path("nobody-here.sock")}"\n\n{self.net.acme_table()}'
            f'server = "{server}"\ncredentials = "{credentials}"\n'))
        return config, credentials, server, os.path.join(state, "acme", "live", name, "fullchain.pem")

    def test_issue_through_a_remote_daemon(self):
        name = "n75.example.test"
        config, credentials, server, chain = self.remote(name)
        names = [name, f"*.{name}"]
        # As the configuration says, and as the command line does.
        for options in ([], ["--force", "--server", server, "--credentials", credentials]):
            run = self.net.run("issue", "--json", *options, *names, config=config)
            self.assert_exit(run, 0)
            self.assert_certificate(chain, names)
            self.assert_nothing_published()

    def test_wrong_password_is_said_and_nothing_is_left(self):
        name = "n76.example.test"
        config, credentials, server, chain = self.remote(name)
        with open(credentials, encoding="utf-8") as file:
            document = json.load(file)
        document["password"] = "x" * 40
        with open(credentials, "w", encoding="utf-8") as file:
            json.dump(document, file)
        run = self.net.run("issue", "--json", "--server", server, "--credentials", credentials, name, config=config)
        self.assert_exit(run, 1)
        self.assertNotIn("x" * 40, run.text(), "the password is shown")
        self.assertFalse(os.path.exists(chain))
        self.assert_nothing_published()

    def test_server_that_is_not_to_be_trusted_gets_no_password(self):
        name = "n77.example.test"
        config, credentials, _server, chain = self.remote(name)
        address, key, certificate = self.net.block.address(30), self.net.scene.path("stranger.key"), self.net.scene.path("stranger.pem")
        authority.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate,
                          "-days", "2", "-subj", "/CN=stranger", "-addext", f"subjectAltName=IP:{address}")
        stranger = Stranger(address, certificate, key)
        try:
            run = self.net.run("issue", "--json", "--server", f"https://{address}:{stranger.port}", "--credentials", credentials, name, config=config)
        finally:
            stranger.close()
        self.assert_exit(run, 1)
        self.assertTrue(stranger.met, f"nobody came: {run}")
        self.assertEqual(stranger.heard, [], "it was told something")
        self.assertFalse(os.path.exists(chain))
        self.assert_nothing_published()


class Stranger:
    """A TLS server with a certificate that nobody trusts: what it is told over TLS."""

    def __init__(self, address, certificate, key):
        self.met, self.heard = 0, []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._socket = socket.create_server((address, 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.met += 1
            try:
                with self._context.wrap_socket(connection, server_side=True) as stream:
                    stream.settimeout(5)
                    if heard := stream.recv(4096):
                        self.heard.append(heard)
            except OSError:
                connection.close()

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Replayed(base.SystemTest):
    """Octets of clients that Debian does not have, over plain HTTP."""

    internet = {"api": open_api}
    strangers = 0

    def setUp(self):
        self.host = f"{self.net.responder}:{self.net.daemon.API_PORT}"

    def send(self, template, source=None, **known):
        octets = replayed_clients.fill(template, host=self.host, **known)
        return replayed_clients.send(self.net.responder, self.net.daemon.API_PORT, octets, source=source)

    def stranger(self):
        """An address whose failed logins have not been counted yet."""
        Replayed.strangers += 1
        return self.net.block.address(100 + Replayed.strangers)

    def register(self, template, needs):
        if template is None:
            return json.loads(json.dumps(self.net.api().register().document))
        reply = self.send(template)
        self.assertEqual(reply.status, 201, reply)
        self.assertEqual(reply.header("Content-Type"), "application/json")
        text = reply.text()
        self.assertNotIn("\n", text.rstrip("\n"), "more than one line")
        account = reply.json()
        self.assertEqual(list(account), ["username", "password", "fulldomain", "subdomain", "allowfrom"])
        self.assertRegex(account["username"], r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        self.assertRegex(account["password"], r"^[A-Za-z0-9_-]{40}$")
        self.assertEqual(account["fulldomain"], f"{account['subdomain']}.{ZONE}")
        if "sed" in needs:
            for member in ("username", "password", "subdomain", "fulldomain"):
                self.assertEqual(replayed_clients.acme_sh_member(text, member), account[member])
        self.assertEqual(bool(account["allowfrom"]), "allowfrom" in needs, account)
        return account

    def test_acme_dns_clients(self):
        for number, (client, (register, update, needs)) in enumerate(replayed_clients.ACME_DNS.items()):
            with self.subTest(client=client):
                account = self.register(register, needs)
                known = {"user": account["username"], "key": account["password"], "subdomain": account["subdomain"]}
                first, second = base.value(2 * number), base.value(2 * number + 1)
                for text in (first, second, second):
                    reply = self.send(update, txt=text, **known)
                    self.assertEqual(reply.status, 200, reply)
                    self.assertEqual(reply.text(), f'{{"txt": "{text}"}}')
                    self.assertIn(text, self.net.daemon.texts(account["fulldomain"]), "acknowledged, and not served")
                # x and *.x, and a repeated one does not push the other out.
                self.assertEqual(self.net.daemon.texts(account["fulldomain"]), sorted([first, second]))
                refused = self.send(update, self.stranger(), txt=base.VALUE, **{**known, "key": "a" * 40})
                self.assertEqual(refused.status, 401, refused)
                self.assertIn("error", refused.json())

    def test_httpreq_clients(self):
        for number, (client, (present, cleanup, _needs)) in enumerate(replayed_clients.HTTPREQ.items()):
            with self.subTest(client=client):
                name = f"n{80 + number}.example.test"
                account = self.net.register("--name", name, "--for", name)
                basic = base64.b64encode(f"{account.username}:{account.password}".encode()).decode()
                for fqdn in (f"_acme-challenge.{name}", account.fulldomain):
                    for text in (base.value(1), base.value(2)):
                        reply = self.send(present, fqdn=fqdn, txt=text, basic=basic)
                        self.assertEqual(reply.status, 200, reply)
                        self.assertIn(f'"{text}"', reply.text(), "acme.sh looks for the value in quotes")
                        self.assertIn(text, self.net.daemon.texts(account.fulldomain))
                    reply = self.send(cleanup, fqdn=fqdn, txt=base.value(1), basic=basic)
                    self.assertEqual(reply.status, 200, reply)
                    self.assertIn(f'"{base.value(1)}"', reply.text())
                    self.assertEqual(self.net.daemon.texts(account.fulldomain), [base.value(2)])
                    self.assertEqual(self.send(cleanup, fqdn=fqdn, txt=base.value(2), basic=basic).status, 200)
                    self.assertEqual(self.net.daemon.texts(account.fulldomain), [])
                foreign = self.send(present, fqdn="_acme-challenge.other.example.test", txt=base.VALUE, basic=basic)
                self.assertEqual(foreign.status, 403, foreign)
                wrong = base64.b64encode(f"{account.username}:{'a' * 40}".encode()).decode()
                self.assertEqual(self.send(present, self.stranger(), fqdn=account.fulldomain, txt=base.VALUE, basic=wrong).status, 401)
                self.assertEqual(self.net.daemon.texts(account.fulldomain), [])

    def test_acme_dns_documented_paths(self):
        api = self.net.api()
        health = api.request("GET", "/health")
        self.assertEqual((health.status, health.body), (200, b""))
        method = api.request("GET", "/register")
        self.assertEqual(method.status, 405)
        self.assertIn("POST", method.header("Allow"))
        unknown = api.request("GET", "/nothing")
        self.assertEqual((unknown.status, unknown.text().strip()), (404, "404 page not found"))
        self.assertEqual(api.request("POST", "/register/").status, 307)
        self.assertEqual(api.request("POST", "/register?x=1").status, 201)

    def test_browser_may_update_from_another_origin(self):
        api = self.net.api()
        origin = {"Origin": "https://panel.example.org"}
        preflight = api.request("OPTIONS", "/update", headers={
            **origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key,x-api-user,content-type"})
        self.assertIn(preflight.status, (200, 204))
        self.assertIn(preflight.header("Access-Control-Allow-Origin"), ("*", origin["Origin"]))
        allowed = preflight.header("Access-Control-Allow-Headers").lower()
        for field in ("x-api-key", "x-api-user", "content-type"):
            self.assertIn(field, allowed)
        account = api.register(headers=origin)
        reply = api.request("POST", "/update", {"subdomain": account.subdomain, "txt": base.VALUE}, {**account.headers, **origin})
        self.assertEqual(reply.status, 200)
        self.assertIn(reply.header("Access-Control-Allow-Origin"), ("*", origin["Origin"]))

    def test_refusals_are_json_and_as_acme_dns_words_them(self):
        api = self.net.api()
        account = api.register()
        cases = [
            ("/register", "nonsense", {}, 400, "malformed_json_payload"),
            ("/register", '{"allowfrom":"10.0.0.0/8"}', {}, 400, "malformed_json_payload"),
            ("/register", "[]", {}, 400, "malformed_json_payload"),
            ("/register", '{"allowfrom":["1.2.3.4"]}', {}, 400, "invalid_allowfrom_cidr"),
            ("/register", '{"ALLOWFROM":["1.2.3.4/33"]}', {}, 400, "invalid_allowfrom_cidr"),
            ("/update", {"subdomain": account.subdomain, "txt": base.VALUE}, {}, 401, "forbidden"),
            ("/update", {"subdomain": account.subdomain, "txt": base.VALUE}, {**account.headers, "X-Api-User": "nobody"}, 401, "forbidden"),
            ("/update", {"subdomain": "other", "txt": base.VALUE}, account.headers, 401, "forbidden"),
            ("/update", {"subdomain": account.subdomain, "txt": base.VALUE + "x"}, account.headers, 400, "bad_txt"),
            ("/update", {"subdomain": account.subdomain}, account.headers, 400, "bad_txt"),
            ("/update", {"subdomain": account.subdomain, "txt": None}, account.headers, 400, "bad_txt"),
        ]
        for path, body, headers, status, error in cases:
            with self.subTest(path=path, body=body):
                reply = self.net.api(source=self.stranger()).request("POST", path, body, headers)
                self.assertEqual(reply.status, status, reply)
                self.assertEqual(reply.json().get("error"), error)
        self.assertEqual(self.net.daemon.texts(account.fulldomain), [])
        # A name that is registered and has no value exists (RFC 2308, RFC 8020).
        wait_until(lambda: self.net.daemon.texts(account.fulldomain) == [], "no value")


if __name__ == "__main__":
    # Clients that know only the system's trust and resolver get ours in a mount namespace.
    base.main(own_network=True)
