#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each call that reaches the disk while a checkpoint is written goes wrong in turn: it fails, writes
half, or the process dies before or behind it, with and without what had not been synced. Whatever
happens, what is loaded then is the checkpoint before or the new one, whole; and the new one where it
was said to be durable.

So it is where two daemons write it (share), one of which goes wrong.

Power that goes is made up, too, so the disk may be memory, where nothing waits for a real one.

usage: disk.py BIN KEEP_ONE DISK_FAULTS
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

MEMORY = "/dev/shm"
KINDS = ("eio", "enospc", "short", "kill", "after", "drop")
GIVEN_UP = 3
OLD, NEW = 100, 200


class Disk:
    def __init__(self, program, faults, folder, verb):
        self.program, self.faults, self.folder, self.verb = program, faults, folder, verb

    def run(self, *arguments, fault=None, **variables):
        variables |= {"LD_PRELOAD": self.faults, "DISK_FAULT": fault} if fault else {}
        # A sanitizer wants to be loaded first, and finds leaks of a process that was killed.
        return subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=60,
                              env={**os.environ, **variables,
                                   "ASAN_OPTIONS": "verify_asan_link_order=0"}, check=False)

    def save(self, store, step, **how):
        return self.run(self.verb, store, str(step), **how)

    def mend(self, store, step):
        """The steps that are loaded by another process, before and after it has saved one more."""
        mended = self.run(f"mend-{self.verb}", store, str(step))
        assert mended.returncode == 0, mended.stderr
        return [int(line) for line in mended.stdout.split()]

    def count(self):
        """Calls of one more checkpoint."""
        store, counted = f"{self.folder}/counted", f"{self.folder}/count"
        shutil.copytree(f"{self.folder}/old", store)
        saved = self.save(store, NEW, fault="count", DISK_FAULT_COUNT=counted)
        assert saved.returncode == 0, saved.stderr
        return int(pathlib.Path(counted).read_text(encoding="utf-8"))

    def go_wrong(self, kind, at):
        """What came of it, and what is loaded then."""
        store = f"{self.folder}/store"
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(f"{self.folder}/old", store)
        saved = self.save(store, NEW, fault=f"{kind}:{at}")
        assert saved.returncode in (0, GIVEN_UP, -signal.SIGKILL), saved
        what = f"{kind} at call {at}: {saved.returncode} {saved.stderr}"
        assert saved.returncode == 0 or saved.returncode < 0 or saved.stderr.strip(), what
        # The disk is well again, and so is the store.
        step, after = self.mend(store, NEW + 1)
        assert step in (OLD, NEW), what
        assert step == NEW or saved.returncode != 0, f"{what}: it was durable, and is lost"
        assert after == NEW + 1, what
        left = sorted(os.listdir(f"{store}/j"))
        assert left == ["incarnation", f"step-{NEW + 1:08}"], f"{what}: {left}"
        return saved.returncode, step


def go_wrong_everywhere(program, faults, verb):
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        disk = Disk(program, faults, folder, verb)
        assert disk.save(f"{folder}/old", OLD).returncode == 0
        calls = disk.count()
        assert calls > 30, calls
        seen = {}
        for kind in KINDS:
            for at in range(1, calls + 1):
                came = disk.go_wrong(kind, at)
                seen[came] = seen.get(came, 0) + 1
    print(f"{verb}: {calls} calls, each of which went wrong in {len(KINDS)} ways; "
          f"(exit code, step that was loaded): times: {seen}")
    assert {(0, NEW), (GIVEN_UP, OLD), (-signal.SIGKILL, OLD), (-signal.SIGKILL, NEW)} <= set(seen)


def main(_, program, faults):
    for verb in ("save", "share"):
        go_wrong_everywhere(program, faults, verb)


if __name__ == "__main__":
    main(*sys.argv[1:])
