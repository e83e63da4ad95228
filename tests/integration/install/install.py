# SPDX-License-Identifier: Apache-2.0
"""Installs the component `library` and builds the C example against it, as a stranger would.

    install.py BIN CMAKE BUILD SOURCE CC [SANITIZERS]

Three ways in: pkg-config, pkg-config --static, and CMake's find_package. What each of them built
then trains against a daemon. The library must show nothing but what the headers declare.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from processes import Daemon, environment, run_all  # noqa: E402

BIN, CMAKE, BUILD, SOURCE, CC, *SANITIZE = sys.argv[1:]
SANITIZERS = [f"-fsanitize={names}" for names in SANITIZE]
EXAMPLE = f"{SOURCE}/client/examples/c/linear.c"
TRAIN_S = 120

# All that the headers offer to a program by value.
IN_CPLUSPLUS = """\
#include <stepd/client.h>

int main()
{
    stepd_options options = STEPD_OPTIONS_INIT;
    stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    stepd_step_options step = STEPD_STEP_OPTIONS_INIT;
    const stepd_param params[] = {{"lr", 0.1, nullptr, nullptr, 0},
                                  {"eps_mode", 0, "inside", nullptr, 0}};
    const stepd_schedule_item item = {"linear", params, 1};
    const stepd_param_phase phase = {1000, "sgd", params, 1};
    stepd_param_group group{};
    group.params = params;
    group.params_count = 2;
    group.schedule_items = &item;
    group.phases = &phase;
    job.groups = job.defaults = &group;
    const stepd_hessian hessian = {0, nullptr};
    step.view = STEPD_EMA;
    step.hessians = &hessian;
    const stepd_tensor tensor{};
    const stepd_array array{};
    return options.rank + 1 + (int)(tensor.dims + array.tensor + step.hessians_count);
}
"""

CONSUMER = """\
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES C)
find_package(stepd 0.1 REQUIRED)
add_executable(linear {example})
target_link_libraries(linear PRIVATE stepd::stepd)
"""


def run(*command, env=None):
    result = subprocess.run(command, capture_output=True, text=True,
                            env={**environment(), **(env or {})})
    if result.returncode != 0:
        raise AssertionError(f"{command}: exit {result.returncode}\n"
                             f"{result.stdout}{result.stderr}")
    return result.stdout


def declared(prefix):
    """The functions that the installed headers offer."""
    text = "".join(path.read_text() for path in (prefix / "include/stepd").glob("*.h"))
    return set(re.findall(r"STEPD_EXPORT[^;(]*?\b(stepd_\w+)\(", text))


def exported(library):
    lines = run("nm", "-D", "--defined-only", str(library)).splitlines()
    names = {line.split()[-1] for line in lines}
    sanitizers = re.compile(r"_*(a|ub|t|l)san|__sancov|_init$|_fini$|__odr_asan")
    return {name for name in names if not sanitizers.match(name)}


def pkg_config(libdir, *flags):
    env = {"PKG_CONFIG_PATH": f"{libdir}/pkgconfig"}
    return run("pkg-config", *flags, "stepd", env=env).split()


def build_shared(prefix, libdir, out):
    flags = pkg_config(libdir, "--cflags", "--libs")
    run(CC, EXAMPLE, *flags, *SANITIZERS, f"-Wl,-rpath,{libdir}", "-o", str(out))
    return out


def build_static(prefix, libdir, out):
    """Everything of libstepd goes in; its packages stay shared, as in most installations."""
    flags = pkg_config(libdir, "--static", "--cflags", "--libs")
    flags = [f"{libdir}/libstepd.a" if flag == "-lstepd" else flag for flag in flags]
    run(CC, EXAMPLE, *flags, *SANITIZERS, "-o", str(out))
    return out


def build_with_cmake(prefix, libdir, out):
    out.mkdir()
    (out / "CMakeLists.txt").write_text(CONSUMER.format(example=EXAMPLE))
    flags = " ".join(SANITIZERS)
    run(CMAKE, "-G", "Ninja", "-S", str(out), "-B", str(out / "build"),
        f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_C_COMPILER={CC}", f"-DCMAKE_C_FLAGS={flags}")
    run(CMAKE, "--build", str(out / "build"))
    return out / "build/linear"


def check_cplusplus(prefix, folder):
    compiler = shutil.which("c++")
    if compiler is None:
        return "no C++ compiler: headers not tried in C++"
    source = folder / "include.cpp"
    source.write_text(IN_CPLUSPLUS)
    run(compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only",
        f"-I{prefix}/include", str(source))
    return "headers are fine in C++17"


def check_symbols(prefix, libdir):
    offers, shows = declared(prefix), exported(libdir / "libstepd.so")
    assert len(offers) > 15, f"only {sorted(offers)} found in the headers"
    assert shows == offers, f"shown but not offered: {sorted(shows - offers)}; " \
                            f"offered but not shown: {sorted(offers - shows)}"
    return f"{len(offers)} functions, all exported and no others"


def check_programs(folder):
    """Without a component everything is installed."""
    run(CMAKE, "--install", BUILD, "--prefix", str(folder))
    programs = sorted(path.name for path in (folder / "bin").iterdir())
    assert programs == ["stepctl", "stepd", "stepd-bench", "stepd-train"], programs
    unit = (folder / "lib/systemd/system/stepd.service").read_text()
    source = pathlib.Path(SOURCE, "deploy/systemd/stepd.service").read_text()
    assert f"\nExecStart={folder}/bin/stepd --config " in unit, unit
    assert unit.replace(f"{folder}/bin", "/usr/local/bin") == source, "more than its path differs"
    return "installed: " + ", ".join(programs) + ", and the unit that names the daemon"


def main():
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="install-test-") as name:
        folder = pathlib.Path(name)
        prefix = folder / "prefix"
        run(CMAKE, "--install", BUILD, "--prefix", str(prefix), "--component", "library")
        libdir = next(prefix.rglob("libstepd.so")).parent
        print(check_programs(folder / "all"))
        print(check_symbols(prefix, libdir))
        print(check_cplusplus(prefix, folder))
        programs = [build_shared(prefix, libdir, folder / "shared"),
                    build_static(prefix, libdir, folder / "static"),
                    build_with_cmake(prefix, libdir, folder / "cmake")]
        with Daemon(f"{BIN}/stepd") as daemon:
            commands = [[str(program), daemon.address, str(rank), str(len(programs))]
                        for rank, program in enumerate(programs)]
            outputs = run_all(commands, TRAIN_S)
        weights = {re.search(r"w = (.*), loss", output).group(1) for output in outputs}
        assert len(weights) == 1, f"the workers ended with different weights: {weights}"
        print(f"three workers, one model: w = {weights.pop()}")


main()
