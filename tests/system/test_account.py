#!/usr/bin/python3
"""ACME accounts and revocation with every Pebble found: made, bound, changed, taken over, given up; a kill -9 at every step of a rollover."""

import glob
import json
import os
import select
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import base
import own_state
from authority import openssl
from odd_ca import Answer, OddCa, cut, lose_answer
from own_state import OwnState
from processes import find_program

# Keys of an external account, as a CA hands them out: 32 and 64 octets.
EAB_KID, EAB_KEY = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wE"
EAB_LONG_KID, EAB_LONG_KEY = "kid-2", "b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH-Obs6lqSQUOAAUMTzRUzSg"


# Moments of a rollover at which it is killed, besides those at each request.
ROLLOVER_KILLS = int(os.environ.get("COUNTERSIGN_TEST_KILLS", "8"))


def issued_serial(path):
    return openssl("x509", "-in", path, "-noout", "-serial").strip().split("=")[1]


def at_key_change(act):
    """A fault of that request alone."""
    return lambda exchange: act(exchange) if exchange.path == "/rollover-account-key" else exchange.forward()


class Accounts:
    """Each test has a machine of its own."""

    def setUp(self):
        self.own = OwnState(self.net, self.id().rsplit(".", 1)[1])

    def with_terms_open(self, own):
        """The machine's configuration, but nobody agreed to anything."""
        with open(own.config, encoding="utf-8") as file:
            text = file.read()
        return own.write("no-terms.toml", text.replace("agree_tos = true\n", ""))

    def run_ok(self, *arguments, own=None, **options):
        run = (own or self.own).run(*arguments, **options)
        self.assert_exit(run, 0)
        return run

    def account(self, *arguments, own=None, **options):
        """`account ...` that must succeed; its document."""
        return self.run_ok("account", *arguments, "--json", own=own, **options).json()

    def register(self, own=None, *options):
        return self.account("register", *options, own=own)

    def folder(self, own=None, ca=None):
        """Where the account's files are."""
        own = own or self.own
        port = (ca or self.net.pebble.url).rsplit(":", 1)[1].split("/")[0]
        return own.path("accounts", f"{self.net.pebble.address}_{port}", "dir")

    def files(self, folder, beginning):
        return sorted(name for name in os.listdir(folder) if name.startswith(beginning))

    def status_of(self, serial):
        """What the CA says about the certificate: (status, reason)."""
        url = f"https://{self.net.pebble.address}:15000/cert-status-by-serial/{serial}"
        document = json.loads(self.net.pebble.get(url)[1])
        return document["Status"], document.get("Reason")

    # Making and showing.

    def test_made_shown_and_found_again(self):
        run = self.own.run("account", "show")
        self.assert_exit(run, 1)
        self.assertIn("account register", run.err)
        made = self.register(None, "--contact", "a@example.org", "--contact", "mailto:b@example.org", "--key-type", "p384")
        self.assertEqual(made["done"], "registered")
        self.assertEqual(made["key_type"], "p384")
        again = self.register(None, "--contact", "other@example.org")
        self.assertEqual((again["done"], again["url"]), ("existing", made["url"]))
        shown = self.account("show")
        self.assertEqual(shown["contact"], ["mailto:a@example.org", "mailto:b@example.org"])
        self.assertEqual((shown["status"], shown["source"], shown["directory"]), ("valid", "ca", self.net.pebble.url))
        self.assertTrue(shown["terms_of_service_agreed"] and shown["terms_of_service_agreed_at"])
        text = self.run_ok("account", "show").out
        for words in (made["url"], made["thumbprint"], "mailto:a@example.org", "valid"):
            self.assertIn(words, text)
        # `issue` uses this one.
        self.assert_exit(self.own.issue("www.example.test"), 0)
        self.assertEqual([order["names"] for order in self.account("orders")], [["www.example.test"]])
        self.own.check()

    def test_terms_are_agreed_to_by_a_person(self):
        config = self.with_terms_open(self.own)
        run = self.net.run("account", "register", config=config)
        self.assert_exit(run, 1)
        self.assertIn("--agree-tos", run.err)
        self.assertFalse(glob.glob(self.folder() + "/key.pem*"))
        self.assert_exit(self.net.run("account", "register", "--agree-tos", config=config), 0)

    def test_shown_from_the_disk_when_the_ca_is_down(self):
        with OddCa(self.net.pebble) as ca:
            own = OwnState(self.net, "down", ca=ca.url)
            made = self.register(own)
        shown = self.account("show", own=own)
        self.assertEqual((shown["source"], shown["url"], shown["status"]), ("disk", made["url"], "valid"))
        run = own.run("account", "show")
        self.assert_exit(run, 0)
        self.assertIn("this is what the disk says", run.err)
        self.assert_exit(own.run("account", "update", "--contact", ""), 1)

    def test_contacts_are_changed_and_removed(self):
        self.register()
        self.assertEqual(self.account("update", "--contact", "new@example.org")["contact"], ["mailto:new@example.org"])
        self.assertEqual(self.account("show")["contact"], ["mailto:new@example.org"])
        self.assertEqual(self.account("update", "--contact", "")["contact"], [])
        self.assertEqual(self.account("show")["contact"], [])

    def test_a_forgotten_account_is_made_again_with_its_key(self):
        made = self.register()
        path = os.path.join(self.folder(), "account.json")
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        document["url"] += "ff"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        run = self.own.run("account", "register", "--json")
        # A CA tells of an unknown account in its own way; the key's account is found in any case.
        self.assert_exit(run, 0)
        self.assertEqual(run.json()["url"], made["url"])

    def test_orders_are_listed(self):
        self.register()
        self.assertEqual(self.account("orders"), [])
        for name in ("www.example.test", "example.test", "n1.example.test", "n2.example.test"):
            self.assert_exit(self.own.issue(name), 0)
        # Pebble has three on a page.
        orders = self.account("orders")
        self.assertEqual(sorted(order["names"][0] for order in orders), ["example.test", "n1.example.test", "n2.example.test", "www.example.test"])
        self.assertEqual({order["status"] for order in orders}, {"valid"})
        for order in orders:
            self.assertTrue(order["url"].startswith("https://") and order["expires"])
        text = self.run_ok("account", "orders").out
        self.assertEqual(len(text.strip().splitlines()), 4)

    def test_caa_records(self):
        made = self.register()
        run = self.own.run("account", "show", "--caa")
        if 'caaIdentities' not in self.net.pebble.get(self.net.pebble.url)[1].decode():
            self.assert_exit(run, 1)
            self.assertIn(f"accounturi={made['url']}", run.err)
            return
        value = f"pebble.letsencrypt.org; accounturi={made['url']}; validationmethods=dns-01"
        self.assertEqual(run.out, f'DOMAIN. CAA 0 issue "{value}"\n')
        self.assert_exit(self.own.issue("example.test", "*.example.test"), 0)
        self.assert_exit(self.own.issue("www.example.test"), 0)
        records = self.run_ok("account", "show", "--caa", "--json").json()
        # CAs climb: www.example.test needs none of its own.
        self.assertEqual([(r["name"], r["tag"], r["value"]) for r in records], [("example.test.", "issue", value)])
        zone = self.own.write("caa.zone", f"example.test. 1 IN {records[0]['record'].split(' ', 1)[1]}\n")
        checked = subprocess.run([find_program("ldns-read-zone", "ldnsutils"), "-0", zone], capture_output=True, text=True, check=False)
        self.assertIn("CAA", checked.stdout, checked.stderr)

    # Rollover.

    def test_rollover(self):
        made = self.register()
        old = own_state.read_key(os.path.join(self.folder(), "key.pem"))
        rolled = self.account("rollover", "--key-type", "rsa2048")
        self.assertEqual((rolled["url"], rolled["key_type"]), (made["url"], "rsa2048"))
        self.assertNotEqual(rolled["thumbprint"], made["thumbprint"])
        self.assertEqual(self.account("show")["thumbprint"], rolled["thumbprint"])
        kept = self.files(self.folder(), "key.pem.")
        self.assertEqual(len(kept), 1)
        self.assertEqual(own_state.public_der(own_state.read_key(os.path.join(self.folder(), kept[0]))), own_state.public_der(old))
        self.assert_exit(self.own.issue("www.example.test"), 0)
        self.account("rollover")
        self.assertEqual(self.account("show")["key_type"], "p256")

    def test_a_rollover_that_the_ca_only_claims(self):
        with OddCa(self.net.pebble) as ca:
            own = OwnState(self.net, "claims", ca=ca.url)
            made = self.register(own)
            ca.fault("other", at_key_change(lambda _exchange: Answer(200, [], b"")))
            run = own.run("account", "rollover")
            ca.behave()
            self.assert_exit(run, 1)
            self.assertIn("still wants the old one", run.err)
            self.assertEqual(self.account("show", own=own)["thumbprint"], made["thumbprint"])
            self.assertNotEqual(self.account("rollover", own=own)["thumbprint"], made["thumbprint"])

    def test_a_rollover_whose_answer_is_lost(self):
        with OddCa(self.net.pebble) as ca:
            own = OwnState(self.net, "lost", ca=ca.url)
            made = self.register(own)
            ca.fault("other", at_key_change(lose_answer))
            rolled = self.account("rollover", own=own)
            self.assertNotEqual(rolled["thumbprint"], made["thumbprint"])
            # The CA never hears of it: nothing changes.
            ca.behave()
            ca.fault("other", at_key_change(cut))
            self.assert_exit(own.run("account", "rollover"), 1)
            ca.behave()
            self.assertEqual(self.account("show", own=own)["thumbprint"], rolled["thumbprint"])

    def killed_rollover(self, own, ca, number, moment):
        """Kills the program at its request `number`, before the CA has it or before its answer comes; False: it ended before that."""
        process = subprocess.Popen(self.net.command("account", "rollover", config=own.config), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.net.scene.guard(process.pid)
        first = len(ca.seen)
        killed = []

        def strike(exchange):
            if exchange.number - first == number and not killed:
                killed.append(True)
                process.send_signal(signal.SIGKILL)
                process.wait()

        ca.watch = strike if moment == "before" else None
        ca.after = strike if moment == "after" else None
        process.wait(timeout=30)
        self.net.scene.release(process.pid)
        ca.watch = ca.after = None
        return bool(killed)

    def check_rolled(self, own, thumbprints):
        """The account works, and the key in use is one that was on the disk before."""
        shown = self.account("show", own=own)
        self.assertEqual((shown["source"], shown["status"]), ("ca", "valid"))
        folder = shown["folder"]
        self.assertFalse(os.path.exists(os.path.join(folder, "key.pem.next")))
        own.check(temporary=True)
        thumbprints.add(shown["thumbprint"])

    def test_kill_9_at_every_request_of_a_rollover(self):
        with OddCa(self.net.pebble) as ca:
            own = OwnState(self.net, "killed", ca=ca.url)
            url = self.register(own)["url"]
            thumbprints, kills = set(), 0
            for moment in ("before", "after"):
                number = 1
                while self.killed_rollover(own, ca, number, moment):
                    kills += 1
                    self.check_rolled(own, thumbprints)
                    number += 1
                    self.assertLess(number, 20, "a rollover needs fewer requests")
            self.check_rolled(own, thumbprints)
            # directory, nonce, account, keyChange, confirmation: each twice; and some of them were rollovers.
            self.assertGreaterEqual(kills, 8)
            self.assertGreaterEqual(len(thumbprints), 3)
            self.assertEqual(self.account("show", own=own)["url"], url)

    def test_kill_9_at_any_time_of_a_rollover(self):
        self.register()
        thumbprints = set()
        began = time.monotonic()
        self.account("rollover")
        whole = time.monotonic() - began
        for step in range(ROLLOVER_KILLS):
            process = subprocess.Popen(self.net.command("account", "rollover", config=self.own.config), stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(whole * 1.1 * (step + 1) / ROLLOVER_KILLS)
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.check_rolled(self.own, thumbprints)
        self.assertGreater(len(thumbprints), 1, "no rollover came to its end: the times are wrong")

    def test_the_account_stays_while_certificates_are_issued(self):
        with OddCa(self.net.pebble) as ca:
            own = OwnState(self.net, "busy", ca=ca.url)
            made = self.register(own)
            runs = []

            def change(exchange):
                if exchange.step == "finalize" and not runs:
                    runs.append(None)
                    runs[:] = [own.run("account", "rollover"), own.run("account", "deactivate", "--yes")]

            ca.watch = change
            self.assert_exit(own.issue("www.example.test"), 0)
            ca.watch = None
            self.assertEqual(len(runs), 2)
            for run in runs:
                self.assert_exit(run, 1)
                self.assertIn("certificates are being issued with this account", run.err)
            self.assertEqual(self.account("show", own=own)["thumbprint"], made["thumbprint"])
            self.assertNotEqual(self.account("rollover", own=own)["thumbprint"], made["thumbprint"])

    # The end of an account.

    def test_deactivated_and_a_new_one_made(self):
        made = self.register()
        run = self.own.run("account", "deactivate")
        self.assert_exit(run, 2)
        self.assertIn("--yes", run.err)
        self.assertEqual(self.account("show")["status"], "valid")
        spare = OwnState(self.net, "spare-" + self.net.pebble.version)
        self.account("import", self.folder(), own=spare)
        self.assertEqual(self.account("deactivate", "--yes"), {"done": "deactivated", "url": made["url"]})
        self.assert_exit(self.own.run("account", "show"), 1)
        self.assertEqual(len(self.files(self.folder(), "key.pem.deactivated-")), 1)
        # Another machine that has the account is told, and gets out of it.
        run = spare.run("account", "show")
        self.assert_exit(run, 1)
        self.assertIn("deactivated", run.err)
        for command in (["rollover"], ["register"]):
            self.assert_exit(spare.run("account", *command), 1)
        self.assertFalse(glob.glob(self.folder(spare) + "/key.pem.*"))
        self.account("deactivate", "--yes", own=spare)
        self.assertEqual(self.register(spare)["done"], "registered")
        self.assertEqual(self.register()["done"], "registered")
        self.assertNotEqual(self.account("show")["url"], made["url"])

    def test_deactivation_is_confirmed_at_a_terminal(self):
        self.register()
        for answer, code in ((b"yes\n", 130), (b"deactivate\n", 0)):
            terminal, other_end = os.openpty()
            try:
                process = subprocess.Popen(self.net.command("account", "deactivate", config=self.own.config), stdin=other_end, stderr=other_end,
                                           stdout=subprocess.DEVNULL)
                self.net.scene.guard(process.pid)
                os.write(terminal, answer)
                self.assertEqual(process.wait(timeout=20), code)
                self.net.scene.release(process.pid)
                # A terminal hands out its lines one by one, the echo of the answer first.
                shown = b""
                while b"cannot be undone" not in shown and select.select([terminal], [], [], 5)[0]:
                    shown += os.read(terminal, 4096)
                self.assertIn(b"cannot be undone", shown)
            finally:
                os.close(terminal)
                os.close(other_end)
        self.assert_exit(self.own.run("account", "show"), 1)

    # Several runs at once.

    def at_once(self, count, *arguments):
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda _: self.account(*arguments), range(count)))

    def test_many_runs_make_one_account(self):
        made = self.at_once(6, "register")
        self.assertEqual(len({account["url"] for account in made}), 1)
        self.assertEqual(sorted(account["done"] for account in made), ["existing"] * 5 + ["registered"])

    def test_rollovers_at_once_follow_each_other(self):
        url = self.register()["url"]
        rolled = self.at_once(4, "rollover")
        self.assertEqual({account["url"] for account in rolled}, {url})
        shown = self.account("show")
        self.assertEqual((shown["status"], shown["source"]), ("valid", "ca"))
        self.assertEqual(len(self.files(self.folder(), "key.pem.2")), 4)

    # Accounts of other programs.

    def check_import(self, path, program, own_name):
        own = OwnState(self.net, own_name)
        run = own.run("account", "import", path)
        self.assert_exit(run, 0)
        self.assertIn(program, run.err)
        url = self.account("show", own=own)["url"]
        again = self.account("import", path, own=own)
        self.assertEqual((again["done"], again["url"]), ("existing", url))
        return own, url

    def test_certbot_account_is_imported(self):
        folder = self.own.path("certbot")
        os.makedirs(folder)
        done = subprocess.run(
            [find_program("certbot", "certbot"), "register", "--server", self.net.pebble.url, "--agree-tos", "--register-unsafely-without-email", "-n",
             "--config-dir", folder, "--work-dir", folder + "/work", "--logs-dir", folder + "/logs"],
            env={**os.environ, "REQUESTS_CA_BUNDLE": self.net.pebble.bundle}, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        [key] = glob.glob(folder + "/accounts/*/dir/*/private_key.json")
        with open(os.path.join(os.path.dirname(key), "regr.json"), encoding="utf-8") as file:
            uri = json.load(file)["uri"]
        name = "from-certbot-" + self.net.pebble.version
        own, url = self.check_import(os.path.dirname(key), "certbot", name)
        self.assertEqual(url, uri)
        self.assert_exit(own.issue("www.example.test"), 0)
        self.assertEqual([order["names"] for order in self.account("orders", own=own)], [["www.example.test"]])
        self.assertEqual(self.check_import(os.path.join(os.path.dirname(key), "regr.json"), "certbot", name + "-file")[1], uri)

    def test_lego_account_is_imported(self):
        folder = self.own.path("lego")
        # It asks a person to publish a value, finds nobody, and gives up: the account is kept.
        subprocess.run(
            [find_program("lego", "lego"), "--server", self.net.pebble.url, "--accept-tos", "--email", "a@example.org", "--path", folder,
             "--dns", "manual", "--domains", "www.example.test", "run"],
            env={**os.environ, "LEGO_CA_CERTIFICATES": self.net.pebble.bundle}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        [account] = glob.glob(folder + "/accounts/*/*/account.json")
        with open(account, encoding="utf-8") as file:
            uri = json.load(file)["registration"]["uri"]
        own, url = self.check_import(os.path.dirname(account), "lego", "from-lego-" + self.net.pebble.version)
        self.assertEqual(url, uri)
        [key] = glob.glob(os.path.dirname(account) + "/keys/*.key")
        self.assertEqual(self.account("import", key, own=own)["done"], "existing")
        # An account in the place of another one: the old key is kept.
        self.register()
        self.assertEqual(self.account("import", key)["done"], "imported")
        self.assertEqual(len(self.files(self.folder(), "key.pem.")), 1)
        self.assertEqual(self.account("show")["url"], uri)

    def test_acme_sh_account_is_imported(self):
        made = self.register()
        folder = self.own.path("acme.sh", "ca", "host", "dir")
        os.makedirs(folder)
        shutil.copy(os.path.join(self.folder(), "key.pem"), os.path.join(folder, "account.key"))
        with open(os.path.join(folder, "ca.conf"), "w", encoding="ascii") as file:
            file.write(f"CA_KEY_HASH='x='\nACCOUNT_URL='{made['url']}'\n")
        self.assertEqual(self.check_import(folder, "acme.sh", "from-acme-sh-" + self.net.pebble.version)[1], made["url"])

    def test_a_key_without_an_account_is_not_imported(self):
        made = self.register()
        key = self.own.write("other.pem", openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
        run = self.own.run("account", "import", key)
        self.assert_exit(run, 1)
        self.assertIn("knows no account of this key", run.err)
        for path, words in ((self.own.path("nothing"), "no such file"), (self.own.folder, "looked for"), (self.own.config, "neither")):
            run = self.own.run("account", "import", path)
            self.assert_exit(run, 1)
            self.assertIn(words, run.err)
        self.assertEqual(self.account("show")["url"], made["url"])
        self.assertEqual(self.files(self.folder(), "key.pem"), ["key.pem"])

    def test_accounts_at_several_cas_side_by_side(self):
        first = self.register()
        with OddCa(self.net.pebble) as second_ca, OddCa(self.net.pebble) as third_ca:
            second = self.register(None, "--ca", second_ca.url, "--contact", "second@example.org")
            self.account("import", os.path.join(self.folder(), "key.pem"), "--ca", third_ca.url)
            self.assertNotEqual(first["thumbprint"], second["thumbprint"])
            self.assertEqual(second["directory"], second_ca.url)
            self.account("rollover", "--ca", second_ca.url)
            self.account("deactivate", "--ca", second_ca.url, "--yes")
            self.assertEqual(self.account("show")["thumbprint"], first["thumbprint"])
            self.assertEqual(self.account("show", "--ca", third_ca.url)["thumbprint"], first["thumbprint"])
            self.assert_exit(self.own.run("account", "show", "--ca", second_ca.url), 1)

    def test_wrong_cas(self):
        for ca, code in (("letsencryptt", 2), ("http://ca.example/dir", 2), (f"https://{self.net.pebble.address}:9/dir", 1)):
            for command in (["account", "show"], ["account", "register"], ["account", "rollover"], ["account", "orders"]):
                self.assert_exit(self.own.run(*command, "--ca", ca), code)

    # Revocation.

    def issued(self, name, own=None):
        own = own or self.own
        self.assert_exit(own.issue(name), 0)
        return issued_serial(own.live(name, "cert.pem"))

    def test_revoked_by_the_account(self):
        serial = self.issued("www.example.test")
        self.assertEqual(self.status_of(serial)[0], "Valid")
        run = self.own.run("revoke", "www.example.test", "--reason", "superseded", "--json")
        self.assert_exit(run, 0)
        document = run.json()
        self.assertEqual((document["status"], document["certificate"], document["names"]), ("revoked", "www.example.test", ["www.example.test"]))
        self.assertEqual(self.status_of(serial), ("Revoked", 4))
        with open(self.own.live("www.example.test", "revoked.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["reason"], "superseded")
        # What was wanted is so.
        again = self.own.run("revoke", "www.example.test", "--json")
        self.assert_exit(again, 0)
        self.assertEqual(again.json()["status"], "already_revoked")
        self.own.check()

    def test_other_certificates_of_a_compromised_key_are_named(self):
        key = self.own.write("csr.key", openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
        request = self.own.write("csr.pem", openssl("req", "-new", "-key", key, "-subj", "/", "-addext", "subjectAltName=DNS:www.example.test"))
        for name in ("first", "second", "third"):
            self.assert_exit(self.own.issue("--csr", request, "--cert-name", name), 0)
        self.issued("n1.example.test")
        run = self.run_ok("revoke", "first", "--reason", "keyCompromise")
        self.assertIn("other certificates have the same key, and are still good: second, third;", run.err)
        run = self.run_ok("revoke", "second", "--reason", "superseded")
        self.assertNotIn("same key", run.err)
        run = self.run_ok("revoke", "third", "--reason", "keyCompromise")
        self.assertNotIn("same key", run.err)

    def test_revoked_by_the_certificates_key(self):
        serial = self.issued("www.example.test")
        run = self.own.run("revoke", "www.example.test", "--with-certificate-key")
        self.assert_exit(run, 0)
        self.assertIn("issue with a new one: countersign issue --force www.example.test", run.err)
        self.assertEqual(self.status_of(serial)[0], "Revoked")
        with open(self.own.live("www.example.test", "revoked.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["reason"], "keyCompromise")

    def test_revoked_from_a_file_alone(self):
        serial = self.issued("www.example.test")
        pem = self.own.path("elsewhere.pem")
        shutil.copy(self.own.live("www.example.test", "cert.pem"), pem)
        # A machine with the account, but without the certificate.
        other = OwnState(self.net, "other-" + self.net.pebble.version)
        self.account("import", self.folder(), own=other)
        run = other.run("revoke", "--cert-file", pem, "--reason", "cessationOfOperation", "--json")
        self.assert_exit(run, 0)
        self.assertEqual(run.json()["certificate"], None)
        self.assertEqual(self.status_of(serial), ("Revoked", 5))
        # The one that has it knows it by the file, too.
        run = self.own.run("revoke", "--cert-file", pem, "--json")
        self.assert_exit(run, 0)
        self.assertEqual((run.json()["certificate"], run.json()["status"]), ("www.example.test", "already_revoked"))

    def test_revoked_from_a_file_and_its_key_without_any_account(self):
        serial = self.issued("www.example.test")
        files = {part: self.own.path(part) for part in ("fullchain.pem", "privkey.pem")}
        for part, path in files.items():
            shutil.copy(self.own.live("www.example.test", part), path)
        nobody = OwnState(self.net, "nobody-" + self.net.pebble.version)
        run = nobody.run("revoke", "--cert-file", files["fullchain.pem"])
        self.assert_exit(run, 1)
        self.assertIn("--with-certificate-key", run.err)
        run = nobody.run("revoke", "--cert-file", files["fullchain.pem"], "--with-certificate-key")
        self.assert_exit(run, 2)
        self.assertIn("--key-file", run.err)
        wrong = nobody.write("wrong.pem", openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
        run = nobody.run("revoke", "--cert-file", files["fullchain.pem"], "--with-certificate-key", "--key-file", wrong)
        self.assert_exit(run, 1)
        self.assertIn("not the certificate's", run.err)
        self.assertEqual(self.status_of(serial)[0], "Valid")
        run = nobody.run("revoke", "--cert-file", files["fullchain.pem"], "--with-certificate-key", "--key-file", files["privkey.pem"],
                         "--reason", "keyCompromise")
        self.assert_exit(run, 0)
        self.assertEqual(self.status_of(serial), ("Revoked", 1))

    def test_what_cannot_be_revoked(self):
        run = self.own.run("revoke", "www.example.test")
        self.assert_exit(run, 1)
        self.assertIn("no certificate was ever issued here", run.err)
        serial = self.issued("www.example.test")
        for arguments, code, words in (
                (["no.example.test"], 1, "countersign certificates"), (["../../x"], 2, "../../x"), ([], 2, "CERT"),
                (["--cert-file", self.own.path("none.pem")], 1, "none.pem"), (["--cert-file", self.own.config], 1, "countersign.toml"),
                (["--cert-file", self.own.live("www.example.test", "privkey.pem")], 1, "privkey.pem"),
                (["www.example.test", "--reason", "boredom"], 2, "boredom"), (["www.example.test", "--key-file", "/x"], 2, "--with-certificate-key")):
            run = self.own.run("revoke", *arguments)
            self.assert_exit(run, code)
            self.assertIn(words, run.err)
        # Another account may not.
        stranger = OwnState(self.net, "stranger-" + self.net.pebble.version)
        self.register(stranger)
        run = stranger.run("revoke", "--cert-file", self.own.live("www.example.test", "cert.pem"))
        self.assert_exit(run, 1)
        self.assertIn("--with-certificate-key", run.err)
        self.assertEqual(self.status_of(serial)[0], "Valid")
        self.assertFalse(os.path.exists(self.own.live("www.example.test", "revoked.json")))


class ExternalAccounts:
    """A CA that makes accounts only for its customers (RFC 8555 section 7.3.4)."""

    internet = {"pebble_options": {"config": {"externalAccountBindingRequired": True,
                                              "externalAccountMACKeys": {EAB_KID: EAB_KEY, EAB_LONG_KID: EAB_LONG_KEY}}}}

    def own(self, name, kid="", key=EAB_KEY, mode=0o600):
        own = OwnState(self.net, name)
        path = own.write("mac.key", key + "\n")
        os.chmod(path, mode)
        if kid:
            own = OwnState(self.net, name, acme=f'eab = {{ kid = "{kid}", hmac_key_file = "{path}" }}\n')
        return own, path

    def test_without_a_binding_nothing_is_made(self):
        own, _ = self.own("none")
        for command in (["account", "register"], ["issue", "www.example.test"]):
            run = own.run(*command)
            self.assert_exit(run, 1)
            for words in ("external account binding", "--eab-kid", "acme.eab"):
                self.assertIn(words, run.err)
        self.assertFalse(glob.glob(own.path("accounts", "*", "*", "key.pem")))

    def test_registered_with_the_options(self):
        for mac, kid, key in (("HS256", EAB_KID, EAB_KEY), ("HS384", EAB_LONG_KID, EAB_LONG_KEY), ("HS512", EAB_LONG_KID, EAB_LONG_KEY)):
            own, path = self.own("options-" + mac, key=key)
            run = own.run("account", "register", "--eab-kid", kid, "--eab-hmac-key-file", path, "--eab-mac", mac, "--json")
            self.assert_exit(run, 0)
            self.assertEqual(run.json()["eab_kid"], kid)
        self.assert_exit(own.issue("www.example.test"), 0)

    def test_registered_as_configured(self):
        own, path = self.own("configured", EAB_KID, mode=0o644)
        run = own.run("account", "register")
        self.assert_exit(run, 0)
        self.assertIn("chmod 600", run.err)
        self.assertIn(EAB_KID, self.run_show(own))
        # The key is not needed any more.
        os.unlink(path)
        self.assert_exit(own.issue("www.example.test"), 0)

    def run_show(self, own):
        run = own.run("account", "show")
        self.assert_exit(run, 0)
        return run.out

    def test_issue_binds_as_configured(self):
        own, _ = self.own("by-issue", EAB_KID)
        self.assert_exit(own.issue("www.example.test"), 0)
        self.assertIn(EAB_KID, self.run_show(own))

    def test_wrong_bindings(self):
        for name, kid, key, words in (("kid", "nobody", EAB_KEY, "unauthorized"), ("mac", EAB_KID, EAB_LONG_KEY, "unauthorized"),
                                      ("text", EAB_KID, "not base64!", "base64url"), ("empty", EAB_KID, "", "mac.key")):
            own, path = self.own("wrong-" + name, key=key)
            run = own.run("account", "register", "--eab-kid", kid, "--eab-hmac-key-file", path)
            self.assert_exit(run, 1)
            self.assertIn(words, run.err)
            self.assertNotIn(key or "\0", run.err)
        own, path = self.own("gone")
        os.unlink(path)
        run = own.run("account", "register", "--eab-kid", EAB_KID, "--eab-hmac-key-file", path)
        self.assert_exit(run, 1)
        self.assertIn("mac.key", run.err)


base.with_every_pebble(globals(), Accounts)
base.with_every_pebble(globals(), ExternalAccounts)
del Accounts, ExternalAccounts

if __name__ == "__main__":
    base.main()
