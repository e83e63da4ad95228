# SPDX-License-Identifier: Apache-2.0
"""A server of one's own, for notebooks and tests: it lives as long as this process.

It listens on a Unix socket in a temporary folder that only this user may enter. It is ended by
:meth:`LocalDaemon.close`, when the interpreter exits, and when the process dies in any other way: a
shell beside it waits at a pipe that this process holds open, and ends it when the pipe is closed.
"""
from __future__ import annotations

import atexit
import collections
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Optional, Union

from stepd.client import Client, connect
from stepd.errors import NotFound, Unavailable

_READY_S = 30.0
_END_S = 20.0  # the daemon drains for less

# The shell becomes the daemon, and its child is the one that waits; as long as that lives, the
# daemon's number as a process group is not given to anybody else. $0 is the folder.
_SCRIPT = """
exec 3<&0
(read -r _ <&3; kill -TERM $$; rm -rf -- "$0") >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
"""


def _environment() -> dict[str, str]:
    """Ours without what would configure the daemon behind its back."""
    return {name: value for name, value in os.environ.items() if not name.startswith("STEPD_")}


def _make_folder() -> str:
    """Where a socket's path is short enough for the system, which takes some 100 bytes."""
    roomy = len(tempfile.gettempdir().encode()) <= 60
    return tempfile.mkdtemp(prefix="stepd-", dir=None if roomy else "/tmp")


def find_daemon() -> str:
    """The path of ``stepd``: ``$STEPD_DAEMON``, or on the PATH, or in the build folders of the
    repository that this package was installed from, or stands in."""
    named = os.environ.get("STEPD_DAEMON")
    if named:
        if not os.access(named, os.X_OK):
            raise NotFound(f"STEPD_DAEMON={named} is no program")
        return named
    found = shutil.which("stepd")
    if found is not None:
        return found
    for folder in (Path(__file__).resolve(), Path.cwd() / "here"):
        for root in folder.parents:
            for preset in ("release", "dev"):
                built = root / "build" / preset / "bin" / "stepd"
                if os.access(built, os.X_OK):
                    return str(built)
    raise NotFound("there is no daemon 'stepd' on the PATH: install it, or name it in STEPD_DAEMON "
                   "(build/release/bin/stepd, where it was built)")


class LocalDaemon:
    """A running daemon; :func:`local` starts it. A context manager that ends it."""

    address: str
    """``"unix:..."``, for :func:`stepd.connect` of this process and others."""

    def __init__(self, shards: int, settings: dict[str, Any]) -> None:
        daemon = find_daemon()
        self._pid = os.getpid()
        self._folder = _make_folder()
        self._said: collections.deque[str] = collections.deque(maxlen=1000)
        self._is_ready = threading.Event()
        path = f"{self._folder}/socket"
        self.address = f"unix:{path}"
        command = [daemon, "--listen", "127.0.0.1:0", "--unix", path, "--shards",
                   str(shards)]
        for name, value in settings.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command.append(f"--{name.replace('_', '-')}={text}")
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, self._folder, *command], env=_environment(),
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True)
        atexit.register(self.close)
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._await_ready()
        except BaseException:
            self.close()
            raise

    def _listen(self) -> None:
        """Keeps what the daemon says; it must not wait for a reader."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._said.append(line)
            if re.search(r"\bevent=ready\b", line):
                self._is_ready.set()
        self._is_ready.set()

    def _await_ready(self) -> None:
        if not self._is_ready.wait(_READY_S) or "event=ready" not in self.log:
            raise Unavailable(f"the daemon has not started; it said:\n{self.log or 'nothing'}")

    @property
    def pid(self) -> int:
        """Of the daemon's process."""
        return self._process.pid

    @property
    def log(self) -> str:
        """The last lines that the daemon has said."""
        return "".join(list(self._said))

    def connect(self, job: str = "local", **options: Any) -> Client:
        """:func:`stepd.connect` to this daemon, with its options."""
        return connect(self.address, job=job, **options)

    def close(self) -> None:
        """Ends the daemon and removes its folder. Again is fine; in a process that was forked from
        this one it does nothing."""
        if os.getpid() != self._pid:
            return
        atexit.unregister(self.close)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()  # the shell that waits there ends as well
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> LocalDaemon:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], value: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()


def local(shards: int = 1, **settings: Union[str, int, float, bool]) -> LocalDaemon:
    """Starts a private daemon, and returns when it listens.

    shards: threads that own weights.
    settings: the daemon's, as its flags are called, with ``_`` for ``-``: ``log_level="debug"``,
        ``checkpoint_dir="..."``. The environment's ``STEPD_...`` do not count for it.

    :class:`NotFound`: there is no daemon: it is looked for in ``$STEPD_DAEMON``, on the PATH, and in
    ``build/`` of the repository. :class:`Unavailable`: it did not start; the text has what it said.

        with stepd.local() as daemon, daemon.connect(job="trial") as c:
            c.define(...)
    """
    return LocalDaemon(shards, settings)
