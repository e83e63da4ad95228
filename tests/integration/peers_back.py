#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the job of several daemons goes on from, where one of them cannot read its part of a
checkpoint, or is slow to.

    peers_back.py BIN [CASE ...]    the cases named, or all
"""
import hashlib
import pathlib
import re
import signal
import subprocess

from processes import END_S
from several import Peers, Workers, run_cases, training, wait_for_version

STEPS = 600
TRIES = 10


def kept(runs, *more):
    """Two daemons train, write checkpoints, and are killed. Gives the flags and the job's folder."""
    store = runs.path("store")
    flags = ["--shards", "2", "--checkpoint-dir", store, *more]
    with Peers(runs.stepd, [[*flags, "--checkpoint-every-steps", "40"]] * 2) as peers, \
            Workers(runs, peers.address, STEPS):
        wait_for_version(runs, peers.address, 80)
        assert peers.daemon[0].said.wait_for_count("event=checkpoint ", 2, 60), peers.logs()
        peers.kill(0)
        peers.kill(1)
    folder = pathlib.Path(store, "train")
    assert len(checkpoints(folder)) > 1, checkpoints(folder)
    return flags, folder


def checkpoints(folder):
    """Of a job, by name, the oldest first."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("step-"))


def spoil(folder, name):
    """Changes bytes that the second daemon alone reads."""
    path = folder / name / "model-00002-of-00002.safetensors"
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 4):
        data[at] ^= 0xff
    path.write_bytes(data)


def sums(folder):
    """What is in all files of a job's checkpoints."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*.safetensors"))}


def check_bad(runs):
    """The next older checkpoint, whose parts are all good, and the bits of a run without a break."""
    one = runs.alone(steps=STEPS)
    flags, folder = kept(runs)
    newest, older = checkpoints(folder)[:-3:-1]
    spoil(folder, newest)
    with Peers(runs.stepd, [flags, flags]) as peers, Workers(runs, peers.address, STEPS) as workers:
        first = peers.daemon[0]
        first.wait_for(f"event=checkpoint_skipped job=train name={newest} place=1 "
                       "cause=.*model-00002-of-00002.*checksum")
        first.wait_for(f"event=resumed job=train checkpoint={older}")
        assert workers.finish() == one, "other bits after a checkpoint was skipped"
    print("a part that only another daemon reads is bad: the older checkpoint, the same bits")


def check_none(runs):
    """Where none is good the job is not begun anew: control's daemon ends, and says what to do."""
    flags, folder = kept(runs)
    for name in checkpoints(folder):
        spoil(folder, name)
    before = sums(folder)
    with Peers(runs.stepd, [flags, [*flags, "--checkpoint-every-steps", "40"]]) as peers, \
            Workers(runs, peers.address, STEPS):
        first = peers.daemon.pop(0)
        try:
            status = first.process.wait(END_S)
        except subprocess.TimeoutExpired as error:
            first.process.kill()
            raise AssertionError(f"it goes on:\n{first.said.text()}") from error
        first.said.reader.join()
        said = first.said.text()
        assert status not in (0, None), said
        assert "no checkpoint of job 'train' is good (daemon 1: " in said, said
        assert "move the folder train out of the checkpoint folder" in said, said
    assert sums(folder) == before, "checkpoints were written over"
    print("none of the checkpoints is good: nothing begins anew, nothing is written over")


def begin_slowly(runs, flags):
    """Daemons of which the second is stopped before it has opened its part."""
    for _ in range(TRIES):
        with Peers(runs.stepd, [flags, flags], start=[1]) as peers:
            first = peers.start(0)
            first.wait_for("event=daemon_joined")
            peers.daemon[1].process.send_signal(signal.SIGSTOP)
            try:
                line = first.said.wait_for("event=job_restore_waits|event=job_not_restored|"
                                           "job_state job=\"?train\"? from=opening to=ready", 60)
                if "to=ready" not in (line or ""):
                    yield peers, line
                    return
            finally:
                peers.daemon[1].process.send_signal(signal.SIGCONT)
    raise AssertionError(f"{TRIES} times the daemon was faster than the signal")


def check_slow(runs):
    """A daemon that takes longer than wait_max_ms is waited for, and nobody is let in meanwhile."""
    one = runs.alone(steps=STEPS)
    flags, folder = kept(runs)
    newest = checkpoints(folder)[-1]
    for peers, line in begin_slowly(runs, [*flags, "--wait-max-ms", "1000"]):
        first = peers.daemon[0]
        assert f"checkpoint={newest} place=1 shards_left=2" in line, line
        code, said = runs.ctl(peers.address, "status")
        assert code == 0 and f"it goes on from {newest}, and waits for daemon 1 to read" in said, said
        with Workers(runs, peers.address, STEPS) as workers:
            first.wait_for("connection_refused.*has waited for daemon 1 for", 30)
            peers.daemon[1].process.send_signal(signal.SIGCONT)
            assert workers.finish() == one, "other bits after a daemon was slow"
        assert not first.log("event=checkpoint_skipped"), first.said.text()
    print("a daemon that is slow to read its part is waited for: the same bits")


def check_unkept(runs):
    """Without checkpoints a lost daemon costs the jobs, and everybody is told so."""
    with Peers(runs.stepd, [["--shards", "1"]] * 2) as peers, \
            training(runs, peers.address, steps=3000) as finish:
        wait_for_version(runs, peers.address, 20)
        peers.kill(1)
        peers.start(1)
        peers.daemon[0].wait_for("event=daemon_lost place=1 .*jobs are lost, since no checkpoints "
                                 "are kept .checkpoint_dir.")
        try:
            finish()
        except AssertionError as error:
            # whoever comes back behind another worker finds the job begun anew by that one
            assert re.search("start the training again, and keep checkpoints|no longer at",
                             str(error)), error
        else:
            raise AssertionError("a job without checkpoints went on")
    print("no checkpoints: the log and the workers say that the job is lost")


def check_mixed(runs):
    """Daemons that would begin with the weights of two files refuse the job."""
    flags = []
    for steps in (3, 4):
        file = pathlib.Path(runs.path("first"))
        file.write_bytes(runs.alone(steps=steps))
        config = pathlib.Path(runs.path("config"))
        config.write_text("jobs:\n  - name: train\n    workers: 4\n"
                          f"    init_from: {{file: {file}}}\n"
                          "    groups: [{name: all, match: '*', optimizer: adamw, lr: 0.003}]\n",
                          encoding="utf-8")
        flags.append(["--shards", "1", "--config", str(config)])
    with Peers(runs.stepd, flags) as peers:
        try:
            runs.train_at(peers.address, "--defined", bare=True)
        except AssertionError as error:
            assert "daemon 1 has read others from its own than control's daemon" in str(error), error
            assert "/first-" not in str(error), error
        else:
            raise AssertionError("a job was mixed of two files")
        peers.daemon[1].wait_for("event=init_from_differs job=train")
    print("first weights of two files: refused")


CASES = {name.removeprefix("check_"): case for name, case in list(globals().items())
         if name.startswith("check_")}


if __name__ == "__main__":
    run_cases(CASES)
