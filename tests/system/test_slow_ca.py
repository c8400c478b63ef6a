#!/usr/bin/python3
"""A CA that says not now (Retry-After, refused nonces), or never comes to an end."""

import datetime
import email.utils
import json
import os
import re
import signal
import time

import base
import odd_ca
import zone_files
from odd_ca import OddCa
from odd_cases import Case, OddCaTest
from own_state import OwnState


class Limits(OddCaTest):
    """A CA that says not now: for a moment, and for long."""

    def test_retry_after(self):
        def soon():
            return email.utils.format_datetime(datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3), usegmt=True)

        def limited(retry_after):
            def act(exchange):
                value = retry_after() if callable(retry_after) else retry_after
                headers = [] if value is None else [("Retry-After", value)]
                return odd_ca.answer_problem(
                    429, "rateLimited", "too many certificates", *headers, ("Link", '<https://ca.example/limits>;rel="help"'))(exchange)

            return act

        def at_least(seconds):
            return lambda test, run: test.expect(run.seconds >= seconds, f"not waited for: {run}")

        later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=30)
        stamp = later.strftime("%Y-%m-%d")
        cases = []
        for step in ("account", "order", "finalize"):
            cases += [
                Case("1 second", step, limited("1"), times=1, also=at_least(1.0)),
                Case("as a date", step, limited(soon), times=1, also=at_least(1.5)),
                Case("an hour", step, limited("3600"), "rateLimited.*too many certificates", within=3.0, also=says_when),
                Case("30 hours, as a date", step, limited(email.utils.format_datetime(later, usegmt=True)), stamp, within=3.0),
                Case("no time", step, limited(None), "rateLimited.*too many certificates", within=3.0),
                Case("no time that can be read", step, limited("soon"), "rateLimited.*too many certificates", within=3.0),
                Case("in the past", step, limited("Wed, 21 Oct 2015 07:28:00 GMT"), times=1),
            ]
        cases.append(Case("an hour", "directory", limited("3600"), "rateLimited", within=3.0))
        cases.append(Case("an hour", "nonce", odd_ca.answer_page(429, ("Retry-After", "3600")), "429", within=3.0))
        cases.append(Case("503 for an hour", "order", odd_ca.answer_page(503, ("Retry-After", "3600")), "503", within=3.0, also=says_when))
        self.run_cases(cases)

    def test_help_link_is_shown(self):
        with OddCa(self.net.pebble) as ca:
            own = OwnState(self.net, "help", ca.url)
            ca.fault("order", odd_ca.answer_problem(429, "rateLimited", "too many", ("Link", '<https://ca.example/limits>;rel="help"')))
            run = own.issue(zone_files.NUMBERED[0])
            self.assert_exit(run, 1)
            self.assertIn("https://ca.example/limits", run.json()["error"]["message"])


def says_when(test, run):
    """The time when to try again, about an hour from now."""
    message = run.json()["error"]["message"]
    found = re.search(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(:\d\d)?)", message)
    test.expect(found, f"no time in {message!r}")
    when = datetime.datetime.fromisoformat(f"{found[1]}T{found[2]}+00:00")
    away = abs((when - datetime.datetime.now(datetime.timezone.utc)).total_seconds() - 3600)
    test.expect(away < 120, f"not the time that the CA gave: {message!r}")


class Nonces(OddCaTest):
    """The half of all nonces refused is in test_issue.py; here none is ever taken (RFC 8555 section 6.5)."""

    internet = {"pebble_environment": {"PEBBLE_WFE_NONCEREJECT": "100"}}

    def test_gives_up_and_says_so(self):
        run = self.net.issue("www.example.test")
        self.assert_exit(run, 1)
        self.assertRegex(run.json()["error"]["message"], "badNonce|nonce")
        self.assertLess(run.seconds, 10)
        self.assertLess(len(self.net.pebble.requests()), 200, "it hammers the CA")
        self.assert_nothing_published()


class NeverEnding(OddCaTest):
    """A CA that never comes to an end. Its budgets are minutes, so a person ends it here; COUNTERSIGN_TEST_LONG=1 waits for them."""

    def endless(self, label, step, edit, budget):
        long = bool(os.environ.get("COUNTERSIGN_TEST_LONG"))
        name = zone_files.NUMBERED[0]
        with OddCa(self.net.pebble) as ca:
            own = OwnState(self.net, label, ca.url)
            ca.fault("poll", odd_ca.json_edit(edit))
            if step == "finalize":
                ca.fault("finalize", odd_ca.json_edit(edit))
            began = time.monotonic()
            run = own.issue(
                name, timeout=budget + 30, interrupt_when=None if long else lambda: len(ca.requests("poll")) >= 2 and time.monotonic() - began > 4)
            polls = len(ca.requests("poll"))
            self.assert_exit(run, 1 if long else 130)
            if long:
                self.assertLess(abs(run.seconds - budget), 15)
                self.assertRegex(run.json()["error"]["message"], "did not finish")
            else:
                self.assertLess(run.seconds, 5.5, "it is not there for the person who wants it to end")
            # 10, 20, 40 ms ... up to a second.
            self.assertLess(polls, 8 + run.seconds * 1.5, "it hammers the CA")
            self.assertEqual(own.left_values(name), {})
            own.check()
            ca.behave()
            self.assert_exit(own.issue(name), 0)
            own.check_pair(name, [name])
            self.assert_clean(own, name)

    def test_validation(self):
        self.endless("validation", "poll", lambda d: d.update(status="pending"), 120)

    def test_processing(self):
        def processing(document):
            if document["status"] == "valid":
                document.pop("certificate", None)
                document["status"] = "processing"

        self.endless("processing", "finalize", processing, 300)

    def test_a_long_retry_after_while_it_works(self):
        with OddCa(self.net.pebble) as ca:
            own = OwnState(self.net, "retry-after", ca.url)

            def hold(answer):
                document = json.loads(answer.body)
                document["status"] = "pending"
                answer.body = json.dumps(document).encode()
                answer.replace_header("Retry-After", "86400")

            ca.fault("poll", odd_ca.change(hold))
            began = time.monotonic()
            run = own.issue(zone_files.NUMBERED[0], interrupt_when=lambda: time.monotonic() - began > 3, interrupt_with=signal.SIGTERM)
            self.assert_exit(run, 130)
            self.assertLess(run.seconds, 5)
            self.assertLess(len(ca.requests("poll")), 4, "Retry-After is not obeyed")
            self.assert_nothing_published()


if __name__ == "__main__":
    base.main()
