# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy over the product's sources: proto, server and client, with the headers they use.

    tidy.py BUILD_DIR [FILE ...]     FILE: only these, as server/core/core.c

1. compile_commands.json of the build folder says how each file is compiled. A file that is compiled
   several times, once for each instruction set, is checked once. Generated code is not ours.
2. A file is fingerprinted: its command, clang-tidy's version, .clang-tidy, and the content of the
   file and of every header it reaches. Comments count, since NOLINT is one.
3. A file whose fingerprint is in BUILD_DIR/tidy-passed was found clean before. The others are
   checked, one on each core. Only clean results are kept: a finding is shown until it is gone.

Tests are not checked: what clang-tidy asks of a function's length and nesting does not fit tables
of cases. The compilers' warnings do hold for them.
"""
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sources import ROOT, finish, project_files, skip

HINTS = Path(__file__).with_name("analyzer.h")
HINTS_DEFINED_IN = "proto/error.c"  # takes no hints about what it defines
PARTS = ("proto/", "server/", "client/")
# GCC compiles with warnings that clang does not know by name.
# The analyzer gives up on a function after so many states: what it finds in ours, it finds long before.
# Its own default is 225000, with which it takes twice the time.
BUDGET = ["-Xclang", "-analyzer-config", "-Xclang", "max-nodes=75000"]
TIDY = ["clang-tidy", "--quiet", "--extra-arg=-Wno-unknown-warning-option",
        *(f"--extra-arg={argument}" for argument in BUDGET)]
FIRST_LINE = re.compile(r"^[^\s:][^:]*:\d+:\d+: (error|warning): ", re.MULTILINE)


class Fingerprints:
    """Fingerprints of compile commands; each file's content is read once."""

    def __init__(self):
        version = subprocess.run(["clang-tidy", "--version"], check=True, capture_output=True)
        rules = (ROOT / ".clang-tidy").read_bytes() + HINTS.read_bytes()
        self.tools = version.stdout + rules + " ".join(TIDY).encode()
        self.contents = {}

    def content(self, path):
        if path not in self.contents:
            self.contents[path] = hashlib.sha256(path.read_bytes()).digest()
        return self.contents[path]

    def of(self, entry):
        """The fingerprint, or None when the compiler cannot say what the file includes."""
        folder = Path(entry["directory"])
        command = shlex.split(entry["command"])
        make_rule = subprocess.run(dependency_command(command), cwd=folder, capture_output=True,
                                   text=True)
        if make_rule.returncode:
            return None
        # "file.o: file.c a.h \\\n b.h"
        inputs = make_rule.stdout.replace("\\\n", " ").split(":", 1)[1].split()
        digest = hashlib.sha256(self.tools + "\0".join(command).encode())
        for name in sorted(set(inputs)):
            digest.update(name.encode() + self.content(folder / name))
        return digest.hexdigest()


def dependency_command(command):
    """The compile command, turned into one that prints a make rule and writes nothing."""
    kept, arguments = [], iter(command)
    for argument in arguments:
        if argument in ("-o", "-MF", "-MT"):
            next(arguments)
        elif argument not in ("-c", "-MD"):
            kept.append(argument)
    return kept + ["-M"]


def entries_to_check(build, wanted):
    """{path from the root: its first compile command}, ours alone."""
    ours = {path for path in project_files(".c") if path.startswith(PARTS)}
    if wanted:
        ours &= set(wanted)
    entries = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = os.path.relpath(os.path.join(entry["directory"], entry["file"]), ROOT)
        if path in ours:
            entries.setdefault(path, entry)
    return entries


def findings_in(path, entry):
    """What clang-tidy says of one file, with its notes; an empty list when it is clean."""
    _, *arguments = shlex.split(entry["command"])
    if path != HINTS_DEFINED_IN:
        arguments += ["-include", str(HINTS), f"-I{ROOT}", f"-I{ROOT / 'include'}"]
    done = subprocess.run([*TIDY, str(ROOT / path), "--", *arguments], cwd=entry["directory"],
                          capture_output=True, text=True)
    if done.returncode == 0:
        return []
    text = done.stdout.replace(f"{ROOT}/", "")
    starts = [match.start() for match in FIRST_LINE.finditer(text)]
    if not starts:
        return [f"{path}: clang-tidy ended with status {done.returncode}: {text}{done.stderr}"]
    return [text[start:end].rstrip() for start, end in zip(starts, starts[1:] + [len(text)])]


def check(passed, fingerprints, item):
    """(fingerprint, was it known to be clean, findings) of one (path, entry)."""
    path, entry = item
    fingerprint = fingerprints.of(entry)
    if fingerprint and (passed / fingerprint).exists():
        return fingerprint, True, []
    findings = findings_in(path, entry)
    if fingerprint and not findings:
        (passed / fingerprint).touch()
    return fingerprint, False, findings


def main():
    if not shutil.which("clang-tidy"):
        skip("clang-tidy")
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    build, wanted = Path(sys.argv[1]).resolve(), sys.argv[2:]
    entries = entries_to_check(build, wanted)
    passed = build / "tidy-passed"
    passed.mkdir(exist_ok=True)
    fingerprints = Fingerprints()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda item: check(passed, fingerprints, item), entries.items()))
    if not wanted:  # keep what this run stands on, forget what older sources left
        current = {fingerprint for fingerprint, _, _ in results}
        for stamp in passed.iterdir():
            if stamp.name not in current:
                stamp.unlink()
    known = sum(1 for _, was_known, _ in results if was_known)
    # A header's finding comes up in every file that includes it, and is one finding.
    findings = list({finding.split("\n", 1)[0]: finding
                     for _, _, found in results for finding in found}.values())
    return finish(f"{len(entries)} files, {known} of them unchanged since they were found clean",
                  len(entries), findings)


if __name__ == "__main__":
    sys.exit(main())
