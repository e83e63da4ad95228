#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Four processes of PyTorch that train through stepd follow one process that trains alone.

usage: follow.py BIN [CASE ...]     BIN holds the daemon; a case is MODEL/OPTIMIZER

A global batch is the four workers' batches together, so in mode sync their mean gradient is the one
process's. Step by step the mean of the workers' losses must be the loss of the one, within 1e-4 of it,
over 200 steps. Every worker must end with the same weights, bit for bit.
"""
import json
import pathlib
import sys

from torch_here import need_stepd

HERE = pathlib.Path(__file__).resolve().parent
from processes import run_all  # noqa: E402
from follow_worker import MODELS, OPTIMIZERS, STEPS  # noqa: E402

WORKERS = 4
CLOSE = 1e-4


def run(how, count, cases, env=None):
    """For each case what each process says of it."""
    worker = [sys.executable, str(HERE / "follow_worker.py"), how]
    outputs = run_all([[*worker, str(rank), str(count), *cases] for rank in range(count)], 540, env)
    said = [[json.loads(line) for line in output.splitlines() if line.startswith("{")] for output in outputs]
    return list(zip(*said))


def check(case, alone, workers):
    assert len(alone["losses"]) == STEPS
    farthest = 0.0
    for step, loss in enumerate(alone["losses"]):
        ours = sum(worker["losses"][step] for worker in workers) / WORKERS
        away = abs(ours - loss) / abs(loss)
        farthest = max(farthest, away)
        assert away <= CLOSE, f"{case}, step {step}: the workers' loss is {ours}, and the one " \
                              f"process's {loss}: {away:.1e} of it away"
    assert len({worker["weights"] for worker in workers}) == 1, "the workers' weights differ"
    first, last = alone["losses"][0], sum(alone["losses"][-10:]) / 10
    assert last < 0.9 * first, f"nothing is learned: {first} to {last}"
    print(f"{case}: loss {first:.3f} to {last:.3f}, at most {farthest:.1e} away")


def main():
    wanted = sys.argv[1:] or [f"{model}/{optimizer}" for model in MODELS for optimizer in OPTIMIZERS]
    with need_stepd.start_daemon() as daemon:
        workers = run("stepd", WORKERS, wanted, {"STEPD_ADDRESS": daemon.address})
    for case, (alone,), theirs in zip(wanted, run("plain", 1, wanted), workers):
        check(case, alone, theirs)
    assert len(workers) == len(wanted), "a case is missing"


if __name__ == "__main__":
    main()
