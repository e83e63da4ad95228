#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stepd-train compare, through a real daemon and without one.

  - the table has all runs, the best first, and what diverged last
  - CSV and plot hold every run; a run through the daemon has the losses of the same run without it
  - each run is a job of its own, which has ended when the comparison has
  - what is wrong with any run is said before the first one starts
"""
import csv
import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

from processes import Daemon, environment, run_all, write_images

TIMEOUT_S = 300
STEPS = 12
RUNS = ["adam lr=0.003", "momentum lr=0.01 momentum=0.8", "sgd lr=1e9"]


def losses(path):
    """{run: [loss, ...]}"""
    with open(path, newline="", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    assert rows[0].keys() == {"run", "optimizer", "step", "epoch", "loss", "smoothed"}, rows[0]
    found = {}
    for row in rows:
        found.setdefault(row["run"], []).append(row["loss"])
        assert row["optimizer"] == row["run"].split()[0], row
    return found


def legend(path):
    texts = xml.etree.ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    return [text.text for text in texts if text.text in RUNS]


def refusal(command):
    said = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment(),
                          check=False, timeout=TIMEOUT_S)
    assert said.returncode != 0, command
    return said.stderr


def main():
    stepd, train, ctl = (f"{sys.argv[1]}/{name}" for name in ("stepd", "stepd-train", "stepctl"))
    with tempfile.TemporaryDirectory() as folder, Daemon(stepd, "--shards", "2") as daemon:
        write_images(folder)
        common = [train, "compare", "--data", folder, "--model", "mlp:784-24-10", "--quiet",
                  "--steps", str(STEPS), "--schedule", "constant"]
        runs = [word for run in RUNS for word in ("--run", run)]
        served = [*common, *runs, "--json", "--server", daemon.address, "--job", "c",
                  "--csv", f"{folder}/served.csv", "--plot", f"{folder}/runs.svg"]
        table = json.loads(run_all([served], TIMEOUT_S)[0])
        assert [row["diverged"] for row in table] == [False, False, True], table
        assert table[0]["test_accuracy"] >= table[1]["test_accuracy"], table
        assert {row["run"] for row in table} == set(RUNS) and table[2]["run"] == RUNS[2], table

        found = losses(f"{folder}/served.csv")
        assert len(found[RUNS[0]]) == STEPS and len(found[RUNS[2]]) < STEPS, found
        assert legend(f"{folder}/runs.svg") == RUNS
        run_all([[*common, *runs, "--local", "--csv", f"{folder}/local.csv"]], TIMEOUT_S)
        assert losses(f"{folder}/local.csv") == found

        status = json.loads(run_all([[ctl, "status", "--json", "--server", daemon.address]],
                                    TIMEOUT_S)[0])
        states = {job["name"]: job["state"] for job in status["jobs"]}
        assert states == {f"c-{i}": "finished" for i in (1, 2, 3)}, states

        rates = run_all([[*common, "--lrs", "0.1,0.01", "--optimizer", "sgd", "--local"]],
                        TIMEOUT_S)[0]
        assert "sgd lr=0.1 " in rates and "sgd lr=0.01 " in rates, rates

        said = refusal([*common, "--local", "--run", "sgd", "--run", "adm lr=0.1"])
        assert "run 2 (adm lr=0.1): " in said and "did you mean 'adam'?" in said, said
        said = refusal([*common, "--local", "--run", "adam beta1=2"])
        assert "'beta1' of adam must be in [0, 1)" in said, said
    print("compared 3 runs through a daemon and without one")


main()
