#!/usr/bin/python3
"""What the public API acknowledged stays, what it removed stays away: kill -9 under load, a full disk, a damaged store; and accounts taken over from an acme-dns."""

import ctypes
import hashlib
import http.client
import json
import os
import random
import secrets
import sqlite3
import subprocess
import threading
import time
import unittest
import uuid

import base  # it says where the others are

import dns_wire
import zone_files
from api_client import Account, Api
from little_internet import Run
from processes import FixtureError, wait_until
from updates import NOERROR, SERVFAIL, Updater, add

ZONE = zone_files.ZONE
OPEN = ('registration = "open"\nregistration_rate = { per_address = 0, burst = 0 }\nupdate_rate = { per_account = 0, burst = 0 }\n')


class Worker(threading.Thread):
    """A client of its own accounts: adds by /update and /present, removes by /cleanup, and knows what was acknowledged."""

    MOST = 8

    def __init__(self, net, accounts):
        super().__init__(daemon=True)
        self._net, self._rng = net, random.Random()
        self.accounts = accounts
        self.present = {account.fulldomain: set() for account in accounts}
        self.removed = {account.fulldomain: set() for account in accounts}
        # Asked for and not acknowledged when the server went: may be either.
        self.open = {account.fulldomain: set() for account in accounts}
        self.ended = threading.Event()
        self.changes, self.wrong = 0, []

    def run(self):
        api = self._net.api(timeout=30)
        try:
            while not self.ended.is_set():
                self._change(api)
        except (OSError, http.client.HTTPException):
            pass  # killed in the middle: not acknowledged
        api.close()

    def _change(self, api):
        account = self._rng.choice(self.accounts)
        name, own = account.fulldomain, self.present[account.fulldomain]
        removes = len(own) >= self.MOST or (own and self._rng.random() < 0.4)
        # A value that was removed comes again now and then.
        old = sorted(self.removed[name])
        text = self._rng.choice(sorted(own)) if removes else self._rng.choice(old) if old and self._rng.random() < 0.2 else base.value(self._rng.randrange(10**6))
        own.discard(text)
        self.removed[name].discard(text)
        self.open[name].add(text)
        if removes:
            reply = api.cleanup(account, name, text)
        elif self._rng.random() < 0.5:
            reply = api.present(account, name, text)
        else:
            reply = api.update(account, text)
        if reply.status != 200:
            self.wrong.append(reply)
            return
        self.open[name].discard(text)
        (self.removed if removes else self.present)[name].add(text)
        self.changes += 1

    def settle(self, served):
        """After a restart: what was open is now what the server says."""
        for name, texts in self.open.items():
            for text in texts:
                (self.present if text in served.get(name, []) else self.removed)[name].add(text)
            texts.clear()


class Killed(base.SystemTest):
    internet = {"api": OPEN}
    CONNECTIONS, ROUNDS = 64, 8

    def tearDown(self):
        # A test that failed between a kill and the start takes no other with it.
        if not self.net.daemon.child.running():
            self.net.daemon.start()

    def test_nothing_acknowledged_is_lost_and_nothing_removed_comes_back(self):
        api = self.net.api()
        accounts = [[api.register() for _ in range(3)] for _ in range(self.CONNECTIONS)]
        workers = [Worker(self.net, own) for own in accounts]
        for number in range(self.ROUNDS):
            for worker in workers:
                worker.start()
            time.sleep(random.uniform(0.2, 0.8))  # the kill comes whenever it comes
            self.net.daemon.kill()
            for worker in workers:
                worker.ended.set()
            for worker in workers:
                worker.join(30)
                self.assertFalse(worker.is_alive(), "a client hangs")
                self.assertEqual(worker.wrong, [])
            self.net.daemon.start()
            served = self.net.control.values()
            for worker in workers:
                for name in worker.present:
                    here = set(served.get(name, []))
                    self.assertEqual(worker.present[name] - here, set(), f"round {number}: acknowledged and lost, at {name}")
                    self.assertEqual(worker.removed[name] & here, set(), f"round {number}: removed and back, at {name}")
                    self.assertEqual(here - worker.present[name] - worker.open[name], set(), f"round {number}: from nowhere, at {name}")
                worker.settle(served)
            workers = [self.next_worker(worker) for worker in workers]
        self.assertGreater(sum(worker.changes for worker in workers), 200)
        # And the answers are those of the store.
        for worker in random.sample(workers, 10):
            for name, texts in worker.present.items():
                self.assertEqual(self.net.daemon.texts(name, tcp=True), sorted(texts))

    def next_worker(self, old):
        worker = Worker(self.net, old.accounts)
        worker.present, worker.removed, worker.open, worker.changes = old.present, old.removed, old.open, old.changes
        return worker

    def test_registrations_survive_kill_9(self):
        api, made = self.net.api(), []
        for _ in range(40):
            made.append(api.register())
        self.net.daemon.kill()
        self.net.daemon.start()
        api = self.net.api()
        for account in made:
            self.assertEqual(api.update(account, base.VALUE).status, 200)


def _can_mount():
    return os.geteuid() == 0 and os.system("unshare --mount true 2>/dev/null") == 0


@unittest.skipUnless(_can_mount(), "needs a mount namespace (root or a user namespace) for a small tmpfs")
class DiskFull(base.SystemTest):
    internet = {"api": OPEN, "state_mount": "2m", "keys": [("main", [f"*.{ZONE}"])]}

    def setUp(self):
        self.filler = self.net.daemon.seen("filler")

    def fill(self):
        with open(self.filler, "wb", buffering=0) as file:
            for size in (65536, 4096, 512, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue

    def test_503_with_a_clear_body_and_dns_goes_on(self):
        api = self.net.api()
        accounts = [api.register() for _ in range(20)]
        kept = {account.fulldomain: [base.value(number)] for number, account in enumerate(accounts)}
        for number, account in enumerate(accounts):
            self.assertEqual(api.update(account, base.value(number)).status, 200)
        self.fill()
        refused = None
        # A page or two may be left in the write-ahead log that was allocated before.
        for number in range(3000):
            account = accounts[number % len(accounts)]
            text = base.value(1000 + number)
            reply = api.update(account, text)
            if reply.status != 200:
                refused = (reply, account, text)
                break
            kept[account.fulldomain] = sorted(kept[account.fulldomain] + [text])[-16:]
        self.assertIsNotNone(refused, "the disk is full and every update is acknowledged")
        reply, account, text = refused
        self.assertEqual(reply.status, 503, reply)
        self.assertIn("error", reply.json())
        self.assertRegex(reply.text(), "(?i)full|space|disk|write")
        self.assertEqual(api.request("POST", "/register").status, 503)
        self.assertEqual(api.present(account, account.fulldomain, base.VALUE).status, 503)
        updater = Updater(self.net.responder, self.net.daemon.keys["main"])
        self.assertEqual(updater(ZONE, add(f"full.{ZONE}", base.VALUE)), SERVFAIL)
        self.assertEqual(self.net.daemon.texts(f"full.{ZONE}"), [])
        for name, texts in kept.items():
            answer = dns_wire.ask(self.net.responder, name, "TXT", tcp=True)
            self.assertEqual(answer.rcode, "NOERROR")
            self.assertNotIn(text, answer.texts() if name == account.fulldomain else [])
            self.assertLessEqual(set(answer.texts()), set(texts))
            self.assertTrue(answer.texts())
        os.unlink(self.filler)
        wait_until(lambda: api.update(account, text).status == 200, "updates work again", 10)
        self.assertIn(text, self.net.daemon.texts(account.fulldomain, tcp=True))
        self.assertEqual(updater(ZONE, add(f"full.{ZONE}", base.VALUE)), NOERROR)
        self.assertEqual(api.request("POST", "/register").status, 201)


class Damaged(base.SystemTest):
    internet = {"api": OPEN}

    def test_damaged_store_is_refused_and_left_as_it_is(self):
        api = self.net.api()
        accounts = [api.register() for _ in range(200)]
        for number, account in enumerate(accounts):
            api.update(account, base.value(number))
        api.close()
        self.net.daemon.stop()
        store = os.path.join(self.net.daemon.state, "dnsd", "store.sqlite3")
        with open(store, "rb") as file:
            good = file.read()
        page = 4096
        self.assertGreater(len(good), 8 * page, "the store is too small to be damaged in the middle")
        damages = {
            "header": b"\xff" * 100 + good[100:],
            "every page but the first": good[:page] + b"\xa5" * (len(good) - page),
            "heads of pages": good[:page] + b"".join(b"\0" * 8 + good[at + 8 : at + page] for at in range(page, len(good), page)),
            "cut": good[: len(good) // 2],
        }
        for what, octets in damages.items():
            with self.subTest(damage=what):
                with open(store, "r+b") as file:  # owner and mode stay
                    file.write(octets)
                    file.truncate(len(octets))
                before = hashlib.sha256(octets).hexdigest()
                with self.assertRaises(FixtureError) as refused:
                    self.net.daemon.start()
                self.assertGreater(self.net.daemon.child.exit_code() or 0, 0, "it crashed, or it did not end")
                self.assertIn("store.sqlite3", str(refused.exception))
                with open(store, "rb") as file:
                    self.assertEqual(hashlib.sha256(file.read()).hexdigest(), before, "the file was changed")
        with open(store, "r+b") as file:
            file.write(good)
            file.truncate(len(good))
        self.net.daemon.start()
        for number, account in random.sample(list(enumerate(accounts)), 20):
            self.assertEqual(self.net.daemon.texts(account.fulldomain), [base.value(number)])


def bcrypt(password):
    """As acme-dns has them: cost 10, "$2a$"; by the system's own crypt(3), which Python has given up."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    salt = "".join(secrets.choice("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") for _ in range(21)) + "u"
    hashed = library.crypt(password.encode(), f"$2a$10${salt}".encode()).decode()
    if not hashed.startswith("$2a$10$") or len(hashed) != 60:
        raise FixtureError(f"crypt(3) makes no bcrypt hashes here: {hashed}")
    return hashed


# Both have these tables; the index is in its unreleased version only.
_TABLES = """
CREATE TABLE acmedns (Name TEXT, Value TEXT);
INSERT INTO acmedns VALUES ('db_version', '1');
CREATE TABLE records (Username TEXT UNIQUE NOT NULL PRIMARY KEY, Password TEXT UNIQUE NOT NULL, Subdomain TEXT UNIQUE NOT NULL, AllowFrom TEXT);
CREATE TABLE txt (Subdomain TEXT NOT NULL, Value TEXT NOT NULL DEFAULT '', LastUpdate INT);
"""
_INDEX = "CREATE INDEX idx_txt_subdomain ON txt (Subdomain);"

_CONFIG = """
[general]
listen = "{address}:53"
protocol = "both"
domain = "auth.example.test"
nsname = "ns1.auth.example.test"
nsadmin = "hostmaster.example.test"
records = ["auth.example.test. NS ns1.auth.example.test.", "ns1.auth.example.test. A {address}"]
debug = false
[database]
engine = "{engine}"
connection = "{database}"
[api]
ip = "{address}"
disable_registration = false
port = {port}
tls = "none"
corsorigins = ["*"]
use_header = false
header_name = "X-Forwarded-For"
[logconfig]
loglevel = "{level}"
logtype = "stdout"
logformat = "text"
"""


class TakenOver(base.SystemTest):
    """The accounts of an acme-dns: its clients go on with their old passwords."""

    internet = {"api": OPEN}
    SHAPES = {"1.x": (_TABLES, "sqlite3", '"8053"', "warning"), "2.x": (_TABLES + _INDEX, "sqlite", "8053", "info")}

    def old_database(self, shape, count=6):
        tables, engine, port, level = self.SHAPES[shape]
        path = self.net.scene.path(f"acme-dns-{shape}.db")
        accounts = []
        database = sqlite3.connect(path)
        database.executescript(tables)
        for number in range(count):
            username, subdomain, password = str(uuid.uuid4()), str(uuid.uuid4()), secrets.token_urlsafe(30)
            if number == 1:
                subdomain = f"by-hand-{shape.replace('.', '-')}"  # administrators may edit them
            allow = ["192.0.2.0/24"] if number == 2 else ["127.0.0.0/8"] if number == 3 else []
            values = [base.value(10 * number), ""] if number < 4 else ["", ""]
            database.execute("INSERT INTO records VALUES (?, ?, ?, ?)", (username, bcrypt(password).encode(), subdomain, json.dumps(allow)))
            for value in values:
                database.execute("INSERT INTO txt VALUES (?, ?, ?)", (subdomain, value, int(time.time()) - 100 if value else 0))
            accounts.append(Account({"username": username, "password": password, "subdomain": subdomain, "fulldomain": f"{subdomain}.{ZONE}", "allowfrom": allow}))
        database.commit()
        database.close()
        config = self.net.scene.write(f"acme-dns-{shape}.cfg", _CONFIG.format(
            address=self.net.responder, engine=engine, database=path, port=port, level=level))
        return path, config, accounts

    def take_over(self, path, config):
        command = [self.net.daemon.program, "--config", self.net.daemon.config, "--import-acme-dns", path, "--acme-dns-config", config]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return Run(command, done.returncode, done.stdout, done.stderr, 0.0)

    def test_clients_notice_nothing(self):
        for shape in self.SHAPES:
            with self.subTest(shape=shape):
                path, config, accounts = self.old_database(shape)
                with open(path, "rb") as file:
                    before = file.read()
                running = self.take_over(path, config)
                self.assertNotEqual(running.code, 0, "it was imported under a running daemon")
                self.assertEqual(self.net.control.request("GET", "/v1/registrations")[0], 200)
                self.net.daemon.stop()
                run = self.take_over(path, config)
                self.assert_exit(run, 0)
                self.check_printed(run.out)
                for account in accounts:
                    self.assertNotIn(account.password, run.text())
                again = self.take_over(path, config)
                self.assert_exit(again, 0)
                with open(path, "rb") as file:
                    self.assertEqual(file.read(), before, "the old database was changed")
                self.net.daemon.start()
                self.check_clients(accounts)
                # The hashes have been replaced, and passwords are the same after a restart.
                self.net.daemon.restart()
                self.check_clients(accounts)

    def check_printed(self, text):
        """The configuration that it prints is one that the daemon takes."""
        for part in ("[[zone]]", ZONE, self.net.responder, "[api]"):
            self.assertIn(part, text)
        config = self.net.scene.write("printed.toml", text)
        checked = subprocess.run([self.net.daemon.program, "--check", "--config", config], capture_output=True, text=True, check=False, timeout=30)
        self.assertEqual(checked.returncode, 0, checked)

    def check_clients(self, accounts):
        for number, account in enumerate(accounts):
            api = Api(self.net.responder, self.net.daemon.API_PORT, source=self.net.block.address(150 + number))
            here = self.net.daemon.texts(account.fulldomain)
            if number < 4:
                self.assertIn(base.value(10 * number), here, "the old value is served")
            wrong = Account({**account.document, "password": "w" * 40})
            self.assertEqual(api.update(wrong, base.VALUE).status, 401)
            reply = api.update(account, base.value(500 + number))
            self.assertEqual(reply.status, 401 if number == 2 else 200, reply)
            self.assertEqual(base.value(500 + number) in self.net.daemon.texts(account.fulldomain), number != 2)

    def test_what_is_no_acme_dns_is_refused(self):
        _path, config, _accounts = self.old_database("1.x", count=1) if not os.path.exists(self.net.scene.path("acme-dns-1.x.db")) else (
            None, self.net.scene.path("acme-dns-1.x.cfg"), None)
        self.net.daemon.stop()
        foreign = self.net.scene.path("foreign.db")
        database = sqlite3.connect(foreign)
        database.execute("CREATE TABLE something (else_entirely)")
        database.commit()
        database.close()
        store = os.path.join(self.net.daemon.state, "dnsd", "store.sqlite3")
        with open(store, "rb") as file:
            before = file.read()
        for path in (foreign, self.net.scene.write("text.db", "no database\n" * 100), self.net.scene.path("absent.db")):
            with self.subTest(path=os.path.basename(path)):
                run = self.take_over(path, config)
                self.assertIn(run.code, (1, 2), str(run))
                self.assertIn(os.path.basename(path), run.err)
                self.assertFalse(os.path.exists(self.net.scene.path("absent.db")), "it was made")
        with open(store, "rb") as file:
            self.assertEqual(file.read(), before)
        self.net.daemon.start()


if __name__ == "__main__":
    base.main()
