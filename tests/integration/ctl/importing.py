# SPDX-License-Identifier: Apache-2.0
"""stepctl import: a checkpoint of weights and state that another program has written.

    importing.py BIN
"""
import array
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import Daemon, environment, write_images  # noqa: E402
from safetensors_file import read_file, write_file  # noqa: E402

BIN = sys.argv.pop(1)
END_S = 60
STEP = 7
GROUPS = '[{name: all, match: "*", optimizer: adam, lr: 0.01}]'
SHAPES = {"second": [3, 4], "first": [300], "scalar": []}  # not in the order of their names


def floats(n, seed):
    return array.array("f", [math.sin(seed + i) for i in range(n)]).tobytes()


def weights():
    return {name: ("F32", shape, floats(math.prod(shape), i))
            for i, (name, shape) in enumerate(SHAPES.items())}


def slots(*names):
    return {f"{name}/{slot}": ("F32", shape, floats(math.prod(shape), 10 * i + k))
            for i, (name, shape) in enumerate(SHAPES.items()) for k, slot in enumerate(names)}


class Case(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.store = self.folder / "store"

    def manifest(self):
        return json.loads((self.store / "net" / "step-00000007" / "manifest.json").read_text())

    def by_group(self, *keys):
        """What the manifest says of the slices, group by group."""
        return [tuple(group[key] for key in keys) for group in self.manifest()["slices"]["by_group"]]

    def stepctl(self, *arguments):
        return subprocess.run([f"{BIN}/stepctl", *map(str, arguments)], capture_output=True,
                              text=True, timeout=END_S, env=environment())

    def run_import(self, groups=GROUPS, of=None, state=None, step=STEP, more=()):
        (self.folder / "job.yaml").write_text(
            f"jobs:\n  - {{name: net, mode: sync, workers: 2, groups: {groups}}}\n")
        write_file(self.folder / "w", weights() if of is None else of)
        write_file(self.folder / "s", slots("exp_avg", "exp_avg_sq") if state is None else state)
        return self.stepctl("import", self.store, "--config", self.folder / "job.yaml", "--weights",
                            self.folder / "w", "--slots", self.folder / "s", "--step", step, *more)

    def assert_made(self, done):
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        shown = self.stepctl("verify", self.store)
        self.assertEqual((shown.returncode, shown.stdout), (0, "good  net/step-00000007\n"))

    def assert_refused(self, done, *texts):
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        for text in texts:
            self.assertIn(text, done.stderr)
        self.assertFalse(list(self.store.glob("*/*step-*")))


class Made(Case):
    def test_import__of_weights_and_slots__has_their_bytes(self):
        self.assert_made(self.run_import())
        checkpoint = self.store / "net" / "step-00000007"
        self.assertEqual(read_file(checkpoint / "model.safetensors")[0], weights())
        self.assertEqual(read_file(checkpoint / "optimizer.safetensors")[0],
                         slots("exp_avg", "exp_avg_sq"))

    def test_import__of_tensors__defines_them_as_they_lie_in_the_file(self):
        self.assert_made(self.run_import())
        tensors = self.manifest()["job"]["tensors"]
        self.assertEqual([(t["name"], t["shape"], t["init"]) for t in tensors],
                         [(name, shape, "values") for name, shape in SHAPES.items()])

    def test_import__as_json__says_what_was_made(self):
        done = self.run_import(more=("--json",))
        said = json.loads(done.stdout)
        sizes = [path.stat().st_size for path in (self.store / "net" / said["name"]).iterdir()]
        self.assertEqual(said, {"job": "net", "name": "step-00000007", "step": STEP, "tensors": 3,
                                "elements": 313, "bytes": sum(sizes)})

    def test_import__of_what_a_daemon_resumes__is_at_its_step(self):
        self.assert_made(self.run_import())
        with Daemon(f"{BIN}/stepd", "--checkpoint-dir", self.store) as daemon:
            daemon.wait_for("event=resumed job=net checkpoint=step-00000007")
            groups = json.loads(self.stepctl("--server", daemon.address, "groups", "--job", "net",
                                             "--json").stdout)
        self.assertEqual({row["tensor"]: row["version"] for row in groups["tensors"]},
                         dict.fromkeys(SHAPES, STEP))

    def test_import__of_a_network_of_stepd_train__is_trained_by_it(self):
        shapes = {"fc1.weight": [10, 784], "fc1.bias": [10]}
        network = {name: ("F32", shape, bytes(4 * math.prod(shape)))
                   for name, shape in shapes.items()}
        groups = '[{name: all, match: "*", optimizer: sgd, lr: 0.01}]'
        self.assert_made(self.run_import(groups, of=network, state={}))
        write_images(self.folder)
        with Daemon(f"{BIN}/stepd", "--checkpoint-dir", self.store) as daemon:
            workers = [subprocess.Popen(
                [f"{BIN}/stepd-train", "--server", daemon.address, "--job", "net", "--defined",
                 "--model", "softmax", "--data", self.folder, "--quiet", "--steps", "9",
                 "--rank", str(rank), "--world", "2"],
                stderr=subprocess.PIPE, text=True, env=environment()) for rank in range(2)]
            for worker in workers:
                self.addCleanup(worker.kill)
            said = [worker.communicate(timeout=END_S)[1] for worker in workers]
            self.assertEqual([worker.returncode for worker in workers], [0, 0], said)
            status = json.loads(self.stepctl("--server", daemon.address, "status", "--json").stdout)
        self.assertGreater(status["jobs"][0]["version_min"], STEP)

    def test_import__of_frozen_tensors__wants_no_slots_of_them(self):
        groups = ('[{name: kept, match: "first", frozen: true},'
                  ' {name: all, match: "*", optimizer: momentum, lr: 0.01}]')
        state = {name: slot for name, slot in slots("momentum_buffer").items() if "first" not in name}
        self.assert_made(self.run_import(groups, state=state))
        self.assertEqual(self.by_group("group", "version", "t"), [("kept", STEP, 0), ("all", STEP, STEP)])

    def test_import__in_a_later_phase__has_its_slots(self):
        groups = ('[{name: all, match: "*", optimizer: sgd, lr: 0.1,'
                  ' phases: [{from: 5, optimizer: momentum, lr: 0.01}]}]')
        self.assert_made(self.run_import(groups, state=slots("momentum_buffer")))
        self.assertEqual(self.by_group("t", "phase", "phase_began"), [(STEP, 1, 5)])

    def test_import__at_step_0__may_be_of_any_optimizer(self):
        groups = '[{name: all, match: "*", optimizer: nadam, lr: 0.01}]'
        self.assertEqual(self.run_import(groups, step=0).returncode, 0)


class Refused(Case):
    def test_import__of_a_job_that_has_checkpoints__leaves_them(self):
        self.assert_made(self.run_import())
        done = self.run_import(step=8)
        self.assertEqual(done.returncode, 1)
        self.assertIn("has checkpoints of this job already, such as net/step-00000007", done.stderr)
        self.assertEqual([path.name for path in self.store.glob("net/step-*")], ["step-00000007"])

    def test_import__where_a_daemon_is_at_work__is_refused(self):
        with Daemon(f"{BIN}/stepd", "--checkpoint-dir", self.store):
            self.assert_refused(self.run_import(), "store", "another")

    def test_import__of_files_that_do_not_fit__names_file_and_array(self):
        good = weights()
        adam = slots("exp_avg", "exp_avg_sq")
        for of, state, *texts in (
                (good, slots("exp_avg"), "/s: ", "exp_avg_sq"),
                (good, slots("exp_avg", "exp_avg_sq", "max_exp_avg_sq"), "/s: ", "max_exp_avg_sq"),
                (good, adam | {"first/exp_avg": ("F32", [299], floats(299, 0))}, "first/exp_avg"),
                (good | {"first": ("F16", [300], bytes(600))}, adam, "/w: ", "first"),
                (good | {"first": ("F32", [300], array.array("f", [math.nan] * 300).tobytes())}, adam,
                 "/w: 'first' is NaN or infinite at element 0"),
                (good | {"x" * 201: ("F32", [1], bytes(4))}, adam, "/w: ", "201 bytes"),
                ({}, {}, "/w: ")):
            with self.subTest(texts=texts):
                self.assert_refused(self.run_import(of=of, state=state), *texts)

    def test_import__of_what_no_file_has__names_the_group(self):
        for optimizer, text in (("nadam", "keeps numbers beside its slots"),
                                ("nesterov, form: interim", "computes gradients at a point")):
            groups = f'[{{name: all, match: "*", lr: 0.01, optimizer: {optimizer}}}]'
            self.assert_refused(self.run_import(groups, state={}), "group 'all'", text)

    def test_import__of_a_tensor_without_a_group__names_it(self):
        groups = '[{name: some, match: "s*", optimizer: sgd, lr: 0.01}]'
        self.assert_refused(self.run_import(groups, state={}), "first")

    def test_import__of_a_bad_file_of_jobs__names_the_line(self):
        self.assert_refused(self.run_import("[{name: a, match: x, optimizer: adma, lr: 1}]"),
                            "job.yaml:2: ", "adam")
        self.assert_refused(self.run_import(more=("--job", "nett")), "defines no job 'nett'", "net")

    def test_import__without_what_it_needs__is_exit_2(self):
        for arguments, text in (((), "DIR is missing"), (("a", "b"), "more than one DIR"),
                                (("a",), "--config"), (("a", "--config", "c"), "--weights"),
                                (("a", "--step", "-1"), "--step takes a whole number")):
            done = self.stepctl("import", *arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""), arguments)
            self.assertIn(text, done.stderr)


class Exported(Case):
    """An export in 16 bits, of a checkpoint that has what these cannot say."""

    def setUp(self):
        super().setUp()
        large = weights()
        for name, values in (("first", [65520.0]), ("second", [-7e4, 1e5, 65504.0, 3.4e38])):
            _, shape, data = large[name]
            changed = array.array("f", data)
            changed[:len(values)] = array.array("f", values)
            large[name] = ("F32", shape, changed.tobytes())
        self.assert_made(self.run_import(of=large))

    def export(self, dtype, *more):
        done = self.stepctl("export", self.store / "net" / "step-00000007", self.folder / "out",
                            "--dtype", dtype, *more)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_export__of_elements_beyond_the_type__counts_them_and_names_the_worst(self):
        said = json.loads(self.export("f16", "--json"))
        self.assertEqual((said["infinite"], said["worst"]),
                         (4, {"tensor": "second", "infinite": 3}))
        written = array.array("H", read_file(self.folder / "out")[0]["second"][2])
        self.assertEqual([bits & 0x7FFF == 0x7C00 for bits in written[:4]],
                         [True, True, False, True])

    def test_export__of_elements_beyond_the_type__says_so_to_people(self):
        self.assertIn("4 elements are beyond f16 and have become infinite, 3 of them in tensor "
                      "'second'; export them as bf16 or f32\n", self.export("f16"))

    def test_export__of_elements_beyond_bf16__counts_these_alone(self):
        said = json.loads(self.export("bf16", "--json"))
        self.assertEqual((said["infinite"], said["worst"]),
                         (1, {"tensor": "second", "infinite": 1}))

    def test_export__in_full__has_none(self):
        self.assertNotIn("infinite", self.export("f32"))


if __name__ == "__main__":
    unittest.main(warnings="ignore")
