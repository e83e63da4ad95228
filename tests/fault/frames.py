# SPDX-License-Identifier: Apache-2.0
"""stepd's frames as bytes: as much protobuf as it takes to know one request from another.

A stream is cut into frames; a frame's request_id is read and replaced, and what it asks is told
from what another one asks. Nothing is checked: what comes here was written by stepd or by libstepd.
"""
PUSH, PULL, STEP, RESULT = 11, 12, 13, 14
DEADLINE = {PUSH: 7, PULL: 5}  # what is left of it travels, so it is another each time
OUTCOMES = 2  # of a Result
DUPLICATE = 2


class Frames:
    """Splits a stream into frames."""

    def __init__(self):
        self.bytes = b""

    def feed(self, data):
        """The frames that this run completes, without their length."""
        self.bytes += data
        frames = []
        while True:
            length, at = varint(self.bytes, 0)
            if length is None or len(self.bytes) < at + length:
                return frames
            frame, self.bytes = self.bytes[at:at + length], self.bytes[at + length:]
            frames.append(frame)


def varint(data, at):
    """(number, where it ends), or (None, at) where it is not whole."""
    number = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
    return None, at


def write_varint(number):
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + write_varint(rest) if rest else bytes([low])


def delimited(message):
    return write_varint(len(message)) + message


def fields(message):
    """[(number, value)] of a message: numbers as they are, all else as bytes."""
    found, at = [], 0
    while at < len(message):
        tag, at = varint(message, at)
        if tag & 7 == 0:
            value, at = varint(message, at)
        else:
            size, at = varint(message, at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
            value, at = message[at:at + size], at + size
        found.append((tag >> 3, value))
    return found


def split_frame(frame):
    """(request_id, kind, body) of a frame's header."""
    (_, header), *_ = fields(frame)
    request_id, kind, body = 0, 0, b""
    for number, value in fields(header):
        if number == 1:
            request_id = value
        else:
            kind, body = number, value
    return request_id, kind, body


def renumbered(frame, request_id):
    """The same frame under another request_id."""
    size, at = varint(frame, 1)
    header, rest = frame[at:at + size], frame[at + size:]
    _, after_id = varint(header, 1)  # the field request_id comes first
    header = header[:1] + write_varint(request_id) + header[after_id:]
    return frame[:1] + delimited(header) + rest


def _without_deadline(kind, body):
    if kind == STEP:
        return [(number, _without_deadline(PUSH, value) if number == 1 else value)
                for number, value in fields(body)]
    if kind not in DEADLINE:
        return body
    return [(number, value) for number, value in fields(body) if number != DEADLINE[kind]]


def what_it_asks(frame):
    """The same for a request that is sent again, whatever its number is then."""
    _, kind, body = split_frame(frame)
    return hash(repr((kind, _without_deadline(kind, body), fields(frame)[1:])))


def outcomes(body):
    """Of a Result: one for each of its slices."""
    packed, at, found = dict(fields(body)).get(OUTCOMES, b""), 0, []
    while at < len(packed):
        outcome, at = varint(packed, at)
        found.append(outcome)
    return found
