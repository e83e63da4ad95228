#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the README shows is run: its worker in C, its worker in Python, its settings.

usage: readme.py BIN LIBRARIES CC FLAGS...: the binaries' folder, the folder of libstepd.so, the
compiler and what the build itself passes to it (sanitizers).
"""
import importlib.util
import pathlib
import re
import subprocess
import sys
import tempfile

from processes import Daemon, environment, run_all

SOURCE = pathlib.Path(__file__).resolve().parents[2]
ANSWER = "w = 3.000 -1.000"


def block(language, naming=""):
    """The README's program in a language; of several the one that names something."""
    text = (SOURCE / "README.md").read_text()
    found = [program for program in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
             if naming in program]
    assert len(found) == 1, f"the README has {len(found)} {language} blocks"
    return found[0]


def check_c(stepd, libraries, compiler, folder):
    (folder / "worker.c").write_text(block("c"))
    worker = str(folder / "worker")
    subprocess.run([*compiler, "-std=c11", "-Wall", f"-I{SOURCE}/include", str(folder / "worker.c"),
                    "-o", worker, f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-lstepd"],
                   check=True)
    with Daemon(stepd) as daemon:
        for output in run_all([[worker, daemon.address, str(r), "2"] for r in range(2)], 60):
            assert ANSWER in output, output
    print("the worker in C trains")


def check_python(stepd, folder):
    if importlib.util.find_spec("google.protobuf") is None:
        print("the worker in Python is left out: this Python has no protobuf package")
        return
    subprocess.run(["protoc", f"-I{SOURCE}/proto", f"--python_out={folder}",
                    f"{SOURCE}/proto/stepd.proto"], check=True)
    path = f"{folder}:{SOURCE}/client/examples/python"
    with Daemon(stepd) as daemon:
        program = block("python", "stepd_pb2").replace("127.0.0.1:7070", daemon.address)
        output, = run_all([[sys.executable, "-c", program]], 60, {"PYTHONPATH": path})
        assert ANSWER in output, output
    print("the worker in Python trains")


def check_settings(stepd, folder):
    (folder / "stepd.yaml").write_text(block("yaml"))
    subprocess.run([stepd, "--config", str(folder / "stepd.yaml"), "--check-config"], check=True,
                   env=environment())
    print("the settings are accepted")


def main():
    bin_folder, libraries, *compiler = sys.argv[1:]
    stepd = f"{bin_folder}/stepd"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        check_settings(stepd, folder)
        check_python(stepd, folder)
        check_c(stepd, libraries, compiler, folder)


if __name__ == "__main__":
    main()
