# SPDX-License-Identifier: Apache-2.0
"""Writes the C source of the module stepd._stepd: usage: generate.py OUT.c

declarations.txt says what of <stepd/client.h> Python sees; the compiler holds it to the header.
"""
import sys
from pathlib import Path

from cffi import FFI


def main(out: str) -> None:
    binding = FFI()
    binding.cdef((Path(__file__).parent / "declarations.txt").read_text(encoding="utf-8"))
    binding.set_source("stepd._stepd", '#include "client/python/binding/defaults.h"')
    binding.emit_c_code(out)


if __name__ == "__main__":
    main(sys.argv[1])
