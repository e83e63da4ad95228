#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The same inputs give the same weights, bit for bit: real processes, loopback sockets.

  - one worker through the daemon gives what `stepd-train --local` gives, also where the daemon does
    not sleep between frames, and where gradients do not travel layer by layer
  - where a step is made of several pushes of each worker, it makes no difference either
  - four workers with unequal numbers of examples give the same bits twice, with one shard and with
    two, on the kernels of every instruction set that this machine has; without overlap as well
  - where the whole job is the unit (a clip by the global norm, steps that are made whole) likewise
  - 1, 2 and 4 workers that share the same global batches give the same weights but for roundings
  - another seed gives other bits: the comparison can fail
"""
import struct
import subprocess
import sys
import tempfile

from processes import Daemon, environment, run_all, write_images

WORKERS = 4
UNEQUAL = "64,32,128,16"  # examples per step, by rank
TIMEOUT_S = 300


class Runs:
    def __init__(self, bin_folder, folder):
        self.stepd, self.train = f"{bin_folder}/stepd", f"{bin_folder}/stepd-train"
        self.folder = folder
        self.count = 0
        write_images(folder)

    def command(self, weights, *flags):
        return [self.train, "--data", self.folder, "--model", "mlp:784-48-32-10", "--quiet",
                "--steps", "12", "--warmup", "3", "--optimizer", "adamw", "--lr", "0.003",
                "--save-weights", weights, *flags]

    def weights_name(self):
        self.count += 1
        return f"{self.folder}/weights-{self.count}.safetensors"

    def local(self, *flags):
        name = self.weights_name()
        run_all([self.command(name, "--local", *flags)], TIMEOUT_S)
        return read(name)

    def served(self, world, daemon_flags, *flags):
        name = self.weights_name()
        with Daemon(self.stepd, "--slice-elements", "4096", *daemon_flags) as daemon:
            run_all([self.command(name, "--server", daemon.address, "--rank", str(rank), "--world",
                                  str(world), *flags) for rank in range(world)], TIMEOUT_S)
        return read(name)

    def has_isa(self, isa):
        flags = ["--isa", isa, "--listen", "127.0.0.1:1", "--check-config"]
        said = subprocess.run([self.stepd, *flags], stderr=subprocess.PIPE, text=True,
                              env=environment(), check=False)
        return said.returncode == 0


def read(name):
    with open(name, "rb") as file:
        return file.read()


def floats(weights):
    """What stands behind the header of a safetensors file."""
    header, = struct.unpack_from("<Q", weights)
    return struct.unpack(f"<{(len(weights) - 8 - header) // 4}f", weights[8 + header:])


def check_gate(runs):
    clip = ["--batch", UNEQUAL, "--job-param", "clip_global_norm=0.1", "--job-param", "atomic=job"]
    one, two = (runs.served(WORKERS, ["--shards", shards], *clip) for shards in ("1", "2"))
    assert one == two, "a clip by the global norm differs between 1 and 2 shards"
    assert one != runs.served(WORKERS, [], "--batch", UNEQUAL), "nothing was clipped"
    alone = ["--batch", "100", *clip[2:4]]
    assert runs.served(1, ["--shards", "2"], *alone) == runs.local(*alone), \
        "a clip by the global norm differs from --local"


def check_parts(runs):
    parts = ["--batch", "60,20", "--job-param", "accumulate=3"]
    without = runs.served(2, ["--shards", "2"], *parts, "--no-overlap")
    assert runs.served(2, [], *parts) == without, "steps made of parts differ without overlap"


def check_worlds(runs):
    """Not by Adam with its usual eps: its first steps have the gradient's sign, whatever the
    gradient's size, and make a rounding of one that is nearly 0 large. So does PyTorch's."""
    for rule in (["--optimizer", "momentum", "--lr", "0.02"],
                 ["--optimizer", "adamw", "--optimizer-param", "eps=1e-3"]):
        run = [*rule, "--schedule", "constant", "--steps", "10"]
        one, *others = (floats(runs.served(world, ["--shards", "2"], *run, "--batch",
                                           str(128 // world)))
                        for world in (1, 2, 4))
        scale = max(map(abs, one))
        for many in others:
            distance = max(abs(a - b) for a, b in zip(one, many, strict=True)) / scale
            assert 0 < distance <= 1e-5, (rule, distance)


def main():
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(sys.argv[1], folder)
        batch = ["--batch", "100"]
        local = runs.local(*batch)
        assert len(local) > 4 * 784 * 48, f"only {len(local)} bytes of weights"
        assert runs.local(*batch, "--seed", "2") != local, "two seeds give the same weights"
        for shards in ("1", "2"):
            assert runs.served(1, ["--shards", shards], *batch) == local, \
                f"one worker over {shards} shards differs from --local"
        assert runs.served(1, ["--busy-poll-us", "100000"], *batch) == local, \
            "one worker of a daemon that looks for work without sleep differs from --local"
        for without in (runs.local, lambda *flags: runs.served(1, [], *flags)):
            assert without(*batch, "--no-overlap") == local, "one worker without overlap differs"
        print("one worker: the daemon and --local give the same bits")
        check_gate(runs)
        check_parts(runs)
        check_worlds(runs)

        isas = [isa for isa in ("base", "v3", "v4") if runs.has_isa(isa)]
        assert "base" in isas
        first = None
        for isa in isas:
            for shards in ("1", "2"):
                for attempt in (1, 2):
                    bits = runs.served(WORKERS, ["--shards", shards, "--isa", isa],
                                       "--batch", UNEQUAL)
                    first = first or bits
                    assert bits == first, f"isa {isa}, {shards} shards, run {attempt} differs"
        assert runs.served(WORKERS, ["--shards", "2"], "--batch", UNEQUAL, "--no-overlap") == \
            first, "four workers without overlap differ"
        print(f"{WORKERS} workers: the same bits twice, with 1 and 2 shards, on", ", ".join(isas))


if __name__ == "__main__":
    main()
