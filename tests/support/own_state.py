"""A `countersign` with a STATE of its own beside the others, and what must hold there at every moment, a kill -9 included."""

import datetime
import json
import os
import re

from cryptography import x509
from cryptography.hazmat.primitives import serialization

import zone_files
from daemon import zone_tables

_PARTS = ("privkey.pem", "cert.pem", "chain.pem", "fullchain.pem")


def public_der(key):
    """What is compared: the SubjectPublicKeyInfo of a private key, a certificate or a CSR."""
    public = key.public_key()
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_key(path):
    with open(path, "rb") as file:
        return serialization.load_pem_private_key(file.read(), None)


def parse_chain(text):
    """All certificates of a PEM text; a ValueError when there is none."""
    found = re.findall(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", text, re.DOTALL)
    if not found or text.count(b"-----BEGIN") != len(found):
        raise ValueError("no chain of certificates in PEM")
    return [x509.load_pem_x509_certificate(one) for one in found]


def read_chain(path):
    with open(path, "rb") as file:
        return parse_chain(file.read())


def names_of(certificate):
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(found.get_values_for_type(x509.DNSName))


def validity(certificate):
    """(not before, not after) with their time zone, whatever the library's age."""
    if hasattr(certificate, "not_valid_before_utc"):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return tuple(time.replace(tzinfo=datetime.timezone.utc) for time in (certificate.not_valid_before, certificate.not_valid_after))


class OwnState:
    """
    STATE and configuration in the folder `name` of the scene; everything else is the little Internet's. `ca`: a directory URL. `acme`: more lines
    of [acme]; `tables`: whatever follows them.
    """

    def __init__(self, net, name, ca=None, acme="", tables=""):
        self.net = net
        self.folder = net.scene.path("own", name)
        self.state = os.path.join(self.folder, "state")
        os.makedirs(self.folder, exist_ok=True)
        self.config = self.write("countersign.toml", (
            f'state_dir = "{self.state}"\ncontrol_socket = "{net.daemon.socket}"\n{zone_tables(net.responder, net.stale, net.dead)}'
            f"{net.acme_table(ca)}{acme}\n{tables}\n"))

    def write(self, name, text):
        return self.net.scene.write(os.path.relpath(os.path.join(self.folder, name), self.net.scene.folder), text)

    def run(self, *arguments, **options):
        return self.net.run(*arguments, config=self.config, **options)

    def issue(self, *names, **options):
        return self.run("issue", "--json", *names, **options)

    def path(self, *parts):
        return os.path.join(self.state, "acme", *parts)

    def live(self, certificate, file=""):
        return self.path("live", certificate, file) if file else self.path("live", certificate)

    def target(self, certificate):
        """Which issuance is live; "" for none."""
        try:
            return os.readlink(self.live(certificate))
        except FileNotFoundError:
            return ""

    def record(self, certificate):
        with open(self.path("certificates", f"{certificate}.json"), encoding="utf-8") as file:
            return json.load(file)

    def readable_keys(self, folder):
        """The public halves of the keys below this folder of STATE/acme, {path: DER}; without those that cannot be read."""
        found = {}
        for path in self.files():
            if os.path.relpath(path, self.path()).startswith(folder) and path.endswith(".pem"):
                try:
                    found[path] = public_der(read_key(path))
                except ValueError:
                    pass
        return found

    def files(self):
        for folder, _folders, files in os.walk(self.path()):
            for file in files:
                path = os.path.join(folder, file)
                if not os.path.islink(path):
                    yield path

    @staticmethod
    def readable(read, path):
        try:
            return read(path)
        except (ValueError, OSError) as error:
            raise AssertionError(f"torn: {path}: {error}") from None

    def check(self, temporary=False):
        """
        Raises AssertionError for anything torn or half switched. `temporary`: hidden files may be there, of a run that was killed.
        """
        for path in self.files():
            name = os.path.basename(path)
            if name.startswith("."):
                if not temporary:
                    raise AssertionError(f"a temporary file is left: {path}")
                continue
            if os.stat(path).st_mode & 0o077 and name in ("privkey.pem", "key.pem", "certificate.p12"):
                raise AssertionError(f"{path} has the mode {os.stat(path).st_mode & 0o777:o}")
            # An issuance that nothing refers to may be torn: it is made anew or removed, never used. A key is whole, or nothing lasting was done with it.
            if name.endswith(".json"):
                self.readable(lambda path: json.loads(open(path, encoding="utf-8").read()), path)
        live = self.path("live")
        for link in os.listdir(live) if os.path.isdir(live) else []:
            if not link.startswith("."):
                self.check_pair(link)

    def check_pair(self, certificate, names=None):
        """What is live: whole, a matching pair, and the parts are of one certificate."""
        parts = {part: self.live(certificate, part) for part in _PARTS}
        missing = [path for path in parts.values() if not os.path.exists(path)]
        if missing:
            raise AssertionError(f"live/{certificate} -> {self.target(certificate)}: missing {missing}")
        key = self.readable(read_key, parts["privkey.pem"])
        leaf = self.readable(read_chain, parts["cert.pem"])[0]
        full = self.readable(read_chain, parts["fullchain.pem"])
        if public_der(key) != public_der(leaf):
            raise AssertionError(f"live/{certificate} is not a matching pair")
        if full != [leaf, *self.readable(read_chain, parts["chain.pem"])]:
            raise AssertionError(f"live/{certificate}: fullchain.pem is not cert.pem followed by chain.pem")
        if names is not None and names_of(leaf) != sorted(names):
            raise AssertionError(f"live/{certificate} has the names {names_of(leaf)}, asked were {sorted(names)}")
        return leaf

    def left_values(self, *names):
        """The values of these names that the daemon still serves."""
        values = self.net.control.values()
        return {name: values[target] for name in names if (target := zone_files.target(name.removeprefix("*."))) in values}
