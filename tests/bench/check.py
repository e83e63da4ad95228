# SPDX-License-Identifier: Apache-2.0
"""Runs `stepd-bench --quick` in each form and checks that the report is complete. Times are not
judged.

    check.py FOLDER     of the binaries stepd-bench and stepd
"""
import csv
import json
import subprocess
import sys
from pathlib import Path

# Of the kernels, those that go element by element; the plain loop is that of a few.
OPTIMIZERS = {"sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "rmsprop_nesterov",
              "adam", "adamw", "amsgrad", "adabound", "amsbound", "adamax", "nadam", "radam", "asgd",
              "rprop", "ftrl", "lion"}
PLAIN = {"sgd", "momentum", "adam", "adamw"}


def run(folder, *arguments):
    return subprocess.run([Path(folder) / "stepd-bench", "--quick", *arguments],
                          stdout=subprocess.PIPE, text=True, timeout=300, check=True).stdout


def check_lanes(rows, kind, size):
    """{(optimizer, kind, size): its lanes} of a section whose rows are sound."""
    lanes = {}
    for row in rows:
        assert row[kind] and row[size] > 0 and row["rounds"] >= 3, row
        assert 0 < row["p10_us"] <= row["us"] <= row["p90_us"], row
        assert row["p90_us"] <= row["p99_us"] <= row["p999_us"] and row["gb_s"] >= 0, row
        subject = lanes.setdefault((row["optimizer"], row[kind], row[size]), {})
        assert row["lane"] not in subject, row
        subject[row["lane"]] = row
    for subject in lanes.values():
        for row in subject.values():
            # Written with 3 and 4 digits after the point.
            ratio = subject["stepd"]["us"] / row["us"]
            assert abs(row["ratio"] - ratio) < 0.01 * ratio + 0.001, row
    return lanes


def check_kernel(rows):
    lanes = check_lanes(rows, "isa", "elements")
    isas = {isa for _, isa, _ in lanes}
    assert "base" in isas, isas
    expected = {(o, i, n) for o in OPTIMIZERS for i in isas for n in (4096, 65536)}
    assert set(lanes) == expected, set(lanes) ^ expected
    for (optimizer, _, _), subject in lanes.items():
        expected = {"stepd", "bare", "memcpy"} | ({"plain"} if optimizer in PLAIN else set())
        assert set(subject) == expected, (optimizer, set(subject))


def check_steps(rows, sizes):
    lanes = check_lanes(rows, "transport", "bytes")
    assert set(lanes) == {("adamw", t, n) for t in ("tcp", "unix") for n in sizes}, lanes
    assert all(set(subject) == {"stepd", "bare"} for subject in lanes.values()), lanes


def check_training(rows):
    """Two trainings are compared, and of each there are the shares."""
    subjects = {}
    for row in rows:
        assert row["batch"] == 16 and row["rounds"] == 3, row
        assert 0 <= row["p10_us"] <= row["us"] <= row["p90_us"], row
        subjects.setdefault(row["sent"], {})[row["lane"]] = row
    assert set(subjects) == {"both", "layer", "whole"}, subjects
    both = subjects.pop("both")
    assert set(both) == {"stepd", "whole"} and both["stepd"]["ratio"] == 1, both
    assert all(row["gb_s"] > 0 for row in both.values()), both
    for lane, parts in (("stepd", subjects["layer"]), ("whole", subjects["whole"])):
        share = {name: row["ratio"] for name, row in parts.items()}
        assert set(share) == {"compute", "socket", "server", "idle", "waiting"}, share
        assert share["compute"] > 0 and share["socket"] > 0 and share["waiting"] < 1, share
        assert abs(share["compute"] - parts["compute"]["us"] / both[lane]["us"]) < 0.01, share


def check_many(rows):
    lanes = check_lanes(rows, "transport", "tensors")
    assert set(lanes) == {("adamw", t, n) for t in ("tcp", "unix") for n in (1, 100, 1000)}, lanes
    assert all(set(subject) == {"stepd", "one", "define"} for subject in lanes.values()), lanes


def check_idle(rows, memory):
    lanes = check_lanes(rows, "transport", "idle")
    assert set(lanes) == {("adamw", t, 50) for t in ("tcp", "unix")}, lanes
    assert all(set(subject) == {"stepd", "alone"} for subject in lanes.values()), lanes
    assert {(row["transport"], row["idle"]) for row in memory} == {("tcp", 50), ("unix", 50)}, memory
    assert all(row["planned_bytes"] == 0 for row in memory), memory


def check_memory(rows):
    seen = {(row["reduction"], row["workers"]): row for row in rows}
    assert set(seen) == {(r, n) for r in ("rank", "arrival") for n in (1, 8)}, rows
    for row in rows:
        assert row["optimizer"] == "adamw" and 0 < row["planned_bytes"], row
        assert 0 < row["grown_bytes"], row
    # Two versions, two slots, and a gradient of each worker.
    rank = {n: seen["rank", n]["planned_bytes"] for n in (1, 8)}
    assert abs(rank[8] / rank[1] - 12 / 5) < 0.01, rows


def check_memory_csv(folder):
    lines = list(csv.DictReader(run(folder, "memory", "--csv").splitlines()))
    assert len(lines) == 4, lines
    assert all(line["us"] == "" and int(line["planned_bytes"]) > 0 for line in lines), lines
    assert len(run(folder, "memory").splitlines()) == 2 + len(lines)


def main(folder):
    report = json.loads(run(folder, "--json"))
    assert set(report) == {"kernel", "latency", "step", "many", "idle", "idle_memory", "memory",
                           "train"}, report.keys()
    check_kernel(report["kernel"])
    check_steps(report["latency"], {64})
    check_steps(report["step"], {4096, 262144})
    check_many(report["many"])
    check_idle(report["idle"], report["idle_memory"])
    check_memory(report["memory"])
    check_memory_csv(folder)
    check_training(report["train"])
    lines = list(csv.DictReader(run(folder, "kernel", "--optimizer", "adamw", "--csv").splitlines()))
    same = [row for row in report["kernel"] if row["optimizer"] == "adamw"]
    assert [line["lane"] for line in lines] == [row["lane"] for row in same], lines
    assert all(line["section"] == "kernel" and float(line["us"]) > 0 for line in lines), lines
    table = run(folder, "kernel", "--optimizer", "adamw").splitlines()
    assert len(table) == 2 + len(lines), table
    print(f"checked {len(report['kernel'])} rows of kernels, "
          f"{sum(len(report[section]) for section in ('latency', 'step', 'many', 'idle'))} of steps, "
          f"{len(report['idle_memory']) + len(report['memory'])} of memory, "
          f"{len(report['train'])} of trainings")


if __name__ == "__main__":
    main(sys.argv[1])
