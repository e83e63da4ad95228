#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`pip wheel` builds the package, and what it builds installs into a clean virtual environment and
passes tests there. Beside it there is only what the package says that it needs.

usage: wheel.py BIN [TEST ...]: these tests are run there
"""
import pathlib
import re
import subprocess
import sys
import tempfile
import venv
import zipfile

import need_stepd

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
TIMEOUT_S = 300
NO_INDEX = r"No matching distribution|Failed to establish a new connection|Temporary failure in name"


def run(*command, cwd=None):
    result = subprocess.run(command, cwd=cwd, timeout=TIMEOUT_S, text=True, check=False,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode != 0 and re.search(NO_INDEX, result.stdout):
        print(f"skipped: pip reaches no index of packages:\n{result.stdout}")
        sys.exit(need_stepd.SKIPPED)
    assert result.returncode == 0, f"{command}: exit {result.returncode}\n{result.stdout}"
    return result.stdout


def build(folder):
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir",
        folder, str(ROOT / "client/python"))
    [wheel] = pathlib.Path(folder).glob("*.whl")
    return wheel


def check_contents(wheel):
    """One module for all versions of Python, the types, and nothing of the build."""
    assert re.fullmatch(r"stepd-[\d.]+-cp39-abi3-linux_\w+\.whl", wheel.name), wheel.name
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("stepd/_stepd.abi3.so", "stepd/py.typed", "stepd/client.py"):
        assert needed in names, f"{needed} is missing: {names}"
    strangers = [name for name in names if not re.match(r"stepd(-[\d.]+\.dist-info)?/", name)]
    assert not strangers, strangers
    with tempfile.TemporaryDirectory() as folder:
        module = zipfile.ZipFile(wheel).extract("stepd/_stepd.abi3.so", folder)
        seen = run("nm", "--dynamic", "--defined-only", "--format", "just-symbols", module).split()
    assert seen == ["PyInit__stepd"], f"other libraries see {seen}"


def main():
    tests = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(folder)
        check_contents(wheel)
        clean = pathlib.Path(folder) / "clean"
        venv.create(clean, with_pip=True)
        python = str(clean / "bin/python")
        run(python, "-m", "pip", "install", str(wheel))
        packages = run(python, "-m", "pip", "list", "--format", "freeze")
        others = {line.partition("==")[0] for line in packages.splitlines() if "==" in line}
        assert others - {"pip", "setuptools"} == {"stepd", "numpy", "cffi", "pycparser"}, others
        version = run(python, "-c", "import stepd; print(stepd.__version__)").strip()
        assert version == wheel.name.split("-")[1], version
        for test in tests:
            print(f"{test}: {run(python, str(HERE / test), need_stepd.BIN, cwd=folder)}")
    print(f"{wheel.name}: {len(tests)} tests passed in a clean environment")


if __name__ == "__main__":
    main()
