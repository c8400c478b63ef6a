"""The zones of the little Internet: the parent example.test with its delegations, signed, and the names that tests ask certificates for."""

import glob
import os
import subprocess

from processes import FixtureError, find_program

PARENT = "example.test"
ZONE = "auth.example.test"
NS_ZONE = "_acme-challenge.nsname.example.test"
HALF_ZONE = "half.example.test"
DARK_ZONE = "dark.example.test"
# A-label of "bücher": what an internationalised name has to be converted to.
IDN_LABEL = "xn--bcher-kva"


def target(name):
    """Where the challenge of a name is delegated to: what `countersign delegate` recommends."""
    return f"{name}.{ZONE}"


def numbered(count):
    return [f"n{number}.{PARENT}" for number in range(1, count + 1)]


NUMBERED = numbered(100)


def parent_zone(primary, responder, stale, dead, count=100):
    """
    The parent zone as a master file. `responder` is the address of the server under test, `stale` one that serves an old copy of
    half.example.test, `dead` one where nobody is. `count`: of the numbered names.
    """
    lines = [
        "$TTL 300",
        f"@ SOA ns.{PARENT}. hostmaster.{PARENT}. 1 3600 900 604800 1",
        "@ NS ns",
        f"ns A {primary}",
        f"auth NS ns1.{ZONE}.",
        f"ns1.auth A {responder}",
        # A name whose challenge zone is delegated by NS, without a CNAME.
        f"_acme-challenge.nsname NS ns1.{ZONE}.",
        # A zone with two servers, one of which does not have our values.
        f"half NS ns1.{ZONE}.",
        f"half NS ns2.{HALF_ZONE}.",
        f"ns2.half A {stale}",
        # A zone whose glue leads to an address where nobody answers.
        f"dark NS ns1.{DARK_ZONE}.",
        f"ns1.dark A {dead}",
        f"_acme-challenge.stalename CNAME stalename.{PARENT}.{HALF_ZONE}.",
        f"_acme-challenge.darkname CNAME darkname.{PARENT}.{DARK_ZONE}.",
        # Delegated to a place that no zone of ours holds.
        f"_acme-challenge.elsewhere CNAME elsewhere.challenges.{PARENT}.",
        # Two links and then ours.
        f"_acme-challenge.chain CNAME hop.{PARENT}.",
        f"hop CNAME chain.{PARENT}.{ZONE}.",
        # The experimental challenges: dns-account-01 has a label of the account in front, which is not known before there is one.
        f"*._acme-challenge.labelled CNAME labelled.{PARENT}.{ZONE}.",
        f"_validation-persist.persist CNAME _validation-persist.persist.{PARENT}.{ZONE}.",
        # Names that exist and have no delegation.
        "bare A 127.0.0.1",
        "plain A 127.0.0.1",
        f"_acme-challenge CNAME {target(PARENT)}.",
    ]
    for name in ["www", "mail", f"{IDN_LABEL}"] + [f"n{number}" for number in range(1, count + 1)]:
        lines.append(f"_acme-challenge.{name} CNAME {target(f'{name}.{PARENT}')}.")
        lines.append(f"{name} A 127.0.0.1")
    return "\n".join(lines) + "\n"


def stale_zone(responder, stale):
    """The old copy of half.example.test: it has no values."""
    return (
        "$TTL 1\n"
        f"@ SOA ns1.{ZONE}. hostmaster.{PARENT}. 1 3600 900 604800 1\n"
        f"@ NS ns1.{ZONE}.\n@ NS ns2.{HALF_ZONE}.\nns2 A {stale}\n"
        f"; {responder} is the other one\n"
    )


def responder_zone(responder):
    """auth.example.test for a responder that reads a master file (BIND beside ours in the benchmark)."""
    return (
        "$TTL 1\n"
        f"@ SOA ns1.{ZONE}. hostmaster.{PARENT}. 1 3600 900 604800 1\n"
        f"@ NS ns1.{ZONE}.\nns1 A {responder}\n"
    )


def sign(scene, text):
    """Signs the parent zone, with the key of the last time; returns (path of the signed file, path of the public key to trust)."""
    folder = scene.path("parent")
    os.makedirs(folder, exist_ok=True)
    zone = scene.write("parent/zone", f"$ORIGIN {PARENT}.\n{text}")
    keygen, signzone = find_program("ldns-keygen", "ldnsutils"), find_program("ldns-signzone", "ldnsutils")
    if not glob.glob(os.path.join(folder, f"K{PARENT}.*.key")):
        # One combined signing key: ldns signs everything with the KSK when there is no other.
        _run([keygen, "-k", "-a", "ECDSAP256SHA256", "-r", "/dev/urandom", PARENT], folder)
    (public,) = glob.glob(os.path.join(folder, f"K{PARENT}.*.key"))
    _run([signzone, "-o", PARENT, "-f", zone + ".signed", zone, public[: -len(".key")]], folder)
    return zone + ".signed", public


def _run(command, folder):
    result = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise FixtureError(f"{os.path.basename(command[0])} failed: {result.stderr.strip() or result.stdout.strip()}")
