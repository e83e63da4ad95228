# SPDX-License-Identifier: Apache-2.0
"""References, and what they would be with a mistake in them.

A reference is a file of references/: an algorithm as its paper prints it, in a class Rule. Above a
formula stand the mistakes that the comparison must notice,

    # mutant: OLD -> NEW

which replace OLD, once, in the next line that is not such a comment. load() makes a module of the
file as it stands, or of the file with one of its mutants.
"""
import pathlib
import re
import types

FOLDER = pathlib.Path(__file__).parent / "references"
MARK = re.compile(r"^\s*# mutant: (.*\S) ->(?: (.*))?$")


class Mutant:
    """One mistake: in which line, and what becomes of it."""

    def __init__(self, number, old, new, line):
        self.number = number  # of the line, 0 first
        self.line = line.replace(old, new)
        self.text = f"line {number + 1}: {old} -> {new or 'nothing'}"
        if line.count(old) != 1:
            raise ValueError(f"line {number + 1} has {line.count(old)} times: {old}")


def mutants_of(source):
    lines = source.splitlines()
    found, waiting = [], []
    for number, line in enumerate(lines):
        mark = MARK.match(line)
        if mark:
            waiting.append((mark.group(1), mark.group(2) or ""))
            continue
        found += [Mutant(number, old, new, line) for old, new in waiting]
        waiting = []
    return found


def build(name, source):
    module = types.ModuleType(name)
    exec(compile(source, f"references/{name}.py", "exec"), module.__dict__)
    return module


def load(name):
    """(the module, [(what was changed, the module with it)])."""
    source = (FOLDER / f"{name}.py").read_text()
    mutated = []
    for mutant in mutants_of(source):
        lines = source.splitlines()
        lines[mutant.number] = mutant.line
        mutated.append((mutant.text, build(name, "\n".join(lines) + "\n")))
    return build(name, source), mutated


def names():
    return sorted(path.stem for path in FOLDER.glob("*.py"))
