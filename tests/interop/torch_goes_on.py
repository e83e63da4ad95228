# SPDX-License-Identifier: Apache-2.0
"""A training that PyTorch has begun goes on in stepd: with the same losses.

usage: torch_goes_on.py FOLDER_OF_STEPD

A small network is trained in PyTorch, and saved in the middle as its users save it;
client/python/torch_checkpoint.py makes a checkpoint of stepd of it, a daemon goes on from that, and
a worker pushes the gradients that PyTorch's autograd computes of the same batches. The reference is
PyTorch's own run, which was never interrupted. Losses must agree as float32 does: see NEAR.

Ends with 77 where this Python has no torch or no numpy.
"""
import contextlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "torch"), str(TESTS / "integration"), str(TESTS.parent / "client/python")]
import need_torch  # noqa: E402

import torch  # noqa: E402

try:
    import numpy  # noqa: F401
except ImportError:
    print(f"skipped: {sys.executable} has no numpy; deploy/test.sh installs it beside torch")
    sys.exit(need_torch.SKIPPED)
from processes import Daemon, environment  # noqa: E402
from torch_worker import Worker  # noqa: E402
import torch_checkpoint  # noqa: E402
from checkpoint_files import write_safetensors  # noqa: E402

BIN = sys.argv.pop(1)
SEED, BEFORE, AFTER, BATCH = 20, 25, 25, 32
END_S = 120
optim = torch.optim


# ---- A training of PyTorch -----------------------------------------------------------------------

class Net(torch.nn.Module):
    """Names that two globs tell apart, and a layer that stepd cuts into slices."""

    def __init__(self):
        super().__init__()
        self.base = torch.nn.Linear(40, 50)
        self.head = torch.nn.Linear(50, 10)

    def forward(self, x):
        return self.head(torch.tanh(self.base(x)))


def network(dtype=torch.float32):
    torch.manual_seed(SEED)
    return Net().to(dtype)


def batch(step, dtype=torch.float32):
    """Classes that a network learns to tell: the largest of some sums of the inputs."""
    draw = torch.Generator().manual_seed(1000 * SEED + step)
    x = torch.randn(BATCH, 40, generator=draw)
    return x.to(dtype), x.view(BATCH, 10, 4).sum(2).argmax(1)


def backward(model, step):
    """The loss of a batch, whose gradients the parameters have then."""
    x, y = batch(step, next(model.parameters()).dtype)
    model.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(x), y)
    loss.backward()
    return loss.item()


def train(model, optimizer, first, steps, after_step=lambda: None):
    losses = []
    for step in range(first, first + steps):
        losses.append(backward(model, step))
        optimizer.step()
        after_step()
    return losses


def saved(folder, make, model=None, dtype=torch.float32, **more):
    """Trains, saves, trains on: the checkpoint's path, and the losses behind it."""
    model = model or network(dtype)
    optimizer = make(model)
    train(model, optimizer, 0, BEFORE)
    path = folder / "checkpoint.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), **more}, path)
    return path, train(model, optimizer, BEFORE, AFTER)


# ---- The same in stepd ---------------------------------------------------------------------------

def convert(path, *arguments):
    """What the program answers: (exit code, stdout, stderr)."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = torch_checkpoint.main([str(path), "--job", "net", "--json", "--stepctl",
                                      f"{BIN}/stepctl", *map(str, arguments)])
    return code, out.getvalue(), err.getvalue()


def converted(path, *arguments):
    code, out, err = convert(path, *arguments)
    assert code == 0, err
    return json.loads(out)


def stepctl(*arguments):
    return subprocess.run([f"{BIN}/stepctl", *map(str, arguments)], capture_output=True, text=True,
                          timeout=END_S, env=environment())


def train_on(daemon, model, steps, first=BEFORE, clock=0):
    losses = []
    with Worker(daemon.address, "net", model) as worker:
        for step in range(first, first + steps):
            version = worker.pull()
            losses.append(backward(model, step))
            clock += 1
            worker.push(version, clock)
    return losses


def go_on(store, steps=AFTER, shards=2):
    """The losses of stepd's steps, by a worker that begins with weights of its own."""
    model = network()
    for parameter in model.parameters():
        parameter.data.zero_()
    with Daemon(f"{BIN}/stepd", "--shards", str(shards), "--checkpoint-dir", store) as daemon:
        return train_on(daemon, model, steps)


def apart(losses, others):
    """The largest relative difference."""
    assert len(losses) == len(others)
    return max(abs(a - b) / b for a, b in zip(losses, others))


# A loss is a float32, which has 24 bits, and two programs that are right may round it and what it is
# computed from otherwise: 16 roundings are allowed over all steps. Measured are 3 at most.
NEAR = 16 * 2.0 ** -24
# What is wrong is off by more than this.
FAR = 1000 * NEAR

SGD = ("--step", BEFORE)
# {what is trained with: (optimizer of a model, arguments of the converter)}
OPTIMIZERS = {
    "Adam": (lambda m: optim.Adam(m.parameters(), lr=3e-3), ()),
    "Adam, its forms": (lambda m: optim.Adam(m.parameters(), lr=3e-3, betas=(0.8, 0.95), eps=1e-6,
                                             weight_decay=1e-2, amsgrad=True), ()),
    "Adam, upwards": (lambda m: optim.Adam(m.parameters(), lr=1e-3, maximize=True), ()),
    "AdamW": (lambda m: optim.AdamW(m.parameters(), lr=3e-3, weight_decay=0.1), ()),
    "SGD": (lambda m: optim.SGD(m.parameters(), lr=0.1), SGD),
    "SGD, momentum": (lambda m: optim.SGD(m.parameters(), lr=0.1, momentum=0.9, dampening=0.1,
                                          weight_decay=1e-3), SGD),
    "SGD, Nesterov": (lambda m: optim.SGD(m.parameters(), lr=0.05, momentum=0.9, nesterov=True), SGD),
    "RMSprop": (lambda m: optim.RMSprop(m.parameters(), lr=1e-3), ()),
    "RMSprop, its forms": (lambda m: optim.RMSprop(m.parameters(), lr=1e-3, momentum=0.9,
                                                   centered=True), ()),
    "Adagrad": (lambda m: optim.Adagrad(m.parameters(), lr=0.03, lr_decay=0.01,
                                        initial_accumulator_value=0.1), ()),
    "Adadelta": (lambda m: optim.Adadelta(m.parameters(), lr=1.0), ()),
    "Rprop": (lambda m: optim.Rprop(m.parameters(), lr=1e-3), ()),
    "Adamax": (lambda m: optim.Adamax(m.parameters(), lr=3e-3), ()),
    "RAdam": (lambda m: optim.RAdam(m.parameters(), lr=3e-3, weight_decay=0.1,
                                    decoupled_weight_decay=True), ()),
}


def adam(model):
    return OPTIMIZERS["Adam"][0](model)


class Case(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.store = self.folder / "store"

    def assert_near(self, losses, reference):
        self.assertLess(apart(losses, reference), NEAR)
        self.assertNotAlmostEqual(reference[0], reference[-1], 2)  # something was trained

    def assert_refused(self, path, arguments, *texts):
        code, out, err = convert(path, "--store", self.store, *arguments)
        self.assertEqual((code, out), (1, ""), err)
        for text in texts:
            self.assertIn(text, err)
        self.assertFalse(list(self.store.glob("*/step-*")))


class GoingOn(Case):
    def test_training__with_any_optimizer__goes_on_with_the_same_losses(self):
        for name, (make, arguments) in OPTIMIZERS.items():
            with self.subTest(name):
                store = self.folder / name
                path, reference = saved(self.folder, make)
                said = converted(path, "--store", store, *arguments)
                self.assertEqual((said["step"], said["tensors"]), (BEFORE, 4))
                self.assert_near(go_on(store), reference)

    def test_checkpoint__as_stepctl_sees_it__is_one_of_stepd(self):
        path, _ = saved(self.folder, adam)
        said = converted(path, "--store", self.store)
        checkpoint = self.store / "net" / said["checkpoint"]
        self.assertEqual(stepctl("verify", self.store).stdout, f"good  net/{said['checkpoint']}\n")
        weights = self.folder / "weights.safetensors"
        self.assertEqual(stepctl("export", checkpoint, weights).returncode, 0)
        write_safetensors(self.folder / "mine", torch.load(path)["model"])
        same = json.loads(stepctl("diff", self.folder / "mine", weights, "--json").stdout)
        self.assertTrue(same["same"])

    def test_training__stopped_again__goes_on_from_stepds_own_checkpoint(self):
        path, reference = saved(self.folder, adam)
        converted(path, "--store", self.store)
        model, losses = network(), []
        for first, clock in ((BEFORE, 0), (BEFORE + 10, 10)):
            with Daemon(f"{BIN}/stepd", "--checkpoint-dir", self.store) as daemon:
                losses += train_on(daemon, model, 10, first, clock)
            self.assertTrue((self.store / "net" / f"step-000000{first + 10}").is_dir())
        self.assert_near(losses, reference[:20])

    def test_training__of_groups_by_names__goes_on(self):
        def groups(model):
            named = [*model.named_parameters()]
            decayed = [pair for pair in named if pair[0].endswith("weight")]
            return optim.AdamW([{"params": [p for p in named if p not in decayed],
                                 "weight_decay": 0.0, "lr": 1e-3}, {"params": decayed}], lr=5e-3)
        path, reference = saved(self.folder, groups)
        said = converted(path, "--store", self.store)
        self.assertEqual([group["match"] for group in said["groups"]], ["*.bias", "*"])
        self.assert_near(go_on(self.store), reference)

    def test_training__of_groups_by_globs__goes_on(self):
        def groups(model):
            return optim.Adam([{"params": model.head.parameters(), "lr": 1e-2},
                               {"params": model.base.parameters()}], lr=1e-3)
        path, reference = saved(self.folder, groups)
        self.assert_refused(path, (), "--group GLOB")
        self.assert_refused(path, ("--group", "base.*", "--group", "*"), "of shape", "--names")
        converted(path, "--store", self.store, "--group", "head.*", "--group", "*")
        self.assert_near(go_on(self.store), reference)

    def test_training__with_a_schedule__goes_on_where_it_was(self):
        path, _ = saved(self.folder, adam)
        model = network()
        optimizer = adam(model)
        schedule = optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.5)
        train(model, optimizer, 0, BEFORE, schedule.step)
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, path)
        reference = train(model, optimizer, BEFORE, AFTER, schedule.step)
        self.assert_refused(path, (), "--schedule", "--constant-lr")
        converted(path, "--store", self.store,
                  "--schedule", "{kind: step, step_size: 10, gamma: 0.5}")
        self.assert_near(go_on(self.store), reference)

    def test_training__of_a_part__keeps_the_rest(self):
        def head_alone(model):
            model.base.requires_grad_(False)
            return optim.Adam(model.head.parameters(), lr=3e-3)
        path, reference = saved(self.folder, head_alone)
        said = converted(path, "--files", self.folder / "files")
        self.assertEqual(said["left_out"], ["base.weight", "base.bias"])
        converted(path, "--store", self.store, "--freeze", "base.*")
        self.assert_near(go_on(self.store), reference)

    def test_training__of_other_modes_and_slices__goes_on(self):
        path, reference = saved(self.folder, adam)
        files = self.folder / "files"
        for mode in ("sync", "async"):
            store = self.folder / mode
            converted(path, "--files", files, "--mode", mode)
            job = files / "job.yaml"
            job.write_text(job.read_text().replace("    groups:", "    slice_elements: 256\n    groups:"))
            done = stepctl("import", store, "--config", job, "--weights", files / "model.safetensors",
                           "--slots", files / "optimizer.safetensors", "--step", BEFORE)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, rf"^net/step-000000{BEFORE}: step {BEFORE}, 4 tensors, ")
            self.assert_near(go_on(store), reference)

    def test_training__of_doubles__goes_on_rounded(self):
        path, reference = saved(self.folder, adam, dtype=torch.float64)
        said = converted(path, "--store", self.store)
        self.assertIn("base.weight", said["rounded"])
        self.assert_near(go_on(self.store), reference)


class WhatIsLost(Case):
    """That the losses would show it."""

    def losses(self, path, step=BEFORE, state=lambda name, tensor: tensor):
        """Of a checkpoint that is made of the converter's files, with another state."""
        files = self.folder / "files"
        converted(path, "--files", files)
        slots = {f"{name}/{slot}": state(slot, entry[slot])
                 for name, entry in zip(torch.load(path)["model"],
                                        torch.load(path)["optimizer"]["state"].values())
                 for slot in ("exp_avg", "exp_avg_sq")}
        write_safetensors(files / "slots", slots)
        done = stepctl("import", self.store, "--config", files / "job.yaml",
                       "--weights", files / "model.safetensors", "--slots", files / "slots",
                       "--step", step)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return go_on(self.store)

    def test_losses__with_all_of_the_state__are_the_same(self):
        path, reference = saved(self.folder, adam)
        self.assert_near(self.losses(path), reference)

    def test_losses__without_the_state__are_others(self):
        path, reference = saved(self.folder, adam)
        losses = self.losses(path, state=lambda _, tensor: torch.zeros_like(tensor))
        self.assertGreater(apart(losses, reference), FAR)

    def test_losses__without_one_slot__are_others(self):
        for lost in ("exp_avg", "exp_avg_sq"):
            with self.subTest(lost):
                self.store = self.folder / lost
                path, reference = saved(self.folder, adam)
                losses = self.losses(path, state=lambda slot, tensor, lost=lost:
                                     torch.zeros_like(tensor) if slot == lost else tensor)
                self.assertGreater(apart(losses, reference), FAR)

    def test_losses__at_another_step__are_others(self):
        path, reference = saved(self.folder, adam)
        self.assertGreater(apart(self.losses(path, step=1), reference), FAR)


class Layers(torch.nn.Module):
    """One of each kind of thing in a state dict: parameters, BatchNorm's buffers, a buffer of its
    own, a weight under two names."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(10, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.norm.register_buffer("scale", torch.ones(4))
        self.last = torch.nn.Linear(4, 4)
        self.out = torch.nn.Linear(4, 10, bias=False)
        self.out.weight = self.embed.weight


class WhichTensor(Case):
    """What the converter makes of a state dict and an optimizer's, without a daemon."""

    def save(self, optimizer, model=None, **more):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        path = self.folder / "checkpoint.pt"
        state = {"optimizer": optimizer.state_dict(), "model": (model or network()).state_dict()}
        torch.save({**state, **more}, path)
        return path

    def changed(self, change, make=adam):
        """A checkpoint whose optimizer's state dict was changed behind PyTorch's back."""
        model = network()
        path = self.save(make(model), model)
        whole = torch.load(path)
        change(whole["optimizer"])
        torch.save(whole, path)
        return path

    def test_buffers__of_several_kinds__are_told_from_parameters_or_named(self):
        model = Layers()
        path = self.save(optim.Adam(model.parameters()), model)
        self.assert_refused(path, (), "'norm.weight' or 'norm.bias'", "--exclude GLOB")
        said = converted(path, "--store", self.store, "--exclude", "*.scale")
        self.assertEqual((said["tensors"], said["left_out"]), (5, []))
        self.assertEqual(said["tied"], {"out.weight": "embed.weight"})

    def test_names__of_named_parameters__are_taken(self):
        model = Layers()
        path = self.save(optim.Adam(model.named_parameters()), model)
        self.assertEqual(converted(path, "--store", self.store)["tensors"], 5)

    def test_names__of_a_file__are_taken(self):
        model = network()
        path = self.save(optim.Adam(reversed([*model.parameters()])), model)
        self.assert_refused(path, (), "--names FILE")
        names = self.folder / "names"
        names.write_text("\n".join(reversed(model.state_dict())))
        self.assertEqual(converted(path, "--store", self.store, "--names", names)["tensors"], 4)

    def test_names__that_are_wrong__are_refused(self):
        path = self.save(adam(network()))
        for text, *words in (("base.weight base.bias head.weight", "4 parameters have 3 names"),
                             ("base.weight base.bias head.weight headbias", "called 'headbias'"),
                             ("base.bias base.weight head.weight head.bias", "of shape [50]",
                              "[50, 40]")):
            names = self.folder / "names"
            names.write_text(text)
            self.assert_refused(path, ("--names", names), *words)

    def test_keys__that_others_use__are_found_or_named(self):
        model, path = network(), self.folder / "checkpoint.pt"
        optimizer = adam(model)
        train(model, optimizer, 0, 2)
        torch.save({"run": {"net": model.state_dict()}, "optimizer_state_dict": optimizer.state_dict()},
                   path)
        self.assert_refused(path, (), "the keys 'run', 'optimizer_state_dict'", "--model-key")
        self.assertEqual(converted(path, "--store", self.store, "--model-key", "run.net")["step"], 2)

    def test_code__in_a_checkpoint__is_not_run(self):
        path = self.folder / "checkpoint.pt"
        torch.save(network(), path)
        self.assert_refused(path, (), "without running code in it", "save state dicts alone")
        path.write_bytes(b"no checkpoint")
        self.assert_refused(path, (), "without running code in it")
        torch.save([1], path)
        self.assert_refused(path, (), "it holds a list")
        self.assert_refused(self.folder / "none", (), "No such file")

    def test_optimizers__that_cannot_be_converted__are_refused_with_the_reason(self):
        for make, *texts in (
                (lambda m: optim.NAdam(m.parameters()), "NAdam keeps a product", "begin anew"),
                (lambda m: optim.ASGD(m.parameters()), "ASGD keeps rates"),
                (lambda m: optim.Adafactor(m.parameters()), "Adafactor keeps its state by rows")):
            model = network()
            self.assert_refused(self.save(make(model), model), ("--step", "1"), *texts)
        path = self.changed(lambda state: state["param_groups"][0].update(bias_correction=True))
        self.assert_refused(path, (), "the settings amsgrad, betas, bias_correction", "Adam, AdamW")

    def test_adam__of_an_older_pytorch__must_be_told_from_adamw(self):
        def forget(state):
            state["param_groups"][0].pop("decoupled_weight_decay")
        path = self.changed(forget, lambda m: optim.AdamW(m.parameters(), weight_decay=0.1))
        self.assert_refused(path, (), "of Adam or of AdamW", "--optimizer")
        for name in ("Adam", "AdamW"):
            said = converted(path, "--store", self.folder / name, "--optimizer", name)
            self.assertEqual(said["groups"], [{"match": "*", "optimizer": name.lower()}])

    def test_steps__that_are_not_the_same_or_not_known__are_refused(self):
        path = self.changed(lambda state: state["state"][2].update(step=torch.tensor(9.0)))
        self.assert_refused(path, (), "'base.weight' has had 1 updates and 'head.weight' 9",
                            "--freeze GLOB")
        path = self.changed(lambda state: state["state"].pop(3))
        self.assert_refused(path, (), "'head.bias' has no exp_avg: it was never stepped",
                            "--freeze GLOB")
        self.assertEqual(converted(path, "--files", self.folder / "f", "--freeze", "*.bias")["tensors"], 4)
        path = self.save(adam(network()))
        self.assert_refused(path, ("--step", "5"), "--step says 5", "has made 1 steps")
        model = network()
        path = self.save(optim.SGD(model.parameters(), lr=0.1), model)
        self.assert_refused(path, (), "does not count steps", "--step N")

    def test_stepctl__when_it_refuses__is_heard(self):
        path = self.save(adam(network()))
        converted(path, "--store", self.folder / "full")
        code, _, err = convert(path, "--store", self.folder / "full")
        self.assertEqual(code, 1)
        self.assertIn("checkpoints of this job already", err)
        code, _, err = convert(path, "--store", self.store, "--stepctl", self.folder / "none")
        self.assertEqual(code, 1)
        self.assertIn("name it with --stepctl PATH", err)

    def test_numbers__that_are_not_finite__are_refused(self):
        path = self.changed(lambda state: state["state"][0]["exp_avg"][1].fill_(float("nan")))
        self.assert_refused(path, (), "'base.weight/exp_avg' is NaN or infinite at element 40")


if __name__ == "__main__":
    unittest.main(warnings="ignore")
