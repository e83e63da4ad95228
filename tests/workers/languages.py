# SPDX-License-Identifier: Apache-2.0
"""The workers of client/examples: what each needs, how it is built, how it is run.

What is built stays in build/workers, for all presets. Two tests that build the same one wait for
each other.
"""
import fcntl
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = SOURCE / "client/examples"
BUILT = SOURCE / "build/workers"
BUILD_S = 300
DEBIAN_GO = "/usr/share/gocode"
DEBIAN_JAVA = "/usr/share/java/protobuf.jar"


class Missing(Exception):
    """What is not here, and what installs it."""


def need(there, what, remedy="deploy/setup.sh test installs it"):
    if not there:
        raise Missing(f"{what} is not here ({remedy})")


def run(*command, env=None, folder=None):
    done = subprocess.run([str(c) for c in command], env={**os.environ, **(env or {})}, cwd=folder,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=BUILD_S, check=False)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}"


def protoc(flag, folder):
    need(shutil.which("protoc"), "protoc")
    folder.mkdir(parents=True, exist_ok=True)
    run("protoc", f"-I{SOURCE}/proto", f"--{flag}={folder}", f"{SOURCE}/proto/stepd.proto")


def build_python():
    need(importlib.util.find_spec("google.protobuf"), "Python's protobuf package")
    protoc("python_out", BUILT / "python")
    return [sys.executable, EXAMPLES / "python/softmax.py"], {"PYTHONPATH": f"{BUILT}/python"}


def build_go():
    need(shutil.which("go"), "Go")
    need(shutil.which("protoc-gen-go"), "protoc-gen-go")
    need(os.path.isdir(f"{DEBIAN_GO}/src/google.golang.org/protobuf"), "Go's protobuf package")
    protoc("go_out", BUILT / "go/src")
    run("go", "build", "-o", BUILT / "go/softmax", folder=EXAMPLES / "go",
        env={"GO111MODULE": "off", "GOPATH": f"{BUILT}/go:{DEBIAN_GO}", "GOFLAGS": "",
             "GOCACHE": f"{BUILT}/go/cache"})
    return [BUILT / "go/softmax"], {}


def build_node():
    need(shutil.which("node"), "Node")
    script = EXAMPLES / "node/softmax.js"
    env = {"NODE_PATH": f"{BUILT}/node_modules"}
    found = subprocess.run(["node", "-e", "require('protobufjs')"], env={**os.environ, **env},
                           stderr=subprocess.DEVNULL, check=False)
    need(found.returncode == 0, "protobufjs", "deploy/test.sh dev installs it, with npm")
    return ["node", script], env


def newer(target, sources):
    return target.exists() and all(s.stat().st_mtime <= target.stat().st_mtime for s in sources)


def build_java():
    need(shutil.which("javac"), "Java's compiler")
    need(os.path.isfile(DEBIAN_JAVA), "Java's protobuf package")
    classes, sources = BUILT / "java", sorted((EXAMPLES / "java").glob("*.java"))
    path = f"{DEBIAN_JAVA}:{classes}"
    if not newer(classes / "Softmax.class", [*sources, SOURCE / "proto/stepd.proto"]):
        protoc("java_out", classes)
        messages = sorted((classes / "stepd/v1").glob("*.java"))
        run("javac", "-cp", path, "-d", classes, *messages, *sources)
    return ["java", "-cp", path, "Softmax"], {}


BUILDERS = {"python": build_python, "go": build_go, "node": build_node, "java": build_java}


def build(language):
    """The worker's command and what its environment must have; raises Missing."""
    BUILT.mkdir(parents=True, exist_ok=True)
    with open(BUILT / f"{language}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command, env = BUILDERS[language]()
    return [str(part) for part in command], env
