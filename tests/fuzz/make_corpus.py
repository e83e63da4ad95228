#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzzers' corpora, which are checked in.

usage: make_corpus.py WRITE_SAMPLES WRITE_MANIFESTS CORPUS_FOLDER

write_shares and write_letters, for what daemons say to each other, stand beside WRITE_MANIFESTS.

Seeds are our encoder's samples of every message, streams of several frames, the example of a config
file with its jobs, and hostile inputs that have names: lies about lengths, fields in another order,
strangers, repeated sub-messages; YAML that refers to itself, is deep, long or no YAML; safetensors
files whose head says something else than what is in them; handshakes in pieces; manifests that ask for much, or for what is
not there.
"""

import gzip
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import programs


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


def group(*fields):
    """DefineJob with one group of these fields."""
    return field(4, field(3, b"".join(fields)))


def double(number, value):
    return varint(number << 3 | 1) + struct.pack("<d", value)


def phase(start):
    return field(10, varint(1 << 3) + varint(start) + field(2, b"sgd"))


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

# Acts of fuzz_tls.c.
CLIENT, SERVER, SAY, GOODBYE = b"\x00", b"\x01", b"\x03", b"\x04"


def inject(data):
    return b"\x02" + bytes([len(data)]) + data


SHAKE_HANDS = (CLIENT + b"\xff" + SERVER + b"\xff") * 3
TLS_SCENES = {
    "talk": SHAKE_HANDS + (SAY + b"\xc8" + CLIENT + b"\xff") * 3 + GOODBYE + CLIENT + b"\xff",
    "partial_records": (CLIENT + b"\x02" + SERVER + b"\x03") * 120 + SAY + b"\x40" + CLIENT + b"\x00",
    "byte_by_byte": (CLIENT + b"\x00") * 700 + SHAKE_HANDS,
    "hostile_clear_text": inject(b"GET / HTTP/1.1\r\n\r\n"),
    "hostile_empty_records": inject(bytes.fromhex("1603010000") * 40),
    "hostile_long_record": inject(bytes.fromhex("160301ffff") + b"\x01" * 200),
    "hostile_between": SHAKE_HANDS + SAY + b"\x40" + inject(bytes.fromhex("170303001100")) + CLIENT + b"\xff",
    "hostile_in_handshake": CLIENT + b"\x04" + inject(b"\x00") + CLIENT + b"\xff" + SERVER + b"\xff",
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
    "word_and_value": group(field(4, field(1, b"a") + field(3, b"b") + double(2, 1))),
    "setting_of_nothing": group(field(4, field(1, b"a"))),
    "word_without_end": group(field(4, field(1, b"a") + field(3, b"\xe2\x82"))),
    "setting_nan": group(field(4, field(1, b"a") + double(2, float("nan")))),
    "values_unpacked": group(field(4, field(1, b"a") + double(2, 1) + double(2, 2))),
    "values_half": group(field(4, field(1, b"a") + field(2, b"\0" * 12))),
    "empty_settings": group(field(4, b"") * 80),
    "empty_parts": group(field(7, b"") * 20),
    "part_of_a_part": group(field(7, field(1, b"chained") + field(3, field(1, b"linear")))),
    "ndim_twice": group(field(8, b"\x02\x02")),
    "ndim_huge": group(field(8, b"\xff\xff\xff\xff\x0f")),
    "phases_back": group(phase(2**64 - 1) + phase(1)),
    "phase_from_0": group(phase(0)),
    "phases_many": group(*(phase(n) for n in range(1, 40))),
    "defaults_twice": field(4, field(6, b"") * 2),
    "defaults_of_a_group": field(4, field(6, field(1, b"all") + phase(1) + b"\x48\x01")),
    "loss_twice": field(11, field(8, b"") * 2),
    "loss_nan": field(11, bytes.fromhex("1A0100220100") + field(8, double(1, float("nan")))),
    "loss_scale_below_0": field(11, bytes.fromhex("1A0100220100") + double(9, -1)),
    "loss_scale_tiny": field(11, bytes.fromhex("1A0100220100") + double(9, 5e-324)),
    "view_unknown": field(12, bytes.fromhex("1201003004")),
    "view_negative": field(12, bytes.fromhex("12010030") + b"\xff" * 9 + b"\x01"),
    "change_of_nothing": field(28, b""),
    "change_group_twice": field(28, field(2, b"") * 2),
    "change_of_a_match": field(28, field(2, field(2, b"*"))),
    "change_phases_back": field(28, field(2, phase(9) + phase(9))),
    "changes_empty": field(30, field(1, b"") * 60),
    "changes_of_differences": field(30, field(1, field(7, b"") * 60)),
    "extras_short": field(9, bytes.fromhex("1A020101220201012A02000132020000") +
                          bytes.fromhex("3A020101") + field(11, b"\x01")),
    "extras_huge": field(9, bytes.fromhex("1A01012201012A01003201003A0101") +
                         field(11, b"\xff\xff\xff\xff\x0f")),
}


JOB = b"jobs:\n- name: j\n  workers: 1\n"
GROUP = JOB + b"  groups:\n  - name: g\n    optimizer: adam\n"

HOSTILE_CONFIGS = {
    "nothing": b"",
    "laughs": b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\njobs: *c\n",
    "itself": b"jobs: &a [*a]\n",
    "merged": GROUP.replace(b"- name: g", b"- <<: {name: g}"),
    "anchored": GROUP.replace(b"adam", b"&a adam"),
    "tagged": GROUP.replace(b"adam", b"!!str adam"),
    "lists": b"jobs: " + b"[" * 3000,
    "maps": b"jobs: " + b"{a: " * 3000,
    "dashes": b"- " * 3000,
    "questions": b"? " * 3000,
    "colons": b": " * 3000,
    "pairs": b"jobs: [a: [b: [c: [d: e]]]]\n",
    "keys": b"".join(b"k%d: \n" % n for n in range(1030)),
    "long_key": b"k" * 2000 + b": 1\n",
    "long_text": b"listen: " + b"x" * 20000 + b"\n",
    "documents": b"---\nshards: 1\n...\n---\nshards: 2\n",
    "directives": b"%YAML 1.1\n%TAG ! tag:a,2000:\n---\nshards: 1\n",
    "block_texts": b"listen: |\n  a\n  b\nport_file: >-\n  c\n  d\n",
    "quote_open": b"listen: \"a\n",
    "tabs": b"jobs:\n\t- name: j\n",
    "crlf": GROUP.replace(b"\n", b"\r\n"),
    "mark": b"\xef\xbb\xbf" + GROUP,
    "utf16": "shards: 1\n".encode("utf-16"),
    "not_utf8": b"listen: \xff\xfe\n",
    "nul": b'listen: "a\\0b"\n',
    "line_separators": JOB.replace(b"name: j", b'name: "\\u2028\\u2029\\ufeff\\uffff"') +
                       b"  groups: [{name: g, frozen: true}]\n",
    "numbers": GROUP + b"    lr: 5e-324\n    betas: [-0, 1e308, 1e-999, +.5, 0x1, 1e999]\n",
    "digits": GROUP + b"    lr: 0.30000000000000004\n",
    "words": GROUP + b"    a: null\n    b: ~\n    c: yes\n    d: .inf\n    e: NaN\n    f: ''\n",
    "phases": GROUP + b"    phases: [{from: 18446744073709551615, optimizer: sgd}]\n",
    "schedules": GROUP + b"    schedule: {kind: chained, schedules: [{kind: chained}]}\n",
    "defaults": GROUP + b"  defaults: {schedule: {kind: linear}, lr: 1}\n",
    "over_defaults": GROUP + b"    schedule: {t_max: 9}\n"
                             b"  defaults: {schedule: {kind: cosine, T_max: 5, periodic: true}}\n",
    "globs": GROUP + b"    match: '" + b"*[a" * 60 + b"'\n",
}


def safetensors(head, size=0, pad=b" "):
    """A file of this head, of an object or as text, with so many bytes behind it."""
    text = head if isinstance(head, bytes) else json.dumps(head, separators=(",", ":")).encode()
    text += pad * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(range(256)) * (size // 256) + bytes(size % 256)


def place(begin, end, shape=None, dtype="F32"):
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape,
            "data_offsets": [begin, end]}


SAFETENSORS_FILES = {
    "empty": safetensors({}),
    "model": safetensors({"__metadata__": {"format": "pt"}, "fc1.weight": place(0, 48, [3, 4]),
                          "fc1.bias": place(48, 60), "scale": place(60, 64, [])}, 64),
    "halves": safetensors({"a": place(0, 8, [2, 2], "F16"), "b": place(8, 12, [2], "BF16"),
                           "c": place(12, 28, [2, 1], "F64"), "none": place(12, 12, [0])}, 28),
    "narrow": safetensors({"a": place(0, 3, [3, 2], "F4"), "b": place(3, 6, [4], "F6_E2M3"),
                           "c": place(6, 8, [2], "F8_E4M3")}, 8),
    "hostile_short": b"\x02\0\0",
    "hostile_length": b"\xff" * 8 + b"{}",
    "hostile_length_beyond": struct.pack("<Q", 99) + b"{}",
    "hostile_zeros": safetensors(b"{}", pad=b"\0"),
    "hostile_twice": safetensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
                                 b'"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', 8),
    "hostile_hole": safetensors({"a": place(0, 4), "b": place(8, 12)}, 12),
    "hostile_overlap": safetensors({"a": place(0, 8), "b": place(4, 12)}, 12),
    "hostile_shape": safetensors({"a": place(0, 8, [3])}, 8),
    "hostile_product": safetensors({"a": place(0, 0, [2**32, 2**32])}),
    "hostile_product_of_0": safetensors({"a": place(0, 0, [2**62, 2**62, 0])}),
    "hostile_beyond": safetensors({"a": place(0, 8)}, 4),
    "hostile_more": safetensors({"a": place(0, 8)}, 12),
    "hostile_backwards": safetensors({"a": place(8, 0, [2])}, 8),
    "hostile_dtype": safetensors({"a": place(0, 4, [1], "F33")}, 4),
    "hostile_metadata": safetensors({"__metadata__": {"a": 1}}),
    "hostile_metadata_tensor": safetensors({"__metadata__": place(0, 4)}, 4),
    "hostile_key": safetensors({"a": {**place(0, 4), "scale": 2}}, 4),
    "hostile_name": safetensors({"\u202e\ud83d\ude00\x07": place(0, 4)}, 4),
    "hostile_nul": safetensors(b'{"a\\u0000":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
    "hostile_not_utf8": safetensors(b'{"\xff":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
    "hostile_numbers": safetensors(b'{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[-0,4]}}', 4),
    "hostile_large_number": safetensors(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551620]}}', 4),
    "hostile_brackets": safetensors(b'{"a":' + b"[" * 2000),
    "hostile_objects": safetensors(b'{"a":[' + b"{}," * 2000),
    "hostile_dims": safetensors({"a": place(0, 4, [1] * 40)}, 4),
    "hostile_long_name": safetensors({"n" * 3000: place(0, 4)}, 4),
}


# What stands in the small manifest, and what takes its place.
HOSTILE_MANIFESTS = {
    "deep": (b'"coming": []', b'"coming": ' + b"[" * 3000),
    "objects": (b'"coming": []', b'"coming": ' + b'{"a":' * 3000),
    "workers": (b'"workers": 2', b'"workers": 4096'),
    "elements": (b'"shape": [20, 30]', b'"shape": [65536, 65536]'),
    "slices": (b'"shape": [20, 30]', b'"shape": [16384, 16384]'),
    "shape_overflows": (b'"shape": [20, 30]', b'"shape": [9223372036854775807, 3]'),
    "integer_overflows": (b'"incarnation": 77', b'"incarnation": 9223372036854775808'),
    "real_overflows": (b'"b": 1', b'"b": 1e999'),
    "nan": (b'"b": 1', b'"b": "nan:7ff8000000000000"'),
    "key_twice": (b'"stepd"', b'"version": 1, "stepd"'),
    "nul": (b'"fc.bias"', b'"fc\\u0000bias"'),
    "not_utf8": (b'"fc.bias"', b'"fc\xffbias"'),
    "surrogate": (b'"fc.bias"', b'"fc\\ud800bias"'),
    "escape": (b'"stepd":', b'"\\u001b[2J": 0, "stepd":'),
    "glob": (b'"match": "*"', b'"match": "' + b"*[a" * 60 + b'"'),
    "changes_of_nothing": (b'"coming": []',
                           b'"coming": [{"number": 1, "version": 0, "changes": [{"group": 0}]}]'),
    "changed_of_nothing": (b'"changed": null', b'"changed": 0'),
    "ranks_many": (b'"ranks": [', b'"ranks": [' + b"{}, " * 4096),
}


def access_line(who="alice", role="work", jobs="mnist", until="never", key="sha256:" + "9f" * 32):
    return f"{who} {role} {jobs} {until} {key}\n".encode()


ACCESS_FILES = {
    "list": b"# who    role     jobs       until                 key\n"
            + access_line(until="2027-01-31T00:00:00Z")
            + access_line("cron", "observe", "mnist,ab*", key="sha256:" + "0a" * 32)
            + access_line("node7", jobs="*", key="certificate:node7"),
    "windows": access_line().replace(b"\n", b"\r\n"),
    "token": b"stepd_" + b"A" * 43 + b"\n",
    "hostile_key_twice": access_line() + access_line("bob"),
    "hostile_short_key": access_line(key="sha256:9f86"),
    "hostile_nul": access_line() + b"\0" + access_line("bob", key="certificate:b"),
    "hostile_date": access_line(until="2027-02-29") + access_line(until="1969-12-31"),
    "hostile_words": b"alice work mnist never\n",
    "hostile_jobs": access_line(jobs=",".join("a" * 70)),
    "hostile_name": access_line(who="a" * 65),
    "hostile_utf8": access_line().replace(b"alice", b"al\xffice"),
    "hostile_long_token": b"x" * 513,
    "token_as_role": access_line(role="stepd_" + "A" * 43),
    "key_as_date": access_line(until="sha256:" + "0a" * 32),
    "token_in_date": access_line(until="2027-01-31Tstepd_" + "A" * 43),
}


def idx_file(*shape, magic=None, data=None):
    magic = 0x800 + len(shape) if magic is None else magic
    size = 1
    for n in shape:
        size *= n
    body = bytes(i % 256 for i in range(size)) if data is None else data
    return bytes([len(shape) - 1]) + struct.pack(f">{1 + len(shape)}I", magic, *shape) + body


# The type of the name, in the order of fuzz_certificate.c, and the name.
CERTIFICATES = {
    "utf8": b"\0node7",
    "printable": b"\1node7",
    "bmp": b"\4" + "node7".encode("utf-16-be"),
    "universal": b"\5" + "node7".encode("utf-32-be"),
    "latin": b"\2n\xf6de",
    "stranger": b"\x80node7",
    "hostile_nul": b"\0node7\0.evil",
    "hostile_space": b"\0node7 admin",
    "hostile_line": b"\0node7\nadmin",
    "hostile_utf8": b"\0\xc0\x80",
    "hostile_long": b"\0" + b"x" * 65,
    "hostile_half": b"\4\0n\0",
}


LABELS = idx_file(10)
IDX_FILES = {
    "labels": LABELS,
    "images": idx_file(2, 4, 3),
    "packed": LABELS[:1] + gzip.compress(LABELS[1:], mtime=0),
    "hostile_cut": LABELS[:-1],
    "hostile_goes_on": LABELS + b"\0",
    "hostile_packed_cut": LABELS[:1] + gzip.compress(LABELS[1:], mtime=0)[:-3],
    "hostile_packed_sum": LABELS[:1] + gzip.compress(LABELS[1:], mtime=0)[:-8] + b"\0" * 8,
    "hostile_huge": idx_file(0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, data=b""),
    "hostile_most": idx_file(1 << 20, data=b""),
    "hostile_zero": idx_file(2, 0, 3),
    "hostile_floats": idx_file(2, magic=0xD01),
}


def example_jobs():
    """The jobs that the example file has behind a # in each line."""
    text = (pathlib.Path(__file__).parents[2] / "deploy/stepd.yaml").read_text()
    lines = text[text.index("\n#jobs:") + 1:].splitlines()
    return "".join(line.removeprefix("#") + "\n" for line in lines).encode()


def write(folder, name, data):
    (folder / name).write_bytes(data)


def main():
    write_samples, write_manifests, corpus = *sys.argv[1:3], pathlib.Path(sys.argv[3])
    (corpus / "manifest").mkdir(exist_ok=True)
    subprocess.run([write_manifests, corpus / "manifest"], check=True, stdout=subprocess.DEVNULL)
    for what in ("share", "letter"):
        (corpus / what).mkdir(exist_ok=True)
        writer = pathlib.Path(write_manifests).with_name(f"write_{what}s").resolve()
        subprocess.run([writer, corpus / what], check=True, stdout=subprocess.DEVNULL)
    small = (corpus / "manifest" / "small").read_bytes()
    for name, (old, new) in HOSTILE_MANIFESTS.items():
        assert old in small, name
        write(corpus / "manifest", f"hostile_{name}", small.replace(old, new, 1))
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
    write(corpus / "config", "example", example_jobs())
    write(corpus / "config", "group", GROUP)
    for name, data in HOSTILE_CONFIGS.items():
        write(corpus / "config", f"hostile_{name}", data)
    for name, data in SAFETENSORS_FILES.items():
        write(corpus / "safetensors", name, data)
    (corpus / "tls").mkdir(exist_ok=True)
    for name, data in TLS_SCENES.items():
        write(corpus / "tls", name, data)
    for folder, files in (("access", ACCESS_FILES), ("idx", IDX_FILES),
                          ("certificate", CERTIFICATES)):
        (corpus / folder).mkdir(exist_ok=True)
        for name, data in files.items():
            write(corpus / folder, name, data)
    (corpus / "fields").mkdir(exist_ok=True)
    for kind in range(17):
        write(corpus / "fields", f"request_{kind}", bytes([kind]))
    for kind in range(11):
        write(corpus / "fields", f"reply_{kind}", bytes([255, kind]))
    (corpus / "session").mkdir(exist_ok=True)
    for name, data in programs.programs().items():
        write(corpus / "session", name, data)
    (corpus / "client").mkdir(exist_ok=True)
    for name, data in programs.client_programs().items():
        write(corpus / "client", name, data)


if __name__ == "__main__":
    main()
