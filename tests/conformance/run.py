#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plays recorded exchanges to a server or a client of stepd's protocol, yours or ours.

    run.py --server HOST:PORT [EXCHANGE ...]        a server with one shard
    run.py --client COMMAND [EXCHANGE ...]          a client; {address} in COMMAND: where to dial
    run.py --record HOST:PORT EXCHANGE ...          writes them anew, as this server answers
    run.py --check [EXCHANGE ...]                   only: does the text say what the bytes are?

An EXCHANGE is the name of one in the folder exchanges, or a file *.txt; without any, all that are
for this side are played. README.md beside this file says what an exchange is, what may differ from
it, and what the client has to do. Needs Python's protobuf package and protoc. Ends with 0 where all
went as recorded, and prints what did not.
"""
import argparse
import pathlib
import shlex
import socket
import subprocess
import sys
import tempfile
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
sys.path.insert(0, str(SOURCE / "tests/unit/proto"))
from conformance import delimited, load_frame_class, text_format, unhex  # noqa: E402

TIMEOUT_S = 20
# What each end is free to choose, message by message: it is not compared.
FREE = {
    "Header": ["request_id"],
    "Hello": ["worker", "lease_ms", "max_frame_bytes", "client", "shares_memory", "token"],
    "Welcome": ["lease_ms", "max_frame_bytes", "wait_max_ms", "weights_bytes", "gradients_bytes"],
    "GetLayout": ["deadline_ms"], "Push": ["deadline_ms"], "Pull": ["deadline_ms"],
    "Result": ["durable_version"], "Error": ["text"],
}
OF_A_SHARD = ["role", "job", "rank"]  # of Hello: need not be repeated there
SAY_NOTHING = ["init"]  # empty or absent: the same


class Differs(Exception):
    """Something was not as recorded; the text says what."""


class Step:
    """A frame of an exchange, or its end: who sends it, over which connection, text and bytes."""

    def __init__(self, line):
        self.connection, direction, self.name = line.split()
        self.from_client = direction == ">"
        self.text, self.hex = [], []

    def frame(self, codec):
        return codec.decode(unhex("\n".join(self.hex)))


class Exchange:
    def __init__(self, path):
        self.path, self.head, self.steps, self.sides = path, [], [], []
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("for: "):
                self.sides = line.split()[1:]
            if not self.steps and not line.startswith(("control", "shard")):
                self.head.append(line)
            elif line.startswith("|"):
                self.steps[-1].text.append(line[1:].strip())
            elif line[:1].islower():
                self.steps.append(Step(line))
            elif line:
                self.steps[-1].hex.append(line)

    def write(self):
        lines = [*self.head]
        for step in self.steps:
            lines += [f"{step.connection} {'>' if step.from_client else '<'} {step.name}"]
            lines += ["| " + line for line in step.text] + [*step.hex, ""]
        self.path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")


class Codec:
    def __init__(self, scratch):
        self.frame_class, self.pool = load_frame_class("protoc", SOURCE / "proto", scratch)

    def decode(self, data):
        """A whole frame with its length; None where it is no such thing, as in some exchanges."""
        at = next(i for i, byte in enumerate(data) if byte < 0x80) + 1
        try:
            frame = self.frame_class.FromString(data[at:])
        except Exception:  # the package's own DecodeError has moved between versions
            return None
        return frame if delimited(frame) == data else None

    def parse(self, text):
        return text_format.Parse(text, self.frame_class(), descriptor_pool=self.pool)

    @staticmethod
    def show(frame):
        return text_format.MessageToString(frame, as_one_line=True)

    def bare(self, frame):
        """The frame without what is free."""
        copy = self.frame_class()
        copy.CopyFrom(frame)
        self._bare(copy)
        return copy

    def _bare(self, message):
        name = message.DESCRIPTOR.name
        for field in FREE.get(name, []):
            message.ClearField(field)
        if name == "Hello" and message.shard:
            for field in OF_A_SHARD:
                message.ClearField(field)
        if name == "Welcome":
            message.shard_addresses[:] = [""] * len(message.shard_addresses)
        for field, value in message.ListFields():
            if field.message_type is None:
                continue
            if field.name in SAY_NOTHING and not value.ListFields():
                message.ClearField(field.name)
                continue
            for part in value if field.label == field.LABEL_REPEATED else [value]:
                self._bare(part)


class Names:
    """Sessions and incarnations are chosen by the server: whose here is whose there."""

    def __init__(self):
        self.known = {"session": {}, "incarnation": {}}

    def learn(self, there, here):
        for field, value in here.ListFields():
            if field.name in self.known:
                self.known[field.name].setdefault(getattr(there, field.name), value)
            elif field.message_type and field.label != field.LABEL_REPEATED \
                    and there.HasField(field.name):
                self.learn(getattr(there, field.name), value)

    def translate(self, message):
        for field, value in message.ListFields():
            if field.name in self.known:
                setattr(message, field.name, self.known[field.name].get(value, value))
            elif field.message_type and field.label != field.LABEL_REPEATED:
                self.translate(value)
        return message


class Connection:
    def __init__(self, connected):
        self.socket, self.ids, self.early = connected, {}, []
        self.socket.settimeout(TIMEOUT_S)
        self.stream = connected.makefile("rb")

    def read(self, codec):
        """A frame; None where the other end has hung up."""
        length = b""
        while not length or length[-1] >= 0x80:
            byte = self.stream.read(1)
            if not byte:
                return None
            length += byte
        size = sum((byte & 0x7F) << 7 * i for i, byte in enumerate(length))
        data = length + self.stream.read(size)
        frame = codec.decode(data)
        if frame is None:
            raise Differs(f"a frame that the stock library would not write: {data.hex(' ')}")
        return frame

    def read_reply(self, codec, request_id):
        """Replies come in any order: those to other requests are kept for later."""
        for frame in self.early:
            if frame.header.request_id == request_id:
                self.early.remove(frame)
                return frame
        frame = self.read(codec)
        while frame is not None and frame.header.request_id not in (request_id, 0):
            self.early.append(frame)
            frame = self.read(codec)
        return frame


class Play:
    """One exchange, step by step."""

    def __init__(self, exchange, codec, names, on_step=None):
        self.exchange, self.codec, self.names, self.on_step = exchange, codec, names, on_step
        self.connections, self.number = {}, 0

    def compare(self, recorded, live, who):
        if live is None:
            raise Differs(f"the {who} has hung up")
        self.names.learn(recorded, live)
        expected = self.codec.bare(self.names.translate(recorded))
        if expected != self.codec.bare(live):
            raise Differs(f"recorded: {self.codec.show(expected)}\n  the {who}: "
                          f"{self.codec.show(self.codec.bare(live))}")

    def run(self, dial):
        try:
            for self.number, step in enumerate(self.exchange.steps, 1):
                if step.connection not in self.connections:
                    self.connections[step.connection] = Connection(dial())
                self.step(step, self.connections[step.connection])
        except (Differs, OSError) as why:
            step = self.exchange.steps[self.number - 1]
            raise Differs(f"step {self.number}, {step.connection} {step.name}: {why}") from None
        finally:
            for connection in self.connections.values():
                connection.stream.close()
                connection.socket.close()


class AgainstServer(Play):
    """We are the client."""

    def step(self, step, connection):
        if step.from_client:
            frame = step.frame(self.codec)
            raw = unhex("\n".join(step.hex))
            connection.socket.sendall(raw if frame is None
                                      else delimited(self.names.translate(frame)))
        elif step.name == "end":
            if connection.read(self.codec) is not None:
                raise Differs("the server should have hung up, and has sent a frame")
        elif self.on_step:
            self.on_step(step, connection.read(self.codec))
        else:
            recorded = step.frame(self.codec)
            live = connection.read_reply(self.codec, recorded.header.request_id)
            self.compare(recorded, live, "server")
            if live.header.HasField("error") and not live.header.error.text:
                raise Differs("an Error that says nothing to people")


class AgainstClient(Play):
    """We are the server."""

    def step(self, step, connection):
        recorded = step.frame(self.codec)
        if step.from_client:
            live = connection.read(self.codec)
            while live is not None and live.header.HasField("heartbeat"):
                number = live.header.request_id
                ack = self.codec.parse(f"header {{ request_id: {number} ack {{}} }}")
                connection.socket.sendall(delimited(ack))
                live = connection.read(self.codec)
            self.compare(recorded, live, "client")
            connection.ids[recorded.header.request_id] = live.header.request_id
        elif step.name != "end":
            recorded.header.request_id = connection.ids[recorded.header.request_id]
            connection.socket.sendall(delimited(recorded))


def play_to_server(exchange, codec, address):
    host, port = address.rsplit(":", 1)
    AgainstServer(exchange, codec, Names()).run(
        lambda: socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT_S))


def play_to_client(exchange, codec, command):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_S)
        address = "%s:%d" % listener.getsockname()[:2]
        client = subprocess.Popen([part.replace("{address}", address) for part in command],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            AgainstClient(exchange, codec, Names()).run(lambda: listener.accept()[0])
            said, _ = client.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise Differs("the client does not end") from None
        finally:
            client.kill()
            client.wait()
    *_, last = exchange.steps
    error = last.frame(codec).header.error.text  # a client that is refused for good says so
    if (client.returncode == 0) == bool(error):
        raise Differs(f"the client ended with {client.returncode}, having said: {said}")
    if error not in said:
        raise Differs(f"the client does not pass on '{error}'; it said: {said}")


def record(exchange, codec, address):
    """The client's frames from their text, and the server's from the server; or from their text as
    well, where the exchange is for clients alone."""
    names, sessions = Names(), []
    from_server = "server" in exchange.sides
    for step in exchange.steps:
        if step.text and (step.from_client or not from_server):
            write_frame(step, codec.parse(" ".join(step.text)), codec)
    if not from_server:
        exchange.write()
        return

    def on_step(step, live):
        if live is None:
            raise Differs("the server has hung up")
        session = live.header.welcome.session
        there = codec.frame_class()
        there.CopyFrom(live)
        if session and session not in sessions:
            sessions.append(session)
        if session:
            there.header.welcome.session = bytes([sessions.index(session) + 1]) * 16
        for body in ("welcome", "job_defined", "layout"):
            part = getattr(there.header, body)
            if there.header.HasField(body) and part.incarnation:
                part.incarnation = 1
        names.learn(there, live)
        write_frame(step, there, codec)

    host, port = address.rsplit(":", 1)
    AgainstServer(exchange, codec, names, on_step).run(
        lambda: socket.create_connection((host, int(port)), timeout=TIMEOUT_S))
    exchange.write()


def write_frame(step, frame, codec):
    step.text = textwrap.wrap(codec.show(frame), 96, break_long_words=False)
    data = delimited(frame).hex(" ").upper().split()
    step.hex = [" ".join(data[at:at + 32]) for at in range(0, len(data), 32)]


def check(exchange, codec):
    """The text and the name are there for people: they must say what the bytes are."""
    for number, step in enumerate(exchange.steps, 1):
        frame = codec.parse(" ".join(step.text)) if step.text else None
        if frame is None and step.from_client or step.name == "end":
            continue  # what no client should send; the connection's end
        if frame is None or step.frame(codec) != frame:
            raise Differs(f"step {number}: the text says another thing than the bytes")
        if frame.header.WhichOneof("body") != step.name:
            raise Differs(f"step {number} is called {step.name}, and is none")


def main():
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    side = flags.add_mutually_exclusive_group(required=True)
    side.add_argument("--server", metavar="HOST:PORT")
    side.add_argument("--client", metavar="COMMAND", type=shlex.split)
    side.add_argument("--record", metavar="HOST:PORT")
    side.add_argument("--check", action="store_true")
    flags.add_argument("exchanges", nargs="*", metavar="EXCHANGE")
    args = flags.parse_args()
    chosen = args.exchanges or sorted(path.stem for path in (HERE / "exchanges").glob("*.txt"))
    exchanges = [Exchange(pathlib.Path(name) if name.endswith(".txt")
                          else HERE / f"exchanges/{name}.txt") for name in chosen]
    play, argument, wanted = next(
        (play, argument, wanted) for play, argument, wanted in (
            (play_to_server, args.server, "server"), (play_to_client, args.client, "client"),
            (record, args.record, ""), (lambda *given: check(*given[:2]), args.check, ""))
        if argument)
    passed = failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        codec = Codec(pathlib.Path(scratch))
        for exchange in exchanges:
            if wanted and wanted not in exchange.sides:
                continue
            try:
                play(exchange, codec, argument)
                print(f"ok      {exchange.path.stem}, {len(exchange.steps)} steps")
                passed += 1
            except Differs as why:
                print(f"DIFFERS {exchange.path.stem}: {why}")
                failed += 1
    print(f"{passed} passed, {failed} failed")
    raise SystemExit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
