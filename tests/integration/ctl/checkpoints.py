# SPDX-License-Identifier: Apache-2.0
"""stepctl checkpoint against a daemon that keeps checkpoints, and list, verify, export and diff on
the files that are left when it has ended.

    checkpoints.py BIN
"""
import array
import json
import math
import os
import pathlib
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import Daemon, environment, write_images  # noqa: E402
from safetensors_file import read_file, write_file  # noqa: E402

BIN = sys.argv.pop(1)
END_S = 60
FILES = ("manifest.json", "model.safetensors", "optimizer.safetensors")
JOBS = """
checkpoint_on_exit: false
jobs:
  - name: kept
    mode: sync
    workers: 1
    groups: [{name: all, match: "*", optimizer: adam, lr: 0.01, ema_decay: 0.9}]
  - name: other
    mode: async
    workers: 1
    groups: [{name: all, match: "*", optimizer: adam, lr: 0.02, ema_decay: 0.9}]
  - name: blocked
    mode: sync
    workers: 1
    groups: [{name: all, match: "*", optimizer: sgd, lr: 0.01}]
"""


def stepctl(*arguments):
    return subprocess.run([f"{BIN}/stepctl", *map(str, arguments)], capture_output=True, text=True,
                          timeout=END_S, env=environment())


def asked(*arguments):
    """What a command says in JSON."""
    done = stepctl(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def floats(data):
    return array.array("f", data)


def train(daemon, folder, job, steps):
    subprocess.run([f"{BIN}/stepd-train", "--server", daemon.address, "--job", job, "--defined",
                    "--model", "mlp:784-16-10", "--data", folder, "--quiet", "--steps", str(steps)],
                   check=True, timeout=END_S, capture_output=True, env=environment())


class Kept(unittest.TestCase):
    """Jobs `kept` at step 9 and `other` at step 4, whose checkpoints stepctl has asked for; a file
    stands where those of `blocked` were to be. Made once, for all classes."""

    folder = None

    @classmethod
    def setUpClass(cls):
        if Kept.folder is None:
            Kept.folder = pathlib.Path(tempfile.mkdtemp())
            unittest.addModuleCleanup(shutil.rmtree, Kept.folder)
            Kept.make()

    @classmethod
    def make(cls):
        write_images(cls.folder)
        (cls.folder / "stepd.yaml").write_text(JOBS)
        cls.store = cls.folder / "store"
        with Daemon(f"{BIN}/stepd", "--config", f"{cls.folder}/stepd.yaml", "--shards", "2",
                    "--checkpoint-dir", cls.store) as daemon:
            where = ["--server", daemon.address]
            cls.unknown = stepctl(*where, "checkpoint", "nowhere")
            cls.early = stepctl(*where, "checkpoint", "kept")
            (cls.store / "blocked").write_text("")
            for job, steps in (("kept", 9), ("other", 4), ("blocked", 1)):
                train(daemon, cls.folder, job, steps)
            cls.taken = asked(*where, "checkpoint", "kept", "--wait", "50")
            cls.said = stepctl(*where, "checkpoint", "other")
            cls.refused = stepctl(*where, "checkpoint", "blocked")
            cls.shown = stepctl(*where, "status").stdout
            cls.status = {job["name"]: job for job in asked(*where, "status")["jobs"]}
        cls.checkpoint = cls.store / "kept" / cls.taken["name"]
        cls.other = cls.store / "other" / "step-00000004"

    def copy(self, within=""):
        """One that a test may damage, in a folder of its own."""
        folder = f"{tempfile.mkdtemp(dir=self.folder)}/{within}"
        return pathlib.Path(shutil.copytree(self.checkpoint, f"{folder}/step-00000009"))


class Live(Kept):
    def test_checkpoint__when_it_has_come__is_on_the_disk(self):
        self.assertEqual((self.taken["job"], self.taken["step"]), ("kept", 9))
        sizes = [(self.checkpoint / name).stat().st_size for name in FILES]
        self.assertEqual(self.taken["bytes"], sum(sizes))
        self.assertGreater(self.taken["seconds"], 0)

    def test_checkpoint__for_people__is_one_line(self):
        self.assertRegex(self.said.stdout,
                         r"^step-00000004: step 4, \S+ KiB, on the disk after \S+ s\n$")

    def test_checkpoint__of_an_unknown_job__is_exit_1(self):
        self.assertEqual(self.unknown.returncode, 1)
        self.assertIn("there is no job 'nowhere'", self.unknown.stderr)

    def test_checkpoint__of_a_job_that_has_not_started__is_exit_1(self):
        self.assertEqual(self.early.returncode, 1)
        self.assertIn("job 'kept' has not started", self.early.stderr)

    def test_checkpoint__that_cannot_be_written__says_why(self):
        self.assertEqual((self.refused.returncode, self.refused.stdout), (1, ""))
        self.assertIn("blocked: cannot", self.refused.stderr)

    def test_status__as_json__has_the_newest(self):
        newest = self.status["kept"]["checkpoint"]
        self.assertEqual((newest["name"], newest["step"], newest["bytes"]),
                         ("step-00000009", 9, self.taken["bytes"]))
        self.assertEqual(self.status["kept"]["checkpoint_failure"], "")
        self.assertIsNone(self.status["blocked"]["checkpoint"])
        self.assertIn("blocked: cannot", self.status["blocked"]["checkpoint_failure"])

    def test_status__of_a_daemon_started_again__has_the_one_that_it_goes_on_from(self):
        again = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "store"
        shutil.copytree(self.store, again, ignore=shutil.ignore_patterns("blocked"))
        with Daemon(f"{BIN}/stepd", "--config", f"{self.folder}/stepd.yaml",
                    "--checkpoint-dir", again) as daemon:
            status = {job["name"]: job for job in asked("--server", daemon.address, "status")["jobs"]}
        self.assertEqual({key: status["kept"]["checkpoint"][key] for key in ("name", "step", "bytes")},
                         {key: self.taken[key] for key in ("name", "step", "bytes")})
        self.assertIsNone(status["blocked"]["checkpoint"])

    def test_status__for_people__shows_the_newest_and_what_is_wrong(self):
        self.assertRegex(self.shown, r"(?m)^  checkpoint step-00000009, \S+ KiB, \S+ s ago$")
        self.assertRegex(self.shown, r"(?m)^  DEGRADED: no newer checkpoint could be written: blo")


class List(Kept):
    def test_list__of_all__is_by_jobs(self):
        found = asked("list", self.store)["checkpoints"]
        self.assertEqual([(c["job"], c["name"], c["mode"]) for c in found],
                         [("kept", "step-00000009", "sync"), ("other", "step-00000004", "async")])
        self.assertEqual(found[0]["bytes"], self.taken["bytes"])
        self.assertEqual([c["problem"] for c in found], ["", ""])

    def test_list__of_one_job__has_that_alone(self):
        for words in ((self.store, "other"), (self.store / "other",), (self.other,)):
            found = asked("list", *words)["checkpoints"]
            self.assertEqual([c["job"] for c in found], ["other"], words)

    def test_list__for_people__is_a_table(self):
        shown = stepctl("list", self.store).stdout
        self.assertRegex(shown, r"^JOB +CHECKPOINT +MODE +INCARNATION +SIZE +WRITTEN +PROBLEM\n")
        self.assertRegex(shown, r"(?m)^kept +step-00000009 +sync +\d+ +\S+ KiB +\S+ s ago$")

    def test_list__of_a_bad_manifest__says_what_is_wrong(self):
        bad = self.copy(within="of_job")
        (bad / "manifest.json").write_text("{}")
        for path in (bad.parent.parent, bad.parent, bad):
            found, = asked("list", path)["checkpoints"]
            self.assertIn("manifest.json", found["problem"])
            self.assertEqual(found["job"], bad.parent.name)

    def test_list__of_a_bad_file__says_what_is_wrong(self):
        def link(path):
            path.rename(f"{path}.elsewhere")
            path.symlink_to(f"{path}.elsewhere")
        for damage, text in ((os.unlink, "No such file or directory"),
                             (lambda path: os.truncate(path, 10), "has 10 bytes, and the manifest"),
                             (link, "it is a symbolic link")):
            for name in FILES[1:]:
                bad = self.copy()
                damage(bad / name)
                found, = asked("list", bad.parent)["checkpoints"]
                self.assertIn(f"{name}", found["problem"])
                self.assertIn(text, found["problem"])
                self.assertEqual((found["job"], found["mode"]), ("kept", "sync"))

    def test_list__of_nothing__is_exit_1(self):
        with tempfile.TemporaryDirectory() as empty:
            for words, text in (((empty,), "there is no checkpoint in"),
                                ((self.store, "nobody"), "there is no checkpoint of job nobody"),
                                ((f"{empty}/none",), "there is no folder")):
                done = stepctl("list", *words)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertIn(text, done.stderr)

    def test_list__of_a_linked_folder__passes_over_it(self):
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(self.store / "kept", f"{folder}/kept")
            self.assertIn("there is no checkpoint", stepctl("list", folder).stderr)


class Verify(Kept):
    def assert_bad(self, path, words):
        done = stepctl("verify", path)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, rf"^BAD .*{words}")

    def test_verify__of_all_that_are_good__is_exit_0(self):
        done = stepctl("verify", self.store)
        self.assertEqual((done.returncode, done.stdout),
                         (0, "good  kept/step-00000009\ngood  other/step-00000004\n"))
        self.assertEqual(asked("verify", self.checkpoint)["bad"], 0)

    def test_verify__of_a_changed_byte__names_the_file(self):
        for name in FILES:
            size = (self.checkpoint / name).stat().st_size
            for at in (9, size // 2, size - 1):
                bad = self.copy()
                data = bytearray((bad / name).read_bytes())
                data[at] ^= 4
                (bad / name).write_bytes(data)
                with self.subTest(name=name, at=at):
                    self.assert_bad(bad, name)

    def test_verify__of_a_file_cut_short__names_it(self):
        for name in FILES:
            bad = self.copy()
            os.truncate(bad / name, (bad / name).stat().st_size - 1)
            self.assert_bad(bad, name)

    def test_verify__of_a_missing_file__names_it(self):
        for name in FILES[1:]:
            bad = self.copy()
            (bad / name).unlink()
            self.assert_bad(bad, f"{name}: cannot open it: No such file")

    def test_verify__of_one_without_a_manifest__says_so(self):
        bad = self.copy()
        (bad / "manifest.json").unlink()
        done = stepctl("verify", bad)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(f"{bad} is a checkpoint without its manifest.json", done.stderr)

    def test_verify__of_a_linked_file__refuses_it(self):
        bad = self.copy()
        (bad / "model.safetensors").unlink()
        os.symlink(self.checkpoint / "model.safetensors", bad / "model.safetensors")
        self.assert_bad(bad, "model.safetensors")

    def test_verify__of_good_and_bad__is_exit_1_and_says_which(self):
        bad = self.copy()
        shutil.copytree(self.checkpoint, bad.parent / "step-00000008")
        (bad / "optimizer.safetensors").write_bytes(b"")
        done = stepctl("verify", bad.parent, "--json")
        self.assertEqual(done.returncode, 1)
        said = json.loads(done.stdout)
        self.assertEqual([(c["name"], c["good"]) for c in said["checkpoints"]],
                         [("step-00000009", False), ("step-00000008", True)])
        self.assertEqual(said["bad"], 1)


class Export(Kept):
    def export(self, *options):
        out = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "out.safetensors"
        said = asked("export", self.checkpoint, out, *options)
        self.assertEqual(said["bytes"], out.stat().st_size)
        self.assertEqual(os.listdir(out.parent), ["out.safetensors"])
        self.assertEqual((said["infinite"], said["worst"]), (0, None))
        return read_file(out)

    def assert_same(self, tensors, expected):
        self.assertEqual(list(tensors), list(expected))
        for name, tensor in tensors.items():
            self.assertTrue(tensor == expected[name], name)  # no diff of thousands of bytes

    def test_export__as_it_is__has_the_weights(self):
        tensors, texts = self.export()
        kept, _ = read_file(self.checkpoint / "model.safetensors")
        self.assert_same(tensors, kept)
        self.assertEqual(texts, {"format": "pt", "stepd_job": "kept", "stepd_step": "9"})

    def test_export__of_an_average__has_that(self):
        tensors, _ = self.export("--view", "ema")
        slots, _ = read_file(self.checkpoint / "optimizer.safetensors")
        self.assert_same(tensors, {name: slots[f"{name}/ema"] for name in tensors})

    def test_export__in_16_bits__is_rounded_to_the_nearest(self):
        kept, _ = read_file(self.checkpoint / "model.safetensors")
        for dtype, bits in (("f16", 11), ("bf16", 8)):
            tensors, _ = self.export("--dtype", dtype)
            for name, (said, shape, data) in tensors.items():
                self.assertEqual((said, shape), (dtype.upper(), kept[name][1]))
                narrow = array.array("H", data)
                for raw, exact in zip(narrow, floats(kept[name][2])):
                    value = (struct.unpack("<e", struct.pack("<H", raw)) if dtype == "f16" else
                             struct.unpack("<f", struct.pack("<I", raw << 16)))[0]
                    step = 2.0 ** max(math.frexp(exact)[1] - bits, -24 if dtype == "f16" else -133)
                    self.assertLessEqual(abs(value - exact), step / 2)

    def test_export__of_a_view_that_is_not_kept__is_exit_1(self):
        done = stepctl("export", self.checkpoint, self.folder / "none", "--view", "swa")
        self.assertEqual(done.returncode, 1)
        self.assertIn("keeps no running mean", done.stderr)
        self.assertFalse((self.folder / "none").exists())

    def test_export__of_a_bad_checkpoint__writes_nothing(self):
        bad = self.copy()
        data = bytearray((bad / "optimizer.safetensors").read_bytes())
        data[-1] ^= 1
        (bad / "optimizer.safetensors").write_bytes(data)
        done = stepctl("export", bad, self.folder / "none")
        self.assertEqual(done.returncode, 1)
        self.assertIn("bytes have changed on the disk", done.stderr)
        self.assertFalse((self.folder / "none").exists())

    def test_export__over_a_file__replaces_it(self):
        out = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "out"
        out.write_text("older")
        out.chmod(0o604)
        asked("export", self.checkpoint, out)
        self.assertEqual(os.listdir(out.parent), ["out"])
        self.assertEqual(len(read_file(out)[0]), 4)
        self.assertEqual(stat.S_IMODE(out.stat().st_mode), 0o604)

    def test_export__beside_what_another_one_writes__leaves_that(self):
        out = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "out"
        done = subprocess.run(["sh", "-c", 'echo theirs >"$3/.new-out"; echo "$$"; '
                               'echo theirs >"$3/.new-out-$$-0"; exec "$1" export "$2" "$3/out"',
                               "sh", f"{BIN}/stepctl", self.checkpoint, out.parent],
                              capture_output=True, text=True, timeout=END_S, env=environment())
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        theirs = [".new-out", f".new-out-{done.stdout.split()[0]}-0"]
        self.assertEqual(sorted(os.listdir(out.parent)), [*theirs, "out"])

    def test_export__to_what_is_no_file__leaves_it(self):
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        os.mkfifo(folder / "pipe")
        (folder / "link").symlink_to("file")
        (folder / "file").write_text("older")
        (folder / "folder").mkdir()
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        listening.bind(f"{folder}/socket")
        before = {path: path.lstat() for path in folder.iterdir()}
        for name, kind in (("pipe", "a pipe"), ("link", "a symbolic link"), ("folder", "a folder"),
                           ("socket", "a socket")):
            done = stepctl("export", self.checkpoint, folder / name)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(f"{folder}/{name} is {kind}, and only a file is replaced", done.stderr)
        self.assertEqual({path: path.lstat().st_ino for path in folder.iterdir()},
                         {path: old.st_ino for path, old in before.items()})
        self.assertEqual((folder / "file").read_text(), "older")

    def test_export__to_where_no_file_can_be__is_exit_1(self):
        for path in (self.folder / "nowhere" / "out", f"{self.folder}/"):
            done = stepctl("export", self.checkpoint, path)
            self.assertEqual((done.returncode, done.stdout), (1, ""))


class Diff(Kept):
    def pair(self, a, b):
        """What is said of two files with a tensor `t` each: (dtype, elements)."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        codes = {"F32": "f", "F16": "e", "F64": "d", "I64": "q"}
        for name, (dtype, elements) in (("a", a), ("b", b)):
            data = struct.pack(f"<{len(elements)}{codes[dtype]}", *elements)
            write_file(folder / name, {"t": (dtype, [len(elements)], data)})
        row, = asked("diff", folder / "a", folder / "b")["tensors"]
        return row["differing"], row["max"], row["mean"], row["note"]

    def test_diff__of_a_checkpoint_and_itself__is_the_same(self):
        said = asked("diff", self.checkpoint, self.checkpoint)
        self.assertTrue(said["same"])
        self.assertEqual(len(said["tensors"]), 4 + 4 * 3)  # weights; ema and two slots
        self.assertEqual(said["manifest"], [])

    def test_diff__of_two_checkpoints__has_max_and_mean_of_each(self):
        said = asked("diff", self.checkpoint, self.other)
        self.assertFalse(said["same"])
        rows = {row["tensor"]: row for row in said["tensors"]}
        for file in FILES[1:]:
            a, b = (read_file(path / file)[0] for path in (self.checkpoint, self.other))
            for name in a:
                apart = [abs(x - y) for x, y in zip(floats(a[name][2]), floats(b[name][2]))]
                self.assertEqual(rows[name]["max"], max(apart))
                self.assertAlmostEqual(rows[name]["mean"], sum(apart) / len(apart))
                self.assertEqual(rows[name]["differing"], sum(d != 0 for d in apart))

    def test_diff__of_two_checkpoints__says_what_else_differs(self):
        said = {row["what"]: (row["a"], row["b"])
                for row in asked("diff", self.checkpoint, self.other)["manifest"]}
        self.assertEqual(said["job.name"], ("kept", "other"))
        self.assertEqual(said["job.groups.all.lr"], (0.01, 0.02))
        self.assertEqual(said["snapshot.version"], (9, "as it stands"))
        self.assertEqual(said["slices.by_group.all.t"], (9, 4))
        self.assertEqual(said["slices.by_group.all.ranks.0.clock"], (9, 4))
        self.assertFalse([what for what in said if "checksum" in what or what.startswith("arrays")])

    def test_diff__of_all__says_when_and_by_whom_too(self):
        few, every = (asked("diff", self.checkpoint, self.other, *words)
                      for words in ((), ("--all",)))
        added = {row["what"] for row in every["manifest"]} - {row["what"] for row in few["manifest"]}
        self.assertLess({"snapshot.taken_ms", "members.0.session", "members.0.worker"}, added)
        self.assertEqual((few["left_out"], every["left_out"]), (len(added), 0))
        self.assertIn(f"\n{len(added)} more say only when and by whom it was made: --all shows them",
                      stepctl("diff", self.checkpoint, self.other).stdout)

    def test_diff__of_what_one_has_alone__is_null_in_the_other(self):
        def alone(one, other, side):
            return {row["what"] for row in asked("diff", one, other)["manifest"]
                    if row[side] is None}
        self.assertTrue(alone(self.checkpoint, self.other, "a"))
        self.assertEqual(alone(self.checkpoint, self.other, "a"),
                         alone(self.other, self.checkpoint, "b"))

    def test_diff__of_a_manifest_that_is_none__is_exit_1(self):
        bad = self.copy()
        (bad / "manifest.json").write_text("{}")
        done = stepctl("diff", self.checkpoint, bad)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(f"{bad}: manifest.json", done.stderr)

    def test_diff__of_a_checkpoint_and_a_file__compares_the_weights(self):
        asked("export", self.checkpoint, self.folder / "weights")
        said = asked("diff", self.checkpoint, self.folder / "weights")
        self.assertEqual((said["same"], len(said["tensors"])), (True, 4))
        self.assertIsNone(said["manifest"])

    def test_diff__for_people__is_a_table(self):
        shown = stepctl("diff", self.checkpoint, self.other).stdout
        self.assertRegex(shown, r"^TENSOR +SHAPE +DIFFERING +MAX +MEAN +NOTE\n")
        self.assertRegex(shown, r"(?m)^fc1\.weight +16x784 +\d+ +\S+ +\S+$")
        self.assertRegex(shown, r"\n\d+ of 16 differ\n")
        self.assertRegex(shown, r"(?m)^MANIFEST +A +B\n")
        self.assertRegex(shown, r'(?m)^job\.mode +"sync" +"async"$')
        self.assertRegex(shown, r"\n\d+ values of the manifests differ\n\d+ more say only when ")
        self.assertRegex(stepctl("diff", self.other, self.other).stdout,
                         r"\nall 16 are the same\nthe manifests say the same\n$")

    def test_diff__of_numbers_of_two_types__widens_both(self):
        self.assertEqual(self.pair(("F32", [1, 2, 3, 4]), ("F16", [1, 2, 3.5, 4])),
                         (1, 0.5, 0.125, "F32 in A, F16 in B"))

    def test_diff__of_doubles__is_exact(self):
        differing, largest, _, note = self.pair(("F64", [1, 2]), ("F64", [1 + 1e-12, 2]))
        self.assertEqual((differing, largest, note), (1, (1 + 1e-12) - 1, ""))
        self.assertEqual(self.pair(("F64", [1e300]), ("F64", [2e305])),
                         (1, 2e305 - 1e300, 2e305 - 1e300, ""))
        self.assertEqual(self.pair(("F64", [0.1]), ("F32", [0.1]))[0], 1)

    def test_diff__of_what_is_equal_in_other_bits__notes_it(self):
        self.assertEqual(self.pair(("F16", [0.5, 2]), ("F32", [0.5, 2])),
                         (0, 0.0, 0.0, "F16 in A, F32 in B"))
        self.assertEqual(self.pair(("F32", [0.5, -0.0, 0.0]), ("F32", [0.5, 0.0, 0.0])),
                         (0, 0.0, 0.0, "1 zeros of the other sign"))

    def test_diff__of_what_is_not_finite__says_so(self):
        self.assertEqual(self.pair(("F32", [math.nan, math.inf]), ("F32", [math.nan, math.inf])),
                         (0, 0.0, 0.0, ""))
        self.assertEqual(self.pair(("F32", [math.nan, 1]), ("F32", [0, 1])),
                         (1, None, None, "not finite in one of them"))

    def test_diff__of_integers__counts_those_that_differ(self):
        differing, largest, _, _ = self.pair(("I64", [1, 2]), ("I64", [1, 3]))
        self.assertEqual((differing, largest), (1, None))
        self.assertIn("it is of I64, and of F32", self.pair(("I64", [1]), ("F32", [1]))[3])

    def test_diff__of_other_tensors__says_where_they_are(self):
        one = ("F32", [1], struct.pack("<f", 1))
        two = ("F32", [2], struct.pack("<2f", 1, 2))
        write_file(self.folder / "one", {"both": one, "shape": one, "a\x1b[2J": one})
        write_file(self.folder / "two", {"both": one, "shape": two, "b": one})
        words = (self.folder / "one", self.folder / "two")
        self.assertEqual({r["tensor"]: r["note"] for r in asked("diff", *words)["tensors"]},
                         {"both": "", "shape": "of another shape in B", "a\x1b[2J": "only in A",
                          "b": "only in B"})
        self.assertNotIn("\x1b", stepctl("diff", *words).stdout)

    def test_diff__of_what_is_no_such_file__is_exit_1(self):
        os.symlink(self.checkpoint / "model.safetensors", self.folder / "link")
        (self.folder / "text").write_text("not one")
        for path, text in ((self.folder / "link", "it is a symbolic link"),
                           (self.folder / "none", "there is no such file"),
                           (self.folder / "text", "text: "),
                           (self.store, "is no checkpoint")):
            for words in ((path, self.checkpoint), (self.checkpoint, path)):
                done = stepctl("diff", *words)
                self.assertEqual((done.returncode, done.stdout), (1, ""), words)
                self.assertIn(text, done.stderr)


if __name__ == "__main__":
    unittest.main()
