# SPDX-License-Identifier: Apache-2.0
"""Fails when clang-format would change a source file.

    format.py        say what is not formatted
    format.py --fix  format it
"""
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from sources import ROOT, finish, project_files, skip


def unformatted(arguments, path):
    """clang-format's first complaint of a file, or None."""
    done = subprocess.run(["clang-format", *arguments, path], cwd=ROOT, capture_output=True,
                          text=True)
    if done.returncode == 0:
        return None
    return (done.stderr.splitlines() or [f"{path}: clang-format failed"])[0]


def main():
    if not shutil.which("clang-format"):
        skip("clang-format")
    arguments = ["-i"] if "--fix" in sys.argv[1:] else ["--dry-run", "-Werror"]
    files = project_files(".c", ".h")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda path: unformatted(arguments, path), files)
    findings = [result for result in results if result]
    return finish(f"{len(files)} files", len(files), findings)


if __name__ == "__main__":
    sys.exit(main())
