#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a training with stepd.torch says what it is and what to do: a gradient with NaN,
a model that changed, a server that dies or comes back, Ctrl-C; and the launchers that it runs under.

usage: trouble.py BIN
"""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
from unittest import mock

import torch_here  # noqa: F401
import numpy
import torch

import stepd
import stepd.torch
import stepd.torch.waiting
from need_stepd import BIN, PROMPT_S, DaemonCase, Interrupter, start_daemon
from processes import environment, run_all

WORKER = textwrap.dedent("""
    import sys
    import torch
    import stepd.torch
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 2)
    optimizer = stepd.torch.Optimizer(model, "sgd", lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.ones(3, 4)).square().sum().backward()
        optimizer.step()
    optimizer.wait()
    said = f"{optimizer.rank} {optimizer.world} {optimizer.outcome.version}\\n"
    sys.stdout.write(said)  # in one piece, as others write there, too
""")


def model_of(width=3):
    torch.manual_seed(4)
    return torch.nn.Sequential(torch.nn.Linear(5, width), torch.nn.Tanh(), torch.nn.Linear(width, 2))


def step(model, optimizer):
    optimizer.zero_grad()
    model(torch.ones(2, 5)).square().sum().backward()
    optimizer.step()


class Messages(DaemonCase):
    def make(self, model, optimizer="sgd", job=None, workers=1, rank=0, **options):
        made = stepd.torch.Optimizer(model, optimizer, **{"lr": 0.1, **options}, address=self.address,
                                     job=job or self.id().rpartition(".")[2], rank=rank, workers=workers)
        self.addCleanup(made.close, leave=False)
        return made

    def test_nan__names_the_tensor_and_the_rank(self):
        model = model_of()
        optimizer = self.make(model)
        step(model, optimizer)
        model(torch.ones(2, 5)).sum().backward()
        model[2].weight.grad[1, 2] = float("nan")
        with self.assertRaises(stepd.InvalidArgument) as caught:
            optimizer.step()
            optimizer.wait()
        self.assert_says(caught, "gradient of tensor '2.weight' from rank 0", "NaN or infinite at element 5")

    def test_nan__that_is_caught__leaves_a_training_that_goes_on(self):
        for mode in ("sync", "async"):
            torch.manual_seed(5)
            model = torch.nn.Sequential(torch.nn.Linear(5, 256), torch.nn.Linear(256, 256), torch.nn.Linear(256, 2))
            optimizer = self.make(model, job=f"goes-on-{mode}", mode=mode)
            for seed in range(6):
                optimizer.zero_grad()
                model(torch.ones(2, 5)).square().sum().mul(1e-4).backward()
                if seed % 2 == 0:
                    optimizer.step()
                    continue
                model[2].bias.grad[1] = float("nan")  # when that of 1.weight has left already
                with self.assertRaises(stepd.InvalidArgument):
                    optimizer.step()
            weights = optimizer.client.pull()
            for name, parameter in model.named_parameters():
                self.assertTrue(torch.equal(parameter.detach(), torch.from_numpy(weights[name])), name)
            optimizer.close()

    def test_nan__where_the_job_skips__costs_one_step(self):
        model = model_of()
        optimizer = self.make(model, settings={"nonfinite": "skip"})
        step(model, optimizer)
        optimizer.wait()
        before = model[0].weight.detach().clone()
        model[2].weight.grad[1, 2] = float("inf")
        optimizer.step()
        optimizer.wait()
        self.assertTrue(torch.equal(before, model[0].weight))
        self.assertEqual(optimizer.outcome.skipped, optimizer.outcome.slices)
        step(model, optimizer)
        optimizer.wait()
        self.assertFalse(torch.equal(before, model[0].weight))

    def test_a_model_that_changed_between_runs__is_named(self):
        first = self.make(model_of(), job="grown", workers=2)
        with self.assertRaises(stepd.InvalidArgument) as caught:
            self.make(model_of(width=7), job="grown", workers=2, rank=1)
        self.assert_says(caught, "'0.weight'")
        first.close(leave=False)

    def test_other_settings__are_named(self):
        self.make(model_of(), job="settled", workers=2)
        with self.assertRaises(stepd.InvalidArgument) as caught:
            self.make(model_of(), job="settled", workers=2, rank=1, lr=0.2)
        self.assert_says(caught, "lr")

    def test_settings_that_no_optimizer_has__name_the_nearest(self):
        with self.assertRaises(stepd.InvalidArgument) as caught:
            self.make(model_of(), "momentum", momentun=0.9)
        self.assert_says(caught, "momentun", "momentum")

    def test_states__that_are_ahead_of_the_server__are_refused(self):
        model = model_of()
        optimizer = self.make(model)
        step(model, optimizer)
        saved = optimizer.state_dict()
        optimizer.load_state_dict(saved)
        saved["stepd"]["version"] = 500
        with self.assertRaisesRegex(ValueError, "saved at version 500, and the server's job is at 1.*checkpoint"):
            optimizer.load_state_dict(saved)

    def test_weights__loaded_behind_the_servers_back__are_refused_and_its_own_are_not(self):
        model = model_of()
        optimizer = self.make(model, "momentum", momentum=0.9)
        for _ in range(3):
            step(model, optimizer)
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict({name: torch.zeros_like(value) for name, value in kept.items()})
        with self.assertRaisesRegex(RuntimeError, "'0.weight' has been written to.*refresh"):
            step(model, optimizer)
        model.load_state_dict(kept)  # as averages are swapped in and out
        step(model, optimizer)
        model.load_state_dict(kept)
        optimizer.refresh()
        self.assertFalse(torch.equal(model[0].weight, kept["0.weight"]))
        step(model, optimizer)
        self.assertEqual(optimizer.outcome.version, 5)

    def test_what_is_unfrozen_some_day__begins_in_a_group_without_a_rate(self):
        model = model_of()
        optimizer = self.make([{"params": model[2].named_parameters(prefix="2"), "name": "head"},
                               {"params": model[0].named_parameters(prefix="0"), "name": "body", "lr": 0}])
        before = model[0].weight.detach().clone()
        step(model, optimizer)
        self.assertTrue(torch.equal(model[0].weight, before))
        changed = optimizer.change(group="body", lr=0.1)
        while optimizer.outcome.version <= changed.version:
            step(model, optimizer)
        self.assertFalse(torch.equal(model[0].weight, before))

    def test_ctrl_c__in_a_wait__leaves_a_training_that_goes_on(self):
        (first, second), job = (model_of(), model_of()), "interrupted"
        made = [self.make(model, job=job, workers=2, rank=rank) for rank, model in enumerate((first, second))]
        asks = self.connect(job=job, observer=True)

        def parked():
            return any(found["parked"] for found in asks.status(job)["jobs"])
        with Interrupter(parked, signal.SIGINT), self.assertRaises(KeyboardInterrupt):
            step(first, made[0])

        other = threading.Thread(target=lambda: [step(second, made[1]) for _ in range(2)])
        other.start()
        step(first, made[0])
        other.join()
        self.assertEqual([optimizer.outcome.version for optimizer in made], [2, 2])
        self.assertTrue(torch.equal(first[0].weight, second[0].weight))

    def test_ctrl_c__while_other_workers_are_waited_for__ends_the_wait(self):
        model = model_of()
        first = self.make(model, job="waits", workers=2, wait="step")
        second = self.make(model_of(), job="waits", workers=2, rank=1, wait="step")
        asks = self.connect(job="waits", observer=True)

        def parked():
            return any(job["parked"] for job in asks.status("waits")["jobs"])
        with Interrupter(parked, signal.SIGINT), self.assertRaises(KeyboardInterrupt):
            step(model, first)
        second.close(leave=False)


class Waits(DaemonCase):
    """A wait that is long says for whom."""

    def setUp(self):
        patch = mock.patch.object(stepd.torch.waiting, "PATIENCE_S", 0.2)
        patch.start()
        self.addCleanup(patch.stop)
        step(*self.both(1)[0])  # what PyTorch loads when first it is used

    def both(self, workers, count=1, **options):
        """Some of a job's workers, each a model and its optimizer."""
        made = []
        for rank in range(count):
            model = model_of()
            made.append((model, stepd.torch.Optimizer(
                model, "sgd", lr=0.1, address=self.address, rank=rank, workers=workers,
                job=f"{self.id().rpartition('.')[2]}{workers}", **options)))
            self.addCleanup(made[-1][1].close, leave=False)
        return made

    def said_while(self, work, until):
        """What is logged while work() waits in another thread, which until() ends."""
        thread = threading.Thread(target=work)
        with self.assertLogs("stepd.torch", "WARNING") as caught:
            thread.start()
            end = time.monotonic() + PROMPT_S
            while not caught.output and time.monotonic() < end:
                os.sched_yield()
            until()
            thread.join()
        return caught.output[0]

    def test_a_worker__whose_gradient_was_refused__is_named_to_the_others(self):
        (first, optimizer), (second, other) = self.both(2, count=2)
        second(torch.ones(2, 5)).sum().backward()
        second[0].weight.grad[0, 0] = float("nan")
        with self.assertRaises(stepd.InvalidArgument):
            other.step()
        said = self.said_while(lambda: step(first, optimizer), lambda: step(second, other))
        self.assertRegex(said, r"has waited \d+ s for rank 1 \(.*last heard of \d+ s ago\)")

    def test_workers__that_have_not_joined__are_counted(self):
        (model, optimizer), = self.both(3)

        def give_up():
            optimizer.close(leave=False)

        def work():
            with self.assertRaises(stepd.Cancelled):
                step(model, optimizer)
        self.assertRegex(self.said_while(work, give_up), "for 2 of its 3 workers, which have not joined yet")

    def test_local_steps__say_it_too(self):
        made = []
        for rank in range(2):
            model = model_of()
            made.append((model, stepd.torch.LocalSteps(
                model, torch.optim.SGD(model.parameters(), lr=0.1), 1, address=self.address, rank=rank, workers=2,
                job="local")))
            self.addCleanup(made[-1][1].close, leave=False)
        said = self.said_while(lambda: step(*made[0]), lambda: step(*made[1]))
        self.assertRegex(said, "for rank 1")


# Holds the rank of a job until it is killed.
HOLDER = """
import sys, threading, torch, stepd.torch
model = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2))
holds = stepd.torch.Optimizer(model, "sgd", lr=0.1, address=sys.argv[1], job=sys.argv[2], rank=0, workers=1,
                              connect={"lease": 1.0})
print("holds", flush=True)
threading.Event().wait()
"""


class Ranks(DaemonCase):
    """A worker that has died has its rank until its lease runs out."""

    def make(self, rank, job):
        model = model_of()
        made = stepd.torch.Optimizer(model, "sgd", lr=0.1, address=self.address, job=job, rank=rank, workers=1,
                                     connect={"lease": 1.0})
        self.addCleanup(made.close, leave=False)
        return model, made

    def test_a_program__started_again_after_an_error__goes_on_at_once(self):
        for rank in (None, 0):
            with self.subTest(rank=rank):
                model, optimizer = self.make(rank, f"again{rank}")
                step(model, optimizer)
                optimizer.close(leave=False)
                with self.assertLogs("stepd.torch", "WARNING") as caught:
                    again, second = self.make(rank, f"again{rank}")
                self.assertEqual(len(caught.output), 1)
                self.assertRegex(caught.output[0], "job is at version 1 already.*goes on from the weights")
                self.assertTrue(torch.equal(again[0].weight, model[0].weight))
                step(again, second)

    def test_a_program__started_again_after_it_was_killed__waits_for_its_rank(self):
        for rank in (None, 0):
            with self.subTest(rank=rank):
                with subprocess.Popen([sys.executable, "-c", HOLDER, self.address, f"killed{rank}"],
                                      stdout=subprocess.PIPE) as holder:
                    self.assertEqual(holder.stdout.readline(), b"holds\n")
                    holder.kill()
                with self.assertLogs("stepd.torch", "WARNING") as caught:
                    step(*self.make(rank, f"killed{rank}"))
                self.assertRegex("\n".join(caught.output), "taken.*lease runs out by itself.*trying again")

    def test_a_rank__of_a_worker_that_lives__is_refused(self):
        for rank in (None, 0):
            with self.subTest(rank=rank):
                lives = self.connect(job=f"lives{rank}", rank=0, lease=1.0)
                lives.define({"w": numpy.zeros(1, numpy.float32)}, groups=[stepd.Group(optimizer="sgd", lr=0.1)])
                with self.assertLogs("stepd.torch", "WARNING"), self.assertRaisesRegex(stepd.Error, "taken"):
                    self.make(rank, f"lives{rank}")


class Servers(unittest.TestCase):
    def make(self, model, address, **options):
        made = stepd.torch.Optimizer(model, "momentum", lr=0.01, momentum=0.9, address=address, job="j",
                                     rank=0, workers=1, **options)
        self.addCleanup(made.close, leave=False)
        return made

    def test_a_server_that_dies__is_said_to_be_gone(self):
        model = model_of()
        daemon = start_daemon()
        daemon.__enter__()
        optimizer = self.make(model, daemon.address, connect={"reconnect_timeout": 0.5})
        step(model, optimizer)
        optimizer.wait()
        daemon.process.kill()
        daemon.process.wait()
        with self.assertRaises(stepd.Unavailable) as caught:
            for _ in range(2):
                step(model, optimizer)
            optimizer.wait()
        self.assertIn(daemon.address.rpartition(":")[2], str(caught.exception))

    def go_on(self, *flags, steps):
        """Trains, ends the daemon without a word, starts another one there; (model, optimizer)."""
        model = model_of()
        with start_daemon(*flags) as daemon:
            address = daemon.address
            optimizer = self.make(model, address)
            for _ in range(steps):
                step(model, optimizer)
            optimizer.wait()
            if flags:
                optimizer.client.checkpoint()
            for _ in range(2):
                step(model, optimizer)
            optimizer.wait()
            daemon.process.kill()
            daemon.process.wait()
            daemon.process.returncode = 0
        return model, optimizer, address

    def test_a_server_that_comes_back_from_a_checkpoint__gives_its_weights(self):
        other = model_of()
        theirs = torch.optim.SGD(other.parameters(), lr=0.01, momentum=0.9)
        for _ in range(3):
            step(other, theirs)
        with tempfile.TemporaryDirectory() as store:
            model, optimizer, address = self.go_on("--checkpoint-dir", store, steps=3)
            with start_daemon("--checkpoint-dir", store, listen=address):
                with self.assertWarnsRegex(RuntimeWarning, "went back to a checkpoint.* of version 3") as caught:
                    step(model, optimizer)
                self.assertEqual(caught.filename, __file__)
                for ours, wanted in zip(model.parameters(), other.parameters()):
                    torch.testing.assert_close(ours, wanted)
                step(other, theirs)  # with the buffers of momentum that were in the checkpoint
                step(model, optimizer)
                optimizer.wait()
                for ours, wanted in zip(model.parameters(), other.parameters()):
                    torch.testing.assert_close(ours, wanted)
                optimizer.close(leave=False)

    def test_a_server_that_comes_back_with_nothing__is_given_the_weights(self):
        model, optimizer, address = self.go_on(steps=3)
        before = [p.detach().clone() for p in model.parameters()]
        with start_daemon(listen=address):
            with self.assertWarnsRegex(RuntimeWarning, "lost the job's state.*moments.*schedule begin anew") as caught:
                step(model, optimizer)
            self.assertEqual(caught.filename, __file__)
            for ours, wanted in zip(model.parameters(), before):
                self.assertTrue(torch.equal(ours, wanted))
            step(model, optimizer)
            optimizer.wait()
            self.assertFalse(torch.equal(model[0].weight, before[0]))
            optimizer.close(leave=False)

    def test_a_server_that_comes_back__with_raise__is_the_programs_matter(self):
        model, optimizer, address = self.go_on(steps=1)
        optimizer.on_rollback = "raise"
        with start_daemon(listen=address):
            with self.assertRaises(stepd.RolledBack):
                step(model, optimizer)
                optimizer.wait()
            optimizer.close(leave=False)


class Launchers(DaemonCase):
    def run_worker(self, command, **env):
        with tempfile.TemporaryDirectory() as folder:
            script = pathlib.Path(folder) / "worker.py"
            script.write_text(WORKER, encoding="utf-8")
            done = subprocess.run([*command, str(script)], capture_output=True, text=True, timeout=120,
                                  check=False, env={**environment(), "STEPD_ADDRESS": self.address,
                                                    "STEPD_JOB": self.id().rpartition(".")[2], **env})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def check_two(self, output):
        for rank in range(2):
            self.assertRegex(output, rf"(?m)\b{rank} 2 5$")

    def test_stepctl_launch(self):
        self.check_two(self.run_worker([f"{BIN}/stepctl", "launch", "-n", "2", "--", sys.executable]))

    def test_torchrun(self):
        self.check_two(self.run_worker([sys.executable, "-m", "torch.distributed.run", "--standalone",
                                        "--nproc-per-node", "2"]))

    def test_slurm(self):
        with tempfile.TemporaryDirectory() as folder:
            script = pathlib.Path(folder) / "worker.py"
            script.write_text(WORKER, encoding="utf-8")
            commands = [["env", f"SLURM_PROCID={rank}", "SLURM_NTASKS=2", sys.executable, str(script)]
                        for rank in range(2)]
            outputs = run_all(commands, 120, {"STEPD_ADDRESS": self.address, "STEPD_JOB": "slurm"})
        self.check_two("".join(outputs))

    def test_by_hand(self):
        self.assertRegex(self.run_worker([sys.executable]), r"0 1 5$")


if __name__ == "__main__":
    sys.exit(unittest.main())
