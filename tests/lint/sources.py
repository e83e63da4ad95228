# SPDX-License-Identifier: Apache-2.0
"""Which files are ours, and how a lint test ends.

Every lint test asks here for its files, so all of them look at the same tree: what git tracks plus
what it does not know yet and does not ignore. A file is therefore checked before it is committed.
Without git (an unpacked release) the folders are walked, without build/ and runs/.

A gate that selects nothing passes for ever, so every test ends in finish(): it prints how many
things were checked and fails when that is none.
"""
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = 77  # ctest's SKIP_RETURN_CODE of every lint test
NOT_OURS = {".git", "build", "runs", "__pycache__"}


def listed_by_git():
    """Paths relative to ROOT, or None where git or its folder is missing."""
    if not (ROOT / ".git").exists():
        return None
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others",
               "--exclude-standard"]
    try:
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return [path for path in listing.split("\0") if path]


def listed_by_walking():
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS]
        found += [str((Path(folder) / name).relative_to(ROOT)) for name in files]
    return found


def project_files(*suffixes):
    """Our files that end in one of the suffixes, sorted, relative to ROOT."""
    listed = listed_by_git()
    if listed is None:
        listed = listed_by_walking()
    # git still lists a file that was deleted and not yet staged.
    return sorted({path for path in listed
                   if path.endswith(suffixes) and (ROOT / path).is_file()})


def finish(checked, count, findings):
    """Prints findings and the count; returns the exit status."""
    for finding in findings:
        print(finding)
    print(f"checked {checked}: {len(findings)} finding{'' if len(findings) == 1 else 's'}")
    if count == 0:
        print("nothing was checked, and that is a failure")
    return 1 if findings or count == 0 else 0


def skip(tool):
    print(f"skipped: {tool} is not installed (deploy/setup.sh test installs it)")
    sys.exit(SKIPPED)
