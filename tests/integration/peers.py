#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several daemons serve one job: real processes, loopback sockets.

    peers.py BIN [CASE ...]    the cases named, or all
"""
import contextlib
import os
import pathlib
import re
import socket
import subprocess
import time

from processes import Daemon, environment
from several import (WORKERS, Link, Peers, Workers, free_addresses, run_cases, training,
                     wait_for_version)

import raw  # tests/fault, which several.py puts in the way

JOIN, JOINED = 34, 35  # of proto/stepd.proto

# ---- Bits ------------------------------------------------------------------------------------------

def check_bits(runs):
    """Two and three daemons with several numbers of shards give the bits of one."""
    one = runs.alone()
    for shards in ((1, 1), (2, 1), (1, 3), (1, 1, 2)):
        with Peers(runs.stepd, [["--shards", str(n)] for n in shards]) as peers:
            assert runs.train_at(peers.address) == one, f"{shards} shards give other bits"
            status = runs.status(peers.address)
            assert [d["state"] for d in status["daemons"]] == ["joined"] * len(shards), status
            assert [d["shards"] for d in status["daemons"]] == list(shards), status
            first = [1 + sum(shards[:i]) for i in range(len(shards))]
            assert [d["first_shard"] for d in status["daemons"]] == first, status
    print(f"{WORKERS} workers: two and three daemons give the bits of one")


def check_gate(runs):
    """Where the whole job is the unit, and where rounds are not alike."""
    for flags in (["--job-param", "clip_global_norm=0.1", "--job-param", "atomic=job"],
                  ["--job-param", "accumulate=3"]):
        one = runs.alone(*flags)
        with Peers(runs.stepd, [["--shards", "2"], ["--shards", "2"]]) as peers:
            assert runs.train_at(peers.address, *flags) == one, f"{flags}: other bits"
    print("a clip by the global norm and steps of several pushes: the same bits")


# ---- Coming ----------------------------------------------------------------------------------------

def check_late(runs):
    """Workers wait for all daemons, and are told for which."""
    one = runs.alone()
    with Peers(runs.stepd, [["--shards", "1"], ["--shards", "2"]], start=[0]) as peers:
        first = peers.daemon[0]
        status = runs.status(peers.address)
        assert [d["state"] for d in status["daemons"]] == ["joined", "missing"], status
        code, said = runs.ctl(peers.address, "status")
        assert code == 0 and "missing" in said and peers.addresses[1] in said, said
        waits = "the server waits for daemon 1 of its 2"
        assert waits in said and "0 jobs" not in said, said
        assert waits in status["jobs_unknown"], status
        for words in (["status", "--job", "train"], ["groups", "--job", "train"],
                      ["change", "--job", "train", "lr=1"], ["checkpoint", "train"]):
            code, said = runs.ctl(peers.address, *words)
            assert code != 0 and waits in said and "there is no job" not in said, (words, said)
        with training(runs, peers.address) as finish:
            first.wait_for("connection_refused.*the server waits for daemon 1 of its 2")
            peers.start(1)
            assert finish() == one, "daemons that came late give other bits"
        assert runs.status(peers.address)["jobs_unknown"] == ""
    with Peers(runs.stepd, [["--shards", "1"], ["--shards", "2"]], start=[1]) as peers:
        peers.daemon[1].wait_for("not_joined.*refused")
        peers.start(0)
        assert runs.train_at(peers.address) == one, "control that came late gives other bits"
    print("who comes late is waited for, by name")


def check_wrong(runs):
    """Daemons that do not fit are refused, with the remedy."""
    with Peers(runs.stepd, [["--shards", "1"], ["--shards", "1"]]) as peers:
        first, second = peers.daemon[0], peers.daemon[1]
        second.wait_for("event=joined")
        extra = free_addresses(2)

        def refused(flags, pattern):
            with Daemon(runs.stepd, *flags, listen=extra[0]) as daemon:
                daemon.wait_for("not_joined.*" + pattern)
                first.wait_for("daemon_refused.*" + pattern)
        listed = ",".join(peers.addresses)
        refused(["--peers", f"{listed},{extra[0]}"], "has 2 daemons, and that of daemon 2 has 3")
        refused(["--peers", f"{listed},{extra[1]}", "--peer", "1"],
                "has 2 daemons, and that of daemon 1 has 3")
        refused(["--peers", f"{peers.addresses[0]},{extra[0]}"],
                "differ behind their first entries")
        refused(["--peers", listed, "--peer", "1", "--advertise", peers.addresses[1]],
                "place 1 of the list is taken")
        with Daemon(runs.stepd, "--shards", "1", listen=extra[1]) as alone:
            refused_by = ["--peers", f"{alone.address},{extra[0]}"]
            with Daemon(runs.stepd, *refused_by, listen=extra[0]) as daemon:
                daemon.wait_for("not_joined.*not the first of any peers")
        runs_train = subprocess.run(runs.commands("-", peers.addresses[1])[0], env=environment(),
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                    timeout=60, check=False)
        assert runs_train.returncode != 0, runs_train
        assert "this daemon is not the first of its list" in runs_train.stdout, runs_train.stdout
        assert peers.address not in runs_train.stdout, runs_train.stdout
    for flags, text in ((["--peers", "127.0.0.1:1,127.0.0.1:2"], "--peer N"),
                        (["--peer", "1", "--check-config"], "peers names no daemons")):
        said = subprocess.run([runs.stepd, "--listen", extra[0], *flags], stderr=subprocess.PIPE,
                              text=True, env=environment(), timeout=60, check=False)
        assert said.returncode == 78 and text in said.stderr, said
    print("a daemon that does not fit is refused, and says why")


def check_member(runs):
    """A member says what it is, who has the jobs, and its own limits; of a job it says nothing."""
    with Peers(runs.stepd, [["--shards", "1"], ["--shards", "2", "--connections-max", "77"]],
               start=[1]) as peers:
        member = peers.addresses[1]
        peers.daemon[1].wait_for("not_joined")
        code, said = runs.ctl(member, "status")
        assert code == 0 and f"this is daemon 1 of 2, which has not joined {peers.address}: " \
            in said and "0 jobs" not in said, said
        peers.start(0)
        peers.daemon[1].wait_for("event=joined")
        code, said = runs.ctl(member, "status", "--limits")
        assert code == 0 and re.search(r"connections_max +1 +77 ", said), said
        assert "memory_max_bytes" not in said, said  # of the first, which judges jobs
        status = runs.status(member)
        assert status["place"] == 1 and status["jobs"] == [], status
        assert "this is daemon 1 of 2, which has joined; control runs in the first daemon of " \
            f"peers, {peers.address}" in status["jobs_unknown"], status
        assert [(d["place"], d["address"], d["state"], d["shards"]) for d in status["daemons"]] == \
            [(0, peers.address, "joined", 0), (1, member, "joined", 2)], status
        for words in (["status", "--job", "train"], ["checkpoint", "train"]):
            code, said = runs.ctl(member, *words)
            assert code != 0 and "ask there about jobs" in said, said
        assert runs.status(peers.address)["place"] == 0
    print("a member says what it is, and whom to ask")


def sum_of_list(addresses):
    """FNV-1a over all entries but the first, as control's daemon has it."""
    total = 14695981039346656037
    for byte in b"".join(address.lower().encode() + b"\0" for address in addresses[1:]):
        total = (total ^ byte) * 1099511628211 % 2**64
    return total


def join(addresses, **said):
    """Somebody who says that they are daemon 1, as a daemon does."""
    said = {"protocol": 1, "version": "", "ahead_ms": 0, **said}
    connection = raw.Connection(addresses[0])
    connection.socket.sendall(connection.frame(JOIN, [
        (1, said["protocol"]), (2, said["version"]), (3, 1), (4, "127.0.0.1:1"), (5, 1),
        (6, os.urandom(16)), (8, 1), (9, int(time.time() * 1000) + said["ahead_ms"]),
        (11, len(addresses)), (12, sum_of_list(addresses))]))
    return connection


def answers(connection):
    """What a daemon that joins is told."""
    try:
        return connection.read()
    except raw.Refused as refused:
        return str(refused)
    finally:
        connection.close()


def check_version(runs):
    """A daemon of another version is refused, with the remedy, and the operator sees it twice."""
    said = subprocess.run([runs.stepd, "--version"], stdout=subprocess.PIPE, text=True, timeout=60,
                          env=environment(), check=True)
    version = said.stdout.split()[1]
    with Peers(runs.stepd, [["--shards", "1"], ["--shards", "1"]], start=[0]) as peers:
        first = peers.daemon[0]
        told = answers(join(peers.addresses, version="9.8.7"))
        wanted = f"the first of peers is stepd {version}, and daemon 1 is stepd 9.8.7; install one " \
                 "version on all"
        assert told == wanted, told
        first.wait_for("event=daemon_refused place=1 .*" + wanted)
        told = answers(join(peers.addresses, version=version, protocol=2))
        assert "daemon 1 speaks 2; install one version of stepd on all" in told, told
        first.wait_for("event=daemon_refused place=1 .*daemon 1 speaks 2")
        assert [d["state"] for d in runs.status(peers.address)["daemons"]] == ["joined", "missing"]
        peers.start(1)
        assert runs.train_at(peers.address) == runs.alone(), "other bits after one was refused"
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.settimeout(60)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with Daemon(runs.stepd, "--peers", f"{address},127.0.0.1:1", "--peer", "1",
                    listen="127.0.0.1:0") as member:
            # Control of another version, which refuses in its own words.
            connection, _ = listener.accept()
            connection.recv(1 << 16)
            header = raw.encode([(raw.ERROR, raw.encode([(1, 9), (2, wanted)]))])
            frame = raw.encode([(1, header)])
            connection.sendall(raw.varint(len(frame)) + frame)
            member.wait_for("event=not_joined .*" + wanted)
            connection.close()
    print("a daemon of another version is refused, and both logs say what to do")


def check_clock(runs):
    """A clock that differs is warned of; nothing depends on it."""
    said = subprocess.run([runs.stepd, "--version"], stdout=subprocess.PIPE, text=True, timeout=60,
                          env=environment(), check=True)
    version = said.stdout.split()[1]
    with Peers(runs.stepd, [["--shards", "1"], ["--shards", "1"]], start=[0]) as peers:
        first = peers.daemon[0]
        for ahead_ms, logged in ((3600_000, "3[56][0-9]{5}"), (-7000, "-[67][0-9]{3}")):
            # Where one was before, its reign must end first.
            told = [None]
            while told[0] != JOINED:
                connection = join(peers.addresses, version=version, ahead_ms=ahead_ms)
                with contextlib.suppress(raw.Refused):
                    told = connection.read()
            first.wait_for(f"level=warn event=clock_differs place=1 ahead_ms={logged} "
                           "consequence=.*times in the logs")
            status = runs.status(peers.address)["daemons"][1]
            assert abs(status["clock_ahead_ms"] - ahead_ms) < 2000, status
            connection.close()
        assert first.said.text().count("clock_differs") == 2, first.said.text()
        peers.start(1).wait_for("event=joined")
        assert runs.train_at(peers.address) == runs.alone(), "other bits after clocks differed"
    print("a clock that differs is warned of")


# ---- Links that are cut ----------------------------------------------------------------------------

def check_cut(runs):
    """A link that is cut for less than the lease: nothing is lost, and nobody begins anew."""
    steps = 400
    one = runs.alone(steps=steps)
    with Peers(runs.stepd, [["--shards", "1"], ["--shards", "2"]], start=[0]) as peers, \
            Link(peers.address) as link:
        first = peers.daemon[0]
        second = peers.start(1, "--peer", "1", first=link.address)
        with training(runs, peers.address, steps=steps) as finish:
            for part in (1, 2, 3, 4):
                wait_for_version(runs, peers.address, part * steps // 6)
                link.cut()
                first.said.wait_for_next("event=daemon_back", 30)
            assert finish() == one, "a link that was cut gives other bits"
        first.wait_for("daemon_away")
        assert not first.log("daemon_lost"), first.said.text()
        second.wait_for("link_back")
    print("a link that is cut goes on where it was: the same bits")


def assert_forgotten(finish):
    """The workers of a job that nothing is left of say so."""
    try:
        finish()
    except AssertionError as error:
        assert "lost the job" in str(error) or "no longer at" in str(error), error
    else:
        raise AssertionError("nobody has noticed that the job began anew")


def check_lost(runs):
    """A link that is cut for longer: the daemon is lost, and the job begins anew without a
    checkpoint."""
    steps = 20000  # workers reach both daemons, and go on until the lease is over
    lease = ["--peer-lease-ms", "700"]
    with Peers(runs.stepd, [["--shards", "1", *lease], ["--shards", "2", *lease]],
               start=[0]) as peers, Link(peers.address) as link:
        first = peers.daemon[0]
        peers.start(1, "--peer", "1", first=link.address)
        with training(runs, peers.address, steps=steps) as finish:
            wait_for_version(runs, peers.address, 75)
            link.close()
            first.wait_for("daemon_lost.*place=1")
            link.open = True
            assert first.said.wait_for_count("event=reign_begun", 2, 30), first.said.text()
            assert_forgotten(finish)
        assert runs.train_at(peers.address, "--job", "next") == runs.alone(), \
            "other bits in the next reign"
    print("a daemon that is lost ends the reign, and the job begins anew")


# ---- Daemons that die ------------------------------------------------------------------------------

def check_killed(runs):
    """A daemon that is killed and started again, whichever it is."""
    steps = 300
    for place in (1, 0):
        with Peers(runs.stepd, [["--shards", "1"], ["--shards", "2"]]) as peers:
            with training(runs, peers.address, steps=steps) as finish:
                wait_for_version(runs, peers.address, steps // 4)
                peers.kill(place)
                peers.start(place)
                assert_forgotten(finish)
            assert runs.train_at(peers.address, "--job", "next") == runs.alone(), \
                f"daemon {place} was killed: other bits afterwards"
    print("member or control killed and started again: a new reign, and the same bits")


def check_leaves(runs):
    """A member daemon that is told to end does so in good order."""
    with Peers(runs.stepd, [["--shards", "1"], ["--shards", "1"]]) as peers:
        peers.daemon[1].wait_for("event=joined")
        peers.stop(1)
        peers.daemon[0].wait_for("event=daemon_left.*place=1")
        status = runs.status(peers.address)
        assert [d["state"] for d in status["daemons"]] == ["joined", "missing"], status
        peers.start(1)
        assert runs.train_at(peers.address) == runs.alone(), "other bits after one has left"
    print("a daemon that leaves says so, and may come again")


# ---- Checkpoints -----------------------------------------------------------------------------------

def keeping(runs, *more):
    store = runs.path("store")
    return ["--checkpoint-dir", store, "--checkpoint-every-steps", "40", *more], store


def check_resumed(runs):
    """Whichever daemon dies, the job goes on from its newest checkpoint, to the same bits."""
    steps = 400
    one = runs.alone(steps=steps)
    for place, shards, end in ((1, (1, 2), "kill"), (0, (2, 1), "kill"), (2, (1, 1, 1), "kill"),
                               (1, (1, 1), "stop"), (0, (1, 1), "stop")):
        flags, _ = keeping(runs)
        with Peers(runs.stepd, [["--shards", str(n), *flags] for n in shards]) as peers:
            with Workers(runs, peers.address, steps) as workers:
                wait_for_version(runs, peers.address, 100)
                peers.daemon[0].wait_for("event=checkpoint ")
                getattr(peers, end)(place)
                peers.start(place)
                bits = workers.finish()
                peers.daemon[0].wait_for("event=job_restored")
                assert bits == one, f"{end} of daemon {place} of {shards}: other bits"
    print("a daemon that is killed or stopped, and started again: the job goes on, the same bits")


def check_planned(runs):
    """Whichever daemon is told to end, no step is lost: none is made behind the last checkpoint."""
    steps = 400
    one = runs.alone(steps=steps)
    for place in (1, 0):
        flags = ["--checkpoint-dir", runs.path("store"), "--checkpoint-every-steps", "100000"]
        with Peers(runs.stepd, [["--shards", str(n), *flags] for n in (1, 2)]) as peers, \
                Workers(runs, peers.address, steps) as workers:
            wait_for_version(runs, peers.address, 100)
            peers.stop(place)
            peers.start(place)
            bits = workers.finish()
            said = workers.running[0].communicate()[0]
            went = re.search(r"went back from step (\d+) to step (\d+)", said)
            assert went and went.group(1) == went.group(2), f"daemon {place}: {said}"
            assert bits == one, f"daemon {place} was told to end: other bits"
    print("a daemon is told to end, and started again: no step is made twice")


def check_moved(runs):
    """What two daemons have written one goes on from, and three, and two what one has."""
    steps = 300
    one = runs.alone(steps=steps)

    def begin(shards):
        """The first half; gives the folder that it leaves."""
        flags, store = keeping(runs)
        with Peers(runs.stepd, [["--shards", str(n), *flags] for n in shards]) as peers, \
                Workers(runs, peers.address, steps):
            wait_for_version(runs, peers.address, 100)
        return store

    def end(shards, store):
        flags = ["--checkpoint-dir", store]
        if len(shards) == 1:
            with Daemon(runs.stepd, "--slice-elements", "4096", "--shards", str(shards[0]),
                        *flags) as daemon, Workers(runs, daemon.address, steps) as workers:
                assert daemon.log("event=job_restored"), daemon.said.text()
                return workers.finish()
        with Peers(runs.stepd, [["--shards", str(n), *flags] for n in shards]) as peers, \
                Workers(runs, peers.address, steps) as workers:
            peers.daemon[0].wait_for("event=job_restored")
            return workers.finish()
    for before, after in (((1, 2), (2,)), ((1, 2), (1, 1, 1)), ((2, 1), (1, 1))):
        assert end(after, begin(before)) == one, f"from {before} to {after} shards: other bits"
    print("a checkpoint of two daemons is gone on from by one, two and three: the same bits")


def check_folder(runs):
    """A daemon that sees another folder than control's is refused, and says what is to be done."""
    flags, _ = keeping(runs)
    other, _ = keeping(runs)
    with Peers(runs.stepd, [["--shards", "1", *flags], ["--shards", "1", *other]]) as peers:
        peers.daemon[1].wait_for("not_joined.*is not the folder of control's daemon")
        peers.daemon[0].wait_for("daemon_lost.*give every daemon the same folder")
        peers.daemon[0].wait_for("daemon_refused.*start it again")
        peers.stop(1)
        peers.flags[1] = ["--shards", "1", *flags]
        peers.start(1)
        assert runs.train_at(peers.address) == runs.alone(), "other bits after the folder was mended"
    print("daemons must see one folder of checkpoints")


def check_first_weights(runs):
    """A job that begins with the weights of a file, which each daemon reads for its own shards."""
    first = runs.path("first")
    with Daemon(runs.stepd, "--slice-elements", "4096") as daemon:
        weights = runs.train_at(daemon.address, steps=3)
    pathlib.Path(first).write_bytes(weights)
    config = pathlib.Path(runs.path("config"))
    config.write_text(
        "jobs:\n  - name: train\n    workers: 4\n"
        f"    init_from: {{file: {first}}}\n"
        "    groups: [{name: all, match: '*', optimizer: adamw, lr: 0.003}]\n", encoding="utf-8")
    flags = ["--config", str(config)]
    one = runs.alone("--defined", daemon=flags, bare=True)
    with Peers(runs.stepd, [["--shards", "1", *flags], ["--shards", "2", *flags]]) as peers:
        assert runs.train_at(peers.address, "--defined", bare=True) == one, "first weights differ"
    with Peers(runs.stepd, [["--shards", "1", *flags], ["--shards", "1"]]) as peers:
        try:
            runs.train_at(peers.address, "--defined", bare=True)
        except AssertionError as error:
            assert "start all daemons with the same file" in str(error), error
        else:
            raise AssertionError("a daemon without init_from has read first weights")
    print("first weights of a file: each daemon reads its own, the same bits")


# ---- Who may come in -------------------------------------------------------------------------------

def check_certificates(runs):
    """All links, those between daemons among them, by TLS with certificates on both sides."""
    folder = runs.path("certs")
    code, said = runs.ctl("-", "certs", folder, "--hosts", "127.0.0.1", "--clients", "w")
    assert code == 0, said

    def shows(name):
        return ["--tls-cert", f"{folder}/{name}.pem", "--tls-key", f"{folder}/{name}.key"]
    daemon = [*shows("127.0.0.1"), "--tls-client-ca", f"{folder}/ca.pem"]
    with Peers(runs.stepd, [["--shards", "1", *daemon], ["--shards", "2", *daemon]]) as peers:
        client = ["--tls-ca", f"{folder}/ca.pem", *shows("w")]
        bits = runs.train_at(f"tls:{peers.address}", *client)
        assert bits == runs.alone(), "through TLS: other bits"
        with Daemon(runs.stepd, "--peers", ",".join(peers.addresses), "--peer", "1",
                    listen="127.0.0.1:0") as plain:
            plain.wait_for("not_joined.*this server speaks TLS")
        other = runs.path("certs")
        code, said = runs.ctl("-", "certs", other, "--hosts", "127.0.0.1")
        assert code == 0, said
        stranger = ["--tls-cert", f"{other}/127.0.0.1.pem", "--tls-key", f"{other}/127.0.0.1.key",
                    "--tls-client-ca", f"{other}/ca.pem"]
        with Daemon(runs.stepd, "--peers", ",".join(peers.addresses), "--peer", "1", *stranger,
                    listen="127.0.0.1:0") as daemon:
            daemon.wait_for("not_joined.*certificate")
    print("daemons with certificates: the same bits, and no strangers")


def check_tokens(runs):
    """A daemon shows a token of the role peer, or is not let in."""
    folder = pathlib.Path(runs.path("tokens"))
    folder.mkdir()
    lines = []
    for role in ("peer", "work"):
        code, said = runs.ctl("-", "token", "create", "--role", role, "--name", role, "--out",
                              str(folder / role))
        assert code == 0, said
        lines += [line for line in said.splitlines() if "sha256:" in line]
    (folder / "access").write_text("\n".join(lines) + "\n", encoding="utf-8")
    access = ["--access-file", str(folder / "access")]
    with Peers(runs.stepd, [["--shards", "1", *access], ["--shards", "1", *access]],
               start=[0]) as peers:
        first = peers.daemon[0]
        peers.start(1).wait_for("not_joined.*lets in daemons that it knows")
        first.wait_for("login_refused.*what=daemon")
        peers.stop(1)
        peers.start(1, "--peer-token-file", str(folder / "work")) \
            .wait_for("not_joined.*not of the role peer")
        peers.stop(1)
        peers.start(1, "--peer-token-file", str(folder / "peer"))
        bits = runs.train_at(peers.address, "--token-file", str(folder / "work"))
        assert bits == runs.alone(), "with tokens: other bits"
    print("a daemon is let in by a token of the role peer alone")


CASES = {name.removeprefix("check_"): case for name, case in list(globals().items())
         if name.startswith("check_")}


if __name__ == "__main__":
    run_cases(CASES)
