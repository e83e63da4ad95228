#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stepd's L-BFGS against torch.optim.LBFGS, and against the book's with backtracking.

    lbfgs.py FOLDER [--seeds N] [--first SEED] [--verbose]

FOLDER holds torch_driver. A step of L-BFGS is made of the steps before it, rounding included, and no
two programs stay together for 200 of them. So they are compared one step at a time from the same
state: the optimizer by itself (torch_driver --row) goes its way for 220 rounds and shows its state
after each; from the state before a round, PyTorch (or the reference) takes the same round in float64
and in float32, and criterion.py judges where the three come out. Each mutant of the reference must be
noticed. Last, a job with two groups shows that the optimizer is reached by way of groups and layout:
its first rounds are PyTorch's, and it goes on to the minimum.
"""
import argparse
import math
import struct
import subprocess
import sys

import need_torch  # noqa: F401
import torch

import criterion
import mutants
import problems
import stepd
from trial import STEPS, Draw

# What server/optim/lbfgs.c keeps beside its slots, in its order.
N_ITER, T, H_DIAG, PAIRS, FIRST, TRIALS, LOSS, SLOPE = range(8)


class Row:
    """The optimizer by itself, one round after another."""

    def __init__(self, server, settings, problem):
        words = [f"{name}={value}" for name, value in settings.items()]
        self.process = subprocess.Popen([server.driver, "--row", "lbfgs", *words],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.shapes = [tuple(t.shape) for t in problem.start]
        self.history = settings["history_size"]
        self.process.stdin.write(stepd.header(problem.names, problem.start, {}))
        self.process.stdin.flush()
        self.slots, self.scalars = {}, 0
        while (line := self.process.stdout.readline().split()):
            if line[0] == b"slot":
                self.slots[line[1].decode()] = int(line[2])
            else:
                self.scalars = int(line[1])
        count = sum(t.numel() for t in problem.start)
        self.weights = torch.cat([t.reshape(-1) for t in problem.start])
        self.slot = {name: torch.zeros(floats) for name, floats in self.slots.items()}
        self.slot.setdefault("base_weights", torch.zeros(count))
        self.scalar = [0.0] * self.scalars

    def read(self, floats):
        return torch.frombuffer(bytearray(self.process.stdout.read(4 * floats)),
                                dtype=torch.float32)

    def step(self, grad, loss, lr):
        self.process.stdin.write(struct.pack("=dd", loss, lr) + stepd.to_bytes(grad))
        self.process.stdin.flush()
        self.weights = self.read(self.weights.numel())
        for name, floats in self.slots.items():
            self.slot[name] = self.read(floats)
        self.scalar = struct.unpack(f"={self.scalars}d", self.process.stdout.read(8 * self.scalars))

    def pairs(self, dtype):
        """[(s, y)], the oldest first."""
        size = (self.history, -1)
        s, y = (self.slot[name].reshape(size).to(dtype) for name in ("old_stps", "old_dirs"))
        first = int(self.scalar[FIRST])
        order = [(first + k) % self.history for k in range(int(self.scalar[PAIRS]))]
        return [(s[row], y[row]) for row in order]

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(timeout=60)


def torch_step(row, settings, grad, loss, lr, dtype):
    """What PyTorch makes of a round, from the row's state."""
    param = row.weights.to(dtype, copy=True).requires_grad_()
    optimizer = torch.optim.LBFGS([param], lr=lr, max_iter=1, history_size=row.history,
                                  tolerance_grad=settings["tolerance_grad"],
                                  tolerance_change=settings["tolerance_change"])
    if row.scalar[N_ITER] > 0:
        pairs = row.pairs(dtype)
        optimizer.state[param] = {
            "func_evals": 1, "n_iter": int(row.scalar[N_ITER]), "d": row.slot["d"].to(dtype),
            "t": row.scalar[T], "old_dirs": [y for _, y in pairs],
            "old_stps": [s for s, _ in pairs], "ro": [1.0 / y.dot(s) for s, y in pairs],
            "H_diag": row.scalar[H_DIAG], "prev_loss": 0.0,
            "prev_flat_grad": row.slot["prev_flat_grad"].to(dtype)}

    def closure():
        param.grad = grad.to(dtype)
        return torch.tensor(loss)

    optimizer.step(closure)
    return param.detach()


def paper_step(module, row, settings, grad, loss, lr, dtype):
    """What the reference makes of it."""
    scalar, slot = row.scalar, row.slot
    state = module.State(scalar[N_ITER], row.pairs(dtype), scalar[H_DIAG], slot["d"].to(dtype),
                         scalar[T], slot["prev_flat_grad"].to(dtype), scalar[TRIALS],
                         slot["base_weights"].to(dtype), scalar[LOSS], scalar[SLOPE])
    return module.step(state, settings, row.weights.to(dtype), grad.to(dtype), loss, lr)


def flat_gradient(problem, weights, step):
    parts = weights.double().split([t.numel() for t in problem.start])
    params = [part.reshape(t.shape) for part, t in zip(parts, problem.start)]
    loss, grads = problems.gradients(problem, params, step)
    return loss, torch.cat([g.reshape(-1) for g in grads])


def compare(server, seed, settings, steps_in):
    """[a Verdict for each step of steps_in]: functions of (row, grad, loss, lr, dtype). The batch is
    the same in all rounds where the optimizer searches, and for half of the other trials."""
    draw = Draw(f"lbfgs rounds {seed} {settings['line_search']}")
    searches = settings["line_search"] == "backtracking"
    fixed = searches or seed % 2 == 0
    lr = draw.between(1.0, 3.0) if searches else draw.between(0.1, 0.8) if fixed else 0.05
    problem = problems.make(seed, STEPS)
    row = Row(server, settings, problem)
    verdicts = [criterion.Verdict(f"seed {seed}", row.weights) for _ in steps_in]
    for step in range(STEPS):
        loss, grad = flat_gradient(problem, row.weights, 0 if fixed else step)
        rate = lr * (1.0 - 0.5 * step / STEPS)
        results = [[take(row, grad, loss, rate, dtype) for dtype in (torch.float64, torch.float32)]
                   for take in steps_in]
        row.step(grad, loss, rate)
        for verdict, (float64, float32) in zip(verdicts, results):
            # Each round is a comparison of its own: what float32 erred before does not count.
            verdict.float32 = 0.0
            verdict.look(step, row.weights, float32, float64)
    if row.close() != 0:
        raise stepd.Refused(f"torch_driver --row failed at seed {seed}")
    return verdicts


def draw_settings(seed, search):
    draw = Draw(f"lbfgs {seed} {search}")
    return {"history_size": draw.choice((1, 3, 10, 100)), "line_search": search,
            "tolerance_grad": draw.scaled(1e-9, 1e-6), "tolerance_change": draw.scaled(1e-12, 1e-9),
            "c1": draw.scaled(1e-4, 0.3)}


def against_torch(server, seeds, verbose):
    worst, failures = 0.0, []
    for seed in seeds:
        settings = draw_settings(seed, "none")
        verdict, = compare(server, seed, settings,
                           [lambda *round, s=settings: torch_step(round[0], s, *round[1:])])
        worst = max(worst, verdict.ratio)
        if not verdict.passed() or verbose:
            print(f"{'' if verdict.passed() else 'FAILED '}torch {verdict.text} {settings}")
        failures += [] if verdict.passed() else [f"torch seed {seed}"]
    print(f"torch.optim.LBFGS: {len(seeds)} trials of {STEPS} rounds, at worst {worst:.2f} of what "
          "is allowed", flush=True)
    return failures


def against_book(server, seeds, verbose):
    module, mutated = mutants.load("lbfgs")
    modules = [module] + [mutant for _, mutant in mutated]
    noticed, worst, failures = set(), 0.0, []
    for seed in seeds:
        settings = draw_settings(seed, "backtracking")
        takes = [lambda *round, m=m, s=settings: paper_step(m, round[0], s, *round[1:])
                 for m in modules]
        verdict, *others = compare(server, seed, settings, takes)
        worst = max(worst, verdict.ratio)
        if not verdict.passed() or verbose:
            print(f"{'' if verdict.passed() else 'FAILED '}book {verdict.text} {settings}")
        failures += [] if verdict.passed() else [f"book seed {seed}"]
        noticed |= {text for (text, _), other in zip(mutated, others) if not other.passed()}
    for text, _ in mutated:
        if text not in noticed:
            failures.append(text)
            print(f"FAILED the comparison passes with this mutant: {text}")
    print(f"backtracking: {len(seeds)} trials of {STEPS} rounds, at worst {worst:.2f} of what is "
          f"allowed; {len(noticed)} of {len(mutated)} mutants noticed", flush=True)
    return failures


def through_a_job(server):
    """A quadratic in two groups, each an L-BFGS of its own."""
    problem = problems.Quadratic(1, STEPS, problems.Quadratic.SMALL)
    groups = [{"name": "first", "match": "first.*", "optimizer": "lbfgs", "lr": 0.7},
              {"name": "rest", "match": "*", "optimizer": "lbfgs", "lr": 0.7, "history_size": 7}]
    members = [[0, 1], [2, 3]]
    first_rounds, failures = 4, []
    params = [t.to(torch.float64, copy=True).requires_grad_() for t in problem.start]
    peers = [torch.optim.LBFGS([params[i] for i in group], lr=0.7, max_iter=1,
                               history_size=100 if group[0] == 0 else 7) for group in members]
    first_slope = None
    with server.open(groups, problem.names, problem.start) as session:
        weights = problem.start
        for step in range(STEPS):
            _, grads = problems.gradients(problem, [w.double() for w in weights], 0)
            first_slope = first_slope or max(criterion.largest(g) for g in grads)
            weights, = session.step(stepd.Step(grads))
            for param, grad in zip(params, grads):
                param.grad = grad.double()
            for peer in peers:
                peer.step(lambda: torch.zeros(()))
            far = max(criterion.largest(w.double() - p.detach()) for w, p in zip(weights, params))
            if step < first_rounds and not far < 1e-5:
                failures.append("job")
                print(f"FAILED job: {far:.3g} from PyTorch in round {step + 1}")
    _, grads = problems.gradients(problem, [w.double() for w in weights], 0)
    slope = max(criterion.largest(g) for g in grads)
    if not slope < 1e-2 * first_slope:
        failures.append("minimum")
        print(f"FAILED job: the largest gradient is {slope:.3g} after {STEPS} rounds")
    print(f"job: {first_rounds} rounds as PyTorch's; the largest gradient fell from "
          f"{first_slope:.1e} to {slope:.1e}")
    return failures


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    server = stepd.Stepd(options.folder)
    seeds = range(options.first, options.first + options.seeds)
    failures = against_torch(server, seeds, options.verbose)
    failures += against_book(server, seeds, options.verbose)
    failures += through_a_job(server)
    print(f"L-BFGS: {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
