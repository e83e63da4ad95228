#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The README's worker on the Python package does what the README lets one expect."""
import contextlib
import io
import pathlib
import re

import need_stepd

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
ADDRESS = '"127.0.0.1:7070"'


def main():
    blocks = re.findall(r"^```py\n(.*?)^```$", README.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 1, f"the README has {len(blocks)} workers on the package"
    assert ADDRESS in blocks[0], "the README's worker has another address"
    said = io.StringIO()
    with need_stepd.start_daemon() as daemon, contextlib.redirect_stdout(said):
        exec(blocks[0].replace(ADDRESS, repr(daemon.address)), {})  # pylint: disable=exec-used
    assert said.getvalue() == "w = 3.000 -2.000, b = 1.000\n", said.getvalue()
    print(said.getvalue(), end="")


if __name__ == "__main__":
    main()
