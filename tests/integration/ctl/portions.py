# SPDX-License-Identifier: Apache-2.0
"""stepctl, and a daemon, on a checkpoint that several daemons have written: all of them find in it what
they find in the one that one daemon has written.

    portions.py BIN SPLIT_CHECKPOINT
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
SPLIT = sys.argv.pop(2)
from processes import Daemon, write_images  # noqa: E402
from safetensors_file import read_file  # noqa: E402
from kept import BIN, END_S, asked, stepctl, train  # noqa: E402

CONFIG = """
checkpoint_on_exit: false
slice_elements: 1000
jobs:
  - name: kept
    mode: sync
    workers: 1
    groups: [{name: all, match: "*", optimizer: adam, lr: 0.01, ema_decay: 0.9}]
"""
STEP = "step-00000009"


class Portions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        write_images(cls.folder)
        (cls.folder / "stepd.yaml").write_text(CONFIG)
        cls.run_on("one", 9)
        cls.one = cls.folder / "one" / "kept" / STEP
        cls.split = {n: cls.folder / f"by{n}" / "kept" / STEP for n in (2, 5)}
        for daemons in cls.split:
            subprocess.run([SPLIT, cls.one, cls.folder / f"by{daemons}", str(daemons)], check=True,
                           timeout=END_S)

    @classmethod
    def run_on(cls, store, steps):
        """Trains in a store, and leaves a checkpoint. Its step."""
        with Daemon(f"{BIN}/stepd", "--config", f"{cls.folder}/stepd.yaml", "--shards", "3",
                    "--checkpoint-dir", cls.folder / store) as daemon:
            train(daemon, cls.folder, "kept", steps)
            return asked("--server", daemon.address, "checkpoint", "kept", "--wait", "50")["name"]

    def test_files__of_several__are_those_of_each(self):
        names = sorted(path.name for path in self.split[2].iterdir())
        self.assertEqual(names, ["manifest.json", "model-00001-of-00002.safetensors",
                                 "model-00002-of-00002.safetensors",
                                 "optimizer-00001-of-00002.safetensors",
                                 "optimizer-00002-of-00002.safetensors"])

    def test_stretches__put_together_by_their_names__are_the_tensors(self):
        whole, _ = read_file(self.one / "model.safetensors")
        for checkpoint in self.split.values():
            stretches, spread = {}, 0
            for path in checkpoint.glob("model-*"):
                for name, (_, shape, data) in read_file(path)[0].items():
                    tensor, mark, first = name.partition("@")
                    spread += mark != ""
                    self.assertEqual(shape if mark else None, [len(data) // 4] if mark else None)
                    stretches.setdefault(tensor, []).append((int(first or 0), data))
            joined = {name: b"".join(data for _, data in sorted(parts))
                      for name, parts in stretches.items()}
            self.assertEqual(joined.keys(), whole.keys())
            self.assertGreater(spread, 4)
            for name, data in joined.items():
                self.assertTrue(data == whole[name][2], name)

    def test_list__shows_it_as_any_other(self):
        one, = asked("list", self.folder / "one")["checkpoints"]
        for daemons in self.split:
            several, = asked("list", self.folder / f"by{daemons}")["checkpoints"]
            self.assertEqual(several["problem"], "")
            self.assertGreater(several.pop("bytes"), 0)
            self.assertEqual({**several, "bytes": 0, "age_s": 0, "stepd": ""},
                             {**one, "bytes": 0, "age_s": 0, "stepd": ""})

    def test_verify__finds_a_byte_that_has_changed_in_any_file(self):
        self.assertEqual(asked("verify", self.split[5])["bad"], 0)
        copy = pathlib.Path(shutil.copytree(self.split[2], self.folder / "damaged" / STEP))
        for path in copy.iterdir():
            data = bytearray(path.read_bytes())
            data[-7] ^= 4
            path.write_bytes(data)
            said = stepctl("verify", copy)
            self.assertEqual(said.returncode, 1, path)
            data[-7] ^= 4
            path.write_bytes(data)
        (copy / "optimizer-00002-of-00002.safetensors").unlink()
        self.assertIn("optimizer-00002-of-00002.safetensors", stepctl("verify", copy).stdout)
        (copy / "manifest.json").unlink()
        self.assertIn("is a checkpoint without its manifest.json", stepctl("verify", copy).stderr)

    def test_export__has_the_same_bytes(self):
        files = []
        for checkpoint in (self.one, *self.split.values()):
            for view in ("evaluation", "ema"):
                out = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "out.safetensors"
                asked("export", checkpoint, out, "--view", view)
                files.append(out.read_bytes())
        self.assertNotEqual(files[0], files[1])
        for i, data in enumerate(files):
            self.assertTrue(data == files[i % 2])

    def test_diff__finds_none(self):
        sides = (self.one, *self.split.values())
        for a in sides:
            for b in sides:
                said = asked("diff", a, b)
                self.assertTrue(said["same"], (a, b))
                self.assertEqual(said["manifest"], [])
                self.assertEqual(len(said["tensors"]), 16)
        self.assertTrue(asked("diff", self.split[2], self.one / "model.safetensors")["same"])

    def test_diff__leaves_no_file_behind(self):
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        subprocess.run([f"{BIN}/stepctl", "diff", self.split[2], self.split[5]], check=True,
                       capture_output=True, timeout=END_S, env={**os.environ, "TMPDIR": str(folder)})
        self.assertEqual(list(folder.iterdir()), [])

    def test_daemon__that_goes_on_from_it__comes_to_the_same_bits(self):
        stores = ("one", "by2", "by5")
        for store in stores:
            shutil.copytree(self.folder / store, self.folder / "again" / store)
        names = {self.run_on(f"again/{store}", 14) for store in stores}
        name, = names
        self.assertNotEqual(name, STEP)
        said = [asked("diff", self.folder / "again" / stores[0] / "kept" / name,
                      self.folder / "again" / store / "kept" / name) for store in stores[1:]]
        self.assertEqual([each["same"] for each in said], [True, True])

    def test_daemon__with_such_a_checkpoint_for_its_folder__refuses_it(self):
        done = subprocess.run([f"{BIN}/stepd", "--checkpoint-dir", self.split[2]],
                              capture_output=True, text=True, timeout=END_S)
        self.assertEqual(done.returncode, 78)
        self.assertIn("is a checkpoint, and not the folder", done.stderr)


if __name__ == "__main__":
    unittest.main()
