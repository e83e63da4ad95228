# SPDX-License-Identifier: Apache-2.0
"""stepctl export and diff on checkpoints that a daemon has left.

    exports.py BIN
"""
import array
import math
import os
import pathlib
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import environment  # noqa: E402
from safetensors_file import read_file, write_file  # noqa: E402
from kept import BIN, END_S, FILES, Kept, asked, floats, stepctl  # noqa: E402

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

    def test_export__beside_what_a_killed_one_left__removes_that(self):
        out = self.folder / "out"
        dead = subprocess.Popen(["true"])
        dead.wait()
        for name in (f".new-out-{dead.pid}-0", f".new-out-{os.getpid()}-0", ".new-out-x-0",
                     f".new-other-{dead.pid}-0"):
            (self.folder / name).write_text("theirs")
        asked("export", self.checkpoint, out)
        left = {path.name for path in self.folder.glob(".new-*")}
        self.assertEqual(left, {f".new-out-{os.getpid()}-0", ".new-out-x-0",
                                f".new-other-{dead.pid}-0"})

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
