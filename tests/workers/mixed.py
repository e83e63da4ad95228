#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers in several languages train one job, and end with the bits that as many C workers get.

    mixed.py BIN C-WORKER LANGUAGE ...     a worker in each language, rank by rank

Each says in so many words why it cannot go on, and ends with a status that is not 0.
"""
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(__import__("pathlib").Path(__file__).resolve().parents[1] / "integration"))
from languages import Missing, build  # noqa: E402
from processes import Daemon, environment, run_all  # noqa: E402

BIN, C_WORKER, *CREW = sys.argv[1:]
DATA = "/usr/share/datasets/fashion-mnist"
WEIGHTS_BYTES = 4 * (784 * 10 + 10)
RIGHT_PERCENT = 65  # of what the C workers got when this was written: 68.6
TRAIN_S = 200
SKIPPED = 77


def train(crew, commands, folder):
    """Returns the weights that each worker has at the end."""
    outs = [f"{folder}/{rank}-{language}" for rank, language in enumerate(crew)]
    with Daemon(f"{BIN}/stepd", "--shards", "2", "--slice-elements", "1024") as daemon:
        started = [[*commands[language][0], daemon.address, str(rank), str(len(crew)), DATA, out]
                   for rank, (language, out) in enumerate(zip(crew, outs))]
        env = {k: v for language in crew for k, v in commands[language][1].items()}
        said = "".join(run_all(started, TRAIN_S, env))
        daemon.wait_for("to=finished")
    print(said, end="")
    percents = [float(p) for p in re.findall(r"([\d.]+) % of", said)]
    assert len(percents) == len(crew) and min(percents) > RIGHT_PERCENT, percents
    weights = []
    for out in outs:
        with open(out, "rb") as file:
            weights.append(file.read())
    return weights


def check_refusal(command, env):
    """A rank that the job has not: the server says so, and the worker passes it on."""
    with Daemon(f"{BIN}/stepd") as daemon:
        refused = subprocess.run([*command, daemon.address, "7", "2", DATA, "/dev/null"],
                                 capture_output=True, text=True, timeout=TRAIN_S, check=False,
                                 env={**environment(), **env})
    assert refused.returncode not in (0, None), f"{command} has ended well as rank 7 of 2"
    assert "rank 7" in refused.stderr and "softmax: " in refused.stderr, refused.stderr
    assert "Traceback" not in refused.stderr and "panic" not in refused.stderr, refused.stderr


def main():
    commands = {"c": ([C_WORKER], {})}
    try:
        for language in set(CREW) - {"c"}:
            commands[language] = build(language)
    except Missing as missing:
        print(f"skipped: {missing}")
        raise SystemExit(SKIPPED) from None
    with tempfile.TemporaryDirectory() as folder:
        reference, *others = train(["c"] * len(CREW), commands, folder)
        assert len(reference) == WEIGHTS_BYTES, f"{len(reference)} bytes of weights"
        assert all(other == reference for other in others), "C workers differ from each other"
        for language, weights in zip(CREW, train(CREW, commands, folder)):
            assert weights == reference, f"the weights of the {language} worker are others"
    for language in commands:
        check_refusal(*commands[language])
    print(f"the bits of {len(CREW)} C workers:", ", ".join(CREW))


if __name__ == "__main__":
    main()
