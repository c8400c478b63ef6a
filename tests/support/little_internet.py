#!/usr/bin/python3
"""
A little Internet on loopback addresses of its own: a signed parent zone on NSD, a validating resolver (unbound) as the CA's, Pebble as the CA,
and the responder of auth.example.test: countersignd, or BIND for the benchmark's other clients. Everything lives in one temporary folder and ends with it.

  with LittleInternet() as net:
      result = net.issue("www.example.test")

Run as a program it starts one, prints where everything is, and waits for Ctrl-C.
"""

import json
import os
import signal
import subprocess
import sys
import time

import authority
import dns_servers
import dns_wire
import zone_files
from api_client import Account, Api
from daemon import Countersignd, built_program, zone_tables
from isolation import AddressBlock, isolate_if_needed
from processes import FixtureError, Scene, stop_on_signals, wait_until


class Run:
    """What a finished command said and how it ended."""

    def __init__(self, command, code, out, err, seconds):
        self.command, self.code, self.out, self.err, self.seconds = command, code, out, err, seconds

    def json(self):
        """The one JSON document on its standard output."""
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise AssertionError(f"not one JSON document on stdout ({error}): {self}") from None

    def text(self):
        return self.out + self.err

    def __str__(self):
        return f"$ {' '.join(self.command)}\nexit status {self.code} after {self.seconds:.2f} s\nstdout: {self.out}\nstderr: {self.err}"


class LittleInternet:
    """
    Options: responder "countersignd" or "bind"; pebble (version, path); pebble_environment, retry_after and further pebble_options for the CA; hold_back seconds that each
    TXT question of the CA is held back; names, how many numbered ones there are; minimise for the resolver's QNAME minimisation; state_mount, challenge, api, keys and more_addresses for countersignd.
    """

    def __init__(self, *, responder="countersignd", pebble=None, pebble_environment=None, retry_after=0, pebble_options=None, hold_back=0.0, minimise=False,
                 names=100, **daemon_options):
        self.scene = Scene()
        self.block = None
        try:
            self.block = AddressBlock()
            address = self.block.address
            self.parent, self.resolver, self.responder = address(1), address(2), address(3)
            self.ca_address, self.proxy, self.stale, self.dead = address(4), address(5), address(6), address(7)
            self._start_dns(minimise, hold_back, names)
            ca_resolver = self.proxy if hold_back else self.resolver
            self.pebble = authority.Pebble(
                self.scene, self.ca_address, ca_resolver, pebble=pebble, environment=pebble_environment, retry_after=retry_after,
                **(pebble_options or {}))
            self.daemon = self.bind = None
            if responder == "bind":
                self.bind = dns_servers.Bind(self.scene, self.responder)
            else:
                self._start_daemon(daemon_options)
        except BaseException:
            self.close()
            raise

    def _start_dns(self, minimise, hold_back, names):
        self._zone = zone_files.parent_zone(self.parent, self.responder, self.stale, self.dead, names)
        signed, anchor = zone_files.sign(self.scene, self._zone)
        self.nsd = dns_servers.start_nsd(self.scene, "nsd", self.parent, {zone_files.PARENT: signed})
        stale = self.scene.write("stale.zone", zone_files.stale_zone(self.responder, self.stale))
        dns_servers.start_nsd(self.scene, "nsd-stale", self.stale, {zone_files.HALF_ZONE: stale})
        self.unbound = dns_servers.start_unbound(self.scene, self.resolver, self.parent, anchor, minimise=minimise)
        if hold_back:
            dns_servers.start_delay_proxy(self.scene, self.proxy, self.resolver, hold_back)

    def _start_daemon(self, options):
        zones = zone_tables(self.responder, self.stale, self.dead)
        listen = [f"{address}:53" for address in [self.responder, *options.pop("more_addresses", [])]]
        self.daemon = Countersignd(self.scene, self.responder, zones=zones, acme=self.acme_table(), listen=listen, **options)

    def delegate(self, name, target):
        """What a domain's owner does by hand: `_acme-challenge.NAME CNAME TARGET` in the parent zone, which is signed and served anew."""
        owner = f"_acme-challenge.{name}."
        self._zone += f"{owner} CNAME {target.rstrip('.')}.\n"
        zone_files.sign(self.scene, self._zone)
        self.nsd.send(signal.SIGHUP)

        def there():
            answer = dns_wire.ask(self.resolver, owner, "CNAME", recurse=True, timeout=3)
            return [record.value.lower().rstrip(".") for record in answer.answers if record.type == "CNAME"] == [target.lower().rstrip(".")]

        wait_until(there, f"the parent zone serves {owner} CNAME {target}")

    @property
    def update_key(self):
        """The TSIG key of the responder that clients of RFC 2136 are given; None when it has none."""
        return self.bind.key if self.bind else next(iter(self.daemon.keys.values()), None)

    @property
    def api_url(self):
        return f"http://{self.responder}:{self.daemon.API_PORT}"

    def acme_table(self, ca=None):
        return (
            "[acme]\n"
            f'ca = "{ca or self.pebble.url}"\n'
            "agree_tos = true\n"
            f'ca_bundle = "{self.pebble.bundle}"\n'
            f'resolver = "{self.resolver}:53"\n'
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.scene.close()
        if self.block:
            self.block.close()

    @property
    def control(self):
        return self.daemon.control

    def command(self, *arguments, config=None):
        return [built_program("countersign", "acme"), "--config", config or self.daemon.config, *arguments]

    def run(self, *arguments, config=None, timeout=60.0, interrupt_when=None, interrupt_with=signal.SIGINT, meanwhile=None):
        """
        Runs `countersign ARGUMENTS...`. `interrupt_when`: a condition; it is sent SIGINT, as Ctrl-C would, as soon as that holds.
        `meanwhile`: called again and again while the command runs, until it returns something true.
        """
        command = self.command(*arguments, config=config)
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.scene.folder, start_new_session=True)
        self.scene.guard(process.pid)
        condition = interrupt_when or meanwhile
        try:
            while condition and process.poll() is None and time.monotonic() - began < timeout:
                if condition():
                    if interrupt_when and process.poll() is None:
                        process.send_signal(interrupt_with)
                    break
                time.sleep(0.01)
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"no end within {timeout:.0f} s: {Run(command, None, out, err, timeout)}") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            self.scene.release(process.pid)
        return Run(command, process.returncode, out, err, time.monotonic() - began)

    def issue(self, *names, timeout=60.0, **options):
        return self.run("issue", "--json", *names, timeout=timeout, **options)

    def register(self, *arguments):
        """The account that `countersign register ARGUMENTS...` makes, as a client of acme-dns keeps it."""
        run = self.run("register", "--format", "acme-dns", *arguments)
        if run.code != 0:
            raise AssertionError(str(run))
        return Account(run.json())

    def api(self, **options):
        return Api(self.responder, self.daemon.API_PORT, **options)

    def live(self, certificate, file=""):
        folder = os.path.join(self.daemon.state, "acme", "live", certificate)
        return os.path.join(folder, file) if file else folder  # without the slash that would follow the link

    def check_certificate(self, certificate, names):
        """What is installed under this CERT, looked at with openssl: the names, the chain to the CA's root, the key. Raises AssertionError."""
        leaf = self.live(certificate, "cert.pem")
        if not os.path.exists(leaf):
            raise AssertionError(f"no certificate at {leaf}")
        found = authority.certificate_names(leaf)
        if found != sorted(names):
            raise AssertionError(f"the certificate has the names {found}, asked were {sorted(names)}")
        if not authority.same_key(leaf, self.live(certificate, "privkey.pem")):
            raise AssertionError("privkey.pem is not the key of cert.pem")
        try:
            authority.verify_chain(self.scene, self.pebble.root(), self.live(certificate, "chain.pem"), leaf)
        except FixtureError as error:
            raise AssertionError(f"the chain does not lead to the CA's root: {error}") from None
        with open(self.live(certificate, "fullchain.pem"), encoding="ascii") as full, open(leaf, encoding="ascii") as own, \
                open(self.live(certificate, "chain.pem"), encoding="ascii") as rest:
            if full.read().split() != (own.read() + rest.read()).split():
                raise AssertionError("fullchain.pem is not cert.pem followed by chain.pem")


def main():
    if sys.argv[1:]:
        print(__doc__.strip())
        return 0 if sys.argv[1] in ("-h", "--help") else 2
    stop_on_signals()
    try:
        isolate_if_needed()
        with LittleInternet() as net:
            print(f"folder        {net.scene.folder}")
            print(f"parent zone   {zone_files.PARENT} at {net.parent}")
            print(f"resolver      {net.resolver}")
            print(f"countersignd  {net.responder}: {net.daemon.ready_line()}")
            print(f"CA            {net.pebble.url} (Pebble {net.pebble.version}, trust {net.pebble.bundle})")
            print(f"try           {' '.join(net.command('issue', 'www.example.test'))}")
            print("Ctrl-C ends it all", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 130
    except FixtureError as error:
        print(f"little_internet: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
