# SPDX-License-Identifier: Apache-2.0
"""A job of the config file goes on from its checkpoint with slices of another size, finer ones and
then coarser ones, on other numbers of shards, or with the saved ones where it cannot be: with the
bits of one that was never stopped.

    recut.py BIN
"""
import pathlib
import signal
import subprocess
import sys
import tempfile

from processes import Daemon, environment, write_images

BIN = sys.argv[1]
STEPS, EVERY, PATIENCE_S = 4000, 20, 120
JOB = """
checkpoint_every_steps: {every}
checkpoint_keep: 2
jobs:
  - name: j
    workers: 1
    slice_elements: {slice_elements}
    groups:
      - {{name: matrices, ndim: [2], optimizer: adam, lr: 0.003, ema_decay: 0.9,
         schedule: {{kind: cosine, T_max: 4000}}}}
      - {{name: others, optimizer: swats, lr: 0.003, clip_norm: 1}}
"""


class Training:
    """A worker of a daemon whose slices have a size; where it goes on from is in the folder."""

    def __init__(self, folder, name):
        self.folder, self.store, self.weights = folder, f"{folder}/{name}", f"{folder}/{name}.weights"

    def daemon(self, slice_elements, shards):
        config = pathlib.Path(f"{self.folder}/stepd.yaml")
        config.write_text(JOB.format(every=EVERY, slice_elements=slice_elements), encoding="utf-8")
        return Daemon(f"{BIN}/stepd", "--config", str(config), "--shards", str(shards),
                      "--checkpoint-dir", self.store)

    def worker(self, daemon):
        return subprocess.Popen(
            [f"{BIN}/stepd-train", "--server", daemon.address, "--job", "j", "--defined", "--data",
             self.folder, "--model", "mlp:784-24-10", "--batch", "16", "--world", "1", "--rank", "0",
             "--steps", str(STEPS), "--save-weights", self.weights, "--quiet"],
            stderr=subprocess.PIPE, text=True, env=environment())

    def finish(self, daemon):
        worker = self.worker(daemon)
        _, said = worker.communicate(timeout=PATIENCE_S)
        assert worker.returncode == 0, said
        return pathlib.Path(self.weights).read_bytes()

    def cut_off(self, daemon, says):
        """Kills both behind the second checkpoint that is taken, of a daemon whose log says this."""
        worker = None
        try:
            assert daemon.log(says), daemon.said.text()
            worker = self.worker(daemon)
            for _ in range(2):
                daemon.said.wait_for_next("event=checkpoint ", PATIENCE_S)
            assert worker.poll() is None, worker.stderr.read()
        finally:
            if worker is not None:
                worker.kill()
                worker.communicate()
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait()
            daemon.said.reader.join()


def main():
    with tempfile.TemporaryDirectory() as folder:
        write_images(folder)
        undisturbed = Training(folder, "undisturbed")
        with undisturbed.daemon(8192, 2) as daemon:
            expected = undisturbed.finish(daemon)
        training = Training(folder, "recut")
        for slice_elements, shards, says in (
                (8192, 2, "event=ready"),
                (4096, 3, "event=slices_recut job=j slice_elements=4096 from=8192"),
                (1024, 2, "event=slices_not_recut job=j slice_elements=1024 stays=4096 cause=.*norm")):
            training.cut_off(training.daemon(slice_elements, shards).__enter__(), says)
        with training.daemon(65536, 1) as daemon:
            assert daemon.log("event=slices_recut job=j slice_elements=65536 from=4096"), \
                daemon.said.text()
            found = training.finish(daemon)
        assert found == expected, "the weights differ from those of the undisturbed training"


main()
