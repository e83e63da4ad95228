# SPDX-License-Identifier: Apache-2.0
"""stepctl launch with shells for workers: output, exit codes, and that nobody is left behind.

    launch.py BIN

Workers that must wait do so by reading from a named pipe that nobody writes to, so nothing sleeps
and nothing depends on speed. A worker's pid is known from what it prints.
"""
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import environment  # noqa: E402

STEPCTL = f"{sys.argv.pop(1)}/stepctl"
END_S = 60


def launch(workers, script, *flags, **more):
    return subprocess.Popen([STEPCTL, "launch", "-n", str(workers), *flags, "--", "sh", "-c", script],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=environment(), **more)


def finish(process):
    out, err = process.communicate(timeout=END_S)
    return process.returncode, out.splitlines(), err.splitlines()


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


class Launch(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.never = f"{self.folder.name}/never"
        os.mkfifo(self.never)

    def tearDown(self):
        self.folder.cleanup()

    def pids(self, process, count):
        """Reads "[rank] pid" lines until that many workers have said where they are."""
        lines = [process.stdout.readline() for _ in range(count)]
        return [int(line.split()[1]) for line in lines]

    def test_workers__each__knows_its_rank_and_the_world(self):
        script = 'echo "$STEPD_RANK $STEPD_LOCAL_RANK $STEPD_WORLD $RANK $WORLD_SIZE $EXTRA"'
        code, out, err = finish(launch(3, script, "--env", "EXTRA=x y"))
        self.assertEqual(code, 0)
        self.assertEqual(sorted(out), [f"[{r}] {r} {r} 3 {r} 3 x y" for r in range(3)])
        self.assertEqual(err, [])

    def test_server__of_the_command_line__is_in_the_environment(self):
        for arguments in (["--server", "there:1", "launch"], ["launch", "--server", "there:1"]):
            command = [STEPCTL, *arguments, "-n", "1", "--", "sh", "-c", "echo $STEPD_ADDRESS"]
            result = subprocess.run(command, capture_output=True, text=True, timeout=END_S,
                                    env={**environment(), "STEPD_ADDRESS": "elsewhere:1"})
            self.assertEqual((result.returncode, result.stdout), (0, "[0] there:1\n"), arguments)

    def test_output__of_many_workers__keeps_lines_whole_and_streams_apart(self):
        line = "0123456789" * 50
        script = f'i=0; while [ $i -lt 200 ]; do echo {line}; echo {line} >&2; i=$((i+1)); done'
        code, out, err = finish(launch(4, script))
        self.assertEqual(code, 0)
        for lines in (out, err):
            self.assertEqual(sorted(lines), sorted(200 * [f"[{r}] {line}" for r in range(4)]))

    def test_last_line__without_newline__gets_one(self):
        code, out, _ = finish(launch(1, "printf 'a\\nb'"))
        self.assertEqual((code, out), (0, ["[0] a", "[0] b"]))

    def test_progress__not_on_a_terminal__becomes_lines(self):
        code, out, _ = finish(launch(1, "printf '1%%\\r2%%\\r3%%\\n'"))
        self.assertEqual((code, out), (0, ["[0] 1%", "[0] 2%", "[0] 3%"]))

    def test_stdin__of_a_worker__is_empty(self):
        code, out, _ = finish(launch(1, "cat; echo end"))
        self.assertEqual((code, out), (0, ["[0] end"]))

    def test_failure__of_one__ends_all_and_gives_its_code(self):
        # Rank 1 waits until the others are there: they hold the pipe open for reading.
        script = (f'if [ $RANK = 1 ]; then echo go > {self.never}; exit 3; fi; '
                  f'read line < {self.never}; exec cat {self.never}')
        code, _, err = finish(launch(2, script))
        self.assertEqual(code, 3)
        self.assertEqual(len(err), 1)
        self.assertRegex(err[0], r"^launch: rank 1 \(pid \d+\) exited with status 3$")

    def test_failure__by_a_signal__is_named(self):
        code, _, err = finish(launch(1, "kill -SEGV $$"))
        self.assertEqual(code, 128 + signal.SIGSEGV)
        self.assertRegex(err[0], r"^launch: rank 0 \(pid \d+\) was killed by signal 11 \(SIGSEGV\)$")

    def test_command__that_does_not_exist__says_so(self):
        process = subprocess.Popen([STEPCTL, "launch", "-n", "1", "--", "/no/such/command"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        code, _, err = finish(process)
        self.assertEqual(code, 127)
        self.assertIn("cannot run '/no/such/command'", err[0])

    def test_children_of_a_worker__end_with_it(self):
        script = f'cat {self.never} & echo $!; if [ $RANK = 0 ]; then wait; fi; exec cat {self.never}'
        process = launch(1, script)
        child = self.pids(process, 1)[0]
        process.send_signal(signal.SIGTERM)
        code, _, _ = finish(process)
        self.assertEqual(code, 128 + signal.SIGTERM)
        wait_gone(child)

    def test_children_of_a_worker__that_ended_well__end_too(self):
        process = launch(1, f'cat {self.never} >/dev/null 2>&1 & echo $!')
        child = self.pids(process, 1)[0]
        self.assertEqual(finish(process)[0], 0)
        wait_gone(child)

    def test_signal__to_the_launcher__is_passed_on(self):
        script = f'trap "echo caught; exit 0" INT; echo $$; read x < {self.never}'
        process = launch(2, script)
        self.pids(process, 2)
        process.send_signal(signal.SIGINT)
        code, out, _ = finish(process)
        self.assertEqual(code, 128 + signal.SIGINT)
        self.assertEqual(sorted(out), ["[0] caught", "[1] caught"])

    def test_worker__deaf_to_sigterm__is_killed_in_the_end(self):
        script = f'trap "" TERM; echo $$; while true; do read x < {self.never}; done'
        process = launch(1, script)
        worker = self.pids(process, 1)[0]
        process.send_signal(signal.SIGTERM)
        code, _, _ = finish(process)
        self.assertEqual(code, 128 + signal.SIGTERM)
        wait_gone(worker)

    def test_launcher__killed__takes_its_workers_along(self):
        process = launch(3, f'echo $$; exec cat {self.never}')
        workers = self.pids(process, 3)
        process.kill()
        process.communicate(timeout=END_S)
        for worker in workers:
            wait_gone(worker)

    def test_usage__mistaken__is_exit_2(self):
        for arguments in ([], ["-n", "0", "--", "true"], ["-n", "x", "--", "true"], ["-n", "2"],
                          ["-n", "2", "--env", "NOVALUE", "--", "true"], ["--bogus"]):
            result = subprocess.run([STEPCTL, "launch", *arguments], capture_output=True, text=True)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertRegex(result.stderr, re.compile("stepctl launch --help"), arguments)

    def test_terminal__shows_progress_in_place(self):
        ours, theirs = os.openpty()
        process = subprocess.Popen([STEPCTL, "launch", "-n", "1", "--", "printf", "1%%\r2%%\n"],
                                   stdout=theirs)
        os.close(theirs)
        self.assertEqual(process.wait(END_S), 0)
        shown = os.read(ours, 1000)
        os.close(ours)
        self.assertEqual(shown, b"[0] 1%\r\x1b[K[0] 2%\r\n")


unittest.main(verbosity=2)
