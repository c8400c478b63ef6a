"""Child processes that never outlive us: own process groups, logs in files, clear errors, and a guardian for kill -9."""

import atexit
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_SEARCH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"


class FixtureError(Exception):
    """Something that the tests stand on is missing or did not start; the message says what to do."""


def find_program(name, package):
    path = shutil.which(name, path=_SEARCH)
    if path is None:
        raise FixtureError(f"cannot find the program '{name}'; install the Debian package {package} (scripts/setup does)")
    return path


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Guardian:
    """
    A shell that reads process group ids and kills them all at the end of its input, that is: when we end, however.
    PDEATHSIG alone is not enough: a program that changes its user loses it (the kernel clears it), and it does not reach grandchildren.
    """

    _SCRIPT = r"""
trap '' INT TERM HUP QUIT
groups=
while read -r word id; do
    case $word in
        add) groups="$groups $id " ;;
        done) groups=$(printf '%s' "$groups" | sed "s/ $id / /") ;;
        folder) folder=$id ;;
    esac
done
for id in $groups; do kill -s KILL -- "-$id" 2>/dev/null; done
[ -z "$folder" ] || rm -rf -- "$folder"
"""

    def __init__(self, folder=""):
        self._shell = subprocess.Popen(["/bin/sh", "-c", self._SCRIPT], stdin=subprocess.PIPE, start_new_session=True)
        self._say("folder", folder)

    def _say(self, word, value):
        try:
            self._shell.stdin.write(f"{word} {value}\n".encode())
            self._shell.stdin.flush()
        except BrokenPipeError:
            pass

    def add(self, group):
        self._say("add", group)

    def done(self, group):
        self._say("done", group)

    def close(self):
        if not self._shell.stdin.closed:
            self._shell.stdin.close()
        self._shell.wait()


class Scene:
    """One temporary folder, the processes started in it, and their end. Use it as a context manager."""

    def __init__(self, prefix="countersign-"):
        self.folder = tempfile.mkdtemp(prefix=prefix)
        # Programs that gave up root have to reach their own files below.
        os.chmod(self.folder, 0o755)
        self._guardian = Guardian(self.folder)
        self._children = []
        self._closed = False
        atexit.register(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def start(self, name, command, **options):
        child = Child(self, name, command, **options)
        self._children.append(child)
        return child

    def guard(self, group):
        self._guardian.add(group)

    def release(self, group):
        self._guardian.done(group)

    def log_tails(self, lines=25):
        """The end of each log, for a failed test's output."""
        text = []
        for file in sorted(os.listdir(self.folder)):
            if file.endswith(".log"):
                text.append(f"---- {file}, last {lines} lines\n{tail(self.path(file), lines)}")
        return "\n".join(text)

    def close(self):
        if self._closed:
            return
        self._closed = True
        for child in reversed(self._children):
            child.terminate()
        self._guardian.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.close)


class Child:
    """A server in the foreground, its output in FOLDER/NAME.log."""

    def __init__(self, scene, name, command, env=None, cwd=None):
        self.scene, self.name, self.command = scene, name, command
        self.log_path = scene.path(f"{name}.log")
        with open(self.log_path, "ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd or scene.folder,
                env={**os.environ, **(env or {})}, start_new_session=True, preexec_fn=_die_with_parent,
            )
        self.pid = self._process.pid
        scene.guard(self.pid)

    def running(self):
        return self._process.poll() is None

    def exit_code(self):
        return self._process.poll()

    def log(self):
        """What it has said since this start (a restarted server appends to the same file)."""
        with open(self.log_path, "rb") as file:
            file.seek(self._log_start)
            return file.read().decode("utf-8", "replace")

    def wait_ready(self, ready, what, timeout=15.0):
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running():
                raise FixtureError(f"{self.name} ended with status {self.exit_code()} before {what}:\n{tail(self.log_path, 15)}")
            if time.monotonic() > deadline:
                raise FixtureError(f"{self.name}: not {what} within {timeout:.0f} s:\n{tail(self.log_path, 15)}")
            time.sleep(0.005)

    def wait(self, timeout):
        return self._process.wait(timeout)

    def send(self, number):
        if self.running():
            os.kill(self.pid, number)

    def kill(self):
        """kill -9 of the whole group, as a power cut would end it."""
        self._signal_group(signal.SIGKILL)
        self._process.wait()
        self.scene.release(self.pid)

    def terminate(self, patience=5.0):
        if self.running():
            self.send(signal.SIGTERM)
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                pass
        self.kill()
        return self._process.returncode

    def _signal_group(self, number):
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def tail(path, lines):
    try:
        with open(path, "rb") as file:
            return b"".join(file.readlines()[-lines:]).decode("utf-8", "replace").rstrip("\n")
    except OSError as error:
        return f"(no log: {error.strerror})"


def wait_until(condition, what, timeout=10.0, pause=0.01):
    """Waits for a condition, returns its true value; raises AssertionError with `what` when it does not come."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:.1f} s: {what}")
        time.sleep(pause)


def stop_on_signals():
    """SIGTERM and SIGHUP end the program by SystemExit, so that every `with` closes; SIGINT already raises."""
    def leave(number, _frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)
