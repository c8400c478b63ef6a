"""
Other ACME clients of Debian, publishing by RFC 2136, into BIND or into countersignd: what countersign is measured beside, and what has to work with it.
Each is set up as its documentation says, with the fastest settings that it has for this job: P-256 keys, no fixed waits that can be turned off.
"""

import os
import shutil
import subprocess
import time

import zone_files
from processes import FixtureError, find_program

_UPDATE = """\
update() { # VERB NAME VALUE: one change; TTL 0
    name=${2#\\*.}
    case $1 in
        add) change="update add $name.$ZONE. 0 TXT \\"$3\\"" ;;
        delete) change="update delete $name.$ZONE. TXT \\"$3\\"" ;;
    esac
    printf 'server %s\\nzone %s\\n%s\\nsend\\n' "$SERVER" "$ZONE" "$change" | nsupdate -k "$KEY_FILE"
}
"""

_UACME_HOOK = "#!/bin/sh\n" + _UPDATE + """\
[ "$2" = dns-01 ] || exit 1
case $1 in
    begin) update add "$3" "$5" ;;
    done|failed) update delete "$3" "$5" ;;
esac
"""

_DEHYDRATED_HOOK = "#!/bin/sh\n" + _UPDATE + """\
verb=$1; shift
case $verb in
    deploy_challenge) while [ $# -ge 3 ]; do update add "$1" "$3" || exit 1; shift 3; done ;;
    clean_challenge) while [ $# -ge 3 ]; do update delete "$1" "$3"; shift 3; done ;;
esac
exit 0
"""


class Peer:
    """A client: `issue` returns the seconds that it took, or raises FixtureError with the end of its output, or TimeoutError."""

    name = package = ""

    def __init__(self, net):
        self.net, self.scene = net, net.scene
        self.program = find_program(self.name, self.package)
        # Two of one program have nothing in common.
        self.folder = self.scene.path(f"peer-{type(self).__name__.lower()}")
        os.makedirs(self.folder, exist_ok=True)
        # Clients that know only the system's trust and the system's resolver get ours in a mount namespace of their own.
        self._trust = self.scene.path("trust.pem")
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", self._trust)
        with open(self._trust, "a", encoding="ascii") as bundle, open(net.pebble.bundle, encoding="ascii") as ours:
            bundle.write(ours.read())
        self._resolv = self.scene.write("resolv.conf", f"nameserver {net.resolver}\n")
        self.environment = {
            "SERVER": net.responder, "ZONE": zone_files.ZONE, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.folder,
        }
        if net.update_key:
            self.environment["KEY_FILE"] = net.update_key.file
        self.prepare()

    def write(self, name, text):
        """A file of its own, that can be run."""
        return self.scene.write(f"{os.path.basename(self.folder)}/{name}", text, mode=0o755)

    def prepare(self):
        """Whatever is done once, the account above all."""

    def arguments(self, names):
        raise NotImplementedError

    def certificate(self, names):
        """The path of the certificate that it wrote."""
        raise NotImplementedError

    def run(self, arguments, timeout=120.0):
        script = 'mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
        command = ["unshare", "--mount", "/bin/sh", "-c", script, self._trust, self._resolv, *arguments]
        began = time.monotonic()
        child = self.scene.start(f"peer-{self.name}", command, env=self.environment, cwd=self.folder)
        try:
            code = child.wait(timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            raise TimeoutError(f"{self.name}: no end within {timeout:.0f} s") from None
        finally:
            child.kill()
        seconds = time.monotonic() - began
        if code != 0:
            raise FixtureError(f"{self.name} ended with status {code}: {child.log()[-1500:]}")
        return seconds

    def issue(self, names, timeout=120.0):
        seconds = self.run([self.program, *self.arguments(names)], timeout)
        if not os.path.exists(self.certificate(names)):
            raise FixtureError(f"{self.name} left no certificate at {self.certificate(names)}")
        return seconds


class Uacme(Peer):
    name = package = "uacme"

    def prepare(self):
        self.hook = self.write("hook", _UACME_HOOK)
        self._base = ["-y", "-f", "-t", "EC", "-a", self.net.pebble.url, "-c", os.path.join(self.folder, "conf"), "-h", self.hook]
        self.run([self.program, *self._base, "new"])

    def arguments(self, names):
        return [*self._base, "issue", *names]

    def certificate(self, names):
        return os.path.join(self.folder, "conf", names[0], "cert.pem")


class Dehydrated(Peer):
    name = package = "dehydrated"
    HOOK = _DEHYDRATED_HOOK

    def prepare(self):
        hook = self.write("hook", self.HOOK)
        self.config = self.write("config", (
            f'CA="{self.net.pebble.url}"\nBASEDIR="{self.folder}"\nHOOK="{hook}"\nHOOK_CHAIN=yes\nCHALLENGETYPE=dns-01\n'
            f'CURL_OPTS="--cacert {self.net.pebble.bundle}"\nKEY_ALGO=prime256v1\n'))
        self.run([self.program, "--register", "--accept-terms", "--config", self.config])

    def arguments(self, names):
        domains = [part for name in names for part in ("-d", name)]
        return ["--cron", "--force", "--config", self.config, *domains]

    def certificate(self, names):
        return os.path.join(self.folder, "certs", names[0], "cert.pem")


class Lego(Peer):
    name = package = "lego"
    PROVIDER = "rfc2136"

    def prepare(self):
        self.environment.update({"LEGO_CA_CERTIFICATES": self.net.pebble.bundle, "LEGO_EXPERIMENTAL_CNAME_SUPPORT": "true"})
        self.prepare_provider()

    def prepare_provider(self):
        self.environment.update({
            "RFC2136_NAMESERVER": f"{self.net.responder}:53", "RFC2136_TSIG_KEY": self.net.update_key.name + ".",
            "RFC2136_TSIG_ALGORITHM": self.net.update_key.algorithm + ".", "RFC2136_TSIG_SECRET": self.net.update_key.secret, "RFC2136_TTL": "0",
        })
        # Its account is made by the first run, there is no command for that alone.
        self.issue(["mail.example.test"])

    def arguments(self, names):
        domains = [part for name in names for part in ("-d", name)]
        return ["--server", self.net.pebble.url, "--accept-tos", "--email", "peer@example.test", "--path", self.folder,
                "--key-type", "ec256", "--dns", self.PROVIDER, "--dns.resolvers", f"{self.net.resolver}:53", *domains, "run"]

    def certificate(self, names):
        return os.path.join(self.folder, "certificates", names[0].replace("*", "_") + ".crt")


_CERTBOT_HOOK = "#!/bin/sh\n" + _UPDATE + """\
update "$1" "$CERTBOT_DOMAIN" "$CERTBOT_VALIDATION"
"""


class Certbot(Peer):
    """With hooks: its own RFC 2136 plugin is another package, and waits a minute by default."""

    name = package = "certbot"

    def prepare(self):
        self.environment["REQUESTS_CA_BUNDLE"] = self.net.pebble.bundle
        folders = [part for kind in ("config", "work", "logs") for part in (f"--{kind}-dir", os.path.join(self.folder, kind))]
        self._base = ["--non-interactive", "--agree-tos", "--register-unsafely-without-email", "--server", self.net.pebble.url, *folders]
        self._hooks = self.authenticator()
        self.run([self.program, "register", *self._base])

    def authenticator(self):
        hook = self.write("hook", _CERTBOT_HOOK)
        return ["--manual", "--preferred-challenges", "dns", "--manual-auth-hook", f"{hook} add", "--manual-cleanup-hook", f"{hook} delete"]

    def arguments(self, names):
        domains = [part for name in names for part in ("-d", name)]
        return ["certonly", *self._base, *self._hooks, "--key-type", "ecdsa", "--force-renewal", "--cert-name", names[0].replace("*", "_"), *domains]

    def certificate(self, names):
        return os.path.join(self.folder, "config", "live", names[0].replace("*", "_"), "cert.pem")


PEERS = [Lego, Uacme, Dehydrated, Certbot]


class CertbotRfc2136(Certbot):
    """With its own plugin: it asks for SOA records, signed, from the name upwards, and follows no CNAME."""

    def authenticator(self):
        key = self.net.update_key
        credentials = self.scene.write(f"{os.path.basename(self.folder)}/rfc2136.ini", (
            f"dns_rfc2136_server = {self.net.responder}\ndns_rfc2136_name = {key.name}.\ndns_rfc2136_secret = {key.secret}\n"
            f"dns_rfc2136_algorithm = {key.algorithm.upper()}\n"), mode=0o600)
        return ["--authenticator", "dns-rfc2136", "--dns-rfc2136-credentials", credentials, "--dns-rfc2136-propagation-seconds", "0"]
