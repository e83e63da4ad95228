# SPDX-License-Identifier: Apache-2.0
"""Fails when a source file has more than 500 lines: one that grows past that is two files.

The lengths of functions are clang-tidy's matter (.clang-tidy, readability-function-size).
"""
import sys

from sources import ROOT, finish, project_files

LINES_MAX = 500


def main():
    files = project_files(".c", ".h", ".py", ".sh")
    findings = []
    for path in files:
        lines = (ROOT / path).read_bytes().count(b"\n")
        if lines > LINES_MAX:
            findings.append(f"{path}: {lines} lines, at most {LINES_MAX}")
    return finish(f"{len(files)} files", len(files), findings)


if __name__ == "__main__":
    sys.exit(main())
