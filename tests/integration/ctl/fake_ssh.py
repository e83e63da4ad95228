#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What ssh does, on this machine: runs a command for a shell, in a session and an environment of its
own, and connects its streams.

    fake_ssh.py [OPTIONS] HOST COMMAND

Its arguments are added to the file FAKE_SSH_LOG, a line of JSON for each call. It does not come to a
host called "nowhere". As with ssh, whoever kills it closes the command's stdin, and nothing else.
"""
import json
import os
import subprocess
import sys
import threading


def relay(source, sink):
    try:
        while part := os.read(source, 65536):
            sink.write(part)
            sink.flush()
    except BrokenPipeError:
        pass
    sink.close()


def main():
    with open(os.environ["FAKE_SSH_LOG"], "a", encoding="utf-8") as log:
        log.write(json.dumps(sys.argv[1:]) + "\n")
    host, command = sys.argv[-2:]
    if host == "nowhere":
        sys.exit("ssh: cannot come to host nowhere")
    remote = {"PATH": os.environ["FAKE_SSH_PATH"], "HOME": "/"}
    child = subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, env=remote, cwd="/",
                             start_new_session=True)
    threading.Thread(target=relay, args=(0, child.stdin), daemon=True).start()
    code = child.wait()
    os._exit(255 if code < 0 else code)


main()
