#!/usr/bin/python3
"""What a person can ask for with `issue`, with every Pebble found: profiles, dates, keys, requests of others, files and their rights, fewer names."""

import datetime
import grp
import os
import stat
import subprocess

import base
import zone_files
from authority import openssl
from odd_ca import OddCa
from own_state import names_of, parse_chain, public_der, read_chain, read_key, validity

NAMES = zone_files.NUMBERED


class Wishes(base.OwnStateTest):
    """What a person asks for about the certificate itself."""

    internet = {"pebble_options": {"config": {
        "profiles": {"default": {"description": "90 days", "validityPeriod": 7776000}, "short": {"description": "6 days", "validityPeriod": 518400}},
        "domainBlocklist": ["n30.example.test", "n31.example.test"]}}}

    def days(self, own, name):
        begin, end = validity(read_chain(own.live(name, "cert.pem"))[0])
        return (end - begin).total_seconds() / 86400

    def test_profile(self):
        self.need_new_pebble("profiles")
        own = self.own()
        for profile, days in (("short", 6), ("default", 90)):
            self.issued(own, "--force", "--profile", profile, NAMES[0])
            self.assertAlmostEqual(self.days(own, NAMES[0]), days, delta=0.1)

    def test_unknown_profile(self):
        own = self.own()
        orders = self.net.pebble.orders()
        said = self.message(own.issue("--profile", "no-such", NAMES[1]), 2)
        self.assertIn("no-such", said)
        if self.net.pebble.new:
            # What there is instead.
            self.assertIn("short", said)
        self.assertEqual(self.net.pebble.orders(), orders, "it is ordered although the directory does not have it")

    def test_limits_of_the_validity(self):
        own = self.own()
        begin = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) - datetime.timedelta(hours=1)
        end = begin + datetime.timedelta(days=3)
        form = "%Y-%m-%dT%H:%M:%SZ"
        self.issued(own, "--not-before", begin.strftime(form), "--not-after", end.strftime(form), NAMES[2])
        self.assertEqual(validity(read_chain(own.live(NAMES[2], "cert.pem"))[0]), (begin, end))
        self.assert_exit(own.issue("--not-before", "tomorrow", NAMES[2]), 2)

    def test_key_types(self):
        own = self.own()
        for kind, words in {"p256": "prime256v1", "p384": "secp384r1", "rsa2048": "2048 bit", "rsa3072": "3072 bit"}.items():
            self.issued(own, "--force", "--key-type", kind, NAMES[3])
            self.assertIn(words, openssl("x509", "-in", own.live(NAMES[3], "cert.pem"), "-noout", "-text"))
            own.check_pair(NAMES[3], [NAMES[3]])

    def test_reuse_of_the_key(self):
        own = self.own()
        self.issued(own, NAMES[4])
        first = public_der(read_key(own.live(NAMES[4], "privkey.pem")))
        self.issued(own, "--force", "--reuse-key", NAMES[4])
        self.assertEqual(public_der(read_key(own.live(NAMES[4], "privkey.pem"))), first)
        own.check_pair(NAMES[4], [NAMES[4]])
        # Another type is another key.
        self.issued(own, "--force", "--reuse-key", "--key-type", "p384", NAMES[4])
        own.check_pair(NAMES[4], [NAMES[4]])

    def request_file(self, own, form, names, *more):
        path = os.path.join(own.folder, f"request.{form.lower()}")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path + ".key", "-subj", "/",
                "-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names), "-outform", form, "-out", path, *more)
        return path

    def test_foreign_request(self):
        own = self.own()
        for form in ("PEM", "DER"):
            with self.subTest(form=form):
                names = [NAMES[5], NAMES[6]]
                path = self.request_file(own, form, names)
                run = self.issued(own, "--force", "--csr", path)
                leaf = read_chain(own.live(NAMES[5], "cert.pem"))[0]
                self.assertEqual(names_of(leaf), sorted(names))
                self.assertEqual(public_der(leaf), public_der(read_key(path + ".key")))
                self.assertFalse(os.path.exists(own.live(NAMES[5], "privkey.pem")), "a key that is not ours")
                self.assertEqual(sorted(run.json()["certificate"]["files"]), ["cert.pem", "chain.pem", "fullchain.pem"])
        # Valid, so it is left alone; names that are not the request's are refused.
        again = self.issued(own, "--csr", path)
        self.assertEqual(again.json()["status"], "unchanged")
        self.assert_exit(own.issue("--force", "--csr", path, NAMES[7]), 2)

    def test_bad_requests(self):
        own = self.own()
        with open(os.path.join(own.folder, "text"), "w", encoding="ascii") as file:
            file.write("hello\n")
        rsa = os.path.join(own.folder, "weak")
        openssl("req", "-new", "-newkey", "rsa:1024", "-nodes", "-keyout", rsa + ".key", "-subj", "/", "-addext", f"subjectAltName=DNS:{NAMES[7]}", "-out", rsa)
        bare = os.path.join(own.folder, "bare")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", bare + ".key", "-subj", "/", "-out", bare)
        orders = self.net.pebble.orders()
        for path in (os.path.join(own.folder, "absent"), os.path.join(own.folder, "text"), own.folder, "/dev/null", rsa + ".key", bare):
            with self.subTest(path=path):
                run = own.issue("--csr", path)
                self.assertIn(run.code, (1, 2), str(run))
                self.assertIn(os.path.basename(path), run.json()["error"]["message"])
        self.assertEqual(self.net.pebble.orders(), orders)

    def test_pkcs12(self):
        own = self.own()
        with open(os.path.join(own.folder, "password"), "w", encoding="utf-8") as file:
            file.write("pässword with blanks\nsecond line\n")
        password = "pässword with blanks"
        for flag, options, cipher in (("--pkcs12", [], "AES-256-CBC"), ("--pkcs12-legacy", ["-legacy"], "3-?Key")):
            with self.subTest(flag=flag):
                run = self.issued(own, "--force", flag, "--pkcs12-password-file", os.path.join(own.folder, "password"), NAMES[8])
                self.assertIn("certificate.p12", run.json()["certificate"]["files"])
                path = own.live(NAMES[8], "certificate.p12")
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
                info = subprocess.run(["openssl", "pkcs12", "-in", path, "-info", "-noout", "-passin", f"pass:{password}", *options],
                                      capture_output=True, text=True, check=False)
                self.assertEqual(info.returncode, 0, info.stderr)
                self.assertRegex(info.stderr, cipher)
                key = openssl("pkcs12", "-in", path, "-nocerts", "-nodes", "-passin", f"pass:{password}", *options)
                self.assertIn(NAMES[8], key, "no friendly name")
                found = openssl("pkcs12", "-in", path, "-nokeys", "-passin", f"pass:{password}", *options)
                certificates = parse_chain(found.encode())
                self.assertEqual(set(certificates), set(read_chain(own.live(NAMES[8], "fullchain.pem"))))
                wrong = subprocess.run(["openssl", "pkcs12", "-in", path, "-noout", "-passin", "pass:x", *options], capture_output=True, check=False)
                self.assertNotEqual(wrong.returncode, 0)
        self.issued(own, "--force", "--pkcs12", NAMES[9])
        openssl("pkcs12", "-in", own.live(NAMES[9], "certificate.p12"), "-noout", "-passin", "pass:")
        orders = self.net.pebble.orders()
        run = own.issue("--force", "--pkcs12", "--pkcs12-password-file", "/nonexistent", NAMES[9])
        self.assertIn(run.code, (1, 2))
        self.assertIn("/nonexistent", run.json()["error"]["message"])
        self.assertEqual(self.net.pebble.orders(), orders, "it is ordered although the password cannot be read")

    def test_group_and_mode(self):
        own = self.own()
        group = grp.getgrnam("nogroup")
        for arguments, mode in ((["--group", "nogroup"], 0o640), (["--group", "nogroup", "--mode", "0600"], 0o600), (["--mode", "0644"], 0o644)):
            with self.subTest(arguments=arguments):
                self.issued(own, "--force", *arguments, NAMES[10])
                found = os.stat(own.live(NAMES[10], "privkey.pem"))
                self.assertEqual(oct(stat.S_IMODE(found.st_mode)), oct(mode))
                if "--group" in arguments:
                    self.assertEqual(found.st_gid, group.gr_gid)
        if base.can_drop_to(65534):
            self.issued(own, "--force", "--group", "nogroup", NAMES[10])
            # Whoever is in the group reaches the key, and nobody else's.
            for identity, readable in ((["--regid", "nogroup"], True), (["--regid", "daemon"], False)):
                read = subprocess.run(["setpriv", "--reuid", "nobody", "--clear-groups", *identity, "cat", own.live(NAMES[10], "privkey.pem")],
                                      capture_output=True, check=False)
                self.assertEqual(read.returncode == 0, readable, read.stderr)
            for part in ("accounts", "certificates"):
                self.assertEqual(stat.S_IMODE(os.stat(own.path(part)).st_mode) & 0o077, 0, part)
        self.assert_exit(own.issue("--force", "--group", "no-such-group", NAMES[10]), 2)
        for mode in ("0666", "0777", "rw", ""):
            self.assert_exit(own.issue("--force", "--mode", mode, NAMES[10]), 2)

    def test_drop_failed_when_the_ca_rejects_a_name(self):
        own = self.own()
        # Two that Pebble is told to refuse: the whole order is refused, and which of them is to blame only a new Pebble says (subproblems).
        names = [NAMES[11], "n30.example.test", NAMES[12], "n31.example.test"]
        said = self.message(own.issue(*names))
        self.assertIn("n30.example.test", said)
        run = own.issue("--drop-failed", *names)
        if not self.net.pebble.new and run.code != 0:
            self.assertIn("n30.example.test", run.json()["error"]["message"])
            return
        self.assert_exit(run, 0)
        own.check_pair(NAMES[11], [NAMES[11], NAMES[12]])
        self.assertEqual(sorted(run.json()["certificate"]["dropped"]), ["n30.example.test", "n31.example.test"])
        # Nothing but the refused ones.
        self.assertEqual(self.message(own.issue("--drop-failed", "--cert-name", "none", "n30.example.test")).count("n30.example.test") > 0, True)
        self.assertFalse(os.path.lexists(own.live("none")))

    def test_drop_failed_when_a_name_cannot_be_validated(self):
        with OddCa(self.net.pebble) as ca:
            own = self.own(ca.url)
            names = [NAMES[13], NAMES[14], NAMES[15]]
            bad = zone_files.target(NAMES[14])

            def sabotage(exchange):
                if exchange.step == "challenge":
                    self.net.control.delete(bad)

            ca.watch = sabotage
            said = self.message(own.issue(*names))
            self.assertIn(NAMES[14], said)
            self.assertNotIn(f'"{NAMES[13]}"', said)
            orders = len(ca.requests("order"))
            run = own.issue("--drop-failed", *names)
            self.assert_exit(run, 0)
            own.check_pair(NAMES[13], [NAMES[13], NAMES[15]])
            self.assertEqual(run.json()["certificate"]["dropped"], [NAMES[14]])
            self.assertEqual(len(ca.requests("order")), orders + 2)
            own.check()

    def test_dry_run(self):
        with OddCa(self.net.pebble) as ca:
            own = self.own(ca.url)
            run = self.issued(own, "--dry-run", NAMES[16], "*." + NAMES[16])
            self.assertEqual(run.json()["status"], "rehearsed")
            self.assertEqual(ca.requests("order"), [])
            self.assertFalse(os.path.lexists(own.live(NAMES[16])))
            said = self.message(own.issue("--dry-run", "bare.example.test"))
            self.assertIn("_acme-challenge.bare.example.test", said)
            self.assert_nothing_published()

    def test_timeline(self):
        own = self.own()
        run = self.issued(own, NAMES[17])
        (attempt,) = run.json()["attempts"]
        self.assertTrue(attempt["succeeded"])
        (name,) = attempt["names"]
        self.assertEqual((name["name"], name["status"]), (NAMES[17], "valid"))
        queries = name["queries"]
        # Pebble looks from three places at once; the resolver between asks us at least once.
        self.assertGreaterEqual(len(queries), 1)
        for query in queries:
            self.assertEqual(query["client"].rsplit(":", 1)[0].strip("[]"), "127.0.0.1", query)
            self.assertIn(query["transport"], ("udp", "tcp"))
            self.assertEqual((query["rcode"], query["values"]), ("NOERROR", 1))
        times = [query["time"] for query in queries]
        self.assertEqual(times, sorted(times))

    def test_timeline_of_a_failure(self):
        with OddCa(self.net.pebble) as ca:
            own = self.own(ca.url)
            ca.watch = lambda exchange: exchange.step == "challenge" and self.net.control.delete(zone_files.target(NAMES[18]))
            run = own.issue(NAMES[18])
            self.assert_exit(run, 1)
            (attempt,) = run.json()["attempts"]
            self.assertFalse(attempt["succeeded"])
            (name,) = attempt["names"]
            self.assertEqual(name["status"], "invalid")
            self.assertTrue(all(query["values"] == 0 for query in name["queries"]), name)
            self.assertIn("verdict", name)
            self.assertTrue(name["verdict"], "no verdict in words")


base.with_every_pebble(globals(), Wishes)
del Wishes


if __name__ == "__main__":
    base.main()
