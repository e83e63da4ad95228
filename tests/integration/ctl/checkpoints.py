# SPDX-License-Identifier: Apache-2.0
"""stepctl checkpoint against a daemon that keeps checkpoints, and list and verify on the files that are
left when it has ended.

    checkpoints.py BIN
"""
import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import Daemon  # noqa: E402
from kept import BIN, FILES, Kept, asked, stepctl  # noqa: E402

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


if __name__ == "__main__":
    unittest.main()
