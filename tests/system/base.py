"""What every system test has: the path to the support modules, the little Internet of a class, and the logs when a test fails."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

from authority import certificate_names, found_pebbles, newest_pebble, verify_chain  # noqa: E402
from isolation import can_drop_to, isolate, isolate_if_needed  # noqa: E402,F401
from little_internet import LittleInternet  # noqa: E402
from processes import FixtureError, stop_on_signals  # noqa: E402

# A value of the right form (RFC 8555 section 8.4: 43 characters of base64url) for tests that only store.
VALUE = "ZTRx1Ckl1-tM05o5zaizTTA0yUy5AGereMgSNWC6Ll8"


def value(number):
    """Distinct values of the right form."""
    return f"{number:06d}" + VALUE[6:]


class SystemTest(unittest.TestCase):
    """One little Internet for each class; `internet` holds the options of it, `pebble` the CA (None: the newest found)."""

    internet = {}
    pebble = None
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.net = LittleInternet(pebble=cls.pebble or newest_pebble(), **cls.internet)
        cls.addClassCleanup(cls.net.close)

    def run(self, result=None):
        before = len(result.failures) + len(result.errors) if result else 0
        super().run(result)
        if result and len(result.failures) + len(result.errors) > before:
            print(f"==== logs after {self.id()}\n{self.net.scene.log_tails()}", file=sys.stderr, flush=True)
        return result

    def assert_exit(self, run, code):
        self.assertEqual(run.code, code, str(run))

    def assert_certificate(self, path, names):
        """A PEM file of another client, its own certificate first: the names, and the chain to the CA's root."""
        self.assertEqual(certificate_names(path), sorted(names))
        verify_chain(self.net.scene, self.net.pebble.root(), path, path)

    def assert_nothing_published(self):
        self.assertEqual(self.net.control.values(), {}, "values are left in the daemon")


class OwnStateTest(SystemTest):
    """Each test with a STATE of its own; at its end nothing is published."""

    def tearDown(self):
        self.assert_nothing_published()

    def own(self, ca=None, **options):
        from own_state import OwnState  # pylint: disable=import-outside-toplevel

        return OwnState(self.net, self.id().rsplit(".", 1)[-1], ca, **options)

    def issued(self, own, *arguments):
        run = own.issue(*arguments)
        self.assert_exit(run, 0)
        return run

    def message(self, run, code=1):
        self.assert_exit(run, code)
        return run.json()["error"]["message"]

    def need_new_pebble(self, what):
        if not self.net.pebble.new:
            self.skipTest(f"Pebble {self.net.pebble.version} has no {what}")


def with_every_pebble(namespace, case):
    """Makes one class for each Pebble found out of a mixin; prints which, so that a missing one is seen."""
    pebbles = found_pebbles()
    print(f"{case.__name__}: with Pebble {', '.join(pebbles)}", file=sys.stderr)
    for version, path in pebbles.items():
        name = f"{case.__name__}_with_Pebble_{version.replace('.', '_')}"
        namespace[name] = type(name, (case, SystemTest), {"pebble": (version, path), "__module__": namespace["__name__"]})


class _LoudSkips(unittest.TextTestResult):
    """A skipped test says why, always."""

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"skipped: {test.id()}: {reason}", file=sys.stderr)


# What ctest is told to take as "skipped" (SKIP_RETURN_CODE).
_SKIPPED = 77


def main(own_network=False):
    """Runs the file's tests; `own_network`: only in a network namespace of its own, skipped where none can be made."""
    stop_on_signals()
    if own_network:
        try:
            isolate()
        except FixtureError as error:
            print(f"skipped: {os.path.basename(sys.argv[0])}: {error}", file=sys.stderr)
            sys.exit(_SKIPPED)
    try:
        isolate_if_needed()
    except FixtureError as error:
        sys.exit(f"system tests: {error}")
    runner = unittest.TextTestRunner(verbosity=2, resultclass=_LoudSkips)
    unittest.main(module="__main__", testRunner=runner)
