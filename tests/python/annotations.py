#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mypy, strict, on the package and on a program that uses it: what is wrong there it must find."""
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

import need_stepd

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "client/python"

# Each line that mypy is to refuse says with which code.
PROGRAM = """
import numpy as np
import stepd

with stepd.connect(job="j") as c:
    c.define({"w": np.zeros(3, np.float32), "b": stepd.Normal((2,), seed=1)}, workers=2,
             groups=[stepd.Group("w*", optimizer="adam", lr=0.1, betas=(0.9, 0.999))], staleness=4)
    weights = c.pull()
    future = c.step_start({"w": weights["w"]})
    total: int = future.result().outcome.applied
    wrong: str = future.result().outcome.applied  # refused: assignment
    c.step({"w": [1.0, 2.0]})  # refused: dict-item
    c.push({"w": weights["w"]}, lr=0.1)  # refused: call-arg
"""


def mypy(*arguments):
    with tempfile.TemporaryDirectory() as cache:
        return subprocess.run([sys.executable, "-m", "mypy", "--cache-dir", cache, "--config-file",
                               str(PACKAGE / "pyproject.toml"), *arguments], text=True, cwd=PACKAGE,
                              capture_output=True, check=False)


def main():
    if importlib.util.find_spec("mypy") is None:
        print(f"skipped: {sys.executable} has no mypy; deploy/test.sh dev installs it")
        sys.exit(need_stepd.SKIPPED)
    checked = mypy("stepd")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    print(checked.stdout)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "program.py")
        pathlib.Path(path).write_text(PROGRAM, encoding="utf-8")
        found = mypy(path).stdout
    expected = {(number, line.rpartition("# refused: ")[2])
                for number, line in enumerate(PROGRAM.splitlines(), 1) if "# refused: " in line}
    got = {(int(line.split(":")[1]), line.rpartition("[")[2].rstrip("]"))
           for line in found.splitlines() if ": error: " in line}
    assert got == expected, found
    print(f"{len(expected)} mistakes found")


if __name__ == "__main__":
    main()
