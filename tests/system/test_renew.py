#!/usr/bin/python3
"""Renewal with every Pebble found: what is due and why, what is left alone, hooks, `--watch`, and the units that start it."""

import datetime
import glob
import json
import os
import re
import signal
import ssl
import subprocess
import time
import unittest
import urllib.request

import base
import dns_wire
import zone_files
from authority import certificate_names
from daemon import ROOT, built_program
from processes import Scene, find_program


def toml(value):
    return json.dumps(value)


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


class Place:
    """A state folder and a configuration of a test's own, beside the daemon's: `acme` adds keys to [acme], `certificates` are tables."""

    count = 0

    def __init__(self, net, acme="", certificates=()):
        Place.count += 1
        self.net, self.folder = net, f"renew-{Place.count}"
        self.state = net.scene.path(self.folder, "state")
        self.write(acme, certificates)

    def write(self, acme="", certificates=()):
        with open(self.net.daemon.config, encoding="utf-8") as file:
            text = re.sub(r'^state_dir = .*$', f"state_dir = {toml(self.state)}", file.read(), flags=re.MULTILINE)
        text += acme + "\n"
        for entry in certificates:
            text += "[[certificate]]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in entry.items())
        self.config = self.net.scene.write(f"{self.folder}/countersign.toml", text)

    def run(self, *arguments, **options):
        return self.net.run(*arguments, config=self.config, **options)

    def issue(self, *names):
        run = self.run("issue", "--json", *names)
        if run.code != 0:
            raise AssertionError(str(run))

    def live(self, certificate, file=""):
        folder = os.path.join(self.state, "acme", "live", certificate)
        return os.path.join(folder, file) if file else folder

    def target(self, certificate):
        return os.readlink(self.live(certificate))

    def record_path(self, certificate):
        return os.path.join(self.state, "acme", "certificates", f"{certificate}.json")

    def record(self, certificate):
        with open(self.record_path(certificate), encoding="utf-8") as file:
            return json.load(file)

    def set_back(self, certificate, hours=25):
        """As if it had been issued so long ago: `renew` goes by the name of the issuance's folder."""
        record = self.record(certificate)
        old = record["archive"]
        then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=hours)
        record["archive"] = then.strftime("%Y%m%dT%H%M%S") + old[15:]
        folder = os.path.join(self.state, "acme", "archive", certificate)
        os.rename(os.path.join(folder, old), os.path.join(folder, record["archive"]))
        if os.path.islink(self.live(certificate)):
            target = self.target(certificate).replace(old, record["archive"])
            os.unlink(self.live(certificate))
            os.symlink(target, self.live(certificate))
        with open(self.record_path(certificate), "w", encoding="utf-8") as file:
            json.dump(record, file)

    def log(self, name):
        """The lines that a hook wrote there."""
        path = self.net.scene.path(self.folder, name)
        try:
            with open(path, encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def hook(self, name, line):
        return f'echo "{line}" >> {self.net.scene.path(self.folder, name)}'


class RenewTest:
    def by_name(self, document):
        return {entry["name"]: entry for entry in document["certificates"]}

    def renew(self, place, *arguments, code=0):
        run = place.run("renew", "--json", *arguments)
        self.assert_exit(run, code)
        return run.json()

    def suggest(self, place, certificate, start, end, explanation=""):
        """Sets what the CA suggests for the certificate that is live now."""
        with open(place.live(certificate, "cert.pem"), encoding="ascii") as file:
            pem = file.read()
        now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        stamp = lambda hours: (now + datetime.timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
        answer = {"suggestedWindow": {"start": stamp(start), "end": stamp(end)}}
        if explanation:
            answer["explanationURL"] = explanation
        body = json.dumps({"Certificate": pem, "ARIResponse": json.dumps(answer)}).encode()
        pebble = self.net.pebble
        request = urllib.request.Request(f"https://{pebble.address}:15000/set-renewal-info/", body, {"User-Agent": "countersign-tests"}, method="POST")
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=pebble.bundle), timeout=5) as response:
            self.assertEqual(response.status, 200)

    @property
    def has_renewal_information(self):
        return "renewalInfo" in json.loads(self.net.pebble.get(self.net.pebble.url)[1])

    def asks(self, since):
        return [path for _, path in self.net.pebble.requests(since) if "renewalInfo" in path]

    def let_ask_again(self, place, certificate):
        """As if the Retry-After of the last answer were over."""
        record = place.record(certificate)
        record["renewal"]["ask_at"] = "2026-01-01T00:00:00Z"
        with open(place.record_path(certificate), "w", encoding="utf-8") as file:
            json.dump(record, file)

    def start(self, place, *arguments, watch=True):
        command = self.net.command("renew", *(["--watch"] if watch else []), *arguments, config=place.config)
        log = open(self.net.scene.path(place.folder, "watch.err"), "w", encoding="utf-8")
        out = open(self.net.scene.path(place.folder, "watch.out"), "w", encoding="utf-8")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True)
        log.close()
        out.close()
        self.net.scene.guard(process.pid)
        self.addCleanup(self.finish, process)
        return process

    def finish(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()
        self.net.scene.release(process.pid)

    def await_true(self, condition, seconds, what, place):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.1)
        self.fail(f"not within {seconds} s: {what}\n" + "\n".join(place.log("watch.err")))


class Renewing(RenewTest):
    """With a CA of long-lived certificates."""

    # Pebble 2.10 says which of several names it refuses; the older ones cannot read an answer that needs TCP.
    internet = {"pebble_options": {"config": {"domainBlocklist": ["n41.example.test"]}}}

    def tearDown(self):
        self.assert_nothing_published()

    def test_nothing_is_known(self):
        place = Place(self.net)
        run = place.run("renew")
        self.assert_exit(run, 0)
        self.assertIn("no certificates are known", run.err)
        self.assertFalse(os.path.exists(place.state), "a state folder was made for nothing")
        document = self.renew(place)
        self.assertEqual((document["status"], document["certificates"]), ("done", []))
        unknown = place.run("renew", "www.example.test")
        self.assert_exit(unknown, 2)

    def test_what_is_not_due_is_left_alone(self):
        place = Place(self.net)
        place.issue("n1.example.test", "*.n1.example.test")
        target, orders, before = place.target("n1.example.test"), self.net.pebble.orders(), len(self.net.pebble.requests())
        entry = self.by_name(self.renew(place))["n1.example.test"]
        self.assertEqual(entry["status"], "not_due")
        self.assertEqual(entry["names"], ["n1.example.test", "*.n1.example.test"])
        self.assertGreater(moment(entry["next"]), datetime.datetime.now(datetime.timezone.utc))
        self.assertEqual((place.target("n1.example.test"), self.net.pebble.orders()), (target, orders))
        run = place.run("renew")
        self.assert_exit(run, 0)
        self.assertIn("n1.example.test: not due before", run.err)
        self.assertIn("0 renewed, 1 not due", run.err)
        # The CA's suggestion is asked for once, and not again before it wants that.
        self.assertEqual(len(self.asks(before)), 1 if self.has_renewal_information else 0)
        self.assertEqual("start" in place.record("n1.example.test")["renewal"], self.has_renewal_information)

    def test_forced_with_several_at_once(self):
        place = Place(self.net)
        names = ["n2.example.test", "n3.example.test", "n4.example.test"]
        for name in names:
            place.issue(name)
        before = {name: place.target(name) for name in names}
        document = self.renew(place, "--force", "--jobs", "2", names[0], names[2])
        self.assertEqual((document["renewed"], document["failed"]), (2, 0))
        self.assertEqual(sorted(self.by_name(document)), [names[0], names[2]])
        issuance = self.by_name(document)[names[0]]["issuance"]
        self.assertEqual((issuance["status"], issuance["certificate"]["names"]), ("issued", [names[0]]))
        after = {name: place.target(name) for name in names}
        self.assertNotEqual(before[names[0]], after[names[0]])
        self.assertEqual(before[names[1]], after[names[1]])
        self.assertNotEqual(before[names[2]], after[names[2]])

    def test_an_unknown_certificate_is_bad_usage_and_the_nearest_is_named(self):
        place = Place(self.net, certificates=[{"names": ["n6.example.test"], "cert_name": "shop"}])
        place.issue("n5.example.test")
        orders = self.net.pebble.orders()
        run = place.run("renew", "n55.example.test")
        self.assert_exit(run, 2)
        self.assertIn('the nearest one is "n5.example.test"', run.err)
        run = place.run("renew", "--json", "shp", "n5.example.test")
        self.assert_exit(run, 2)
        self.assertIn('the nearest one is "shop"', run.json()["error"]["message"].replace("\\", ""))
        self.assertEqual(self.net.pebble.orders(), orders)

    def test_a_certificate_of_the_configuration_is_obtained_and_follows_its_names(self):
        name, more = "n7.example.test", ["n7.example.test", "*.n7.example.test", "n8.example.test"]
        place = Place(self.net, certificates=[{"names": [name]}])
        entry = self.by_name(self.renew(place))[name]
        self.assertEqual((entry["status"], entry["reason"]), ("renewed", "it has no certificate yet"))
        self.assertEqual(certificate_names(place.live(name, "cert.pem")), [name])
        self.assertEqual(self.by_name(self.renew(place))[name]["status"], "not_due")
        place.write(certificates=[{"names": more}])
        entry = self.by_name(self.renew(place))[name]
        self.assertEqual(entry["reason"], "names were added to its [[certificate]]: *.n7.example.test n8.example.test")
        self.assertEqual(certificate_names(place.live(name, "cert.pem")), sorted(more))
        place.write(certificates=[{"names": [name, "n8.example.test"], "key_type": "p256"}])
        entry = self.by_name(self.renew(place))[name]
        self.assertEqual(entry["reason"], "names were removed from its [[certificate]]: *.n7.example.test")
        place.write(certificates=[{"names": ["N8.example.test.", name], "key_type": "rsa2048", "cert_name": name, "mode": "0640"}])
        entry = self.by_name(self.renew(place))[name]
        self.assertEqual(entry["reason"], "its key is of the type p256, and is wanted as rsa2048")
        self.assertEqual(self.by_name(self.renew(place))[name]["status"], "not_due")
        # What left the configuration is kept current as it was issued.
        place.write()
        self.assertEqual(self.by_name(self.renew(place))[name]["status"], "not_due")

    def test_damaged_files_are_replaced(self):
        place = Place(self.net)
        place.issue("n10.example.test")
        with open(place.live("n10.example.test", "cert.pem"), "a", encoding="ascii"), \
                open(place.live("n10.example.test", "fullchain.pem"), "w", encoding="ascii") as file:
            file.write("-----BEGIN CERTIFICATE-----\n")
        place.set_back("n10.example.test")
        entry = self.by_name(self.renew(place))["n10.example.test"]
        self.assertEqual(entry["status"], "renewed")
        self.assertIn("are missing, or not what was issued", entry["reason"])
        os.unlink(place.live("n10.example.test"))
        # What damages them may do it again: once a day.
        orders = self.net.pebble.orders()
        entry = self.by_name(self.renew(place, code=1))["n10.example.test"]
        self.assertEqual(entry["status"], "held_back")
        self.assertRegex(entry["reason"], r"^it was issued \d+ seconds? ago and is due again: the files of ")
        self.assertEqual(self.net.pebble.orders(), orders)
        place.set_back("n10.example.test")
        self.assertEqual(self.by_name(self.renew(place))["n10.example.test"]["status"], "renewed")
        self.assertEqual(certificate_names(place.live("n10.example.test", "cert.pem")), ["n10.example.test"])

    def test_a_broken_record_is_named_and_stops_nothing_else(self):
        place = Place(self.net, certificates=[{"names": ["n12.example.test"]}, {"names": ["a_b.-c"], "cert_name": "odd"}])
        place.issue("n11.example.test")
        with open(place.record_path("n11.example.test"), "w", encoding="utf-8") as file:
            file.write('{"names": ')
        entries = self.by_name(self.renew(place, code=3))
        self.assertEqual(entries["n11.example.test"]["status"], "failed")
        self.assertIn("n11.example.test.json", entries["n11.example.test"]["error"]["message"])
        self.assertEqual(entries["n12.example.test"]["status"], "renewed")
        self.assertEqual(entries["odd"]["status"], "failed")
        self.assertIn("[[certificate]] in line", entries["odd"]["error"]["message"])
        # All that is tried fails.
        self.renew(place, "n11.example.test", code=1)

    def test_a_missing_delegation_fails_alone_and_nothing_is_ordered_for_it(self):
        place = Place(self.net, certificates=[{"names": ["bare.example.test"]}, {"names": ["n13.example.test"]}])
        orders = self.net.pebble.orders()
        entries = self.by_name(self.renew(place, code=3))
        self.assertEqual((entries["bare.example.test"]["status"], entries["n13.example.test"]["status"]), ("failed", "renewed"))
        self.assertEqual(entries["bare.example.test"]["issuance"]["error"]["code"], "not_found")
        self.assertEqual(self.net.pebble.orders(), orders + 1)
        run = place.run("renew")
        self.assert_exit(run, 1)
        self.assertEqual(self.net.pebble.orders(), orders + 1)

    def test_what_the_ca_refused_is_not_tried_again_at_once_and_others_go_on(self):
        name = "n40.example.test"
        others = ["n42.example.test"]
        if self.net.pebble.new:
            names = [name, "n41.example.test"]
        else:
            # 14 values more than the CA can read.
            names = [name]
            for number in range(14):
                self.assertEqual(self.net.control.put(zone_files.target(name), base.value(number))[0], 200)
            self.addCleanup(self.net.control.delete, zone_files.target(name))
            self.assertTrue(dns_wire.ask(self.net.responder, zone_files.target(name), "TXT", edns=False).truncated)
        try:
            place = Place(self.net, certificates=[{"names": names}, {"names": others}])
            orders = self.net.pebble.orders()
            entries = self.by_name(self.renew(place, code=3))
            self.assertEqual((entries[name]["status"], entries[others[0]]["status"]), ("failed", "renewed"))
            self.assertGreater(moment(entries[name]["next"]), datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=50))
            self.assertEqual(self.net.pebble.orders(), orders + 2)
            for _ in range(3):
                document = self.renew(place, code=1)
                entries = self.by_name(document)
                self.assertEqual((entries[name]["status"], entries[others[0]]["status"]), ("held_back", "not_due"), entries[name])
                self.assertEqual(document["status"], "failed")
            self.assertEqual(self.net.pebble.orders(), orders + 2, "the CA was asked again")
            run = place.run("renew")
            self.assert_exit(run, 1)
            self.assertIn(f"{name}: not tried again before", run.err)
            # A person who insists may.
            self.assert_exit(place.run("renew", "--force", name), 1)
            self.assertEqual(self.net.pebble.orders(), orders + 3)
        finally:
            self.net.control.delete(zone_files.target(name))

    def test_hooks_are_told_what_happened(self):
        name = "n14.example.test"
        place = Place(self.net)
        told = "$COUNTERSIGN_CERT;$COUNTERSIGN_NAMES;$COUNTERSIGN_DIR;$RENEWED_LINEAGE;$RENEWED_DOMAINS;$COUNTERSIGN_ERROR"
        acme = "\n".join(f"{kind}_hooks = {toml([place.hook(kind, told)])}" for kind in ("pre", "deploy", "failure"))
        entries = [{"names": [name, f"*.{name}"], "deploy_hook": place.hook("own", "$COUNTERSIGN_CERT")}, {"names": ["n15.example.test"]},
                   {"names": ["bare.example.test"]}]
        place.write(acme, entries)
        run = place.run("renew", "--json", "--jobs", "3")
        self.assert_exit(run, 3)
        run.json()
        self.assertEqual(place.log("pre"), [";;;;;"], "once, whatever is issued")
        names = f"{name} *.{name}"
        live = place.live(name)
        self.assertEqual(sorted(place.log("deploy"))[0], f"{name};{names};{live};{live};{names};")
        self.assertEqual(len(place.log("deploy")), 2)
        self.assertEqual(place.log("own"), [name])
        self.assertEqual(len(place.log("failure")), 1)
        failure = place.log("failure")[0].split(";", 5)
        self.assertEqual(failure[:2], ["bare.example.test", "bare.example.test"])
        self.assertEqual(failure[3:5], ["", ""])
        self.assertIn("bare.example.test", failure[5])
        # Nothing is due but what fails: the hooks of what was issued are not run again.
        self.assert_exit(place.run("renew"), 1)
        self.assertEqual((len(place.log("deploy")), len(place.log("own"))), (2, 1))
        self.assertEqual(len(place.log("failure")), 2)

    def test_a_failing_pre_hook_stops_the_run_and_a_failing_deploy_hook_only_counts(self):
        place = Place(self.net, acme="pre_hooks = " + toml(["exit 7"]), certificates=[{"names": ["n16.example.test"]}])
        orders = self.net.pebble.orders()
        run = place.run("renew")
        self.assert_exit(run, 1)
        self.assertIn("exit status 7", run.err)
        self.assertEqual(self.net.pebble.orders(), orders)
        place.write(certificates=[{"names": ["n16.example.test"], "deploy_hook": "echo loud; exit 5"}])
        run = place.run("renew", "--json")
        self.assert_exit(run, 1)
        self.assertIn("exit status 5", self.by_name(run.json())["n16.example.test"]["issuance"]["certificate"]["hook_failure"])
        self.assertIn("loud", run.err)
        self.assertEqual(certificate_names(place.live("n16.example.test", "cert.pem")), ["n16.example.test"])
        # It is tried again, without another certificate, until it comes to a good end.
        orders, target = self.net.pebble.orders(), place.target("n16.example.test")
        entry = self.by_name(self.renew(place, code=1))["n16.example.test"]
        self.assertEqual(entry["status"], "failed")
        self.assertIn("exit status 5", entry["reason"])
        place.write(certificates=[{"names": ["n16.example.test"], "deploy_hook": place.hook("deployed", "$COUNTERSIGN_CERT")}])
        document = self.renew(place)
        self.assertEqual((document["status"], document["renewed"], document["deployed"]), ("done", 0, 1))
        self.assertEqual(self.by_name(document)["n16.example.test"]["status"], "deployed")
        self.assertEqual(self.by_name(self.renew(place))["n16.example.test"]["status"], "not_due")
        self.assertEqual(place.log("deployed"), ["n16.example.test"])
        self.assertEqual((self.net.pebble.orders(), place.target("n16.example.test")), (orders, target))

    def test_hooks_that_a_kill_ended_run_again(self):
        name = "n30.example.test"
        place = Place(self.net)
        gate, pid = self.net.scene.path(place.folder, "gate"), self.net.scene.path(place.folder, "pid")
        hook = f"{place.hook('hook', 'begin')}; echo $$ > {pid}; test -e {gate} || exec sleep 30; {place.hook('hook', 'end')}"
        place.write(certificates=[{"names": [name], "deploy_hook": hook}])
        client = self.start(place, watch=False)
        self.await_true(lambda: os.path.exists(pid) and open(pid, encoding="ascii").read().strip(), 20, "the hook", place)
        client.kill()
        client.wait()
        with open(pid, encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGKILL)
        orders, target = self.net.pebble.orders(), place.target(name)
        self.assertEqual(place.log("hook"), ["begin"])
        open(gate, "w", encoding="ascii").close()
        run = place.run("renew")
        self.assert_exit(run, 0)
        self.assertIn(f"{name}: runs its hooks again: its deploy hooks did not come to a good end yet", run.err)
        self.assertIn("0 renewed, 0 not due, 1 deployed", run.err)
        self.assertEqual(place.log("hook"), ["begin", "begin", "end"])
        self.assertEqual(self.by_name(self.renew(place))[name]["status"], "not_due")
        self.assertEqual(place.log("hook"), ["begin", "begin", "end"])
        self.assertEqual((self.net.pebble.orders(), place.target(name)), (orders, target))

    def test_a_failing_hook_is_not_run_every_second(self):
        name = "n32.example.test"
        place = Place(self.net)
        place.write(certificates=[{"names": [name], "deploy_hook": place.hook("hook", "again") + "; exit 5"}])
        process = self.start(place)
        self.await_true(lambda: place.log("hook"), 20, "the hook", place)
        time.sleep(4)
        self.assertEqual(place.log("hook"), ["again"])
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)
        found = re.search(r"next look at (\S+)", "\n".join(place.log("watch.err"))).group(1)
        self.assertLess((moment(found) - datetime.datetime.now(datetime.timezone.utc)).total_seconds(), 65)

    def test_a_hook_that_moves_the_key_away_costs_one_certificate(self):
        name = "n33.example.test"
        place = Place(self.net, certificates=[{"names": [name], "deploy_hook": 'mv "$COUNTERSIGN_DIR/privkey.pem" "$COUNTERSIGN_DIR/moved.pem"'}])
        orders = self.net.pebble.orders()
        process = self.start(place)
        self.await_true(lambda: os.path.exists(place.live(name, "moved.pem")), 20, "the hook", place)
        time.sleep(4)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)
        self.assertEqual(self.net.pebble.orders(), orders + 1)
        run = place.run("renew")
        self.assert_exit(run, 1)
        self.assertRegex(run.err, name + r": not tried again before \S+: it was issued \d+ seconds? ago and is due again: the files of ")
        self.assertEqual(self.net.pebble.orders(), orders + 1)

    def test_a_ca_without_an_answer_is_asked_every_six_hours_by_whatever_process(self):
        name = "n34.example.test"
        place = Place(self.net)
        place.issue(name)
        with open(place.record_path(name), encoding="utf-8") as file:
            text = file.read()
        with open(place.record_path(name), "w", encoding="utf-8") as file:
            file.write(text.replace(":14000/dir", ":14000/nothing-is-here"))
        run = place.run("renew", "-v")
        self.assert_exit(run, 0)
        self.assertIn("no renewal information", run.err)
        renewal = place.record(name)["renewal"]
        self.assertNotIn("start", renewal)
        wait = moment(renewal["ask_at"]) - datetime.datetime.now(datetime.timezone.utc)
        self.assertTrue(5.9 <= wait.total_seconds() / 3600 <= 6, wait)
        run = place.run("renew", "-v")
        self.assert_exit(run, 0)
        self.assertNotIn("no renewal information", run.err)
        self.assertEqual(place.record(name)["renewal"], renewal)
        # For a person there is no window.
        shown = place.run("certificates", "--json")
        self.assert_exit(shown, 0)
        self.assertIsNone(shown.json()[0]["renewal"]["window"])

    def test_a_window_that_is_past_renews_at_once_and_says_what_is_replaced(self):
        if not self.net.pebble.new:
            self.skipTest("this Pebble takes no suggestion from a test")
        place = Place(self.net)
        name = "n17.example.test"
        place.issue(name)
        entry = self.by_name(self.renew(place))[name]
        self.assertEqual(entry["status"], "not_due")
        self.assertIn("the CA suggests", entry["reason"])
        window = place.record(name)["renewal"]
        self.assertTrue(moment(window["start"]) <= moment(window["renew_at"]) <= moment(window["end"]), window)
        self.suggest(place, name, -48, -24, "https://ca.example/incident")
        # Not asked before its time: nothing is known of the change.
        before = len(self.net.pebble.requests())
        self.assertEqual(self.by_name(self.renew(place))[name]["status"], "not_due")
        self.assertEqual(self.asks(before), [])
        self.let_ask_again(place, name)
        # Not a second time on one day; as long as it is far from its end, nobody needs to know.
        entry = self.by_name(self.renew(place))[name]
        self.assertEqual(entry["status"], "held_back")
        self.assertRegex(entry["reason"], r"^it was issued \d+ seconds? ago and is due again: the CA suggested ")
        self.assertEqual(entry["explanation"], "https://ca.example/incident")
        place.set_back(name)
        target = place.target(name)
        entry = self.by_name(self.renew(place))[name]
        self.assertEqual(entry["status"], "renewed")
        self.assertIn("the CA suggested", entry["reason"])
        self.assertNotEqual(place.target(name), target)
        # The new one has a window of its own, asked for at once.
        renewed = place.record(name)["renewal"]
        self.assertNotEqual(renewed["certificate"], window["certificate"])
        self.assertEqual(self.by_name(self.renew(place))[name]["status"], "not_due")

    def test_the_drawn_time_stays_until_the_window_changes(self):
        if not self.net.pebble.new:
            self.skipTest("this Pebble takes no suggestion from a test")
        place = Place(self.net)
        name = "n18.example.test"
        place.issue(name)
        self.renew(place)
        drawn = []
        for _ in range(3):
            self.let_ask_again(place, name)
            self.renew(place)
            drawn.append(place.record(name)["renewal"]["renew_at"])
        self.assertEqual(len(set(drawn)), 1, drawn)
        self.suggest(place, name, 1000, 1100, "https://ca.example/later")
        self.let_ask_again(place, name)
        self.assertEqual(self.by_name(self.renew(place))[name]["explanation"], "https://ca.example/later")
        self.assertNotEqual(place.record(name)["renewal"]["renew_at"], drawn[0])
        # Told once.
        self.let_ask_again(place, name)
        self.assertIsNone(self.by_name(self.renew(place))[name]["explanation"])

    def test_a_window_that_is_none_is_like_no_answer(self):
        if not self.net.pebble.new:
            self.skipTest("this Pebble takes no suggestion from a test")
        place = Place(self.net)
        name = "n19.example.test"
        place.issue(name)
        self.renew(place)
        window = place.record(name)["renewal"]
        self.suggest(place, name, -24, -48)
        self.let_ask_again(place, name)
        self.assertEqual(self.by_name(self.renew(place))[name]["status"], "not_due")
        self.assertEqual(place.record(name)["renewal"]["renew_at"], window["renew_at"])

    def test_a_ca_that_is_down_hinders_nothing_that_is_not_due(self):
        place = Place(self.net)
        name = "n21.example.test"
        place.issue(name)
        with open(place.record_path(name), encoding="utf-8") as file:
            text = file.read()
        with open(place.record_path(name), "w", encoding="utf-8") as file:
            file.write(text.replace(":14000/dir", ":14009/dir"))
        run = place.run("renew", "--json", "-v")
        self.assert_exit(run, 0)
        entry = self.by_name(run.json())[name]
        self.assertEqual((entry["status"], entry["reason"]), ("not_due", "a third of its lifetime is left then"))
        self.assertIn("no renewal information", run.err)

    def test_another_run_that_works_on_it_is_left_to_it(self):
        place = Place(self.net)
        name = "n20.example.test"
        place.issue(name)
        lock = os.path.join(place.state, "acme", "locks", name)
        holder = subprocess.Popen([find_program("flock", "util-linux"), lock, "sleep", "30"], start_new_session=True)
        try:
            time.sleep(0.3)
            orders = self.net.pebble.orders()
            entry = self.by_name(self.renew(place, "--force", name))[name]
            self.assertEqual(entry["status"], "busy")
            self.assertIn("another run", entry["reason"])
            self.assertEqual(self.net.pebble.orders(), orders)
        finally:
            os.killpg(holder.pid, signal.SIGKILL)
            holder.wait()


base.with_every_pebble(globals(), Renewing)


class Watching(RenewTest):
    """With certificates that live for seconds."""

    LIFETIME = 16
    internet = {"pebble_options": {"config": {
        "certificateValidityPeriod": LIFETIME, "profiles": {"default": {"description": "short", "validityPeriod": LIFETIME}}}}}

    def test_renews_again_and_again_follows_the_configuration_and_stops_when_asked(self):
        first, second = "n1.example.test", "n2.example.test"
        place = Place(self.net, certificates=[{"names": [first]}])
        process = self.start(place, "--json")
        issuances = lambda name: glob.glob(os.path.join(place.state, "acme", "archive", name, "*"))
        self.await_true(lambda: len(issuances(first)) >= 1 and os.path.exists(place.live(first)), 10, "the first certificate", place)
        began = time.monotonic()
        self.await_true(lambda: len(issuances(first)) >= 3, 3 * self.LIFETIME, "two renewals", place)
        # Half of the lifetime each, or at any time that the CA suggests, but not at once again.
        self.assertGreater(time.monotonic() - began, 0.25 * self.LIFETIME, "they came too early")
        # A broken configuration changes nothing, a good one is taken over, without waiting for what is due.
        good = place.config
        with open(good, "a", encoding="utf-8") as file:
            file.write("nonsense = \n")
        self.await_true(lambda: "the one before stays in force" in "\n".join(place.log("watch.err")), 45, "the complaint", place)
        self.assertIsNone(process.poll())
        place.write(certificates=[{"names": [first]}, {"names": [second]}])
        self.await_true(lambda: os.path.exists(place.live(second)), 45, "the second certificate", place)
        before = len(issuances(first))
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0, place.log("watch.err"))
        # Each round is one document on a line of its own.
        rounds = [json.loads(line) for line in place.log("watch.out")]
        self.assertGreaterEqual(sum(entry["renewed"] for entry in rounds), before)
        self.assertEqual([entry["failed"] for entry in rounds], [0] * len(rounds))
        self.assertLess(len(rounds), 40, "it turns in circles")
        self.assert_nothing_published()

    def test_what_fails_is_tried_again_later_and_later(self):
        place = Place(self.net, certificates=[{"names": ["bare.example.test"]}])
        process = self.start(place)
        self.await_true(lambda: any("next look at" in line for line in place.log("watch.err")), 10, "the first round", place)
        found = re.search(r"next look at (\S+)", "\n".join(place.log("watch.err"))).group(1)
        wait = moment(found) - datetime.datetime.now(datetime.timezone.utc)
        self.assertTrue(50 <= wait.total_seconds() <= 70, wait)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)

    def test_hooks_of_a_certificate_that_its_ca_wants_to_keep_longer_cost_no_order(self):
        if not self.net.pebble.new:
            self.skipTest("this Pebble takes no suggestion from a test")
        name = "n5.example.test"
        place = Place(self.net)
        place.write(certificates=[{"names": [name], "deploy_hook": place.hook("hook", "again") + "; exit 5"}])
        self.assert_exit(place.run("renew"), 1)
        self.suggest(place, name, 100, 101)
        self.let_ask_again(place, name)
        orders = self.net.pebble.orders()
        # More than half of its lifetime is over; the CA's word counts, to just before its end.
        begin = moment(place.record(name)["not_before"])
        time.sleep(max(0.0, self.LIFETIME / 2 + 0.5 - (datetime.datetime.now(datetime.timezone.utc) - begin).total_seconds()))
        process = self.start(place)
        self.await_true(lambda: len(place.log("hook")) == 2, 10, "the hook", place)
        self.assertEqual(self.net.pebble.orders(), orders)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)

    def test_a_certificate_that_nobody_knows_ends_it_at_once(self):
        place = Place(self.net, certificates=[{"names": ["n3.example.test"]}])
        self.assert_exit(place.run("renew", "--watch", "n4.example.test"), 2)


base.with_every_pebble(globals(), Watching)


class Units(unittest.TestCase):
    """conf/countersign-renew.service and .timer."""

    def setUp(self):
        self.scene = Scene()
        self.addCleanup(self.scene.close)
        self.analyze = find_program("systemd-analyze", "systemd")

    def read(self, name):
        with open(os.path.join(ROOT, "conf", name), encoding="utf-8") as file:
            return file.read()

    def test_systemd_understands_them(self):
        paths = []
        for name in ("countersign-renew.service", "countersign-renew.timer"):
            # It looks whether the program is there.
            paths.append(self.scene.write(f"units/{name}", self.read(name).replace("/usr/bin/countersign", built_program("countersign", "acme"))))
        result = subprocess.run([self.analyze, "verify", *paths], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((result.returncode, result.stdout + result.stderr), (0, ""))

    def test_it_comes_twice_a_day_spread_and_made_up_for(self):
        timer = self.read("countersign-renew.timer")
        spec = re.search(r"^OnCalendar=(.*)$", timer, re.MULTILINE).group(1)
        shown = subprocess.run([self.analyze, "calendar", "--iterations=3", spec], capture_output=True, text=True, timeout=60, check=True).stdout
        self.assertEqual(len(re.findall(r"\b(00|12):00:00\b", shown.split("Next elapse", 1)[1])) >= 3, True, shown)
        self.assertIn("\nPersistent=true\n", timer)
        self.assertIn("\nRandomizedDelaySec=1h\n", timer)

    def test_a_machine_without_a_zone_renews_and_has_no_daemon(self):
        state = self.scene.path("state")
        config = self.scene.write("client.toml", f"""\
state_dir = {toml(state)}
[acme]
server = "https://auth.example.net"
credentials = {toml(self.scene.path("registration.json"))}
""")
        run = lambda program, folder, *arguments: subprocess.run(
            [built_program(program, folder), "--config", config, *arguments], capture_output=True, text=True, timeout=60, check=False)
        renewed = run("countersign", "acme", "renew")
        self.assertEqual(renewed.returncode, 0, renewed.stderr)
        daemon = run("countersignd", "dnsd", "--check")
        self.assertEqual(daemon.returncode, 2, daemon.stderr)
        self.assertIn("zone: no zone is configured, only acme.server; add a [[zone]]", daemon.stderr)

    def test_it_may_do_what_hooks_need(self):
        service = self.read("countersign-renew.service")
        for refused in ("NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateUsers=yes", "CapabilityBoundingSet=", "User="):
            self.assertNotIn("\n" + refused, service)


if __name__ == "__main__":
    base.main()
