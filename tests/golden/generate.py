#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden vectors: what torch.optim and torch.optim.lr_scheduler really do.

    generate.py            writes vectors/optimizers.txt and vectors/schedules.txt
    generate.py --check    computes them again and compares with the files; exit status 77 where
                           this machine has no torch of the files' version

Everything is computed from numbers made here, so torch's generators may change. Floats are
written as the hexadecimal digits of their bits, doubles as C's %a, and so nothing is rounded.

PyTorch picks its kernels by the processor. Those for AVX2 and AVX-512 fuse a multiplication and
an addition into one rounding; those for plain x86-64 do not, and neither do ours. Here the plain
ones are asked for, so that the files are the same on every x86-64 machine. (With those for AVX-512
the weights of these cases differ by up to 20 ulp after 12 steps, most where momentum cancels.)

One operation is left that depends on the machine: torch.sqrt calls MKL, which is an ulp off for
every fifth number on some processors. So the cases of Adam's family are computed with correctly
rounded roots ("root ieee"), and only those are checked byte for byte; Adam's and AdamW's with
torch's own roots stand beside them ("root torch"), and the C test allows for an ulp in the root
there.

The cases are steps of one tensor with PyTorch's single-tensor path (foreach=False).
"""
import argparse
import math
import os
import pathlib
import platform
import struct
import sys

TORCH = "2.13."
SKIPPED = 77
ELEMENTS = 67
STEPS = 12
VECTORS = pathlib.Path(__file__).parent / "vectors"

os.environ["ATEN_CPU_CAPABILITY"] = "default"
try:
    import torch  # reads the variable above
except ImportError:
    print("skipped: this Python has no torch")
    sys.exit(SKIPPED)

TORCH_SQRT = torch.Tensor.sqrt
SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
NADAM, RADAM, ADAMAX = torch.optim.NAdam, torch.optim.RAdam, torch.optim.Adamax


def ieee_sqrt(tensor):
    """Correctly rounded: a double's root rounded to float is the float's root rounded."""
    return torch.tensor([math.sqrt(x) for x in tensor.tolist()], dtype=torch.float32)


def sgd_cases():
    """name, our optimizer, our hyperparameters, torch's class, its arguments."""
    for decay in (0.0, 0.02):
        suffix = "_decay" if decay else ""
        yield f"sgd{suffix}", "sgd", {"weight_decay": decay}, SGD, {"weight_decay": decay}
        hyper = {"momentum": 0.9, "dampening": 0.0, "weight_decay": decay}
        yield f"momentum{suffix}", "momentum", hyper, SGD, hyper
        hyper = {"momentum": 0.7, "dampening": 0.35, "weight_decay": decay}
        yield f"momentum_dampened{suffix}", "momentum", hyper, SGD, hyper
        hyper = {"momentum": 0.9, "weight_decay": decay}
        yield f"nesterov{suffix}", "nesterov", hyper, SGD, {**hyper, "nesterov": True}
    hyper = {"momentum": 0.0, "dampening": 0.5}
    yield "momentum_zero", "momentum", hyper, SGD, hyper


def adam_cases():
    """As above."""
    for name, kind in (("adam", ADAM), ("adamw", ADAMW)):
        for suffix, betas, eps, decay in (
            ("", (0.9, 0.999), 1e-8, 0.01 if kind is ADAMW else 0.0),
            ("_decay", (0.8, 0.95), 1e-4, 0.3),
            ("_fast", (0.25, 0.5), 1e-2, 0.0),
        ):
            hyper = {"beta1": betas[0], "beta2": betas[1], "eps": eps, "weight_decay": decay}
            yield f"{name}{suffix}", name, hyper, kind, {
                "betas": betas, "eps": eps, "weight_decay": decay}


def adam_family_cases():
    """As above: what stands beside Adam and AdamW. Words are given as words."""
    def case(name, row, kind, arguments, **hyper):
        betas, eps = (0.8, 0.95), 1e-4
        shared = {key: value for key, value in hyper.items() if key != "decay"}
        return name, row, {"beta1": betas[0], "beta2": betas[1], "eps": eps, **hyper}, kind, {
            "betas": betas, "eps": eps, **shared, **arguments}

    amsgrad, decoupled = {"amsgrad": True}, {"decoupled_weight_decay": True}
    yield "amsgrad", "amsgrad", {}, ADAM, amsgrad
    yield case("adam_amsgrad_decay", "adam", ADAM, {}, amsgrad=True, weight_decay=0.3)
    yield case("adamw_amsgrad", "adamw", ADAMW, {}, amsgrad=True, weight_decay=0.3)
    yield case("adam_decoupled", "adam", ADAM, decoupled, decay="decoupled_lr", weight_decay=0.3)
    yield "nadam", "nadam", {}, NADAM, {}
    yield case("nadam_decay", "nadam", NADAM, {}, momentum_decay=0.5, weight_decay=0.3)
    yield case("nadam_decoupled", "nadam", NADAM, decoupled, decay="decoupled_lr", weight_decay=0.3)
    yield "radam", "radam", {}, RADAM, {}
    yield case("radam_decay", "radam", RADAM, {}, weight_decay=0.3)
    yield case("radam_decoupled", "radam", RADAM, decoupled, decay="decoupled_lr", weight_decay=0.3)
    yield "adamax", "adamax", {}, ADAMAX, {}
    yield case("adamax_decay", "adamax", ADAMAX, {}, weight_decay=0.3)


def uniform(seed):
    """xorshift64*; yields floats in [-1, 1)."""
    mask = (1 << 64) - 1
    while True:
        seed ^= seed >> 12
        seed ^= (seed << 25) & mask
        seed ^= seed >> 27
        yield ((seed * 2685821657736338717 & mask) >> 40) * 2.0**-23 - 1.0


def weights():
    source = uniform(1)
    return [next(source) for _ in range(ELEMENTS)]


def gradients():
    """Uniform, and at fixed places: always 0, denormal, tiny, large, zero after the first step."""
    source = uniform(2)
    rows = []
    for step in range(STEPS):
        row = [next(source) + 0.25 for _ in range(ELEMENTS)]
        row[0] = 0.0
        row[1] = 1e-41
        row[2] = 1e-12 * row[2]
        row[3] = 1e12 * row[3]
        row[4] = row[4] if step == 0 else 0.0
        row[5] = -0.0
        rows.append(row)
    return rows


def rates(lr):
    """A learning rate that changes with every step, so that its place in the rule shows."""
    return [lr * (1.0 + 0.125 * (step % 5)) for step in range(STEPS)]


def hex_floats(values):
    return " ".join(struct.pack(">f", x).hex() for x in values)


def tensor_floats(tensor):
    return hex_floats(tensor.detach().tolist())


def run_case(name, optimizer, hyper, kind, arguments, root):
    torch.Tensor.sqrt = ieee_sqrt if root == "ieee" else TORCH_SQRT
    lrs = rates(0.05 if kind is SGD else 0.01)
    w = torch.nn.Parameter(torch.tensor(weights(), dtype=torch.float32))
    torch_optimizer = kind([w], lr=lrs[0], foreach=False, **arguments)
    settings = "".join(
        f" {key} {value if isinstance(value, str) else float(value).hex()}"
        for key, value in hyper.items())
    yield f"case {name} {optimizer} root {root} hypers {len(hyper)}{settings}"
    for lr, row in zip(lrs, gradients()):
        torch_optimizer.param_groups[0]["lr"] = lr
        w.grad = torch.tensor(row, dtype=torch.float32)
        torch_optimizer.step()
        yield f"step {lr.hex()} {tensor_floats(w)}"
    state = torch_optimizer.state[w]
    slots = [key for key in ("momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq",
                             "exp_inf") if state.get(key) is not None]
    yield f"slots {len(slots)}"
    for key in slots:
        yield f"{key} {tensor_floats(state[key])}"
    torch.Tensor.sqrt = TORCH_SQRT


def optimizer_lines(roots):
    yield f"elements {ELEMENTS} steps {STEPS}"
    yield f"weights {hex_floats(weights())}"
    for row in gradients():
        yield f"gradient {hex_floats(row)}"
    for case in sgd_cases():
        yield from run_case(*case, root="ieee")
    for case in adam_family_cases():
        yield from run_case(*case, root="ieee")
    for root in roots:
        for case in adam_cases():
            yield from run_case(*case, root=root)


def schedule_cases():
    """name, our kind, our parameters, base lr, steps, function from an optimizer to a scheduler."""
    lr_scheduler = torch.optim.lr_scheduler
    yield "step", "step", {"step_size": 7, "gamma": 0.3}, 0.1, 60, (
        lambda optimizer: lr_scheduler.StepLR(optimizer, 7, 0.3))
    yield "cosine", "cosine", {"t_max": 50}, 0.1, 51, (
        lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 50))
    yield "cosine_periodic", "cosine", {"t_max": 10, "eta_min": 1e-3, "periodic": 1}, 0.2, 60, (
        lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, 10, 1e-3))
    yield "constant", "constant", {"factor": 0.3, "total_iters": 6}, 0.1, 20, (
        lambda optimizer: lr_scheduler.ConstantLR(optimizer, 0.3, 6))
    yield "exponential", "exponential", {"gamma": 0.93}, 0.1, 60, (
        lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.93))
    yield "linear", "linear", {}, 0.1, 15, lr_scheduler.LinearLR
    yield "polynomial", "polynomial", {"total_iters": 20, "power": 1.7}, 0.1, 30, (
        lambda optimizer: lr_scheduler.PolynomialLR(optimizer, 20, 1.7))
    yield "cosine_restarts", "cosine_restarts", {"t_0": 5, "t_mult": 2, "eta_min": 0.01}, 0.1, 40, (
        lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 5, 2, 0.01))

    def warmed(optimizer, steps, factor, after):
        """LinearLR in front, as server/schedule/schedule.h translates its warm-up."""
        linear = lr_scheduler.LinearLR(
            optimizer, start_factor=factor + (1 - factor) / steps, total_iters=steps - 1)
        return lr_scheduler.SequentialLR(optimizer, [linear, after], milestones=[steps])

    yield "warmup_constant", "constant", {"warmup": 5}, 0.1, 20, (
        lambda optimizer: warmed(
            optimizer, 5, 0.0, lr_scheduler.ConstantLR(optimizer, 1.0, 1)))
    yield "warmup_step", "step", {
        "step_size": 4, "gamma": 0.5, "warmup": 8, "warmup_factor": 0.1}, 0.1, 40, (
        lambda optimizer: warmed(optimizer, 8, 0.1, lr_scheduler.StepLR(optimizer, 4, 0.5)))
    yield "warmup_cosine", "cosine", {"t_max": 30, "eta_min": 1e-4, "warmup": 10}, 0.3, 41, (
        lambda optimizer: warmed(
            optimizer, 10, 0.0, lr_scheduler.CosineAnnealingLR(optimizer, 30, 1e-4)))


def compound_cases():
    """Schedules whose arguments are lists or words, with momentum, and made of others."""
    lr_scheduler = torch.optim.lr_scheduler
    yield "multistep", "multistep", {"milestones": [5, 9, 9, 20], "gamma": 0.4}, 0.1, 40, (
        lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [5, 9, 9, 20], 0.4))
    points = {0: 1.0, 4: 0.5, 9: 2.0}
    yield "lambda", "lambda", {
        "steps": list(points), "factors": list(points.values()), "interpolate": "hold"}, 0.2, 20, (
            lambda optimizer: lr_scheduler.LambdaLR(
                optimizer, lambda t: points[max(step for step in points if step <= t)]))
    one_cycle = {"max_lr": 0.5, "total_steps": 40}
    yield "one_cycle", "one_cycle", one_cycle, 0.1, 40, (
        lambda optimizer: lr_scheduler.OneCycleLR(optimizer, **one_cycle))
    three = {**one_cycle, "three_phase": True, "anneal_strategy": "linear", "pct_start": 0.4}
    yield "one_cycle_three_phase", "one_cycle", three, 0.1, 40, (
        lambda optimizer: lr_scheduler.OneCycleLR(optimizer, **three))
    cyclic = {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 4, "step_size_down": 7}
    for mode, gamma in (("triangular", 1.0), ("triangular2", 1.0), ("exp_range", 0.97)):
        arguments = {**cyclic, "mode": mode, "gamma": gamma}
        yield f"cyclic_{mode}", "cyclic", arguments, 0.1, 35, (
            lambda optimizer, arguments=arguments: lr_scheduler.CyclicLR(optimizer, **arguments))
    parts = [("linear", {"start_factor": 0.1, "total_iters": 5}), ("exponential", {"gamma": 0.9})]
    yield "sequential", "sequential", {"milestones": [6], "parts": parts}, 0.1, 30, (
        lambda optimizer: lr_scheduler.SequentialLR(
            optimizer, [lr_scheduler.LinearLR(optimizer, **parts[0][1]),
                        lr_scheduler.ExponentialLR(optimizer, **parts[1][1])], [6]))
    yield "chained", "chained", {"parts": parts}, 0.1, 30, (
        lambda optimizer: lr_scheduler.ChainedScheduler(
            [lr_scheduler.LinearLR(optimizer, **parts[0][1]),
             lr_scheduler.ExponentialLR(optimizer, **parts[1][1])]))
    plateau = {"factor": 0.5, "patience": 2, "cooldown": 1, "threshold": 0.01}
    losses = [8.0, 6.0, 5.0, 5.0, 4.99, 5.0, 5.5, 5.0, 5.0, 5.0, 5.0, 4.0, 4.0, 4.0, 4.0, 4.0]
    yield "plateau", "plateau", {**plateau, "losses": losses}, 0.1, len(losses), (
        lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, **plateau))


def schedule_settings(settings):
    """Our parameters: a name, then a word, or the count of numbers and these."""
    words = [str(len(settings))]
    for name, value in settings.items():
        if isinstance(value, str):
            words += [name, "word", value]
        else:
            numbers = value if isinstance(value, list) else [value]
            words += [name, "numbers", str(len(numbers)), *(float(x).hex() for x in numbers)]
    return " ".join(words)


def schedule_lines():
    for name, kind, params, lr, steps, make in (*schedule_cases(), *compound_cases()):
        params = dict(params)
        parts, losses = params.pop("parts", []), params.pop("losses", None)
        optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.5)
        scheduler = make(optimizer)
        yield f"case {name} {kind} lr {lr.hex()} params {schedule_settings(params)}"
        yield " ".join([f"parts {len(parts)}", *(
            f"{part} params {schedule_settings(settings)}" for part, settings in parts)])
        yield " ".join([f"losses {len(losses or [])}", *(x.hex() for x in losses or [])])
        rates, momenta = [], []
        for step in range(steps):
            rates.append(float(optimizer.param_groups[0]["lr"]).hex())
            momenta.append(float(optimizer.param_groups[0]["momentum"]).hex())
            optimizer.step()
            scheduler.step(*([losses[step]] if losses else []))
        yield f"rates {steps} {' '.join(rates)}"
        yield f"momenta {steps} {' '.join(momenta)}"


def write():
    VECTORS.mkdir(exist_ok=True)
    (VECTORS / "optimizers.txt").write_text(
        "\n".join(optimizer_lines(("ieee", "torch"))) + "\n", encoding="ascii")
    (VECTORS / "schedules.txt").write_text("\n".join(schedule_lines()) + "\n", encoding="ascii")


def same_words(a, b):
    """Are two lines the same, doubles to 1e-12?"""
    for x, y in zip(a.split(), b.split(), strict=True):
        if x != y and not ("0x" in x and "0x" in y and math.isclose(
                float.fromhex(x), float.fromhex(y), rel_tol=1e-12, abs_tol=1e-15)):
            return False
    return True


def check_file(name, lines, same):
    """Do the first lines of a file hold what torch gives here? Says so, too."""
    stored = (VECTORS / name).read_text(encoding="ascii").splitlines()
    wrong = [i + 1 for i, (a, b) in enumerate(zip(lines, stored)) if not same(a, b)]
    if wrong or len(stored) < len(lines):
        print(f"{name}: lines {wrong[:5]} of {len(stored)} are not what torch gives")
        return False
    print(f"{name}: {len(lines)} lines are what torch {torch.__version__} gives")
    return True


def check():
    if not torch.__version__.startswith(TORCH) or platform.machine() not in ("x86_64", "AMD64"):
        print(f"skipped: the vectors are those of torch {TORCH}x on x86-64, "
              f"here is {torch.__version__} on {platform.machine()}")
        return SKIPPED
    # The cases of "root torch" are the last of their file, and are left out.
    same = [check_file("optimizers.txt", list(optimizer_lines(("ieee",))), str.__eq__),
            check_file("schedules.txt", list(schedule_lines()), same_words)]
    return 0 if all(same) else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="compare with the files")
    if parser.parse_args().check:
        return check()
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
