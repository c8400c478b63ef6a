#!/usr/bin/python3
"""The disk under `countersign`: full at any moment, read-only, of somebody else, or in another run's hands at the same time."""

import os
import re
import shutil
import subprocess
import threading
import unittest

import base
import odd_ca
import zone_files
from odd_ca import OddCa
from own_state import OwnState
from processes import wait_until


def _can_mount():
    return os.geteuid() == 0 and os.system("unshare --mount true 2>/dev/null") == 0


def _can_be_nobody():
    return os.geteuid() == 0 and os.system("setpriv --reuid nobody --clear-groups true 2>/dev/null") == 0


@unittest.skipUnless(_can_mount(), "needs a mount namespace (root or a user namespace) for a small tmpfs")
class Mounted(base.SystemTest):
    """Runs in a mount namespace of their own; `script` is a shell's, with $STATE, and `client` for `countersign --config ... issue --json --force`."""

    def in_namespace(self, own, script):
        os.makedirs(own.state, exist_ok=True)
        before = f'STATE={own.state}; client() {{ {" ".join(self.net.command("issue", "--json", "--force", config=own.config))} "$@"; }}\n'
        run = subprocess.run(["unshare", "--mount", "/bin/sh", "-c", before + script], capture_output=True, text=True, timeout=60, check=False)
        return run

    def said(self, folder, name):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return file.read()

    def squeezed(self, label, mount_options, name, with_certificate):
        """
        One run on a disk so small, then one on a disk that is large enough. Gives whether the first succeeded. The state between the two is looked at
        in a copy.
        """
        own = OwnState(self.net, label)
        first = OwnState(self.net, f"{label}-first")
        if with_certificate:
            self.assert_exit(first.issue(name), 0)
        script = f"""
            mount -t tmpfs -o mode=0755,{mount_options} tmpfs $STATE || exit 90
            {f'cp -a {first.state}/. $STATE/ || exit 91' if with_certificate else ''}
            before=$(readlink $STATE/acme/live/{name})
            client {name} > {own.folder}/out 2> {own.folder}/err; echo $? > {own.folder}/code
            rm -rf {own.folder}/copy; cp -a $STATE {own.folder}/copy
            [ "$(readlink $STATE/acme/live/{name})" = "$before" ] && echo same > {own.folder}/live || echo new > {own.folder}/live
            mount -o remount,size=4m,nr_inodes=2000 $STATE || exit 92
            client {name} > {own.folder}/out2 2> {own.folder}/err2; echo $? > {own.folder}/code2
            rm -rf {own.folder}/copy2; cp -a $STATE {own.folder}/copy2
        """
        run = self.in_namespace(own, script)
        if run.returncode == 91:
            return False  # not even what was there fits
        self.assertEqual(run.returncode, 0, run.stderr)
        code = int(self.said(own.folder, "code"))
        text = self.said(own.folder, "err")
        with self.subTest(label=label, said=text[-600:]):
            self.assertIn(code, (0, 1), text)
            own.state = os.path.join(own.folder, "copy")
            own.check()
            if code == 1:
                self.assertRegex(text, "no space left on device")
                self.assertEqual(self.said(own.folder, "live"), "same\n", "live was switched by a run that failed")
            elif os.path.lexists(own.live(name)):
                own.check_pair(name, [name])
            self.assertEqual(own.left_values(name), {})
            self.assertEqual(self.said(own.folder, "code2"), "0\n", self.said(own.folder, "err2"))
            own.state = os.path.join(own.folder, "copy2")
            own.check()
            own.check_pair(name, [name])
        for folder in (own.folder, first.folder):
            shutil.rmtree(folder)
        return code == 0

    def test_disk_full_at_any_page(self):
        for with_certificate in (False, True):
            outcomes = []
            for pages in range(1, 40):
                outcomes.append(self.squeezed(f"pages-{with_certificate}-{pages}", f"size={pages * 4096}", zone_files.NUMBERED[pages], with_certificate))
                if outcomes[-1]:
                    break
            self.assertTrue(outcomes[-1], "it never fits")
            self.assertGreater(outcomes.count(False), 4, "the disk was hardly ever full")

    def test_no_inode_left_at_any_file(self):
        outcomes = []
        for inodes in range(2, 60):
            outcomes.append(self.squeezed(f"inodes-{inodes}", f"nr_inodes={inodes}", zone_files.NUMBERED[inodes], with_certificate=False))
            if outcomes[-1]:
                break
        self.assertTrue(outcomes[-1], "it never fits")
        self.assertGreater(outcomes.count(False), 10, "the disk was hardly ever full")

    def test_nothing_is_ordered_when_the_disk_is_full(self):
        own = OwnState(self.net, "early")
        orders = self.net.pebble.orders()
        fill = "mount -t tmpfs -o mode=0755,size=4096 tmpfs $STATE && dd if=/dev/zero of=$STATE/x bs=4096 count=2 2>/dev/null"
        run = self.in_namespace(own, f"{fill}; client n90.example.test")
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertIn("no space left on device", run.stderr)
        self.assertEqual(self.net.pebble.orders(), orders, "the CA was asked although nothing can be kept")

    def test_read_only(self):
        name = "n91.example.test"
        own = OwnState(self.net, "read-only")
        orders = self.net.pebble.orders()
        run = self.in_namespace(own, f"mount --bind $STATE $STATE && mount -o remount,bind,ro $STATE && client {name}")
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertRegex(run.stderr, "read-only file system")
        self.assertIn(own.state, run.stderr)
        # With a certificate: it stays, and is still found valid without --force.
        self.assert_exit(own.issue(name), 0)
        target = own.target(name)
        run = self.in_namespace(own, f"mount --bind $STATE $STATE && mount -o remount,bind,ro $STATE && client {name}")
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertRegex(run.stderr, "read-only file system")
        self.assertEqual(own.target(name), target)
        own.check()
        own.check_pair(name, [name])
        self.assertEqual(self.net.pebble.orders(), orders + 1)
        # One part of it only.
        for part in ("archive", "certificates", "live", f"archive/{name}"):
            with self.subTest(part=part):
                folder = own.path(part)
                run = self.in_namespace(own, f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} && client {name}")
                self.assertEqual(run.returncode, 1, run.stderr)
                self.assertRegex(run.stderr, "read-only file system")
                self.assertEqual(own.target(name), target)
                self.assertEqual(own.left_values(name), {})
                own.check()
        self.assert_exit(own.issue("--force", name), 0)
        own.check_pair(name, [name])

    def tearDown(self):
        self.assert_nothing_published()


class Others(base.SystemTest):
    """Another run at the same time, and files that are not ours."""

    def tearDown(self):
        self.assert_nothing_published()

    def held(self, ca, own, *arguments):
        """A run that the CA holds up at its newOrder; gives (thread, its result, release)."""
        release, result = threading.Event(), {}

        def hold(exchange):
            release.wait(30)
            return exchange.forward()

        ca.fault("order", hold, times=1)
        thread = threading.Thread(target=lambda: result.update(run=own.issue(*arguments)))
        thread.start()
        wait_until(lambda: ca.requests("order"), "the first run orders", 20)
        return thread, result, release

    def test_second_run_for_the_same_certificate_is_told_who_is_first(self):
        name = "n92.example.test"
        with OddCa(self.net.pebble) as ca:
            own = OwnState(self.net, "twice", ca.url)
            thread, result, release = self.held(ca, own, name)
            try:
                second = own.issue(name)
                self.assert_exit(second, 1)
                message = second.json()["error"]["message"]
                self.assertIn(name, message)
                process = int(re.search(r"process (\d+)", message)[1])
                self.assertIn("countersign", open(f"/proc/{process}/cmdline", encoding="utf-8").read(), "that is not the run that holds it")
                self.assertLess(second.seconds, 3)
                # Another certificate is nobody's business.
                self.assert_exit(own.issue("n93.example.test"), 0)
            finally:
                release.set()
                thread.join()
            self.assert_exit(result["run"], 0)
            own.check()
            own.check_pair(name, [name])

    def test_a_run_that_was_killed_holds_nothing(self):
        name = "n94.example.test"
        with OddCa(self.net.pebble) as ca:
            own = OwnState(self.net, "dead", ca.url)
            ca.fault("order", odd_ca.slow(5), times=1)
            command = self.net.command("issue", name, config=own.config)
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                wait_until(lambda: ca.requests("order"), "the first run orders", 20)
                process.kill()
            self.assert_exit(own.issue(name), 0)

    def test_many_at_once_make_one_account(self):
        names = zone_files.NUMBERED[:8]
        with OddCa(self.net.pebble) as ca:
            own = OwnState(self.net, "crowd", ca.url)
            runs = {}
            threads = [threading.Thread(target=lambda name=name: runs.update({name: own.issue(name)})) for name in names]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for name in names:
                self.assert_exit(runs[name], 0)
                own.check_pair(name, [name])
            own.check()
            accounts = {str(request.protected["jwk"]) for request in ca.requests("account")}
            self.assertEqual(len(accounts), 1, "more than one account was made")

    @unittest.skipUnless(_can_be_nobody(), "needs root, to become somebody else")
    def test_state_of_somebody_else(self):
        name = "n95.example.test"
        own = OwnState(self.net, "foreign")
        self.assert_exit(own.issue(name), 0)
        target = own.target(name)
        os.chmod(self.net.daemon.socket, 0o666)
        command = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", *self.net.command("issue", "--json", "--force", name, config=own.config)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertRegex(run.stderr, "permission denied.*root|root.*permission denied")
        self.assertEqual(own.target(name), target)
        own.check()

    @unittest.skipUnless(_can_be_nobody(), "needs root, to become somebody else")
    def test_keys_that_anybody_could_have_planted(self):
        # STATE/acme belongs to another user: what is in it may be replaced by them at any time.
        own = OwnState(self.net, "planted")
        os.makedirs(own.path())
        shutil.chown(own.path(), "nobody")
        os.chmod(own.path(), 0o777)
        run = own.issue("n96.example.test")
        self.assertTrue(run.code != 0 or os.stat(own.path()).st_mode & 0o077 == 0, f"keys are written where others may replace them: {run}")


if __name__ == "__main__":
    base.main()
