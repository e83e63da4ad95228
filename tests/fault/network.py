# SPDX-License-Identifier: Apache-2.0
"""A network of one's own, in network namespaces: hosts around a router that can lose their packets.

enter() starts the script again as the root of a namespace that becomes the router. Each Host is
another namespace, which lives as long as a process in it; so whatever happens nothing stays behind.
Packets are dropped by a route to nowhere: nobody is told, as with a cable that is pulled out
somewhere in between.
"""
import contextlib
import os
import shutil
import subprocess
import sys

SKIPPED = 77
INSIDE = "--inside"
WAYS = (["--net"], ["--user", "--map-root-user", "--net"])  # with and without privileges


def skip(why):
    print(f"skipped: {why}")
    raise SystemExit(SKIPPED)


def enter():
    """Returns inside of the new namespace, or skips the test where it cannot be had."""
    if INSIDE in sys.argv:
        sys.argv.remove(INSIDE)
        _become_router()
        return
    for tool in ("ip", "unshare", "nsenter"):
        if shutil.which(tool) is None:
            skip(f"this machine has no {tool}")
    for way in WAYS:
        command = ["unshare", *way, "--"]
        if subprocess.run([*command, "true"], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0:
            sys.stdout.flush()
            os.execvp("unshare", [*command, sys.executable, *sys.argv, INSIDE])
    skip("no network namespace is allowed here")


def _become_router():
    try:
        with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as file:
            file.write("1")
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "try0", "type", "veth", "peer", "name", "try1")
        _run("ip", "link", "del", "try0")
    except (OSError, subprocess.CalledProcessError) as error:
        skip(f"this namespace routes nothing: {error}")


def _run(*command):
    subprocess.run(command, check=True)


class Space:
    """with Space() as space: subprocess.run([*space.within, "ip", "link"])

    A network namespace, which lives as long as a process in it. `files` are others that stand there
    in the place of the machine's own: {"/etc/hosts": path}."""

    def __init__(self, files=None):
        self.files = files or {}

    def __enter__(self):
        mount = ["--mount"] if self.files else []
        self.holder = subprocess.Popen(["unshare", "--net", *mount, "cat"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        self.holder.stdin.write(b"\n")
        self.holder.stdin.flush()
        self.holder.stdout.readline()  # it answers from within
        self.pid = str(self.holder.pid)
        self.within = ["nsenter", f"--net=/proc/{self.pid}/ns/net"]
        if self.files:
            self.within += [f"--mount=/proc/{self.pid}/ns/mnt", f"--wd={os.getcwd()}"]
        for name, path in self.files.items():
            self.run("mount", "--bind", path, name)
        self.run("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_):
        self.holder.stdin.close()
        self.holder.stdout.close()
        self.holder.wait()

    def run(self, *command):
        _run(*self.within, *command)


class Host:
    """with Host(1) as host: Daemon(..., listen=f"{host.address}:0", within=host.within)

    The line to the router leads through `length`, where one is given: lines.Length."""

    def __init__(self, number, length=None, files=None):
        self.address, self.router = f"10.111.{number}.2", f"10.111.{number}.1"
        self.link = f"host{number}"
        self.space, self.length = Space(files), length

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.within = stack.enter_context(self.space).within
            if self.length is None:
                _run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0",
                     "netns", self.space.pid)
                stack.callback(self._unlink)
            else:
                stack.callback(self._unlink)  # below the length, which ends first
                stack.enter_context(self.length).join(self.link, self.space)
            _run("ip", "address", "add", f"{self.router}/24", "dev", self.link)
            _run("ip", "link", "set", self.link, "up")
            self._inside("address", "add", f"{self.address}/24", "dev", "eth0")
            self._inside("link", "set", "eth0", "up")
            self._inside("route", "add", "default", "via", self.router)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _unlink(self):
        """The namespace's own end takes its time."""
        subprocess.run(["ip", "link", "del", self.link], stderr=subprocess.DEVNULL, check=False)

    def _inside(self, *command):
        self.space.run("ip", *command)

    def lose(self):
        """What is sent to it arrives nowhere."""
        _run("ip", "route", "add", "blackhole", f"{self.address}/32")

    def find(self):
        _run("ip", "route", "del", "blackhole", f"{self.address}/32")
