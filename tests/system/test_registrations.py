#!/usr/bin/python3
"""`countersign register` and `registrations`: from the control socket to the public API, DNS and a certificate by the credentials that were written."""

import json
import os
import re
import stat

import base  # it says where the others are

import dns_wire
import zone_files
from daemon import UnixConnection

ZONE = zone_files.ZONE


class Registrations(base.SystemTest):
    # Closed: the control socket can register all the same.
    internet = {"api": 'registration = "closed"\n'}

    def tearDown(self):
        for entry in self.listed():
            self.assert_exit(self.net.run("registrations", "remove", entry["username"]), 0)
        self.assert_nothing_published()

    def listed(self):
        run = self.net.run("registrations", "list", "--json")
        self.assert_exit(run, 0)
        return run.json()

    def register(self, *arguments):
        run = self.net.run("register", *arguments)
        self.assert_exit(run, 0)
        return run

    def update(self, account, value=base.VALUE):
        """The status of an acme-dns update with these credentials."""
        body = json.dumps({"subdomain": account["subdomain"], "txt": value})
        fields = {"X-Api-User": account["username"], "X-Api-Key": account["password"]}
        return self.net.api().request("POST", "/update", body, fields).status

    def refused(self, *arguments, code=2):
        run = self.net.run("register", *arguments)
        self.assert_exit(run, code)
        self.assertEqual(run.out, "")
        self.assertEqual(self.listed(), [])
        return run.err

    def test_register_list_show_remove(self):
        run = self.register("--name", "Example.com", "--for", "bücher.example.test", "--label", "web 1", "--allow-from", "127.0.0.0/8")
        account = run.json()
        self.assertEqual(run.out.count("\n"), 1)
        self.assertEqual(list(account)[:5], ["username", "password", "fulldomain", "subdomain", "allowfrom"])
        self.assertEqual((account["fulldomain"], account["subdomain"], account["zone"]), (f"example.com.{ZONE}", "example.com", ZONE))
        self.assertEqual(account["allowfrom"], ["127.0.0.0/8"])
        self.assertRegex(account["password"], r"^[A-Za-z0-9_-]{40}$")
        for domain in ("example.com", "xn--bcher-kva.example.test"):
            self.assertIn(f"_acme-challenge.{domain}. IN CNAME example.com.{ZONE}.", run.err)
        (entry,) = self.listed()
        self.assertEqual(entry["for"], ["example.com", "xn--bcher-kva.example.test"])
        self.assertEqual((entry["label"], entry["used"]), ("web 1", None))
        self.assertIn(account["username"], self.net.run("registrations", "list").out)
        shown = self.net.run("registrations", "show", account["username"], "--json")
        self.assertEqual(shown.json(), entry)
        self.assertIn("web 1", self.net.run("registrations", "show", account["username"].upper()).out)
        self.assertEqual(self.net.run("status", "--json").json()["registrations"], 1)

        # Registered and without values: there, but empty. Then with one, then gone with it.
        name = account["fulldomain"]
        self.assertEqual(dns_wire.ask(self.net.responder, name, "TXT").rcode, "NOERROR")
        self.assertEqual(self.update(account), 200)
        self.assertEqual(self.net.daemon.texts(name), [base.VALUE])
        self.assertIsNotNone(self.listed()[0]["used"])
        removed = self.net.run("registrations", "remove", account["username"])
        self.assert_exit(removed, 0)
        self.assertIn(name, removed.err)
        self.assertEqual(dns_wire.ask(self.net.responder, name, "TXT").rcode, "NXDOMAIN")
        self.assertEqual(self.net.control.values(), {})
        self.assertEqual(self.update(account), 401)
        self.assert_exit(self.net.run("registrations", "remove", account["username"]), 1)
        log = self.net.daemon.child.log()
        for event in ("registration made", "registration removed"):
            self.assertRegex(log, rf'event="{event}" who=control .*username={account["username"]}')
        self.assertNotIn(account["password"], log)

    def test_a_rotated_password_is_the_only_one(self):
        old = self.register("--name", "rotated.example").json()
        run = self.net.run("registrations", "rotate", old["username"])
        self.assert_exit(run, 0)
        new = run.json()
        self.assertEqual({**new, "password": ""}, {**old, "password": ""})
        self.assertNotEqual(new["password"], old["password"])
        self.assertEqual(self.update(old), 401)
        self.assertEqual(self.update(new), 200)
        self.net.daemon.restart()
        self.assertEqual(self.update(old, base.value(2)), 401)
        self.assertEqual(self.update(new, base.value(3)), 200)

    def test_issue_with_the_credentials_that_register_wrote(self):
        name = "n60.example.test"
        for number, form in enumerate(("acme-dns", "lego", "certbot")):
            with self.subTest(form):
                file = self.net.scene.path(f"credentials-{form}.json")
                run = self.register("--name", name, "--output", file, "--format", form, "--server-url", self.net.api_url)
                self.assertEqual(run.out, "")
                self.assertEqual(stat.S_IMODE(os.stat(file).st_mode), 0o600)
                with open(file, encoding="utf-8") as credentials:
                    self.assertNotIn(re.search(r'"password": ?"([^"]+)"', credentials.read()).group(1), run.err)
                delegated = self.net.run("delegate", name, "--credentials", file)
                self.assertIn(f"CNAME {name}.{ZONE}.", delegated.out)
                issued = self.net.issue("--server", self.net.api_url, "--credentials", file, "--force", name, f"*.{name}")
                self.assert_exit(issued, 0)
                self.net.check_certificate(name, [name, f"*.{name}"])
                self.assertEqual(self.net.control.values(), {}, f"certificate {number}: the client cleans up")
                (entry,) = self.listed()
                self.assert_exit(self.net.run("registrations", "remove", entry["username"]), 0)

    def test_formats_for_other_programs(self):
        shell = self.register("--for", "a.example.test", "--format", "acme.sh", "--server-url", "https://v.example.test/")
        lines = dict(re.findall(r"^export (\w+)='([^']*)'$", shell.out, re.MULTILINE))
        self.assertEqual(sorted(lines), ["ACMEDNS_BASE_URL", "ACMEDNS_PASSWORD", "ACMEDNS_SUBDOMAIN", "ACMEDNS_USERNAME"])
        self.assertEqual(lines["ACMEDNS_BASE_URL"], "https://v.example.test")
        secret = self.register("--for", "b.example.test", "--format", "cert-manager").out
        account = json.loads(secret.splitlines()[-1])["b.example.test"]
        # The API listens at one address, without TLS: that is told.
        self.assertEqual(account["server_url"], self.net.api_url)
        self.assertEqual(self.update(account), 200)
        self.assertRegex(secret, r"(?m)^kind: Secret$")

    def test_nothing_is_registered_for_a_bad_wish(self):
        existing = self.net.scene.path("existing.json")
        with open(existing, "w", encoding="utf-8") as file:
            file.write("precious")
        self.assertIn("exists already", self.refused("--output", existing, code=1))
        with open(existing, encoding="utf-8") as file:
            self.assertEqual(file.read(), "precious")
        self.refused("--output", "/nonexistent/folder/file", code=1)
        self.assertIn("--for", self.refused("--format", "lego"))
        self.assertIn("wildcard", self.refused("--for", "*.example.test"))
        self.assertIn("wildcard", self.refused("--name", "*.example.test"))
        self.refused("--name", "a..b")
        self.refused("--for", "192.0.2.1")
        self.assertIn("--allow-from", self.refused("--allow-from", "192.0.2.0/33"))
        self.assertIn("label", self.refused("--label", "x" * 201))
        self.assertIn("label", self.refused("--label", "a\tb"))
        fresh = self.net.scene.path("fresh.json")
        self.refused("--output", fresh, "--label", "a\tb")
        self.assertFalse(os.path.exists(fresh), "a file is left of a registration that there is not")

    def test_a_name_belongs_to_one(self):
        first = self.register("--name", "mine.example").json()
        run = self.net.run("register", "--name", "MINE.example", "--json")
        self.assert_exit(run, 1)
        self.assertEqual(run.json()["error"]["code"], "exists")
        self.assertEqual(self.update(first), 200)

    def test_the_list_in_pages(self):
        made = sorted(self.register().json()["username"] for _ in range(5))
        self.assertEqual([entry["username"] for entry in self.listed()], made)
        target, seen = "/v1/registrations?limit=2", []
        while target:
            connection = UnixConnection(self.net.control.path, 10.0)
            connection.request("GET", target)
            answer = connection.getresponse()
            seen += [entry["username"] for entry in json.load(answer)]
            link = answer.getheader("Link")
            connection.close()
            target = link and re.fullmatch(r'<(/v1/registrations\?after=[0-9a-f-]{36}&limit=2)>; rel="next"', link).group(1)
        self.assertEqual(seen, made)

    def test_registrations_survive_a_kill(self):
        account = self.register("--name", "kept.example", "--label", "ä").json()
        before = self.listed()
        self.net.daemon.kill()
        self.net.daemon.start()
        self.assertEqual(self.listed(), before)
        self.assertEqual(self.update(account), 200)

    def test_without_a_daemon_nothing_is_left(self):
        file = self.net.scene.path("unreachable.json")
        self.net.daemon.stop()
        try:
            run = self.net.run("register", "--output", file)
        finally:
            self.net.daemon.start()
        self.assert_exit(run, 1)
        self.assertIn("cannot reach countersignd", run.err)
        self.assertFalse(os.path.exists(file))


if __name__ == "__main__":
    base.main()
