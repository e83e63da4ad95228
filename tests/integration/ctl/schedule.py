#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stepctl schedule, schedules and optimizers: numbers, tables, and what a slip is answered with."""
import json
import math
import os
import subprocess
import sys

STEPCTL = f"{sys.argv[1]}/stepctl"


def run(*words, code=0, **extra):
    said = subprocess.run([STEPCTL, *words], capture_output=True, text=True, check=False,
                          timeout=60, **extra)
    assert said.returncode == code, (words, said)
    return said.stdout if code == 0 else said.stderr


def rates(*words):
    groups = json.loads(run("schedule", *words, "--json"))
    assert len(groups) == 1, groups
    return [row["lr"] for row in groups[0]["steps"]]


def check_numbers():
    cosine = rates("cosine", "t_max=100", "--lr", "0.2", "--steps", "150")
    for step, lr in enumerate(cosine):
        right = 0.1 * (1 + math.cos(math.pi * min(step, 100) / 100))
        assert abs(lr - right) < 1e-12, (step, lr, right)
    halves = rates("chained", "--part", "constant factor=0.5 total_iters=3", "--part",
                   "exponential gamma=0.5", "--lr", "8", "--steps", "5")
    assert halves == [4, 2, 1, 1, 0.5], halves
    said = subprocess.run([STEPCTL, "schedule", "plateau", "patience=0", "factor=0.5", "--lr", "4",
                           "--steps", "4", "--losses", "-", "--json"], input="2\n2\n1\n",
                          capture_output=True, text=True, check=True, timeout=60)
    assert [row["lr"] for row in json.loads(said.stdout)[0]["steps"]] == [4, 4, 2, 2], said


def check_pictures():
    plot = run("schedule", "one_cycle", "max_lr=1", "total_steps=100", "--steps", "100", "--plot",
               env={**os.environ, "LC_ALL": "C", "COLUMNS": "60"})
    lines = plot.splitlines()
    assert lines[0] == "one_cycle: learning rate" and "one_cycle: momentum" in lines, plot
    assert all(len(line) <= 60 for line in lines) and "*" in plot, plot
    table = run("schedule", "constant", "--lr", "0.5", "--steps", "10", "--every", "4")
    assert table.split() == ["constant", "STEP", "LR", "0", "0.5", "4", "0.5", "8", "0.5", "9",
                             "0.5"], table


def check_tables():
    optimizers = run("optimizers").splitlines()
    names = {line.split()[0] for line in optimizers[1:]}
    assert {"sgd", "adamw", "lbfgs", "muon"} <= names, names
    for name in sorted(names):
        assert "HYPERPARAMETER" in run("optimizers", name)
    kinds = {line.split()[0] for line in run("schedules").splitlines()[1:]}
    assert {"cosine", "plateau", "one_cycle"} <= kinds, kinds
    for kind in sorted(kinds):
        assert "PARAMETER" in run("schedules", kind)
    return len(names), len(kinds)


def check_slips():
    assert "did you mean 'cosine'?" in run("schedule", "cosin", code=1)
    assert "did you mean 't_max'?" in run("schedule", "cosine", "t_mx=3", code=1)
    assert "did you mean 'adam'?" in run("optimizers", "adm", code=1)
    assert "is missing" in run("schedule", code=2)
    assert "--steps '0'" in run("schedule", "constant", "--steps", "0", code=2)
    assert "expected NAME=VALUE" in run("schedule", "cosine", "t_max", code=2)
    assert "stands in the file" in run("schedule", "cosine", "--config", "x", code=2)


check_numbers()
check_pictures()
counts = check_tables()
check_slips()
print(f"looked {counts[0]} optimizers and {counts[1]} schedules up")
