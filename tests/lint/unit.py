# SPDX-License-Identifier: Apache-2.0
"""Holds the unit of systemd to what it promises: how far the daemon is shut in.

systemd-analyze gives a unit marks from 0 (nothing can be reached) to 10, without systemd running;
what it does not look at is asked for here.
"""
import re
import shutil
import subprocess
import sys
import tempfile

from sources import ROOT, finish, project_files, skip

EXPOSURE_MOST = 1.5

# What has no mark, or could be lost without one's going over the limit.
PROMISED = ("Type=notify", "DynamicUser=yes", "ProtectSystem=strict", "MemoryDenyWriteExecute=yes",
            "SystemCallFilter=@system-service", "StateDirectory=stepd", "RuntimeDirectoryMode=0700",
            "LoadCredential=stepd.key", "LoadCredential=stepd.access")
PROMISED_NUMBERS = ("WatchdogSec", "LimitNOFILE")


def check(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    lines = set(text.splitlines())
    findings = [f"{path}: {line} is missing" for line in PROMISED if line not in lines]
    findings += [f"{path}: {name}= has no number" for name in PROMISED_NUMBERS
                 if not re.search(rf"^{name}=[1-9]", text, re.MULTILINE)]
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", path],
                          cwd=ROOT, capture_output=True, text=True)
    mark = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    if mark is None:
        return findings + [f"{path}: systemd-analyze gives no mark: {done.stdout}{done.stderr}"]
    print(f"{path}: exposure {mark.group(1)} of 10, at most {EXPOSURE_MOST}")
    if float(mark.group(1)) > EXPOSURE_MOST:
        findings.append(f"{path}: exposure {mark.group(1)} is above {EXPOSURE_MOST}; "
                        f"'systemd-analyze security --offline=true {path}' says by what")
    return findings


def merged(path):
    """The unit with all drop-ins that are beside it."""
    unit = (ROOT / path).read_text(encoding="utf-8")
    dropped = [re.sub(r"^(#.*|\\[Service\\])$", "", (ROOT / other).read_text(encoding="utf-8"),
                      flags=re.MULTILINE)
               for other in project_files(".conf") if other.startswith("deploy/systemd/")]
    return unit.replace("[Install]", "".join(dropped) + "\n[Install]"), len(dropped)


def check_merged(path):
    """So too with its drop-ins, which open it to a network and give it another user."""
    text, count = merged(path)
    with tempfile.NamedTemporaryFile("w", suffix=".service") as file:
        file.write(text)
        file.flush()
        done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                               file.name], capture_output=True, text=True)
    mark = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    if mark is None or float(mark.group(1)) > EXPOSURE_MOST:
        return [f"{path} with {count} drop-ins: {done.stdout[-300:]}{done.stderr}"]
    print(f"{path} with {count} drop-ins: exposure {mark.group(1)} of 10")
    return []


def main():
    if not shutil.which("systemd-analyze"):
        skip("systemd-analyze")
    units = project_files(".service")
    findings = [finding for path in units for finding in check(path) + check_merged(path)]
    return finish(f"{len(units)} unit", len(units), findings)


if __name__ == "__main__":
    sys.exit(main())
