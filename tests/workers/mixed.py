#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers in several languages train one job, and end with the bits that as many C workers get.

    mixed.py BIN C-WORKER LANGUAGE ...     a worker in each language, rank by rank
"""
import sys
import tempfile

from crew import build_all, train

BIN, C_WORKER, *CREW = sys.argv[1:]


def main():
    commands = build_all({*CREW}, C_WORKER)
    with tempfile.TemporaryDirectory() as folder:
        reference, *others = train(BIN, ["c"] * len(CREW), commands, folder)
        assert all(other == reference for other in others), "C workers differ from each other"
        for language, weights in zip(CREW, train(BIN, CREW, commands, folder)):
            assert weights == reference, f"the weights of the {language} worker are others"
    print(f"the bits of {len(CREW)} C workers:", ", ".join(CREW))


if __name__ == "__main__":
    main()
