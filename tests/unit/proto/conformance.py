#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds our codec and PROTOCOL.md against the stock protobuf library.

usage: conformance.py PROTOC PROTO_FOLDER WRITE_SAMPLES

1. Every example of PROTOCOL.md: the text, encoded by the stock library, has the bytes that stand
   below it, and the bytes, decoded, have the text.
2. Every sample that our encoder has written: the stock library reads it, writes the same bytes
   again, and finds every field of every message set, so that none can be forgotten in C.

Skips (exit status 77) where the interpreter has no google.protobuf.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

SKIPPED = 77
FENCE = re.compile(r"^```(\w+) name=(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
except ImportError:
    print("skipped: this python has no google.protobuf")
    sys.exit(SKIPPED)


def load_frame_class(protoc, folder, scratch):
    """The class of stepd.v1.Frame, made from stepd.proto at run time."""
    compiled = scratch / "stepd.pb"
    subprocess.run(
        [protoc, f"--proto_path={folder}", f"--descriptor_set_out={compiled}", "stepd.proto"],
        check=True,
    )
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file:
        pool.Add(file)
    frame = pool.FindMessageTypeByName("stepd.v1.Frame")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(frame), pool
    return message_factory.MessageFactory(pool).GetPrototype(frame), pool


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def delimited(message):
    body = message.SerializeToString()
    return varint(len(body)) + body


def read_delimited(frame_class, data):
    length = shift = at = 0
    while True:
        byte = data[at]
        length |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            break
    assert len(data) == at + length, "the length in front of the frame is wrong"
    return frame_class.FromString(data[at:])


def unhex(text):
    return bytes.fromhex("".join(line.split("#")[0] for line in text.splitlines()))


def check_examples(frame_class, pool, page):
    blocks = {"textproto": {}, "hex": {}}
    for kind, name, text in FENCE.findall(page):
        assert name not in blocks[kind], f"two examples are called {name}"
        blocks[kind][name] = text
    assert blocks["hex"].keys() == blocks["textproto"].keys(), "an example lacks text or bytes"
    for name, text in blocks["textproto"].items():
        frame = text_format.Parse(text, frame_class(), descriptor_pool=pool)
        data = unhex(blocks["hex"][name])
        assert delimited(frame) == data, f"example {name}: the stock library writes other bytes"
        assert read_delimited(frame_class, data) == frame, f"example {name}: read differently"
    return len(blocks["hex"])


def note_fields(message, seen):
    """Adds the full names of all fields that are set, in all messages below this one."""
    for field, value in message.ListFields():
        seen.add(field.full_name)
        if field.message_type is None:
            continue
        for part in value if field.label == field.LABEL_REPEATED else [value]:
            note_fields(part, seen)


def all_fields(descriptor):
    names = set()
    waiting, known = [descriptor], set()
    while waiting:
        message = waiting.pop()
        known.add(message.full_name)
        for field in message.fields:
            names.add(field.full_name)
            if field.message_type is not None and field.message_type.full_name not in known:
                waiting.append(field.message_type)
    return names


def check_samples(frame_class, folder):
    seen = set()
    paths = sorted(folder.glob("*.frame"))
    for path in paths:
        data = path.read_bytes()
        frame = read_delimited(frame_class, data)
        assert frame.header.WhichOneof("body") == path.stem, f"{path.stem}: read as another kind"
        assert delimited(frame) == data, f"{path.stem}: the stock library writes other bytes"
        note_fields(frame, seen)
    missing = all_fields(frame_class.DESCRIPTOR) - seen
    assert not missing, f"our encoder or the samples leave out {sorted(missing)}"
    return len(paths), len(seen)


def main():
    protoc, folder, write_samples = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        frame_class, pool = load_frame_class(protoc, folder, scratch)
        examples = check_examples(frame_class, pool, (folder / "PROTOCOL.md").read_text("utf-8"))
        subprocess.run([write_samples, str(scratch)], check=True)
        samples, fields = check_samples(frame_class, scratch)
    print(f"{examples} examples, {samples} samples, {fields} fields")
    assert examples > 0 and samples > 0


if __name__ == "__main__":
    main()
