"""Pebble as the CA, with an HTTPS certificate from a small CA of our own, and openssl for a second look at what was issued."""

import glob
import json
import os
import re
import ssl
import subprocess
import urllib.request

from processes import FixtureError, find_program

PEERS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "peers")


_CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def openssl(*arguments, text=None):
    result = subprocess.run([find_program("openssl", "openssl"), *arguments], input=text, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise FixtureError(f"openssl {' '.join(arguments[:2])} failed: {result.stderr.strip()}")
    return result.stdout


def found_pebbles():
    """{version: path} of each Pebble on this machine: the installed one and those that scripts/fetch-pebble unpacked. Oldest first."""
    found = {}
    for path in glob.glob(os.path.join(PEERS, "pebble-*", "usr", "bin", "pebble")):
        found[re.search(r"pebble-([^/]*)/", path).group(1)] = path
    try:
        installed = find_program("pebble", "pebble")
    except FixtureError:
        installed = None
    if installed:
        asked = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "pebble"], capture_output=True, text=True, check=False)
        version = re.sub(r"[-+~].*", "", asked.stdout) or "installed"
        found.setdefault(version, installed)
    if not found:
        raise FixtureError("cannot find Pebble, the test CA; install the Debian package pebble (scripts/setup does), or run scripts/fetch-pebble")
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in re.findall(r"\d+", item[0])]))


def newest_pebble():
    return list(found_pebbles().items())[-1]


def make_https_ca(scene):
    """A small CA for HTTPS in the little Internet; returns the path of its certificate."""
    bundle, key = scene.path("https-ca.pem"), scene.path("https-ca.key")
    openssl("req", "-x509", *_CURVE, "-keyout", key, "-out", bundle, "-days", "2", "-subj", "/CN=little Internet HTTPS CA",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    return bundle


def make_server_certificate(scene, address, name="https"):
    """A certificate of that CA for a server on `address`; returns the paths (certificate, key)."""
    bundle, ca_key = scene.path("https-ca.pem"), scene.path("https-ca.key")
    key, request, certificate = scene.path(f"{name}.key"), scene.path(f"{name}.csr"), scene.path(f"{name}.pem")
    openssl("req", *_CURVE, "-keyout", key, "-out", request, "-subj", f"/CN=little Internet server {name}")
    extensions = scene.write(f"{name}.ext", f"subjectAltName=IP:{address},DNS:localhost\nextendedKeyUsage=serverAuth\n")
    openssl("x509", "-req", "-in", request, "-CA", bundle, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate)
    return certificate, key


class Pebble:
    """One running Pebble. `url` is its directory, `bundle` what its HTTPS is to be trusted by; `config` adds to its configuration file."""

    def __init__(self, scene, address, resolver, *, pebble=None, environment=None, retry_after=0, strict=False, config=None, name="pebble"):
        self.version, program = pebble or newest_pebble()
        self.address, self.port = address, 14000
        self.bundle = make_https_ca(scene)
        self.certificate, self.private_key = make_server_certificate(scene, address)
        settings = {
            "listenAddress": f"{address}:{self.port}", "managementListenAddress": f"{address}:15000",
            "certificate": self.certificate, "privateKey": self.private_key, "httpPort": 5002, "tlsPort": 5001,
            "ocspResponderURL": "", "externalAccountBindingRequired": False,
        }
        # 2.4 and 2.6 have no profiles; 2.10 takes them from here and picks one at random when there are several.
        if self.new:
            settings["profiles"] = {"default": {"description": "for tests", "validityPeriod": 7776000}}
            if retry_after:
                settings["retryAfter"] = {"authz": retry_after, "order": retry_after}
            settings["keyAlgorithm"] = "ecdsa"
        settings.update(config or {})
        self.url = f"https://{address}:{self.port}/dir"
        path = scene.write(f"{name}.json", json.dumps({"pebble": settings}, indent=2))
        # A CA that answers at once and refuses nothing, unless a test says otherwise.
        knobs = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0", **(environment or {})}
        self.child = scene.start(name, [program, "-config", path, "-dnsserver", f"{resolver}:53", *(["-strict"] if strict else [])], env=knobs)
        self.child.wait_ready(self._answers, f"answering at {self.url}")

    def _numbers(self):
        return [int(part) for part in re.findall(r"\d+", self.version)][:2]

    def get(self, url):
        """GET with trust in this CA's own certificate: (status, body)."""
        context = ssl.create_default_context(cafile=self.bundle)
        request = urllib.request.Request(url, headers={"User-Agent": "countersign-tests"})
        with urllib.request.urlopen(request, context=context, timeout=5) as response:
            return response.status, response.read()

    def _answers(self):
        try:
            return self.get(self.url)[0] == 200
        except OSError:
            return False

    def root(self, number=0):
        """The PEM of the root that issued certificates chain to (made anew at each start of Pebble); `number`: of the alternate chains."""
        return self.get(f"https://{self.address}:15000/roots/{number}")[1].decode()

    @property
    def new(self):
        """Whether it has profiles, ARI and the experimental challenges."""
        return self._numbers() >= [2, 7]

    def requests(self, since=0):
        """[(method, path)] of the requests so far, from its log; `since` skips the first ones."""
        found = re.findall(r"(GET|HEAD|POST) (/\S*) -> calling handler", self.child.log())
        return [(method, path) for method, path in found][since:]

    def orders(self):
        """How many orders it was asked for."""
        return self._count("/order-plz")

    def triggers(self):
        """How many challenge requests it got."""
        return self._count("/chalZ/")

    def _count(self, prefix):
        return sum(1 for _, path in self.requests() if path.startswith(prefix))


def certificate_names(path):
    """The DNS names in a certificate's subjectAltName, sorted."""
    text = openssl("x509", "-in", path, "-noout", "-ext", "subjectAltName")
    return sorted(re.findall(r"DNS:([^,\s]+)", text))


def certificate_summary(path):
    """Subject names, issuer, validity as lines for people."""
    text = openssl("x509", "-in", path, "-noout", "-issuer", "-startdate", "-enddate", "-serial", "-fingerprint", "-sha256")
    return ["names=" + " ".join(certificate_names(path))] + text.strip().splitlines()


def same_key(certificate, key):
    public = openssl("x509", "-in", certificate, "-noout", "-pubkey")
    return public == openssl("pkey", "-in", key, "-pubout")


def verify_chain(scene, root_pem, chain, leaf):
    """Raises FixtureError unless leaf and chain lead to the root."""
    root = scene.write("issued-root.pem", root_pem)
    openssl("verify", "-CAfile", root, "-untrusted", chain, leaf)
