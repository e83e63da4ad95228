#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may be one of several daemons, and for how long: real processes, loopback sockets.

    peers_login.py BIN [CASE ...]    the cases named, or all
"""
import datetime
import pathlib
import signal
import socket
import subprocess

from processes import Daemon, environment
from several import Peers, run_cases

OVER = "lets in daemons that it knows"


class Access:
    """A list of who may come in, and the tokens of those on it."""

    def __init__(self, runs):
        self.runs, self.folder = runs, pathlib.Path(runs.path("access"))
        self.folder.mkdir()
        self.lines = {}
        self.write()

    def add(self, who, role="peer", seconds=None):
        """Makes a token, good for so long from now on; gives its file."""
        code, said = self.runs.ctl("-", "token", "create", "--role", role, "--name", who, "--out",
                                   str(self.folder / who))
        assert code == 0, said
        words = next(line for line in said.splitlines() if "sha256:" in line).split()
        if seconds is not None:
            until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(0, seconds)
            words[3] = until.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.lines[who] = " ".join(words)
        self.write()
        return str(self.folder / who)

    def remove(self, who):
        del self.lines[who]
        self.write()

    def write(self):
        (self.folder / "list").write_text("".join(f"{line}\n" for line in self.lines.values()),
                                          encoding="utf-8")

    @property
    def flags(self):
        return ["--access-file", str(self.folder / "list")]


def reload(daemon):
    daemon.process.send_signal(signal.SIGHUP)


def two(runs, access, *member):
    """A first that has a list, and a member."""
    return Peers(runs.stepd, [["--shards", "1", *access.flags], ["--shards", "1", *member]])


# ---- For how long ----------------------------------------------------------------------------------

def check_revoked(runs):
    """A daemon whose line is taken off the list is one of them no more, and comes back with it."""
    access = Access(runs)
    token = access.add("fellow")
    line = access.lines["fellow"]
    with two(runs, access, "--peer-token-file", token) as peers:
        first, member = peers.daemon[0], peers.daemon[1]
        member.wait_for("event=joined")
        access.remove("fellow")
        reload(first)
        first.wait_for('event=login_ended daemon=1 reason="it is not on the list any more"')
        first.wait_for(f"event=daemon_lost place=1 .*{OVER}")
        member.wait_for(f"event=not_joined .*{OVER}")
        access.lines["fellow"] = line
        access.write()
        reload(first)
        assert first.said.wait_for_count("event=reign_begun", 2, 60), first.said.text()
    print("a daemon that is taken off the list has to go")


def check_revoked_early(runs):
    """So is one that waits with the first for others."""
    access = Access(runs)
    token = access.add("fellow")
    with Peers(runs.stepd, [["--shards", "1", *access.flags],
                            ["--shards", "1", "--peer-token-file", token], []],
               start=[0, 1]) as peers:
        first = peers.daemon[0]
        first.wait_for("event=daemon_joined place=1")
        access.remove("fellow")
        reload(first)
        first.wait_for("event=daemon_gone place=1")
        peers.daemon[1].wait_for(f"event=not_joined .*{OVER}")
    print("... before a reign has begun, too")


def check_expired(runs):
    """A daemon whose token has had its time is one of them no more."""
    access = Access(runs)
    token = access.add("fellow", seconds=8)
    with two(runs, access, "--peer-token-file", token) as peers:
        first, member = peers.daemon[0], peers.daemon[1]
        member.wait_for("event=joined")
        first.wait_for("event=login_ended daemon=1 reason=.*its line was good until")
        first.wait_for("event=daemon_lost place=1")
        member.wait_for(f"event=not_joined .*{OVER}")
    print("a daemon whose token has had its time has to go")


def check_rotated(runs):
    """Another token in the member's file: it is shown at once, and nothing is lost."""
    access = Access(runs)
    token, other = pathlib.Path(access.add("old")), pathlib.Path(access.add("new"))
    with two(runs, access, "--peer-token-file", str(token)) as peers:
        first, member = peers.daemon[0], peers.daemon[1]
        member.wait_for("event=joined")
        reload(first)
        first.wait_for("event=access_read lines=2")
        token.write_text("", encoding="utf-8")
        reload(member)
        member.wait_for("event=reload_failed .*peer_token_file: .*its first line has no token")
        member.wait_for("event=reloaded_in_part")
        assert not member.log("event=reloaded "), member.said.text()
        token.write_text(other.read_text(encoding="utf-8"), encoding="utf-8")
        reload(member)
        member.wait_for("event=peer_token_read")
        member.wait_for("event=link_back")
        access.remove("old")
        reload(first)
        first.wait_for("event=access_read lines=1")
        assert runs.train_at(peers.address, "--token-file", str(other)), "no weights"
        assert not first.log("event=daemon_lost|event=login_ended"), first.said.text()
    print("a token is changed while the daemon stays")


# ---- What is shown, and to whom --------------------------------------------------------------------

def start_in_vain(runs, *flags):
    """What a daemon says that does not start. One that does is waited for in vain."""
    said = subprocess.run([runs.stepd, "--listen", "127.0.0.1:0", *flags], stderr=subprocess.PIPE,
                          text=True, env=environment(), timeout=60, check=False)
    assert said.returncode == 78, said
    return said.stderr


def check_clear(runs):
    """A token goes to another host in clear only where that is asked for."""
    token = Access(runs).add("fellow")
    for first in ("192.0.2.2:1", "node1.invalid:1", "[2001:db8::1]:1"):
        to = ["--peers", f"{first},127.0.0.1:1", "--peer", "1", "--peer-token-file", token]
        said = start_in_vain(runs, *to)
        assert f"a token would go to {first} in clear" in said and "--insecure" in said, said
        with Daemon(runs.stepd, *to, "--insecure"):
            pass
        with Daemon(runs.stepd, *to[:-2]):
            pass
    for first in ("127.0.0.9:1", "[::1]:1", "localhost:1"):
        with Daemon(runs.stepd, "--peers", f"{first},127.0.0.1:2", "--peer", "1",
                    "--peer-token-file", token):
            pass
    print("a token does not go to another host in clear")


def check_worker(runs):
    """A worker's certificate, which is of the same CA, makes no daemon."""
    folder = runs.path("certs")
    code, said = runs.ctl("-", "certs", folder, "--hosts", "127.0.0.1", "--clients",
                          "node7")
    assert code == 0, said

    def shows(name):
        return ["--shards", "1", "--tls-cert", f"{folder}/{name}.pem", "--tls-key",
                f"{folder}/{name}.key", "--tls-client-ca", f"{folder}/ca.pem"]
    with Peers(runs.stepd, [shows("127.0.0.1"), shows("node7")]) as peers:
        first = peers.daemon[0]
        says = "does not hold for 127.0.0.1, which the list has in its place"
        peers.daemon[1].wait_for(f"event=not_joined .*{says}")
        first.wait_for(f"event=daemon_refused place=1 .*{says}")
        peers.stop(1)
        peers.flags[1] = shows("127.0.0.1")
        peers.start(1).wait_for("event=joined")
    access = pathlib.Path(runs.path("access"))
    access.write_text("node7 peer * never certificate:node7\n", encoding="utf-8")
    with Peers(runs.stepd, [[*shows("127.0.0.1"), "--access-file", str(access)],
                            shows("node7")]) as peers:
        peers.daemon[1].wait_for("event=joined")
    print("a worker's certificate makes no daemon, unless the list says so")


# ---- Coming in -------------------------------------------------------------------------------------

def check_mute(runs):
    """Control that accepts and says nothing is given up, and tried again."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(60)
        first = f"127.0.0.1:{mute.getsockname()[1]}"
        with Daemon(runs.stepd, "--peers", f"{first},127.0.0.1:1", "--peer", "1") as member:
            with mute.accept()[0]:
                member.wait_for("event=not_joined .*has not answered for 10000 ms")
                with mute.accept()[0]:
                    pass
    print("control that says nothing is given up after 10 s, and tried again")


def check_crowded(runs):
    """Connections that are taken keep no daemon out."""
    most, watching = 4, []
    with Peers(runs.stepd, [["--shards", "1", "--connections-max", str(most)], ["--shards", "1"]],
               start=[0]) as peers:
        first = peers.daemon[0]
        try:
            for _ in range(most + 2):
                watching.append(subprocess.Popen(
                    [f"{runs.bin}/stepctl", "--server", peers.address, "status", "--watch", "1"],
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()))
            first.wait_for("event=connections_full")
            first.wait_for(f"event=connection_refused .*connections_max is {most}.; try again")
            peers.start(1).wait_for("event=joined")
        finally:
            for process in watching:
                process.kill()
                process.wait()
    print("a daemon finds a place where all connections are taken")


def check_silent(runs):
    """Who waits for others says so in the log, and again."""
    with Peers(runs.stepd, [["--shards", "1"]] * 3, start=[0, 2]) as peers:
        peers.daemon[0].wait_for("event=waits_for_daemons missing=1 daemons=3 remedy=")
        peers.daemon[2].wait_for(f"event=waits_for_daemons control={peers.address}")
    print("who waits for other daemons says so")


def check_causes(runs):
    """A member whose TLS does not fit is told what does not."""
    ours, theirs = runs.path("certs"), runs.path("certs")
    for folder in (ours, theirs):
        code, said = runs.ctl("-", "certs", folder, "--hosts", "127.0.0.1")
        assert code == 0, said

    def shows(folder, ca=ours):
        return ["--tls-cert", f"{folder}/127.0.0.1.pem", "--tls-key", f"{folder}/127.0.0.1.key",
                "--tls-client-ca", f"{ca}/ca.pem"]
    tls, other, plain = shows(ours), shows(theirs), []
    for first, member, says in (
            (tls, other, "event=not_joined .*refuses what it is shown by TLS: .*unknown ca"),
            (plain, tls, "event=not_joined .*it does not speak TLS"),
            (tls, plain, "event=not_joined .*a daemon of its peers needs tls_cert, tls_key and "
                         "peer_ca")):
        with Peers(runs.stepd, [["--shards", "1", *first], ["--shards", "1", *member]]) as peers:
            peers.daemon[1].wait_for(says)
    print("a member whose TLS does not fit is told what does not")


def check_unix(runs):
    """Workers that reach control by its Unix socket dial the other daemons by TLS."""
    folder, path = runs.path("certs"), runs.path("socket")
    code, said = runs.ctl("-", "certs", folder, "--hosts", "127.0.0.1", "--clients", "w")
    assert code == 0, said
    daemon = ["--shards", "1", "--tls-cert", f"{folder}/127.0.0.1.pem", "--tls-key",
              f"{folder}/127.0.0.1.key", "--tls-client-ca", f"{folder}/ca.pem"]
    client = ["--tls-ca", f"{folder}/ca.pem", "--tls-cert", f"{folder}/w.pem", "--tls-key",
              f"{folder}/w.key"]
    with Peers(runs.stepd, [[*daemon, "--unix", path], daemon]) as peers:
        peers.daemon[1].wait_for("event=joined")
        assert runs.train_at(f"unix:{path}", *client) == runs.alone(), "other bits"
        try:
            runs.train_at(f"unix:{path}", "--job", "next")
        except AssertionError as error:
            assert "nothing says whom to trust there" in str(error), error
        else:
            raise AssertionError("a worker without a CA has dialled by TLS")
    print("by the Unix socket of the first, and by TLS to the others: the same bits")


CASES = {name.removeprefix("check_"): case for name, case in list(globals().items())
         if name.startswith("check_")}


if __name__ == "__main__":
    run_cases(CASES)
