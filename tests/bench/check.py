# SPDX-License-Identifier: Apache-2.0
"""Runs `stepd-bench --quick --json` and checks that the report is complete. Times are not judged.

    check.py FOLDER     of the binaries stepd-bench and stepd
"""
import json
import subprocess
import sys
from pathlib import Path


def check_row(row, kind, size):
    assert row["optimizer"] == "adamw", row
    assert row[kind] and row[size] > 0 and row["rounds"] >= 3, row
    assert row["stepd_us"] > 0 and row["bare_us"] > 0, row
    # Written with 3 and 4 digits after the point.
    assert abs(row["ratio"] - row["stepd_us"] / row["bare_us"]) < 0.01 * row["ratio"] + 0.001, row


def main(folder):
    done = subprocess.run([Path(folder) / "stepd-bench", "--quick", "--json"],
                          stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    report = json.loads(done.stdout)
    assert set(report) == {"kernel", "step"}, report.keys()
    for row in report["kernel"]:
        check_row(row, "isa", "elements")
    for row in report["step"]:
        check_row(row, "transport", "bytes")
    assert {row["isa"] for row in report["kernel"]} >= {"base"}, report["kernel"]
    lanes = {(row["transport"], row["bytes"]) for row in report["step"]}
    assert lanes == {(t, n) for t in ("tcp", "unix") for n in (4096, 262144)}, lanes
    print(f"checked {len(report['kernel'])} rows of kernels, {len(report['step'])} of steps")


if __name__ == "__main__":
    main(sys.argv[1])
