#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzzers' corpora, which are checked in.

usage: make_corpus.py WRITE_SAMPLES CORPUS_FOLDER

Seeds are our encoder's samples of every message, streams of several frames, and hostile inputs
that have names: lies about lengths, fields in another order, strangers, repeated sub-messages.
"""

import pathlib
import subprocess
import sys
import tempfile


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data, at):
    number = shift = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return number, at


def header_of(frame):
    _, at = read_varint(frame, 0)
    length, at = read_varint(frame, at + 1)
    return frame[at : at + length]


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


HOSTILE_FRAMES = {
    "empty": b"\x00",
    "payload_first": bytes.fromhex("0712020801"),
    "header_twice": bytes.fromhex("080A0208010A020801"),
    "unknown_field": bytes.fromhex("06 0A020801 1801"),
    "header_longer_than_frame": bytes.fromhex("040A03"),
    "payload_too_short": bytes.fromhex("070A0208011200"),
    "payload_empty": bytes.fromhex("060A0208011200"),
    "payload_huge": bytes.fromhex("FFFFFFFF0F"),
    "length_padded": bytes.fromhex("8400"),
    "length_endless": b"\xff" * 12,
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls": bytes.fromhex("1603010200010001fc0303"),
}

HOSTILE_HEADERS = {
    "nothing": b"",
    "no_body": bytes.fromhex("0801"),
    "two_bodies": bytes.fromhex("820100920100"),
    "unknown_body": bytes.fromhex("0801BA060100"),
    "unknown_fields": bytes.fromhex("820100") + bytes.fromhex("B80607") * 40,
    "push_repeated": field(13, field(1, b"\x08\x01") * 40),
    "init_twice": field(6, field(2, field(3, b"") * 2)),
    "empty_tensors": field(6, field(2, b"") * 60),
    "nul_in_name": field(2, field(3, b"a\0b")),
    "overlong_utf8": field(2, field(3, b"\xc0\x80")),
    "surrogate": field(2, field(3, b"\xed\xa0\x80")),
    "unpacked_list": field(12, bytes.fromhex("100710091008")),
    "list_in_two_parts": field(12, field(2, b"\x01\x02") + field(2, b"\x03")),
    "half_a_number": field(11, field(3, b"\x80")),
    "groups": bytes.fromhex("820100") + b"\xbb\x06\xbc\x06",
    "nested": field(2, field(2, field(2, field(2, field(2, b""))))),
    "tag_of_64_bits": b"\xff" * 9 + b"\x01",
}


def write(folder, name, data):
    (folder / name).write_bytes(data)


def main():
    write_samples, corpus = sys.argv[1], pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([write_samples, scratch], check=True)
        samples = {p.stem: p.read_bytes() for p in sorted(pathlib.Path(scratch).glob("*.frame"))}
    for name, frame in samples.items():
        write(corpus / "frame", name, frame)
        write(corpus / "message", name, header_of(frame))
    training = [samples[name] for name in ("hello", "welcome", "push", "pull", "step", "result")]
    write(corpus / "frame", "stream", b"".join(training))
    for name, data in HOSTILE_FRAMES.items():
        write(corpus / "frame", f"hostile_{name}", data)
        write(corpus / "frame", f"hostile_late_{name}", samples["heartbeat"] + data)
    for name, data in HOSTILE_HEADERS.items():
        write(corpus / "message", f"hostile_{name}", data)


if __name__ == "__main__":
    main()
