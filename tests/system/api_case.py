"""What the tests of the public API have in common."""

import re

import base  # it says where the others are

from api_client import Raw
from processes import wait_until

ANYONE = 'registration = "open"\nregistration_rate = { per_address = 0, burst = 0 }\n'


class ApiTest(base.SystemTest):
    internet = {"api": ANYONE}

    @property
    def port(self):
        return self.net.daemon.API_PORT

    def source(self, number):
        """An address that no other test has used up the patience for."""
        return self.net.block.address(100 + number)

    def raw(self, **options):
        raw = Raw(self.net.responder, self.port, **options)
        self.addCleanup(raw.close)
        return raw

    def texts(self, account):
        return self.net.daemon.texts(account.fulldomain, tcp=True)

    def log_line(self, since, *parts):
        """The first line since then that has all the parts."""
        def found():
            return next((line for line in self.net.daemon.child.log()[since:].splitlines() if all(part in line for part in parts)), "")
        return wait_until(found, f"a log line with {parts}")

    def memory(self):
        with open(f"/proc/{self.net.daemon.child.pid}/status", encoding="ascii", errors="replace") as file:
            return int(re.search(r"RssAnon:\s*(\d+)", file.read()).group(1)) * 1024
