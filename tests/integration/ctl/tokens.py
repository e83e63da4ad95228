# SPDX-License-Identifier: Apache-2.0
"""Tokens with real processes: made by stepctl, known to a daemon, shown by stepctl, stepd-train and
the workers of stepctl launch.

    tokens.py BIN
"""
import os
import pathlib
import re
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import Daemon, environment, write_images  # noqa: E402

BIN = sys.argv.pop(1)
END_S = 60
STRANGER = "this server lets in whom it knows"
NOT_FOR = "the token that was shown is not for this"


def stepctl(*arguments, **env):
    return subprocess.run([f"{BIN}/stepctl", *arguments], capture_output=True, text=True,
                          timeout=END_S, env={**environment(), **env})


class Making(unittest.TestCase):
    def test_create__for_people__prints_the_token_and_the_line_that_knows_it(self):
        made = stepctl("token", "create", "--role", "work", "--job", "a", "--job", "b*",
                       "--name", "me", "--expires", "2099-12-31")
        self.assertEqual((made.returncode, made.stderr), (0, ""))
        _, token, _, line = made.stdout.splitlines()
        self.assertRegex(token, r"^stepd_[\w-]{43}$")
        self.assertRegex(line, r"^me work a,b\* 2099-12-31T00:00:00Z sha256:[0-9a-f]{64}$")
        self.assertNotIn(token, line)

    def test_create__twice__makes_two(self):
        first, second = (stepctl("token", "create", "--role", "admin").stdout for _ in range(2))
        self.assertNotEqual(first.splitlines()[1], second.splitlines()[1])

    def test_create__to_a_file__leaves_it_to_its_owner_and_overwrites_none(self):
        with tempfile.TemporaryDirectory() as folder:
            arguments = ("token", "create", "--role", "observe", "--out", f"{folder}/token")
            made = stepctl(*arguments)
            self.assertEqual(made.returncode, 0, made.stderr)
            self.assertRegex(made.stdout, r"^\S+ observe \* never sha256:[0-9a-f]{64}\n$")
            self.assertEqual(stat.S_IMODE(os.stat(f"{folder}/token").st_mode), 0o600)
            before = pathlib.Path(folder, "token").read_text()
            again = stepctl(*arguments)
            self.assertEqual((again.returncode, again.stdout), (1, ""))
            self.assertIn("exists", again.stderr)
            self.assertEqual(pathlib.Path(folder, "token").read_text(), before)

    def test_create__mistaken__is_exit_2(self):
        for arguments in ([], ["create"], ["make", "--role", "work"], ["create", "--role", "boss"],
                          ["create", "--role", "work", "--expires", "soon"],
                          ["create", "--role", "work", "--expires", "0d"],
                          ["create", "--role", "work", "--job", "a b"],
                          ["create", "--role", "work", "--job", "a,b"],
                          ["create", "--role", "work", "--name", ""]):
            made = stepctl("token", *arguments)
            self.assertEqual((made.returncode, made.stdout), (2, ""), arguments)


class Known(unittest.TestCase):
    """A daemon that knows a looker, a worker of job `mine`, and an admin."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.access = self.folder / "access"
        self.lines = {"looker": self.create("looker", "observe"),
                      "worker": self.create("worker", "work", "--job", "mine"),
                      "boss": self.create("boss", "admin"),
                      "old": self.create("old", "admin", "--expires", "2020-01-01")}
        self.admit("looker", "worker", "boss", "old")

    def create(self, who, role, *more):
        made = stepctl("token", "create", "--role", role, "--name", who,
                       "--out", str(self.folder / who), *more)
        self.assertEqual(made.returncode, 0, made.stderr)
        return made.stdout

    def admit(self, *who):
        self.access.write_text("# who may come in\n" + "".join(self.lines[w] for w in who))
        self.access.chmod(0o644)

    def daemon(self, *flags):
        return Daemon(f"{BIN}/stepd", "--access-file", str(self.access), *flags)

    def token(self, who):
        return (self.folder / who).read_text().strip()

    def ask(self, daemon, who, *arguments):
        return stepctl("--server", daemon.address, "--token-file", str(self.folder / who),
                       *arguments)

    def train(self, daemon, *flags, job="mine", **env):
        if not (self.folder / "data").exists():
            (self.folder / "data").mkdir()
            write_images(self.folder / "data", train=64)
        return subprocess.run(
            [f"{BIN}/stepd-train", "--server", daemon.address, "--job", job, "--model", "softmax",
             "--data", str(self.folder / "data"), "--batch", "16", "--steps", "3", "--quiet", *flags],
            capture_output=True, text=True, timeout=END_S, env={**environment(), **env})

    def test_strangers__of_each_kind__are_told_the_same(self):
        (self.folder / "wrong").write_text("stepd_" + "A" * 43 + "\n")
        with self.daemon() as daemon:
            asked = [stepctl("--server", daemon.address, "status"),
                     self.ask(daemon, "wrong", "status"), self.ask(daemon, "old", "status")]
            for one in asked:
                self.assertEqual((one.returncode, one.stdout), (1, ""))
                self.assertIn(STRANGER, one.stderr)
            self.assertEqual(len({one.stderr for one in asked}), 1)
            for reason in ('who="" .*it has shown no token', 'who="" .*its token is not on the list',
                           'who="old" .*its line was good until 2020-01-01T00:00:00Z only'):
                daemon.wait_for(f'event=login_refused peer="127.0.0.1:.*{reason}')
            self.assert_no_secret(daemon.said.text())

    def test_roles__of_each_kind__may_what_they_may(self):
        with self.daemon("--shards", "2") as daemon:
            trained = self.train(daemon, "--token-file", str(self.folder / "worker"))
            self.assertEqual(trained.returncode, 0, trained.stderr)
            shown = self.ask(daemon, "looker", "status")
            self.assertIn("job mine", shown.stdout, shown.stderr)
            for who in ("looker", "worker"):
                changed = self.ask(daemon, who, "change", "--job", "mine", "lr=0.1")
                self.assertIn(NOT_FOR, changed.stderr)
            changed = self.ask(daemon, "boss", "change", "--job", "mine", "lr=0.1")
            self.assertIn("job 'mine' has finished", changed.stderr)
            for who, job in (("looker", "mine"), ("worker", "other")):
                refused = self.train(daemon, "--token-file", str(self.folder / who), job=job)
                self.assertNotEqual(refused.returncode, 0)
                self.assertIn(NOT_FOR, refused.stderr)
            self.assert_no_secret(daemon.said.text())

    def test_launch__with_a_token_file__gives_it_to_its_workers_in_no_argument(self):
        (self.folder / "look.sh").write_text(
            f'"{BIN}/stepctl" status >/dev/null && tr "\\0" " " < /proc/$$/cmdline &&'
            ' tr "\\0" " " < /proc/$PPID/cmdline\n')
        with self.daemon() as daemon:
            ran = self.ask(daemon, "looker", "launch", "-n", "2", "--", "sh",
                           str(self.folder / "look.sh"))
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("look.sh", ran.stdout)
        self.assert_no_secret(ran.stdout)

    def test_worker__with_the_token_in_its_environment__is_let_in(self):
        with self.daemon() as daemon:
            trained = self.train(daemon, STEPD_TOKEN=self.token("worker"))
            self.assertEqual(trained.returncode, 0, trained.stderr)

    def test_line__taken_off_the_list__ends_what_it_was_used_for(self):
        with self.daemon() as daemon:
            watch = subprocess.Popen(
                [f"{BIN}/stepctl", "--server", daemon.address, "--token-file",
                 str(self.folder / "looker"), "status", "--watch", "0.1"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
            self.addCleanup(watch.communicate)
            self.addCleanup(watch.kill)
            watch.stdout.readline()
            self.admit("boss")
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for("event=access_read lines=1")
            daemon.wait_for("event=login_ended .*it is not on the list any more")
            said = watch.communicate(timeout=END_S)[1]
            self.assertEqual(watch.returncode, 1)
            self.assertIn(STRANGER, said)
            self.assertIn(STRANGER, self.ask(daemon, "looker", "status").stderr)
            self.assertEqual(self.ask(daemon, "boss", "status").returncode, 0)

    def test_file__that_is_wrong__changes_nothing_when_it_is_read_again(self):
        with self.daemon() as daemon:
            self.access.write_text("looker observe * never\n")
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for("event=reload_failed .*line 1: a line has 5 words")
            self.assertEqual(self.ask(daemon, "looker", "status").returncode, 0)

    def test_file__that_is_wrong__is_exit_78_at_the_start(self):
        def start():
            return subprocess.run([f"{BIN}/stepd", "--listen", "127.0.0.1:0", "--access-file",
                                   str(self.access), "--check-config"], capture_output=True,
                                  text=True, timeout=END_S, env=environment())
        self.assertEqual(start().returncode, 0)
        self.access.chmod(0o622)
        self.assertRegex(start().stderr, "access_file: .*others than its owner may write to it")
        self.access.chmod(0o600)
        self.access.write_text("a b c\n")
        self.assertEqual(start().returncode, 78)
        self.access.unlink()
        self.assertEqual(start().returncode, 78)

    def test_token__to_another_host__is_not_sent_in_clear(self):
        asked = stepctl("--server", "192.0.2.1:7070", "--token-file", str(self.folder / "boss"),
                        "status")
        self.assertEqual(asked.returncode, 1)
        self.assertIn("a token would go to 192.0.2.1:7070 in clear", asked.stderr)

    def test_daemon__that_others_reach__refuses_tokens_in_clear(self):
        refused = subprocess.run([f"{BIN}/stepd", "--listen", "0.0.0.0:0", "--access-file",
                                  str(self.access)], capture_output=True, text=True, timeout=END_S,
                                 env=environment())
        self.assertEqual(refused.returncode, 78)
        self.assertIn("tokens would go over the network in clear", refused.stderr)

    def test_token_file__that_holds_something_else__is_not_shown(self):
        (self.folder / "two").write_text("stepd_secret and more\n")
        asked = stepctl("--token-file", str(self.folder / "two"), "status")
        self.assertEqual(asked.returncode, 1)
        self.assertIn("must hold a token", asked.stderr)
        self.assertNotIn("secret", asked.stderr)

    def assert_no_secret(self, text):
        for who in self.lines:
            self.assertNotIn(self.token(who), text)
            self.assertIsNone(re.search(self.lines[who].split()[-1].removeprefix("sha256:"), text))


unittest.main(verbosity=2)
