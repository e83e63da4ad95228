#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers in processes of their own train with numpy through a daemon, and end where numpy alone
does."""
import multiprocessing
import unittest

import need_stepd
import numpy as np
import stepd

STEPS, ROWS, LR, MOMENTUM = 60, 32, 0.05, 0.9
TIMEOUT_S = 120
GROUPS = [stepd.Group("w", optimizer="momentum", lr=LR, momentum=MOMENTUM),
          stepd.Group("b", optimizer="sgd", lr=LR)]


def batch(step, rank):
    rng = np.random.default_rng([step, rank])
    x = rng.normal(size=(ROWS, 3)).astype(np.float32)
    return x, x @ np.array([3, -2, 0.5], np.float32) + np.float32(1)


def gradients(w, b, step, rank):
    """Of half the mean squared error, and that error."""
    x, y = batch(step, rank)
    miss = x @ w + b - y
    return x.T @ miss / np.float32(ROWS), miss.mean(dtype=np.float32), float((miss ** 2).mean())


def train(address, rank, world, results):
    """One worker; w, b and its first and last loss go into results."""
    with stepd.connect(address, job=f"line-{world}", rank=rank) as client:
        client.define({"w": np.zeros(3, np.float32), "b": np.zeros((), np.float32)}, workers=world,
                      groups=GROUPS)
        weights, losses = client.pull(), []
        for step in range(1, STEPS + 1):
            w, b, loss = gradients(weights["w"], weights["b"], step, rank)
            losses.append(loss)
            weights = client.step({"w": w, "b": np.asarray(b)}, examples=ROWS, loss=loss).weights
            client.report(step, loss, ROWS)
        client.barrier("end")
        results.put((weights["w"], float(weights["b"]), losses[0], losses[-1]))


def train_alone(world):
    """The same in numpy: each step is of the mean of the workers' gradients."""
    w, b, speed = np.zeros(3, np.float32), np.float32(0), None
    for step in range(1, STEPS + 1):
        made = [gradients(w, b, step, rank) for rank in range(world)]
        of_w = sum(one[0] for one in made) / np.float32(world)
        of_b = sum(one[1] for one in made) / np.float32(world)
        speed = of_w if speed is None else np.float32(MOMENTUM) * speed + of_w
        w = w - np.float32(LR) * speed
        b = b - np.float32(LR) * of_b
    return w, float(b)


class Training(need_stepd.DaemonCase):
    FLAGS = ("--shards", "2")

    def results_of(self, world):
        spawn = multiprocessing.get_context("spawn")
        results = spawn.Queue()
        workers = [spawn.Process(target=train, args=(self.address, rank, world, results))
                   for rank in range(world)]
        for worker in workers:
            worker.start()
        for worker in workers:
            self.addCleanup(worker.kill)
        for worker in workers:
            worker.join(TIMEOUT_S)
        self.assertEqual([worker.exitcode for worker in workers], [0] * world)
        return [results.get() for _ in workers]

    def test_one_worker__ends_with_numpys_bits(self):
        [(w, b, first, last)] = self.results_of(1)
        expected_w, expected_b = train_alone(1)
        np.testing.assert_array_equal(w, expected_w)
        self.assertEqual(b, expected_b)
        self.assertLess(last, first / 100)

    def test_two_workers__end_alike_where_numpy_does(self):
        (w, b, _, _), (other_w, other_b, _, _) = self.results_of(2)
        np.testing.assert_array_equal(w, other_w)
        self.assertEqual(b, other_b)
        expected_w, expected_b = train_alone(2)
        np.testing.assert_allclose(w, expected_w, rtol=1e-5)
        self.assertAlmostEqual(b, expected_b, delta=1e-5)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
