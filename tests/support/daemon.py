"""countersignd under test: its configuration file, its start and restart, and its control socket."""

import http.client
import json
import os
import pwd
import re
import signal
import socket
import threading
import urllib.parse

import dns_wire
import zone_files
from isolation import can_drop_to
from processes import FixtureError, wait_until
from updates import UpdateKey

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def built_program(name, folder):
    """The path of a program of ours: from the environment (ctest sets it), else from a build directory."""
    path = os.environ.get(name.upper())
    if path:
        if not os.access(path, os.X_OK):
            raise FixtureError(f"{name.upper()}={path} is not a program; build it first")
        return path
    for build in ("release", "dev"):
        path = os.path.join(ROOT, "build", build, folder, name)
        if os.access(path, os.X_OK):
            return path
    raise FixtureError(f"cannot find {name} in build/release or build/dev; build it (cmake --preset release && cmake --build --preset release), or set {name.upper()}")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Control:
    """HTTP on the control socket."""

    def __init__(self, path):
        self.path = path

    def request(self, method, target, body=None, timeout=10.0):
        """(status, decoded JSON or text). Raises OSError when the daemon is not there."""
        connection = UnixConnection(self.path, timeout)
        try:
            raw = None if body is None else json.dumps(body)
            connection.request(method, target, raw, {} if raw is None else {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        finally:
            connection.close()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text

    def put(self, name, value, lifetime=None, timeout=10.0):
        body = {"value": value}
        if lifetime is not None:
            body["lifetime"] = lifetime
        return self.request("PUT", f"/v1/txt/{name}", body, timeout)

    def delete(self, name, value=None):
        query = "" if value is None else "?" + urllib.parse.urlencode({"value": value})
        return self.request("DELETE", f"/v1/txt/{name}{query}")

    def values(self, name=None):
        """{name without final dot: sorted values} of what is stored now."""
        query = "" if name is None else "?" + urllib.parse.urlencode({"name": name})
        status, entries = self.request("GET", "/v1/txt" + query)
        if status != 200:
            raise AssertionError(f"GET /v1/txt: {status} {entries}")
        found = {}
        for entry in entries:
            found.setdefault(entry["name"].rstrip("."), []).append(entry["value"])
        return {key: sorted(value) for key, value in found.items()}

    def record_queries(self, name=None):
        return QueryRecorder(self.path, name)


class QueryRecorder:
    """Reads the stream of challenge queries in a thread until it is closed; `lines` holds the decoded JSON lines."""

    def __init__(self, path, name):
        query = "" if name is None else "?" + urllib.parse.urlencode({"name": name})
        self.lines, self.error = [], None
        self._connection = UnixConnection(path, 10.0)
        self._connection.request("GET", "/v1/queries" + query)
        # The answer's head may come only with the first line, so it is awaited in the thread.
        self._socket = self._connection.sock
        self._socket.settimeout(None)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            response = self._connection.getresponse()
            if response.status != 200:
                self.error = f"GET /v1/queries: {response.status}"
                return
            while line := response.readline():
                if line.strip():
                    self.lines.append(json.loads(line))
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.error = str(error)

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(5)
        self._connection.close()
        return self.lines


def zone_tables(address, stale, dead):
    """The [[zone]] tables of the little Internet."""
    zones = [
        (zone_files.ZONE, ["ns1.auth.example.test"], [f"ns1 A {address}"]),
        (zone_files.NS_ZONE, ["ns1.auth.example.test"], []),
        (zone_files.HALF_ZONE, ["ns1.auth.example.test", "ns2.half.example.test"], [f"ns2 A {stale}"]),
        (zone_files.DARK_ZONE, ["ns1.dark.example.test"], [f"ns1 A {dead}"]),
    ]
    text = ""
    for name, servers, records in zones:
        text += f'[[zone]]\nname = "{name}"\nnameservers = {json.dumps(servers)}\nhostmaster = "hostmaster@example.test"\n'
        if records:
            text += f"records = {json.dumps(records)}\n"
        text += "\n"
    return text


class Countersignd:
    """
    The daemon with a configuration of its own. `restart()` and `kill()` are what the durability tests need.
    `dns` holds further lines of the [dns] table.
    `api`: lines of an [api] table that listens on port API_PORT of `address`, unless they say where; or a function of (scene, address) that
    returns them. `keys`: (name, allowed patterns) or (name, allowed patterns, algorithm) of each TSIG key; `keys[name]` of this object has them.
    `state_mount` mounts a small tmpfs of that size over the state folder, in a private mount namespace: `seen(path)` is a path as the daemon sees it.
    """

    API_PORT = 8053

    def __init__(self, scene, address, *, zones, acme="", listen=None, name="countersignd", state_mount="", challenge="", dns="", api=None, keys=(), run=True):
        self.scene, self.address, self.name = scene, address, name
        self.program = built_program("countersignd", "dnsd")
        folder = name
        self.state = scene.path(folder, "state")
        self.socket = scene.path(folder, "run", "control.sock")
        os.makedirs(os.path.dirname(self.socket), exist_ok=True)
        if state_mount:
            os.makedirs(self.state)
        self.user = "nobody" if can_drop_to(pwd.getpwnam("nobody").pw_uid) else ""
        self._listen, self._dns, self._zones, self._acme, self._challenge = listen or [f"{address}:53"], dns, zones, acme, challenge
        self.keys = {entry[0]: UpdateKey(scene, *entry) for entry in keys}
        self._api = api(scene, address) if callable(api) else api
        self.config = scene.path(folder, "countersign.toml")
        self.write_config()
        self._mount = state_mount
        self.control = Control(self.socket)
        self.child = None
        if run:
            self.start()

    def write_config(self, **changed):
        """The configuration file, with other lines than at the start where `changed` has them: api, dns, challenge, keys."""
        api = changed.get("api", self._api)
        if api is not None:
            listen = "" if re.search(r"^listen\b", api, re.MULTILINE) else f'listen = ["{self.address}:{self.API_PORT}"]\n'
            api = f"[api]\n{listen}{api}\n"
        keys = changed.get("keys", self.keys)
        self.scene.write(f"{self.name}/countersign.toml", f"""\
state_dir = "{self.state}"
control_socket = "{self.socket}"
user = "{self.user}"
log_level = "info"

[dns]
listen = {json.dumps(self._listen)}
workers = 1
{changed.get("dns", self._dns)}

{changed.get("challenge", self._challenge)}
{self._zones}
{api or ""}
{"".join(key.table() for key in keys.values())}
{self._acme}
""")

    def reload(self, timeout=10.0, **changed):
        """SIGHUP with a changed configuration; returns when the daemon says that it has taken it (or not)."""
        self.write_config(**changed)
        said = len(self.child.log())
        self.child.send(signal.SIGHUP)
        return wait_until(lambda: re.search(r"(not )?reloaded.*", self.child.log()[said:]), "the daemon says how its reload went", timeout).group(0)

    def start(self):
        command = [self.program, "--config", self.config]
        if self._mount:
            script = f'mount -t tmpfs -o size={self._mount},mode=0755 tmpfs "$0" && exec "$@"'
            command = ["unshare", "--mount", "/bin/sh", "-c", script, self.state, *command]
            if self.child is not None:
                raise FixtureError("a daemon on a private tmpfs cannot be restarted: its state went with its mount namespace")
        self.child = self.scene.start(self.name, command)
        self.child.wait_ready(self.ready_line, "ready")

    def ready_line(self):
        found = re.search(r"^.*\bready dns=.*$", self.child.log(), re.MULTILINE)
        return found.group(0) if found else ""

    def seen(self, *parts):
        return f"/proc/{self.child.pid}/root" + os.path.join(self.state, *parts)

    def kill(self):
        self.child.kill()

    def stop(self):
        return self.child.terminate()

    def restart(self):
        if self.child.running():
            self.stop()
        self.start()

    def texts(self, name, **options):
        """The TXT values that the daemon answers with; [] for NODATA and NXDOMAIN."""
        return dns_wire.ask(self.address, name, "TXT", **options).texts()
