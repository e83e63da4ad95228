#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A program that ends well leaves its job; one that ends by an error only disconnects; a forked process does
neither. With real processes, in all the ways that a program can end: most of them without PyTorch, which
takes seconds to load.

usage: endings.py BIN
"""
import pathlib
import subprocess
import sys
import tempfile
import textwrap
import unittest

import torch_here  # noqa: F401
import torch

import stepd
import stepd.torch
from need_stepd import DaemonCase
from processes import environment

ENDING = pathlib.Path(stepd.torch.__file__).with_name("ending.py")
ALONE = f"""
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("ending", {str(ENDING)!r})
ending = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ending)

def make():
    ending.at_exit(lambda well: print("ended", well, flush=True))

"""
TRAINS = """
import os, sys
import torch
import stepd.torch
torch.set_num_threads(1)
model = torch.nn.Linear(4, 2)

def step(optimizer):
    optimizer.zero_grad()
    model(torch.ones(3, 4)).square().sum().backward()
    optimizer.step()

def make():
    optimizer = stepd.torch.Optimizer(model, "sgd", lr=0.1)
    step(optimizer)
    return optimizer

"""


def run_program(program, *flags, typed=None, **env):
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder) / "program.py"
        script.write_text(program, encoding="utf-8")
        command = ["-m", "program"] if "-m" in flags else [*flags, str(script)]
        return subprocess.run([sys.executable, *command], input=typed, capture_output=True, text=True, timeout=120,
                              check=False, cwd=folder, env={**environment(), **env})


class Ends(unittest.TestCase):
    """How a program is found to have ended."""

    def check(self, well, status, *programs, typed=None, flags=((), ("-m",))):
        for program in programs:
            for flag in flags:
                with self.subTest(program=program, flags=flag):
                    done = run_program(ALONE + textwrap.dedent(program), *flag, typed=typed)
                    self.assertEqual((done.stdout, done.returncode), (f"ended {well}\n", status), done.stderr)

    def test_well(self):
        self.check(True, 0, "make()", "def main():\n    make()\nmain()", "make()\nsys.exit()",
                   "def main():\n    make()\n    return 0\nsys.exit(main())",
                   "make()\ntry:\n    sys.exit(3)\nexcept SystemExit:\n    pass",
                   "import threading\nthread = threading.Thread(target=make)\nthread.start()\nthread.join()")

    def test_by_an_error(self):
        self.check(False, 1, "make()\nsys.exit(1)", "make()\nsys.exit('no data')", "make()\nraise ValueError",
                   "import argparse\nmake()\nargparse.ArgumentParser().exit(1)",
                   "def main():\n    make()\n    return 1\nsys.exit(main())",
                   "def main():\n    make()\n    raise ValueError\nmain()",
                   "make()\ntry:\n    sys.exit(0)\nexcept SystemExit:\n    raise ValueError")
        self.check(False, -2, "make()\nraise KeyboardInterrupt")

    def test_by_a_systemexit_of_its_own(self):
        self.check(None, 1, "make()\nraise SystemExit(1)")
        self.check(None, 0, "make()\nraise SystemExit")

    def test_a_session__in_which_something_failed(self):
        self.check(True, 0, "make()", "make()\nraise ValueError", typed="1 / 0\nexit()\n", flags=(("-i",),))

    def test_a_forked_process__does_not_end_it(self):
        self.check(True, 0, """
            make()
            child = os.fork()
            if child == 0:
                sys.exit(0)
            os.waitpid(child, 0)""")

    def test_processes_of_multiprocessing(self):
        for context in ("fork", "spawn"):
            for end, status, well in (("return", 0, True), ("sys.exit(0)", 0, True), ("sys.exit(2)", 2, False),
                                      ("raise ValueError", 1, False)):
                done = run_program(ALONE + textwrap.dedent(f"""
                    def work():
                        make()
                        {end}

                    if __name__ == "__main__":
                        import multiprocessing
                        process = multiprocessing.get_context("{context}").Process(target=work)
                        process.start()
                        process.join()
                        sys.exit(process.exitcode)"""))
                with self.subTest(context=context, end=end):
                    self.assertEqual(done.returncode, status, done.stderr)
                    self.assertEqual(set(done.stdout.splitlines()), {f"ended {well}"}, done.stderr)


class Leaves(DaemonCase):
    """What then becomes of the job."""

    def check(self, program, left, status=0, says=r"\A\Z", *flags, typed=None):
        client = self.connect()
        job = self.id().rpartition(".")[2] + str(status)
        done = run_program(TRAINS + textwrap.dedent(program), *flags, typed=typed, STEPD_ADDRESS=self.address,
                           STEPD_JOB=job)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertRegex(done.stderr, says)
        found, = client.status(job)["jobs"]
        self.assertEqual(found["members"][0]["state"] == "left", left, done.stderr)

    def test_a_program__whose_optimizer_is_gone_before_its_end(self):
        self.check("def main():\n    make()\n    return 0\nsys.exit(main())", left=True)

    def test_a_program__that_fails(self):
        self.check("optimizer = make()\nsys.exit('no data')", left=False, status=1, says=r"\Ano data\n\Z")

    def test_a_program__that_raises_systemexit(self):
        self.check("optimizer = make()\nraise SystemExit(3)", left=False, status=3,
                   says=r"status that is not known.*sys\.exit\(status\).*optimizer\.close\(\)")

    def test_a_block__that_fails(self):
        self.check("try:\n    with make():\n        raise ValueError\nexcept ValueError:\n    pass", left=False)

    def test_forked_processes__are_silent_and_leave_nothing(self):
        self.check("""
            optimizer = make()
            for end in ("sys.exit()", "optimizer.close(); sys.exit(0)", "del optimizer; sys.exit(0)"):
                child = os.fork()
                if child == 0:
                    exec(end)
                os.waitpid(child, 0)
            for _ in torch.utils.data.DataLoader(range(4), num_workers=2, multiprocessing_context="fork"):
                step(optimizer)
            version, = {job["version_max"] for job in optimizer.client.status(os.environ["STEPD_JOB"])["jobs"]}
            assert version == 5, version
            sys.exit(0)""", left=True)


class Again(DaemonCase):
    def test_a_second_optimizer__of_one_job__says_to_close_the_first(self):
        model = torch.nn.Linear(4, 2)

        def make(**options):
            return stepd.torch.Optimizer(model, "sgd", lr=0.1, address=self.address,
                                         job=self.id().rpartition(".")[2], **options)
        first = make()
        for options in ({}, {"rank": 0}):
            with self.assertRaises(stepd.Error) as caught:
                make(**options)
            self.assert_says(caught, "has an optimizer in this process already; close()", "say job=")
        first.close()
        second = make()
        del second  # as a cell of a notebook does that makes it in a function
        make().close()


if __name__ == "__main__":
    sys.exit(unittest.main())
