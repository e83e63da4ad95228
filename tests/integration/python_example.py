#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Python example, as its docstring says to run it: two workers, one job, the exact solution."""
import importlib.util
import pathlib
import subprocess
import sys
import tempfile

from processes import Daemon, run_all

SOURCE = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = SOURCE / "client/examples/python/linear.py"
SKIPPED = 77
MOST_LINES = 119


def main():
    if importlib.util.find_spec("google.protobuf") is None:
        print("skipped: this Python has no protobuf package")
        raise SystemExit(SKIPPED)
    lines = len(EXAMPLE.read_text().splitlines())
    assert lines <= MOST_LINES, f"the example has {lines} lines"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["protoc", f"-I{SOURCE}/proto", f"--python_out={folder}",
                        f"{SOURCE}/proto/stepd.proto"], check=True)
        with Daemon(f"{sys.argv[1]}/stepd", "--shards", "2") as daemon:
            command = [sys.executable, str(EXAMPLE), "--server", daemon.address, "--workers", "2"]
            outputs = run_all([[*command, "--rank", str(rank)] for rank in range(2)], 120,
                              {"PYTHONPATH": folder})
            assert "to=finished" in daemon.log("to=finished"), "the job has not finished"
    print("".join(outputs), end="")


if __name__ == "__main__":
    main()
