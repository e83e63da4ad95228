#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C, and a launcher's SIGTERM, end a stepd-train where it waits; its rank is free at once, and the
same command goes on.
usage: interrupted_worker.py BIN
"""
import pathlib
import signal
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from processes import Daemon, write_images  # pylint: disable=wrong-import-position
from training import Worker  # pylint: disable=wrong-import-position


def main():
    bin_folder = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder, Daemon(f"{bin_folder}/stepd") as daemon:
        write_images(folder)

        def start(rank):
            return Worker([f"{bin_folder}/stepd-train", "--server", daemon.address, "--data", folder,
                           "--model", "mlp:784-8-10", "--steps", "4", "--batch", "16", "--world",
                           "2", "--rank", str(rank), "--quiet"])
        for number in (signal.SIGINT, signal.SIGTERM):
            worker = start(0)
            daemon.said.wait_for_next("event=worker_(joined|replaced)", 60)
            worker.process.send_signal(number)
            assert worker.end() == -number, worker.said()
            assert "interrupted; its rank is free, and the same command" in worker.said()
            daemon.said.wait_for_next("event=worker_ended .*rank=0", 60)
        assert daemon.said.text().count("event=worker_ended") == 2, daemon.said.text()
        workers = [start(rank) for rank in (0, 1)]
        for worker in workers:
            assert worker.end() == 0, worker.said()
    print("2 signals")


if __name__ == "__main__":
    main()
