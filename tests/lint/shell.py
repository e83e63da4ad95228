# SPDX-License-Identifier: Apache-2.0
"""Runs shellcheck over the scripts: those that end in .sh, those for Slurm, and the entry of the CI."""
import shutil
import subprocess
import sys

from sources import ROOT, finish, project_files, skip


def main():
    if not shutil.which("shellcheck"):
        skip("shellcheck")
    files = project_files(".sh", ".sbatch", ".ci/run")
    done = subprocess.run(["shellcheck", "--external-sources", "--format=gcc", *files], cwd=ROOT,
                          capture_output=True, text=True) if files else None
    findings = (done.stdout + done.stderr).splitlines() if done else []
    if done and done.returncode and not findings:
        findings = [f"shellcheck ended with status {done.returncode}"]
    return finish(f"{len(files)} scripts", len(files), findings)


if __name__ == "__main__":
    sys.exit(main())
