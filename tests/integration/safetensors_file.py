# SPDX-License-Identifier: Apache-2.0
"""Safetensors files without the package of that name, which the system's Python has not."""
import json
import pathlib
import struct


def read_file(path):
    """{tensor: (dtype, shape, bytes)} and the metadata of a safetensors file."""
    data = pathlib.Path(path).read_bytes()
    length, = struct.unpack_from("<Q", data)
    head = json.loads(data[8:8 + length])
    texts = head.pop("__metadata__", {})
    body = data[8 + length:]
    return {name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
            for name, entry in head.items()}, texts


def write_file(path, tensors):
    """The same back: {tensor: (dtype, shape, bytes)}."""
    head, body = {}, b""
    for name, (dtype, shape, data) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body + data)]}
        body += data
    text = json.dumps(head).encode()
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)
