#!/usr/bin/python3
"""The smaller commands and the control socket: delegate, txt, status, certificates, and the stream of challenge queries."""

import json
import os
import time

import base
import dns_wire

ZONE = "auth.example.test"


class Commands(base.SystemTest):
    def tearDown(self):
        self.assert_nothing_published()

    def test_delegate_prints_zone_file_lines(self):
        run = self.net.run("delegate", "www.example.test", "*.shop.example.test")
        self.assert_exit(run, 0)
        self.assertRegex(run.out, rf"(?m)^_acme-challenge\.www\.example\.test\.\s.*CNAME\s+www\.example\.test\.{ZONE}\.$")
        self.assertRegex(run.out, rf"(?m)^_acme-challenge\.shop\.example\.test\.\s.*CNAME\s+shop\.example\.test\.{ZONE}\.$")

    def test_delegate_refuses_a_name_that_gets_too_long(self):
        long = ".".join(["a" * 60] * 3 + ["b" * 48]) + ".test"
        run = self.net.run("delegate", long)
        self.assertNotEqual(run.code, 0)
        self.assertIn("register", run.text())

    def test_txt_set_list_remove(self):
        name = f"hand.{ZONE}"
        self.assert_exit(self.net.run("txt", "set", name, base.VALUE), 0)
        self.assertEqual(self.net.daemon.texts(name), [base.VALUE])
        listed = self.net.run("txt", "list", "--json")
        self.assert_exit(listed, 0)
        self.assertEqual(listed.json(), self.net.control.request("GET", "/v1/txt")[1])
        (entry,) = listed.json()
        self.assertEqual((entry["name"].rstrip("."), entry["value"]), (name, base.VALUE))
        self.assertRegex(entry["expires"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertIn(base.VALUE, self.net.run("txt", "list").text())
        self.assert_exit(self.net.run("txt", "remove", name), 0)
        self.assertEqual(self.net.daemon.texts(name), [])
        self.assert_exit(self.net.run("txt", "remove", name), 0)

    def test_txt_outside_our_zones_is_refused(self):
        run = self.net.run("txt", "set", "www.example.test", base.VALUE)
        self.assert_exit(run, 1)
        self.assertIn("www.example.test", run.text())

    def test_status(self):
        run = self.net.run("status", "--json")
        self.assert_exit(run, 0)
        report = run.json()
        self.assertLessEqual({"version", "uptime_s", "zones", "listen", "values", "queries", "store"}, set(report))
        self.assertIn(ZONE, [zone["name"].rstrip(".") for zone in report["zones"]])
        self.assertIs(report["store"]["ok"], True)
        people = self.net.run("status")
        self.assert_exit(people, 0)
        self.assertIn(ZONE, people.text())

    def test_certificates(self):
        empty = self.net.run("certificates", "--json")
        self.assert_exit(empty, 0)
        self.assertEqual(empty.json(), [])
        self.assert_exit(self.net.issue("www.example.test", "*.www.example.test"), 0)
        run = self.net.run("certificates", "--json")
        self.assert_exit(run, 0)
        (entry,) = run.json()
        self.assertEqual(sorted(entry["names"]), ["*.www.example.test", "www.example.test"])
        self.assertIn("www.example.test", self.net.run("certificates").text())

    def test_issue_says_its_steps_to_people_on_stderr(self):
        run = self.net.run("issue", "n80.example.test")
        self.assert_exit(run, 0)
        self.assertIn("n80.example.test", run.text())
        # Each step with the time that it took.
        self.assertRegex(run.err, r"\d+(\.\d+)? ?m?s\b")

    def test_json_keeps_stdout_to_json(self):
        run = self.net.issue("n81.example.test")
        self.assert_exit(run, 0)
        self.assertIsInstance(run.json(), dict)
        failed = self.net.issue("bare.example.test")
        self.assert_exit(failed, 1)
        for line in failed.out.splitlines():
            json.loads(line)


class ControlSocket(base.SystemTest):
    def test_put_get_delete(self):
        control, name = self.net.control, f"a.b.{ZONE}"
        status, entries = control.put(name + ".", base.VALUE, "10m")
        self.assertEqual(status, 200)
        self.assertEqual([entry["value"] for entry in entries], [base.VALUE])
        status, entries = control.put(name, base.value(2))
        self.assertEqual((status, len(entries)), (200, 2))
        self.assertEqual(self.net.daemon.texts(name), sorted([base.VALUE, base.value(2)]))
        # RFC 8020, RFC 4592 section 2.2.2: the name between is an empty non-terminal, so no NXDOMAIN.
        between = dns_wire.ask(self.net.responder, f"b.{ZONE}", "TXT")
        self.assertEqual((between.rcode, between.answers, between.authority[0].type), ("NOERROR", [], "SOA"))
        self.assertEqual(control.delete(name, base.VALUE)[0], 204)
        self.assertEqual(self.net.daemon.texts(name), [base.value(2)])
        self.assertEqual(control.delete(name)[0], 204)
        self.assertEqual(control.delete(name)[0], 204, "removing what is not there is no error")
        self.assertEqual(dns_wire.ask(self.net.responder, name, "TXT").rcode, "NXDOMAIN")
        self.assertEqual(dns_wire.ask(self.net.responder, f"b.{ZONE}", "TXT").rcode, "NXDOMAIN")

    def test_statuses_of_bad_requests(self):
        control = self.net.control
        self.assertEqual(control.put("www.example.org", base.VALUE)[0], 404)
        self.assertEqual(control.put(f"x.{ZONE}", "v" * 1025)[0], 400)
        self.assertEqual(control.put("a..b." + ZONE, base.VALUE)[0], 400)
        self.assertEqual(control.put(f"x.{ZONE}", base.VALUE, "soon")[0], 400)
        self.assertEqual(control.request("PUT", f"/v1/txt/x.{ZONE}", {"valeu": "x"})[0], 400)
        self.assertEqual(control.request("PUT", f"/v1/txt/x.{ZONE}", ["x"])[0], 400)
        self.assertEqual(control.request("GET", "/v1/nothing")[0], 404)
        self.assertEqual(control.request("POST", "/v1/status", {})[0], 405)
        self.assertEqual(control.values(), {})

    def test_more_values_than_allowed(self):
        name = f"many.{ZONE}"
        for number in range(16):
            self.assertEqual(self.net.control.put(name, base.value(number))[0], 200)
        self.assertEqual(self.net.control.put(name, base.value(16))[0], 409)
        self.assertEqual(len(self.net.daemon.texts(name)), 16)
        self.net.control.delete(name)

    def test_for_ever(self):
        name = f"ever.{ZONE}"
        self.assertEqual(self.net.control.put(name, base.VALUE, "0")[0], 200)
        self.net.daemon.restart()
        self.assertEqual(self.net.daemon.texts(name), [base.VALUE])
        self.net.control.delete(name)

    def test_stream_of_queries_can_be_narrowed_to_a_name(self):
        stream = self.net.control.record_queries(f"seen.{ZONE}")
        time.sleep(0.2)
        for tcp in (False, True):
            dns_wire.ask(self.net.responder, f"seen.{ZONE}", "TXT", tcp=tcp)
            dns_wire.ask(self.net.responder, f"unseen.{ZONE}", "TXT", tcp=tcp)
        time.sleep(0.5)
        lines = stream.close()
        self.assertEqual({line["name"].rstrip(".") for line in lines}, {f"seen.{ZONE}"})
        self.assertEqual(sorted(line["transport"].lower() for line in lines), ["tcp", "udp"])
        self.assertEqual({line["rcode"] for line in lines}, {"NXDOMAIN"})

    def test_outside_and_negative_answers(self):
        refused = dns_wire.ask(self.net.responder, "www.example.org", "TXT")
        self.assertEqual((refused.rcode, refused.authoritative), ("REFUSED", False))
        missing = dns_wire.ask(self.net.responder, f"missing.{ZONE}", "TXT")
        self.assertEqual((missing.rcode, missing.authority[0].type), ("NXDOMAIN", "SOA"))
        nodata = dns_wire.ask(self.net.responder, f"ns1.{ZONE}", "TXT")
        self.assertEqual((nodata.rcode, nodata.answers, nodata.authority[0].type), ("NOERROR", [], "SOA"))
        glue = dns_wire.ask(self.net.responder, f"ns1.{ZONE}", "A")
        self.assertEqual(glue.answers[0].value, self.net.responder)

    def test_socket_is_not_for_everybody(self):
        self.assertEqual(oct(os.stat(self.net.daemon.socket).st_mode & 0o777), oct(0o660))


if __name__ == "__main__":
    base.main()
