"""How a fault of the CA is tried: one issuance that meets it, what must hold then, and the next run with a CA that behaves."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import base
import zone_files
from odd_ca import OddCa
from own_state import OwnState

# Cases run side by side: most of their time is the client's own waiting before it asks again.
SIDE_BY_SIDE = 6


def said(step, words):
    """Where the CA has done what it was asked and only the answer is bad, its own view of the order or authorization counts: the run goes on."""
    return None if step in ("challenge", "finalize") else words


class Case:
    """
    One fault. `words`: what the error must say (a regular expression), None: the run succeeds all the same. `times`: how often; `fresh`: no
    certificate is there before. `within` seconds it ends.
    """

    def __init__(self, label, step, act, words=None, times=None, skip=0, code=None, within=8.0, fresh=False, also=None):
        self.label, self.step, self.act, self.words, self.times, self.skip = label, step, act, words, times, skip
        self.code = code if code is not None else (0 if words is None else 1)
        self.within, self.fresh, self.also = within, fresh, also


class OddCaTest(base.SystemTest):
    def run_cases(self, cases):
        def judge(numbered):
            number, case = numbered
            try:
                self.one_case(number, case)
            except AssertionError as error:
                return f"{case.step}: {case.label}: {error}"
            return None

        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            wrongs = [found for found in pool.map(judge, enumerate(cases)) if found]
        if wrongs:
            self.fail(f"{len(wrongs)} of {len(cases)} cases:\n" + "\n\n".join(wrongs))
        self.assert_nothing_published()

    def one_case(self, number, case):
        name = zone_files.NUMBERED[number % 100]
        with OddCa(self.net.pebble) as ca:
            own = OwnState(self.net, f"{self._testMethodName}-{number}", ca.url)
            if not case.fresh:
                # By another account: Pebble may give an account its valid authorization again, and then there is nothing to prove.
                first = own.issue("--ca", self.net.pebble.url, name)
                self.expect(first.code == 0, f"the run before failed: {first}")
            before = own.target(name)
            ca.fault(case.step, case.act, case.times, case.skip)
            run = own.issue("--force", "--ca", ca.url, name, timeout=20)
            self.check_run(case, run)
            self.expect(not own.left_values(name), f"values are left: {own.left_values(name)}: {run}")
            own.check()
            if case.code != 0:
                self.expect(own.target(name) == before, f"live was switched: {run}")
            else:
                own.check_pair(name, [name])
            ca.behave()
            after = own.issue("--force", "--ca", ca.url, name)
            self.expect(after.code == 0, f"the next run failed: {after}\nafter: {run}")
            own.check()
            own.check_pair(name, [name])
            self.expect(own.target(name) != before, f"nothing new is live: {after}")
            self.expect(not own.left_values(name), f"values are left: {after}")
            self.assert_clean(own, name)

    def check_run(self, case, run):
        self.expect(run.code == case.code, f"exit status {case.code} expected: {run}")
        self.expect(run.seconds < case.within, f"it took {run.seconds:.1f} s: {run}")
        document = run.json()
        if case.words is not None:
            message = (document.get("error") or {}).get("message", "")
            self.expect(re.search(case.words, message), f"the error does not say {case.words!r}: {message!r}")
        if case.also is not None:
            case.also(self, run)
        self.expect(not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", run.out + run.err), f"control characters reach the terminal: {run!r}")

    def expect(self, holds, message):
        if not holds:
            raise AssertionError(str(message))

    def assert_clean(self, own, name):
        """The record of a run that ended well speaks of nothing unfinished, and every issuance kept is whole."""
        record = own.record(name)
        left = [key for key in ("pending_order", "pending", "published") if record.get(key)]
        self.expect(not left, f"the record still has {left}: {record}")
        for issuance in os.listdir(own.path("archive", name)):
            files = sorted(os.listdir(own.path("archive", name, issuance)))
            self.expect(files == ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"], f"archive/{name}/{issuance} holds {files}")
