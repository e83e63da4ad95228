# SPDX-License-Identifier: Apache-2.0
"""Runs `stepd-bench --quick` in each form and checks that the report is complete. Times are not
judged.

    check.py FOLDER     of the binaries stepd-bench and stepd
"""
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import tables

# Of the kernels, those that go element by element; the plain loop is that of a few.
OPTIMIZERS = {"sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "rmsprop_nesterov",
              "adam", "adamw", "amsgrad", "adabound", "amsbound", "adamax", "nadam", "radam", "asgd",
              "rprop", "ftrl", "lion"}
SECTIONS = ["kernel", "latency", "polling", "push", "receive", "pull", "step", "tls", "workers",
            "shards", "many", "idle", "memory", "checkpoint", "train"]
# TLS and idle connections make two, and checkpoints four.
REPORTS = SECTIONS[:8] + ["tls_targets"] + SECTIONS[8:12] + ["idle_memory", "memory", "checkpoint", "checkpoint_disk",
                           "checkpoint_memory", "checkpoint_targets", "train"]
# Those that see a tensor or a group at once, and the sizes that a quick run has of them.
WHOLE = {"adafactor": (4096, 65536), "lars": (4096, 65536), "lamb": (4096, 65536),
         "swats": (4096, 65536), "muon": (4096, 65536), "lbfgs": (4096, 65536), "newton": (1000,)}
PLAIN = {"sgd", "momentum", "adam", "adamw"}


def run(folder, *arguments):
    return subprocess.run([Path(folder) / "stepd-bench", "--quick", *arguments],
                          stdout=subprocess.PIPE, text=True, timeout=600, check=True).stdout


def check_lanes(rows, kind, size):
    """{(optimizer, kind, size): its lanes} of a section whose rows are sound."""
    lanes = {}
    for row in rows:
        assert row[kind] and row[size] > 0 and row["rounds"] >= 1, row
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
    isas = {isa for _, isa, _ in lanes} - {"whole"}
    assert "base" in isas, isas
    expected = {(o, i, n) for o in OPTIMIZERS for i in isas for n in (4096, 65536)}
    expected |= {(o, "whole", n) for o, sizes in WHOLE.items() for n in sizes}
    assert set(lanes) == expected, set(lanes) ^ expected
    for (optimizer, _, _), subject in lanes.items():
        expected = {"stepd", "bare", "memcpy"} | ({"plain"} if optimizer in PLAIN else set())
        assert set(subject) == expected, (optimizer, set(subject))


def check_steps(rows, sizes, expected):
    """A section of one worker's exchanges in each way of connecting."""
    lanes = check_lanes(rows, "transport", "bytes")
    ways = ("tcp", "tcp-reno", "unix", "shared")
    assert set(lanes) == {("adamw", way, n) for way in ways for n in sizes}, lanes
    for (_, way, _), subject in lanes.items():
        assert set(subject) == expected, subject
        for row in subject.values():
            # Both ends', or this one's and a "?" where a process may not look into its children.
            control = (row["control"] or "").removesuffix("/?")
            assert control if way == "tcp" else control == ("reno" if way == "tcp-reno" else ""), row
        check_cpu(subject.values(), subject["stepd"])


def check_cpu(rows, first):
    """The serving processes' time, and how it compares to that of the first lane. Some kernels count
    it in ticks of 10 ms: a short lane may have taken none."""
    for row in rows:
        if None in (first["cpu_s_gb"], row["cpu_s_gb"]):
            assert row["cpu_ratio"] is None, row
            continue
        assert row["cpu_s_gb"] > 0, row
        ratio = first["cpu_s_gb"] / row["cpu_s_gb"]
        assert abs(row["cpu_ratio"] - ratio) < 0.02 * ratio + 0.001, row


def check_teams(rows, expected):
    """A section of several workers, whose lanes are teams."""
    for transport in ("tcp", "unix"):
        teams = [row for row in rows if row["transport"] == transport]
        assert [row["lane"] for row in teams] == expected, teams
        assert all(0 < row["p10_us"] <= row["us"] <= row["p90_us"] for row in teams), teams
        check_cpu(teams, teams[0])


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
    assert seen["arrival", 8]["planned_bytes"] == seen["arrival", 1]["planned_bytes"], rows


def check_checkpoint(report):
    """Steps, writing, memory, and the promises, of both modes."""
    steps = check_lanes(report["checkpoint"], "mode", "elements")
    disk = check_lanes(report["checkpoint_disk"], "mode", "elements")
    assert set(steps) == set(disk) == {("adam", m, 300000) for m in ("sync", "async")}, steps
    assert all(set(subject) == {"stepd", "alone", "bare"} for subject in steps.values()), steps
    for subject in disk.values():
        assert set(subject) == {"stepd", "asked", "bare"}, subject
        assert all(row["gb_s"] > 0 for row in subject.values()), subject
        assert subject["stepd"]["us"] <= subject["asked"]["us"], subject
    planned = {row["mode"]: row["planned_bytes"] for row in report["checkpoint_memory"]}
    assert set(planned) == {f"{m}-{w}" for m in ("sync", "async") for w in ("alone", "spare")}, planned
    # Two slots and a version of the weights.
    assert all(planned[f"{m}-spare"] - planned[f"{m}-alone"] >= 12 * 300000
               for m in ("sync", "async")), planned
    targets = {"p99_step": "at_most", "throughput": "at_least", "memory": "at_most",
               "disk": "at_least"}
    rows = report["checkpoint_targets"]
    assert [(row["mode"], row["figure"]) for row in rows] == [
        (mode, figure) for mode in ("sync", "async") for figure in targets], rows
    assert all(row[targets[row["figure"]]] > 0 for row in rows), rows
    for row in rows:
        if row["figure"] == "p99_step":
            of = steps["adam", row["mode"], 300000]
            ratio = of["stepd"]["p99_us"] / of["alone"]["p99_us"]
            assert abs(row["value"] - ratio) < 0.01 * ratio + 0.001, row


def check_memory_csv(folder):
    lines = list(csv.DictReader(run(folder, "memory", "--csv").splitlines()))
    assert len(lines) == 4, lines
    assert all(line["us"] == "" and int(line["planned_bytes"]) > 0 for line in lines), lines
    assert len(run(folder, "memory").splitlines()) == 2 + len(lines)


def check_refused(folder, arguments, exit_code, *expected):
    """Nothing but an error, which names the cause and what there is."""
    ended = subprocess.run([Path(folder) / "stepd-bench", "--quick", *arguments], text=True,
                           capture_output=True, timeout=60, check=False)
    assert ended.returncode == exit_code and ended.stdout == "", ended
    assert all(text in ended.stderr for text in expected), ended


def check_mistakes(folder):
    check_refused(folder, ["stp"], 2, "'stp'", ", ".join(SECTIONS))
    check_refused(folder, ["step", "--quik"], 2, "'--quik'", "--help")
    check_refused(folder, ["step", "--optimizer"], 2, "--optimizer needs a value")
    check_refused(folder, ["step", "--bytes", "7"], 2, "--bytes '7'", "multiple of 4")
    check_refused(folder, ["--csv", "kernel", "--json"], 2, "--csv and --json")
    check_refused(folder, ["step", "--csv", "--optimizer", "adamv"], 1, "adamv")
    check_refused(folder, ["kernel", "step", "--optimizer", "all"], 1, "section step")
    check_refused(folder, ["kernel", "push", "--optimizer", "newton"], 1,
                  "section push cannot take newton: it needs a Hessian")
    check_refused(folder, ["checkpoint", "--folder", ""], 2, "--folder ''")
    with open("/dev/full", "w") as full:
        ended = subprocess.run([Path(folder) / "stepd-bench", "--help"], stdout=full, text=True,
                               stderr=subprocess.PIPE, timeout=60, check=False)
    assert ended.returncode == 1 and "cannot write the output: No space" in ended.stderr, ended


def check_ended(folder):
    """One that a signal ends leaves nothing of its checkpoints."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with tempfile.TemporaryDirectory() as disk:
            ended = subprocess.Popen([Path(folder) / "stepd-bench", "checkpoint", "--bytes",
                                      "40000000", "--folder", disk],
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            with ended:
                while ended.poll() is None and not list(Path(disk).glob("*/*")):
                    pass
                ended.send_signal(number)
                ended.stdout.read()  # its end: the daemon's too, and that of what removes
            assert ended.returncode == -number, ended
            assert os.listdir(disk) == [], os.listdir(disk)


def check_steps_of_tls(report):
    lanes = check_lanes(report["tls"], "transport", "bytes")
    assert set(lanes) == {("adamw", "tls", 1 << 20)}, lanes
    assert set(lanes["adamw", "tls", 1 << 20]) == {"stepd", "plain"}, lanes
    figures = {row["figure"]: row["value"] for row in report["tls_targets"]}
    assert set(figures) == {"aes_s_gb", "over_plain_and_aes"} and min(figures.values()) > 0, figures


def check_tables(report):
    """Each of BENCHMARKS.md can be made of the report, and has a place there."""
    made = tables.made(report)
    assert set(made) == set(tables.TABLES), set(tables.TABLES) - set(made)
    text = (Path(__file__).parents[2] / "BENCHMARKS.md").read_text()
    replaced = tables.put(text, made)
    for name, lines in made.items():
        assert len(lines.splitlines()) > 2, name
        assert f"<!-- table {name} -->\n{lines}\n<!-- end -->" in replaced, name


def main(folder):
    check_mistakes(folder)
    check_ended(folder)
    report = json.loads(run(folder, "--json"))
    assert list(report) == REPORTS, report.keys()
    check_kernel(report["kernel"])
    check_steps(report["latency"], {64}, {"stepd", "bare"})
    check_steps(report["polling"], {64}, {"stepd", "bare"})
    check_steps(report["push"], {4096, 3 << 20}, {"stepd", "bare", "raw"})
    check_steps(report["receive"], {4096, 3 << 20}, {"stepd", "bare", "raw"})
    check_steps(report["pull"], {4096, 3 << 20}, {"stepd", "bare"})
    check_steps(report["step"], {4096, 3 << 20}, {"stepd", "bare", "raw"})
    check_steps_of_tls(report)
    check_teams(report["workers"], ["1-worker", "2-worker", "4-worker", "8-worker"])
    check_teams(report["shards"], ["1-shard", "2-shard"])
    check_many(report["many"])
    check_idle(report["idle"], report["idle_memory"])
    assert any(row.get("cpu_s_gb") for section in SECTIONS for row in report[section]), report
    check_memory(report["memory"])
    check_memory_csv(folder)
    check_checkpoint(report)
    check_training(report["train"])
    check_tables(report)
    lines = list(csv.DictReader(run(folder, "kernel", "--optimizer", "adamw", "--csv").splitlines()))
    same = [row for row in report["kernel"] if row["optimizer"] == "adamw"]
    assert [line["lane"] for line in lines] == [row["lane"] for row in same], lines
    assert all(line["section"] == "kernel" and float(line["us"]) > 0 for line in lines), lines
    table = run(folder, "kernel", "--optimizer", "adamw").splitlines()
    assert len(table) == 2 + len(lines), table
    print(f"checked {len(report['kernel'])} rows of kernels, "
          f"{sum(len(report[section]) for section in SECTIONS[1:])} of steps, trainings and memory")


if __name__ == "__main__":
    main(sys.argv[1])
