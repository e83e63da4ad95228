# SPDX-License-Identifier: Apache-2.0
"""stepctl launch on several hosts, through an ssh that runs everything here (fake_ssh.py).

    launch_hosts.py BIN

Nothing sleeps; see launch.py.
"""
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import Daemon, environment, write_images  # noqa: E402

BIN = sys.argv.pop(1)
SSH = pathlib.Path(__file__).resolve().parent / "fake_ssh.py"
END_S = 60
TRAIN_S = 120
SECRET = "0123456789abcdef-secret"


def wait_gone(pid):
    """Returns when the process has ended; it is not our child."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([fd], [], [], END_S)[0]:
            raise AssertionError(f"process {pid} is still there")
    finally:
        os.close(fd)


class Hosts(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.never = f"{self.folder.name}/never"
        os.mkfifo(self.never)

    def tearDown(self):
        self.folder.cleanup()

    def start(self, *arguments, ssh=f"{sys.executable} {SSH}", before=("--server", "s:1"), cwd=None,
              stdout=subprocess.PIPE, **variables):
        ours = {**environment(), "FAKE_SSH_LOG": f"{self.folder.name}/log",
                "FAKE_SSH_PATH": f"{BIN}:{os.environ['PATH']}", **variables}
        command = [f"{BIN}/stepctl", *before, "launch", "--ssh", ssh, *arguments]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout,
                                stderr=subprocess.PIPE, text=True, env=ours, cwd=cwd)

    def run_script(self, hosts, script, *flags, **more):
        return self.start("--hosts", hosts, *flags, "--", "sh", "-c", script, **more)

    def finish(self, process):
        out, err = process.communicate(timeout=END_S)
        return process.returncode, out.splitlines(), err.splitlines()

    def calls(self):
        """What ssh was called with, each time."""
        lines = pathlib.Path(self.folder.name, "log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def pids(self, process, count):
        lines = [process.stdout.readline() for _ in range(count)]
        return [int(line.split()[1]) for line in lines]

    def test_workers__of_several_hosts__know_their_places(self):
        script = ('echo "$STEPD_RANK $STEPD_WORLD $STEPD_LOCAL_RANK $STEPD_LOCAL_WORLD '
                  '$RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $STEPD_ADDRESS"')
        code, out, err = self.finish(self.run_script("a:2,me@b,[fd00::1]:1", script))
        self.assertEqual((code, err), (0, []))
        self.assertEqual(sorted(out), ["[0] 0 4 0 2 0 4 0 2 s:1", "[1] 1 4 1 2 1 4 1 2 s:1",
                                       "[2] 2 4 0 1 2 4 0 1 s:1", "[3] 3 4 0 1 3 4 0 1 s:1"])
        self.assertEqual(sorted(self.calls()), [[host, "exec stepctl launch-part"]
                                                for host in ("a", "fd00::1", "me@b")])

    def test_words__with_anything_in_them__arrive_as_they_are(self):
        words = ["two words", "it's", '"', "$HOME", "`id`", "a\nb", "", "*", "\\", "ü", "--", ";exit 9"]
        report = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ['ODD']]))"
        command = ["--hosts", "a", "--env", "ODD=x 'y' $z", "--", sys.executable, "-c", report, *words]
        code, out, err = self.finish(self.start(*command))
        self.assertEqual((code, err), (0, []))
        self.assertEqual(json.loads(out[0].removeprefix("[0] ")), [words, "x 'y' $z"])

    def test_token__is_given_to_workers__and_stands_on_no_command_line(self):
        token = pathlib.Path(self.folder.name, "token")
        token.write_text(SECRET + "\n")
        # Its own command line, that of the stepctl above it, of the ssh above that, and so on.
        script = ('echo "$STEPD_TOKEN"; p=$$; while [ $p -gt 1 ]; do tr "\\0" " " </proc/$p/cmdline; '
                  'echo; p=$(cut -d" " -f4 /proc/$p/stat); done')
        for more in ({"before": ("--server", "s:1", "--token-file", str(token))},
                     {"STEPD_TOKEN": SECRET}):
            code, out, err = self.finish(self.run_script("a", script, **more))
            self.assertEqual((code, err), (0, []))
            self.assertEqual(out[0], f"[0] {SECRET}")
            self.assertIn("launch-part", "".join(out))
            self.assertNotIn(SECRET, "".join(out[1:]))
        self.assertNotIn(SECRET, json.dumps(self.calls()))

    def test_variables__of_ours__go_along_and_no_others(self):
        script = 'echo "$STEPD_JOB,$STEPD_CA,$OTHER,$STEPD_RANK"'
        code, out, _ = self.finish(self.run_script("a", script, STEPD_JOB="mnist", STEPD_CA="ca.pem",
                                                   OTHER="no", STEPD_RANK="7"))
        self.assertEqual((code, out), (0, ["[0] mnist,ca.pem,,0"]))

    def test_folder__that_is_there_too__is_where_workers_run(self):
        code, out, err = self.finish(self.run_script("a", "pwd", cwd=self.folder.name))
        self.assertEqual((code, out, err), (0, [f"[0] {os.path.realpath(self.folder.name)}"], []))

    def test_output__of_many_hosts__keeps_lines_whole_and_streams_apart(self):
        line = "0123456789" * 50
        script = f'i=0; while [ $i -lt 200 ]; do echo {line}; echo {line} >&2; i=$((i+1)); done'
        code, out, err = self.finish(self.run_script("a:2,b:2", script))
        self.assertEqual(code, 0)
        for lines in (out, err):
            self.assertEqual(sorted(lines), sorted(200 * [f"[{r}] {line}" for r in range(4)]))

    def test_terminal__of_the_launcher__shows_progress_in_place(self):
        ours, theirs = os.openpty()
        process = self.run_script("a", "printf '1%%\\r2%%\\n'", stdout=theirs)
        os.close(theirs)
        self.assertEqual(process.wait(END_S), 0, process.stderr.read())
        shown = os.read(ours, 1000)
        os.close(ours)
        self.assertEqual(shown, b"[0] 1%\r\x1b[K[0] 2%\r\n")

    def test_failure__on_one_host__ends_all_and_gives_its_code(self):
        # The last rank waits until rank 0 is there, which holds the pipe open for reading.
        script = (f'if [ $RANK = 2 ]; then echo go > {self.never}; exit 3; fi; '
                  f'[ $RANK = 0 ] && read line < {self.never}; exec cat {self.never}')
        code, _, err = self.finish(self.run_script("a:2,b", script))
        self.assertEqual(code, 3)
        self.assertRegex(err[0], r"^launch: rank 2 \(pid \d+\) exited with status 3$")
        self.assertRegex(err[1], r"^launch: host b \(pid \d+\) exited with status 3$")
        self.assertEqual(len(err), 2)

    def test_host__that_is_not_reached__ends_all_and_is_named(self):
        process = self.run_script("a,nowhere", f"exec cat {self.never}")
        code, _, err = self.finish(process)
        self.assertEqual(code, 1)
        self.assertEqual(err[0], "[nowhere] ssh: cannot come to host nowhere")
        self.assertRegex(err[1], r"^launch: host nowhere \(pid \d+\) exited with status 1$")

    def test_signal__to_the_launcher__is_passed_on(self):
        script = f'trap "echo caught; exit 0" INT; echo $$; read x < {self.never}'
        process = self.run_script("a:2,b", script)
        self.pids(process, 3)
        process.send_signal(signal.SIGINT)
        code, out, _ = self.finish(process)
        self.assertEqual(code, 128 + signal.SIGINT)
        self.assertEqual(sorted(out), ["[0] caught", "[1] caught", "[2] caught"])

    def test_worker__deaf_to_sigterm__is_killed_in_the_end(self):
        script = f'trap "" TERM; echo $$; while true; do read x < {self.never}; done'
        process = self.run_script("a", script)
        worker = self.pids(process, 1)[0]
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(process)[0], 128 + signal.SIGTERM)
        wait_gone(worker)

    def test_launcher__killed__takes_workers_of_all_hosts_along(self):
        process = self.run_script("a:2,b", f"echo $$; exec cat {self.never}")
        workers = self.pids(process, 3)
        process.kill()
        process.communicate(timeout=END_S)
        for worker in workers:
            wait_gone(worker)

    def test_ssh__with_options__and_stepctl_with_a_space_are_taken(self):
        odd = pathlib.Path(self.folder.name, "a b's")
        odd.symlink_to(f"{BIN}/stepctl")
        process = self.run_script("a", "echo fine", "--stepctl", str(odd),
                                  ssh=f"{sys.executable} '{SSH}' -o 'Some Option'")
        self.assertEqual(self.finish(process), (0, ["[0] fine"], []))
        self.assertEqual(self.calls()[0][:3], ["-o", "Some Option", "a"])

    def test_hostfile__of_both_notations__deals_ranks_in_order(self):
        file = pathlib.Path(self.folder.name, "hosts")
        file.write_text("# all of them\na slots=2\n\nb:2  # two\nc\n")
        code, out, err = self.finish(self.start("--hostfile", str(file), "-n", "3", "--", "sh", "-c",
                                                "echo $LOCAL_RANK of $LOCAL_WORLD_SIZE"))
        self.assertEqual((code, sorted(out), err), (0, ["[0] 0 of 2", "[1] 1 of 2", "[2] 0 of 1"], []))
        self.assertEqual(sorted(call[0] for call in self.calls()), ["a", "b"])

    def test_dry_run__prints_all__but_the_token_and_runs_nothing(self):
        process = self.start("--hosts", "a:2,b", "--env", "X=y z", "--dry-run", "--", "train", "it's",
                             ssh="my-ssh -p 22", STEPD_TOKEN=SECRET)
        code, out, err = self.finish(process)
        self.assertEqual((code, err), (0, []))
        self.assertEqual([line for line in out if not line.startswith(" ")],
                         ["my-ssh -p 22 a 'exec stepctl launch-part'",
                          "my-ssh -p 22 b 'exec stepctl launch-part'"])
        self.assertEqual([line.split()[0] for line in out if line.startswith(" ")],
                         ["STEPD_RANK=0", "STEPD_RANK=1", "STEPD_RANK=2"])
        self.assertTrue(out[1].endswith(" X='y z' train 'it'\\''s'"), out[1])
        self.assertIn(" STEPD_TOKEN=... ", out[1])
        self.assertNotIn(SECRET, "".join(out))
        self.assertFalse(os.path.exists(f"{self.folder.name}/log"))

    def test_dry_run__without_hosts__prints_each_worker(self):
        command = [f"{BIN}/stepctl", "--server", "s:1", "launch", "-n", "2", "--dry-run", "--", "true"]
        said = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=END_S)
        self.assertEqual(said.returncode, 0)
        self.assertRegex(said.stdout, r"^STEPD_RANK=0 .* STEPD_ADDRESS=s:1 true\nSTEPD_RANK=1 .* true\n$")

    def test_usage__mistaken__is_exit_2_and_says_why(self):
        for arguments, words in ((["--hosts", "a:2", "-n", "3"], "the hosts take 2 workers"),
                                 (["--hosts", "a,b,a:3"], "host a stands twice: say a:4"),
                                 (["--hosts", "-oProxyCommand=x"], "is not the name or address"),
                                 (["--hosts", "a b"], "is not the name or address"),
                                 (["--hosts", "a:0"], "how many workers it takes"),
                                 (["--hosts", "a,"], "is not the name or address"),
                                 (["--hostfile", "/no/such"], "No such file"),
                                 (["-n", "1"], "--hosts is missing")):
            code, _, err = self.finish(self.start(*arguments, "--", "true"))
            self.assertEqual(code, 2, arguments)
            self.assertIn(words, err[0])

    def test_loopback__for_several_hosts__is_warned_of(self):
        code, _, err = self.finish(self.run_script("a,b", "true", before=()))
        self.assertEqual(code, 0)
        self.assertIn("127.0.0.1:7070 is on each host a server of its own", err[0])

    def test_part__without_orders__says_what_is_wrong(self):
        for orders, words in ((b"", "cut short"), (b"stepctl-launch/2\0.\0", "same one must"),
                              (b"stepctl-launch/1\0.\0", "make no sense"),
                              (b"stepctl-launch/1\0f1\0n1\0w1\0atrue\0.\0", "make no sense"),
                              (b"stepctl-launch/1\0f0\0n1\0w1\0atrue\0", "cut short")):
            said = subprocess.run([f"{BIN}/stepctl", "launch-part"], input=orders, timeout=END_S,
                                  capture_output=True, env=environment())
            self.assertEqual(said.returncode, 1, orders)
            self.assertIn(words, said.stderr.decode())

    def test_daemon__launched_like_a_worker__serves_and_ends(self):
        process = self.start("--hosts", "a", "--", "stepd", "--listen", "127.0.0.1:0", STEPD_SHARDS="2",
                             STEPD_TOKEN=SECRET)
        line = process.stderr.readline()
        self.assertRegex(line, r"^\[0\] .* event=ready listen=127.0.0.1:\d+ shards=2 ")
        process.send_signal(signal.SIGTERM)
        code, _, err = self.finish(process)
        self.assertEqual(code, 128 + signal.SIGTERM)
        self.assertIn("event=stopped", err[-1])

    def test_training__on_two_hosts__comes_to_its_end(self):
        write_images(self.folder.name)
        train = ["stepd-train", "--data", self.folder.name, "--model", "mlp:784-8-10", "--batch", "32",
                 "--epochs", "1"]
        with Daemon(f"{BIN}/stepd", "--shards", "2") as daemon:
            process = self.start("--hosts", "a:2,b", "--", *train, before=("--server", daemon.address))
            out, err = process.communicate(timeout=TRAIN_S)
        self.assertEqual(process.returncode, 0, err)
        self.assertRegex(out, r"\[0\] test accuracy")


unittest.main(verbosity=2, warnings="ignore")
