"""The DNS servers of the little Internet: NSD as the parent, unbound as the CA's resolver, BIND as a responder for other clients."""

import os
import re
import subprocess
import sys

import dns_wire
import zone_files
from isolation import isolated
from processes import FixtureError, find_program
from updates import UpdateKey


def start_nsd(scene, name, address, zones, options=()):
    """NSD with {zone: master file}; `options` are further lines of its server clause."""
    text = [
        "server:",
        f"    ip-address: {address}@53",
        f'    zonesdir: "{scene.folder}"',
        '    database: ""',
        f'    pidfile: "{scene.path(name + ".pid")}"',
        f'    xfrdfile: "{scene.path(name + ".xfrd")}"',
        f'    xfrdir: "{scene.folder}"',
        f'    zonelistfile: "{scene.path(name + ".zones")}"',
        '    username: ""',
        '    chroot: ""',
        "    server-count: 1",
        "    rrl-ratelimit: 0",
        "    hide-version: yes",
        *(f"    {option}" for option in options),
        "remote-control:",
        "    control-enable: no",
    ]
    if _nsd_without_database():
        text.remove('    database: ""')
    for zone, file in zones.items():
        text += ["zone:", f'    name: "{zone}"', f'    zonefile: "{file}"']
    config = scene.write(f"{name}.conf", "\n".join(text) + "\n")
    child = scene.start(name, [find_program("nsd", "nsd"), "-d", "-c", config])
    child.wait_ready(lambda: all(dns_wire.answers_at(address, zone) for zone in zones), f"answering on {address}")
    return child


def _nsd_without_database():
    # NSD 4.8 (Debian 13) has no database option any more; the option's value before that means "none".
    asked = subprocess.run([find_program("nsd", "nsd"), "-v"], capture_output=True, text=True, check=False)
    numbers = re.search(r"version (\d+)\.(\d+)", asked.stderr + asked.stdout)
    return numbers is not None and [int(part) for part in numbers.groups()] >= [4, 8]


def start_unbound(scene, address, parent, anchor, *, minimise=False, name="unbound", patience=15.0):
    """
    A validating resolver set up as the resolvers of public CAs are: 0x20 case randomisation, DNSSEC from a trust anchor, EDNS 1232,
    nothing kept. It knows only that example.test is served at `parent`; everything below it follows by delegation.
    """
    text = f"""
server:
    interface: {address}
    port: 53
    do-daemonize: no
    use-syslog: no
    logfile: ""
    log-queries: yes
    log-replies: yes
    log-time-ascii: no
    verbosity: 1
    username: ""
    chroot: ""
    pidfile: ""
    directory: "{scene.folder}"
    num-threads: 1
    so-rcvbuf: 0
    access-control: 127.0.0.0/8 allow
    do-ip6: no
    do-not-query-localhost: no
    module-config: "validator iterator"
    trust-anchor-file: "{anchor}"
    local-zone: "test." nodefault
    use-caps-for-id: yes
    qname-minimisation: {"yes" if minimise else "no"}
    edns-buffer-size: 1232
    harden-dnssec-stripped: yes
    harden-glue: yes
    harden-below-nxdomain: no
    val-sig-skew-min: 0
    val-sig-skew-max: 0
    cache-max-ttl: 0
    cache-max-negative-ttl: 0
    infra-host-ttl: 0
    outgoing-range: 1024
    incoming-num-tcp: 512
    outgoing-num-tcp: 64
    num-queries-per-thread: 512
remote-control:
    control-enable: no
stub-zone:
    name: "{zone_files.PARENT}"
    stub-addr: {parent}
"""
    config = scene.write(f"{name}.conf", text)
    child = scene.start(name, [find_program("unbound", "unbound"), "-d", "-p", "-c", config])
    child.wait_ready(lambda: _answers_recursively(address), f"answering on {address}", patience)
    return child


def _answers_recursively(address):
    try:
        return dns_wire.ask(address, zone_files.PARENT, "SOA", recurse=True, timeout=1.0).rcode == "NOERROR"
    except (OSError, ValueError, IndexError):
        return False


class Bind:
    """BIND as the responder of auth.example.test, open to RFC 2136 updates under a TSIG key: what lego, uacme and dehydrated publish in."""

    def __init__(self, scene, address):
        # BIND listens only on addresses that an interface has; the others of 127.0.0.0/8 it does not see.
        if not isolated():
            raise FixtureError("BIND needs an address added to lo, so this runs in a network namespace only; call isolation.isolate() first")
        subprocess.run([find_program("ip", "iproute2"), "addr", "add", f"{address}/32", "dev", "lo"], check=True)
        self.key = UpdateKey(scene, "peers", [])
        zone = scene.write("bind/auth.zone", zone_files.responder_zone(address))
        config = scene.write("bind/named.conf", f"""
include "{self.key.file}";
options {{
    directory "{scene.path('bind')}";
    pid-file none;
    session-keyfile none;
    listen-on port 53 {{ {address}; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    notify no;
    minimal-responses yes;
}};
controls {{ }};
zone "{zone_files.ZONE}" {{ type primary; file "{zone}"; allow-update {{ key "{self.key.name}"; }}; }};
""")
        self.address = address
        self.child = scene.start("named", [find_program("named", "bind9"), "-g", "-n", "1", "-c", config])
        self.child.wait_ready(lambda: dns_wire.answers_at(address, zone_files.ZONE), f"answering on {address}")


def start_delay_proxy(scene, address, upstream, delay, *, name="delay", kind="TXT"):
    """A proxy that holds each question of one type back for `delay` seconds before it passes it on."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "delay_proxy.py")
    command = [sys.executable, script, "--listen", address, "--upstream", upstream, "--delay", str(delay), "--type", kind]
    child = scene.start(name, command)
    child.wait_ready(lambda: "listening" in child.log(), f"listening on {address}")
    return child
