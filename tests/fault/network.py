# SPDX-License-Identifier: Apache-2.0
"""A network of one's own, in network namespaces: hosts around a router that can lose their packets.

enter() starts the script again as the root of a namespace that becomes the router. Each Host is
another namespace, which lives as long as a process in it; so whatever happens nothing stays behind.
Packets are dropped by a route to nowhere: nobody is told, as with a cable that is pulled out
somewhere in between.
"""
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


class Host:
    """with Host(1) as host: Daemon(..., listen=f"{host.address}:0", within=host.within)"""

    def __init__(self, number):
        self.address, self.router = f"10.111.{number}.2", f"10.111.{number}.1"
        self.link = f"host{number}"

    def __enter__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        self.holder.stdin.write(b"\n")
        self.holder.stdin.flush()
        self.holder.stdout.readline()  # it answers from within
        self.within = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]
        _run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns",
             str(self.holder.pid))
        _run("ip", "address", "add", f"{self.router}/24", "dev", self.link)
        _run("ip", "link", "set", self.link, "up")
        self._inside("link", "set", "lo", "up")
        self._inside("address", "add", f"{self.address}/24", "dev", "eth0")
        self._inside("link", "set", "eth0", "up")
        self._inside("route", "add", "default", "via", self.router)
        return self

    def __exit__(self, *_):
        _run("ip", "link", "del", self.link)  # the namespace's own end takes its time
        self.holder.stdin.close()
        self.holder.stdout.close()
        self.holder.wait()

    def _inside(self, *command):
        _run(*self.within, "ip", *command)

    def lose(self):
        """What is sent to it arrives nowhere."""
        _run("ip", "route", "add", "blackhole", f"{self.address}/32")

    def find(self):
        _run("ip", "route", "del", "blackhole", f"{self.address}/32")
