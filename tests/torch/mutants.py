# SPDX-License-Identifier: Apache-2.0
"""References, and what they would be with a mistake in them.

A reference is a file of references/: an algorithm as its paper prints it, in a class Rule. Above a
formula stand the mistakes that the comparison must notice,

    # mutant: OLD -> NEW

which replace OLD, once, in the next line that is not such a comment. load() makes a module of the
file as it stands, or of the file with one of its mutants; lacking() says which kind of mistake a
reference could have and none of its mutants makes.
"""
import pathlib
import re
import types

FOLDER = pathlib.Path(__file__).parent / "references"
MARK = re.compile(r"^\s*# mutant: (.*\S) ->(?: (.*))?$")
EPS = re.compile(r"\beps\b|\.eps|\.delta\b|\b1e-\d")
CORRECTION = re.compile(r"\*\* (now\.)?t\b|/ c[12]\b")


class Mutant:
    """One mistake: in which line, and what becomes of it."""

    def __init__(self, number, old, new, line):
        self.number = number  # of the line, 0 first
        self.old, self.new = old, new
        self.line = line.replace(old, new)
        self.text = f"line {number + 1}: {old} -> {new or 'nothing'}"
        if line.count(old) != 1:
            raise ValueError(f"line {number + 1} has {line.count(old)} times: {old}")

    def kinds(self):
        """What it is a mistake in, of the kinds that lacking() asks for."""
        both = self.old + " ... " + self.new
        if unsigned(self.old) == unsigned(self.new):
            yield "sign"
        if EPS.search(self.old) and "sqrt(" in both:
            yield "place of eps"
        if CORRECTION.search(both):
            yield "bias correction"


def unsigned(formula):
    return re.sub(r"[-+\s]", "", formula)


def lacking(name):
    """Kinds of mistakes that are possible in a reference and that none of its mutants makes."""
    lines = (FOLDER / f"{name}.py").read_text().splitlines()
    formulas = [line for line in lines if not MARK.match(line)]
    rule = "\n".join(formulas[next(i for i, line in enumerate(formulas)
                                  if line.startswith(("class ", "def step"))):])
    possible = {"sign"}
    if EPS.search(rule) and "sqrt(" in rule:
        possible.add("place of eps")
    if CORRECTION.search(rule):
        possible.add("bias correction")
    made = {kind for mutant in mutants_of("\n".join(lines)) for kind in mutant.kinds()}
    return sorted(possible - made)


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
