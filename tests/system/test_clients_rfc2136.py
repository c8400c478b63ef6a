#!/usr/bin/python3
"""ACME clients as they are, by dynamic updates (RFC 2136) with TSIG: certificates from the CA through the daemon; and the tools that people use by hand."""

import os
import subprocess

import base
import peers
import updates
import zone_files
from authority import found_pebbles
from processes import find_program

ZONE, NS_ZONE = zone_files.ZONE, zone_files.NS_ZONE
NS_NAME = "nsname.example.test"
PATTERNS = [f"*.{ZONE}", NS_ZONE]


class LegoByNs(peers.Lego):
    """As most people run it: no CNAME is followed."""

    def prepare(self):
        self.environment["LEGO_CA_CERTIFICATES"] = self.net.pebble.bundle
        key = self.net.update_key
        self.environment.update({
            "RFC2136_NAMESERVER": self.net.responder, "RFC2136_TSIG_KEY": key.name, "RFC2136_TSIG_ALGORITHM": key.algorithm + ".",
            "RFC2136_TSIG_SECRET": key.secret})


class Clients(base.SystemTest):
    internet = {"keys": [("peers", PATTERNS)]}
    # uacme 1.7.4 refuses challenges that it does not know, which Pebble offers from 2.10 on.
    pebble = next(iter(found_pebbles().items()))

    def tearDown(self):
        self.assert_nothing_published()

    def issue(self, client, names, full=""):
        client.issue(names, timeout=120)
        path = client.certificate(names)
        self.assert_certificate(os.path.join(os.path.dirname(path), full) if full else path, names)

    def test_lego_follows_the_cname(self):
        self.issue(peers.Lego(self.net), ["n10.example.test"])

    def test_lego_at_a_zone_delegated_by_ns(self):
        self.issue(LegoByNs(self.net), [NS_NAME])

    def test_certbot_with_its_plugin_at_a_zone_delegated_by_ns(self):
        self.issue(peers.CertbotRfc2136(self.net), [NS_NAME, f"*.{NS_NAME}"], "fullchain.pem")

    def test_dehydrated_with_nsupdate(self):
        self.issue(peers.Dehydrated(self.net), ["n11.example.test", "*.n11.example.test"], "fullchain.pem")

    def test_uacme_with_nsupdate(self):
        self.issue(peers.Uacme(self.net), ["n12.example.test", "*.n12.example.test"])


def key_name(algorithm):
    return algorithm.replace("hmac-", "by-")


class ByHand(base.SystemTest):
    """nsupdate (BIND) and knsupdate (Knot), each over UDP and TCP, with the key on the command line and in a file, with each algorithm."""

    internet = {"keys": [(key_name(algorithm), PATTERNS, algorithm) for algorithm in updates.ALGORITHMS] + [("other", [f"only.{ZONE}"])]}

    TOOLS = {"nsupdate": ("bind9-dnsutils", ["-v"]), "knsupdate": ("knot-dnsutils", ["-v"])}

    def run_tool(self, tool, arguments, script):
        program = find_program(tool, self.TOOLS[tool][0])
        return subprocess.run([program, *arguments], input=f"server {self.net.responder}\n{script}", capture_output=True, text=True, check=False, timeout=30)

    def change(self, tool, arguments, *lines, zone=ZONE):
        return self.run_tool(tool, arguments, f"zone {zone}\n" + "\n".join(lines) + "\nsend\n")

    def assert_works(self, tool, arguments):
        name = f"{tool}-{updates.nonce()}.{ZONE}"
        added = self.change(tool, arguments, f'update add {name}. 60 TXT "{base.VALUE}"')
        self.assertEqual(added.returncode, 0, added)
        self.assertEqual(self.net.daemon.texts(name), [base.VALUE])
        removed = self.change(tool, arguments, f'update delete {name}. TXT "{base.VALUE}"')
        self.assertEqual(removed.returncode, 0, removed)
        self.assertEqual(self.net.daemon.texts(name), [])

    def test_every_algorithm_over_udp_and_tcp(self):
        for algorithm in updates.ALGORITHMS:
            key = self.net.daemon.keys[key_name(algorithm)]
            for tool, (_package, tcp) in self.TOOLS.items():
                for how in ([], tcp):
                    with self.subTest(tool=tool, algorithm=algorithm, tcp=bool(how)):
                        self.assert_works(tool, [*how, "-y", key.dig()])

    def test_key_file(self):
        key = self.net.daemon.keys["by-sha256"]
        # knsupdate has in the file what -y takes, nsupdate BIND's own form, which the daemon reads too.
        for tool, file in (("nsupdate", key.file), ("knsupdate", self.net.scene.write("keys/knot.key", key.dig() + "\n", mode=0o600))):
            with self.subTest(tool=tool):
                self.assert_works(tool, ["-k", file])

    def test_nsupdate_finds_zone_and_server_by_itself(self):
        """Without `zone` it asks for the SOA of the name and takes the zone from the answer's authority section."""
        key = self.net.daemon.keys["by-sha512"]
        name = f"unasked.{ZONE}"
        run = self.run_tool("nsupdate", ["-y", key.dig()], f'update add {name}. 60 TXT "{base.VALUE}"\nsend\n')
        self.assertEqual(run.returncode, 0, run)
        self.assertEqual(self.net.daemon.texts(name), [base.VALUE])
        run = self.run_tool("nsupdate", ["-y", key.dig()], f"update delete {name}. TXT\nsend\n")
        self.assertEqual(self.net.daemon.texts(name), [], run)

    def test_prerequisites_of_nsupdate(self):
        key = self.net.daemon.keys["by-sha384"]
        name = f"guarded.{ZONE}"
        first = self.change("nsupdate", ["-y", key.dig()], f"prereq nxdomain {name}.", f'update add {name}. 60 TXT "{base.VALUE}"')
        self.assertEqual(first.returncode, 0, first)
        second = self.change("nsupdate", ["-y", key.dig()], f"prereq nxdomain {name}.", f'update add {name}. 60 TXT "{base.value(2)}"')
        self.assertIn("YXDOMAIN", second.stderr + second.stdout)
        self.assertEqual(self.net.daemon.texts(name), [base.VALUE])
        third = self.change("nsupdate", ["-y", key.dig()], f'prereq yxrrset {name}. TXT "{base.VALUE}"', f"update delete {name}. TXT")
        self.assertEqual(third.returncode, 0, third)
        self.assertEqual(self.net.daemon.texts(name), [])

    def test_what_the_tools_say_when_refused(self):
        wrong = self.net.daemon.keys["by-sha256"].dig()[:-6] + "AAAAA="
        name = f"denied.{ZONE}"
        change = f'update add {name}. 60 TXT "{base.VALUE}"'
        cases = [
            ("another's secret", wrong, [change], ("BADSIG", "bad signature", "NOTAUTH")),
            ("unknown key", "hmac-sha256:nobody:" + "A" * 43 + "=", [change], ("BADKEY", "NOTAUTH", "tsig verify failure")),
            ("name not allowed", self.net.daemon.keys["other"].dig(), [change], ("REFUSED",)),
            ("type not allowed", self.net.daemon.keys["by-sha256"].dig(), [f"update add {name}. 60 A 192.0.2.1"], ("REFUSED",)),
        ]
        for what, key, lines, expected in cases:
            for tool in self.TOOLS:
                with self.subTest(what=what, tool=tool):
                    run = self.change(tool, ["-y", key], *lines)
                    self.assertNotEqual(run.returncode, 0, run)
                    said = (run.stdout + run.stderr).lower()
                    self.assertTrue(any(one.lower() in said for one in expected), run)
        self.assertEqual(self.net.daemon.texts(name), [])

    def test_update_without_a_signature_is_refused(self):
        run = self.change("nsupdate", [], f'update add unsigned.{ZONE}. 60 TXT "{base.VALUE}"')
        self.assertIn("REFUSED", run.stderr + run.stdout)
        self.assertEqual(self.net.daemon.texts(f"unsigned.{ZONE}"), [])

    def test_signed_queries_of_dig_and_kdig(self):
        dig, kdig = find_program("dig", "bind9-dnsutils"), find_program("kdig", "knot-dnsutils")
        for algorithm in updates.ALGORITHMS:
            key = self.net.daemon.keys[key_name(algorithm)]
            for how in ("+notcp", "+tcp"):
                for program in (dig, kdig):
                    with self.subTest(program=os.path.basename(program), algorithm=algorithm, how=how):
                        run = subprocess.run([program, f"@{self.net.responder}", how, "-y", key.dig(), ZONE, "SOA"], capture_output=True, text=True, check=False, timeout=20)
                        self.assertEqual(run.returncode, 0, run)
                        self.assertIn("status: NOERROR", run.stdout)
                        self.assertRegex(run.stdout, r"(?i)TSIG")
                        self.assertNotRegex((run.stdout + run.stderr).lower(), r"verif|tsig error|couldn't|bad (sig|key|time)")


if __name__ == "__main__":
    # Clients that know only the system's trust and resolver get ours in a mount namespace.
    base.main(own_network=True)
