# SPDX-License-Identifier: Apache-2.0
"""The client: one worker's side of a job."""
from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from stepd import _arguments, launcher
from stepd._arguments import arrays, number, one_of, whole
from stepd._handle import Event, Handle, Signals, ffi, lib, milliseconds, text_of
from stepd.arrays import Array, Batch, Layout, Tensor
from stepd.definition import Draft, Group, Init, Phase, Schedule, Value, job_of
from stepd.futures import Future, Orphans, Outcome, Step

_U64 = 2**64 - 1

_DTYPES = {"f32": lib.STEPD_F32, "f16": lib.STEPD_F16, "bf16": lib.STEPD_BF16}
_VIEWS = {"training": lib.STEPD_TRAINING, "evaluation": lib.STEPD_EVALUATION,
          "ema": lib.STEPD_EMA, "swa": lib.STEPD_SWA}


class Change(NamedTuple):
    """What came of :meth:`Client.change`."""

    number: int
    """Of the change; 0: everything was so already."""
    groups: int
    """That are other than before."""
    version: int
    """That the first step with it starts from; 0 in async and bounded mode."""


class Checkpoint(NamedTuple):
    """A checkpoint that is on the server's disk."""

    name: str
    step: int
    """Version of its weights; in async and bounded mode the greatest."""
    bytes: int
    """Of all its files."""


class Lent(NamedTuple):
    """Two arrays of one tensor that the library lends: see :meth:`Client.lend`."""

    grad: Array
    """To be written."""
    weights: Array
    """To be read only."""


class Client:
    """A worker, or an observer, of one job; :func:`connect` makes it.

    As a context manager it leaves the job when its block ends, so that the others do not wait for
    it. Where an exception ends the block, it is only closed, and has not done its part: it counts
    as lost (the job's ``on_loss`` says what then), and its rank is free at once, so that the script
    can be started again. Times are in seconds. Every call that waits releases the GIL and
    ends at once by Ctrl-C, or whatever a signal handler raises. Any number of threads may call.

    A connection that is lost is made again in the background, and what was not answered is sent
    again. :class:`RolledBack`, of any call, says that the server went back.
    """

    rank: int
    """The worker's, from 0; of no meaning for an observer."""

    def __init__(self, handle: Handle, observer: bool) -> None:
        self._handle = handle
        self._observer = observer
        self._orphans = Orphans()
        self._layout = Layout(())
        with handle as client:
            self.rank = lib.stepd_rank(client)

    # ---- The job -------------------------------------------------------------------------------

    @property
    def world(self) -> int:
        """The number of workers of the job; 0 before it is defined."""
        with self._handle as client:
            return int(lib.stepd_world(client))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The job's, in the order of their definition; empty before :meth:`define`."""
        return self._layout.tensors

    def define(self, tensors: Mapping[str, Union[np.ndarray[Any, Any], Init]], *,
               workers: Optional[int] = None, mode: str = "sync",
               groups: Optional[Sequence[Group]] = (), defaults: Optional[Group] = None,
               strict: bool = False, **settings: Value) -> None:
        """Defines the job and its tensors; every worker calls it with the same arguments.

        tensors: by name, the first weights: a float32 array, of which rank 0's values count and of
            the others the shape, or what the server is to make: :class:`stepd.Constant`,
            :class:`stepd.Uniform`, :class:`stepd.Normal`.
        workers: how many there are at most; None: as many as the launcher has started, or 1.
        mode: ``"sync"`` (one step per round, of all workers' gradients), ``"async"`` or
            ``"bounded"``.
        groups: of tensors, with their optimizers: the first that matches a tensor's name has it.
            None: the job is defined in the server's config file or by another worker.
        defaults: what every group starts from: :class:`stepd.Defaults`.
        strict: a group that matches no tensor is an error.
        settings: of the mode: ``staleness=4``, ``backup=1``, ``accumulate=2``, ...: TRAINING.md.

        :class:`InvalidArgument`: malformed, or other than what another worker has defined; the text
        says in what. After :class:`RolledBack` it is called again.
        """
        draft = Draft()
        job = ffi.NULL
        if groups is not None:
            count = (launcher.world() or 1) if workers is None else workers
            job = job_of(draft, mode, count, groups, defaults, strict, settings)
        made = draft.array("struct stepd_tensor", len(tensors))
        for i, (name, first) in enumerate(tensors.items()):
            self._fill_tensor(draft, made[i], name, first)
        self._handle.call(lib.stepd_define, job, made, len(tensors))
        self._learn_tensors()

    def _fill_tensor(self, draft: Draft, made: Any, name: str, first: Any) -> None:
        made.name = draft.text(name)
        shape = first.shape if isinstance(first, (np.ndarray, Init)) else ()
        made.dims = len(shape)
        made.shape = draft.own(ffi.new("uint64_t[]", list(shape)))
        if isinstance(first, Init):
            made.init, made.a, made.b, made.seed = first.kind, first.a, first.b, first.seed
            return
        made.init = lib.STEPD_TENSOR_VALUES
        place = Tensor(0, name, "", shape, 0)
        made.values = draft.own(self._layout.pointer(place, "first value", first, False))

    def attach(self, timeout: Optional[float] = 0.0) -> None:
        """Takes the tensors as somebody else has defined them, for who does not know them.

        timeout: how long to wait until that has happened; 0: it has. :class:`DeadlineExceeded`:
        nobody has.
        """
        wait_ms = 0 if timeout == 0 else milliseconds(timeout, "timeout") or 0x7FFFFFFF
        self._handle.call(lib.stepd_attach, wait_ms)
        self._learn_tensors()

    def _learn_tensors(self) -> None:
        view = ffi.new("struct stepd_tensor_view *")
        tensors = []
        with self._handle as client:
            for i in range(lib.stepd_tensor_count(client)):
                if lib.stepd_tensor_at(client, i, view) == lib.STEPD_OK:
                    shape = tuple(view.shape[d] for d in range(view.dims))
                    tensors.append(Tensor(i, text_of(view.name), text_of(view.group), shape,
                                          view.elements))
        self._layout = Layout(tensors)

    # ---- Training ------------------------------------------------------------------------------

    def push(self, grads: Mapping[str, Array], *, examples: int = 1, loss: Optional[float] = None,
             loss_scale: Optional[float] = None, deadline: Optional[float] = None,
             priority: int = 0, hessians: Optional[Mapping[str, Array]] = None) -> Outcome:
        """Sends gradients; returns when they are in the weights (sync: when their round closed).

        grads: by the tensors' names; float32, C-contiguous, of the tensor's shape: the mean over
            ``examples``. Read where they lie.
        examples: behind the gradient: its weight among the workers'. 0: an empty contribution.
        loss: mean over the examples, which some schedules and optimizers need.
        loss_scale: what gradients and Hessians were multiplied by; None: nothing.
        deadline: how long the server may wait for other workers; None: its longest.
        priority: what is larger goes first among what waits to be sent.
        hessians: where the optimizer is Newton's method: by the name of the first tensor of a
            group, an (n, n) float32 array, n elements of all its tensors.

        :class:`DeadlineExceeded` names the ranks that are waited for. :class:`InvalidArgument`
        names the tensor that is not as it should be, also one whose gradient is NaN or infinite
        where the job refuses that.
        """
        options = _step_options(examples, loss, loss_scale, deadline, priority)
        return self._push(grads, options, hessians, awaited=True).result()

    def push_start(self, grads: Mapping[str, Array], *, examples: int = 1,
                   loss: Optional[float] = None, loss_scale: Optional[float] = None,
                   deadline: Optional[float] = None, priority: int = 0,
                   hessians: Optional[Mapping[str, Array]] = None) -> Future[Outcome]:
        """As :meth:`push`, but goes on at once: the gradient travels while more is computed. The
        arrays must not be written to until the future is done."""
        options = _step_options(examples, loss, loss_scale, deadline, priority)
        return self._push(grads, options, hessians, awaited=False)

    def _push(self, grads: Mapping[str, Array], options: Any,
              hessians: Optional[Mapping[str, Array]], awaited: bool) -> Future[Outcome]:
        batch = Batch(self._layout, arrays(grads, "grads"), None)
        self._add_hessians(options, batch, hessians)
        _await(options, awaited)
        return self._start(lib.stepd_push_start, batch, options, lambda outcome: outcome)

    def pull(self, names: Optional[Iterable[str]] = None, *,
             out: Optional[Mapping[str, Array]] = None, min_version: int = 0,
             view: str = "training", deadline: Optional[float] = None) -> dict[str, Array]:
        """Fetches weights, by the tensors' names.

        names: of the tensors; None: those of ``out``, or all.
        out: float32, C-contiguous arrays of the tensors' shapes to write them into, instead of new
            ones.
        min_version: the least to accept: it is waited for.
        view: ``"training"`` (where gradients are to be computed), ``"evaluation"`` (the weights
            themselves), ``"ema"`` or ``"swa"`` (their averages, where the group keeps one).
        deadline: how long the server may wait for ``min_version``; None: its longest.
        """
        return self._pull(names, out, min_version, view, deadline, awaited=True).result()

    def pull_start(self, names: Optional[Iterable[str]] = None, *,
                   out: Optional[Mapping[str, Array]] = None, min_version: int = 0,
                   view: str = "training", deadline: Optional[float] = None,
                   priority: int = 0) -> Future[dict[str, Array]]:
        """As :meth:`pull`, but goes on at once. ``out`` must not be read until it is done."""
        return self._pull(names, out, min_version, view, deadline, priority, awaited=False)

    def _pull(self, names: Optional[Iterable[str]], out: Optional[Mapping[str, Array]],
              min_version: int, view: str, deadline: Optional[float], priority: int = 0, *,
              awaited: bool) -> Future[dict[str, Array]]:
        options = _step_options(0, None, None, deadline, priority)
        options.min_version = whole(min_version, "min_version", 0, _U64)
        options.view = one_of(_VIEWS, view, "view")
        options.awaited = awaited
        if out is None:
            into = self._layout.empty(names)
        else:
            given = arrays(out, "out")
            into = dict(given) if names is None else _arguments.pick(given, names)
        batch = Batch(self._layout, None, into)
        return self._start(lib.stepd_pull_start, batch, options, lambda _: into)

    def step(self, grads: Mapping[str, Array], *, out: Optional[Mapping[str, Array]] = None,
             view: str = "training", examples: int = 1, loss: Optional[float] = None,
             loss_scale: Optional[float] = None, deadline: Optional[float] = None,
             priority: int = 0, hessians: Optional[Mapping[str, Array]] = None) -> Step:
        """:meth:`push` and :meth:`pull` in one exchange: sends gradients, and returns the weights
        that came of them and of the other workers'.

        out: arrays for the weights of all tensors in ``grads``; None: new ones. The weights of the
            last step will do. The rest is as for push and pull.
        """
        options = _step_options(examples, loss, loss_scale, deadline, priority)
        return self._step(grads, out, view, options, hessians, awaited=True).result()

    def step_start(self, grads: Mapping[str, Array], *,
                   out: Optional[Mapping[str, Array]] = None, view: str = "training",
                   examples: int = 1, loss: Optional[float] = None,
                   loss_scale: Optional[float] = None, deadline: Optional[float] = None,
                   priority: int = 0,
                   hessians: Optional[Mapping[str, Array]] = None) -> Future[Step]:
        """As :meth:`step`, but goes on at once. Until it is done, gradients must not be written to
        and ``out`` must not be read."""
        options = _step_options(examples, loss, loss_scale, deadline, priority)
        return self._step(grads, out, view, options, hessians, awaited=False)

    def _step(self, grads: Mapping[str, Array], out: Optional[Mapping[str, Array]], view: str,
              options: Any, hessians: Optional[Mapping[str, Array]],
              awaited: bool) -> Future[Step]:
        options.view = one_of(_VIEWS, view, "view")
        _await(options, awaited)
        if out is None:
            into = self._layout.empty(arrays(grads, "grads"))
        else:
            given = arrays(out, "out")
            into = {name: given[name] for name in arrays(grads, "grads") if name in given}
        batch = Batch(self._layout, grads, into)
        self._add_hessians(options, batch, hessians)
        return self._start(lib.stepd_step_start, batch, options,
                           lambda outcome: Step(into, outcome))

    def _add_hessians(self, options: Any, batch: Batch,
                      hessians: Optional[Mapping[str, Array]]) -> None:
        if hessians is not None and arrays(hessians, "hessians"):
            options.hessians = batch.add_hessians(self._layout, hessians)
            options.hessians_count = len(hessians)

    def _start(self, function: Callable[..., int], batch: Batch, options: Any,
               finish: Callable[[Outcome], Any]) -> Future[Any]:
        operation = ffi.new("struct stepd_op **")
        self._orphans.free(self._handle)
        self._handle.call(function, batch.arrays, batch.count, options, operation)
        return Future(self._handle, self._orphans, operation[0], batch, finish)

    def lend(self, name: str) -> Lent:
        """Arrays of a tensor that the server shares where it is on this host (an address
        ``unix:...``): gradients are then read where the caller has written them, and weights where
        the server has. Elsewhere they are arrays like any others.

        Both hold zeros at first, and are the same at each call. They stand in operations on their
        tensor as any others: ``c.step({name: lent.grad}, out={name: lent.weights})``. Weights stand
        until the next push or step of the tensor is started. They are the client's memory: whoever
        reads or writes them after :meth:`close` is ended by the system.
        """
        tensor = self._layout[name]
        grad, weights = ffi.new("float **"), ffi.new("float **")
        self._handle.call(lib.stepd_lend, tensor.index, grad, weights)
        self._layout.lent[name] = int(ffi.cast("uintptr_t", weights[0]))
        lent = Lent(_array_at(grad[0], tensor), _array_at(weights[0], tensor))
        lent.weights.flags.writeable = False
        return lent

    # ---- Beside training -----------------------------------------------------------------------

    def barrier(self, name: str, timeout: Optional[float] = None) -> None:
        """Waits until all members of the job have come to the barrier of this name: 1 to 64
        letters, digits and any of ``- _ . : /``.

        timeout: at most so long; None: the server's longest. :class:`DeadlineExceeded` names the
        ranks that have not come. After Ctrl-C the next call with this name goes on where it was.
        """
        text = Draft().text(name or "", "name")
        self._handle.call(lib.stepd_barrier, text, milliseconds(timeout, "timeout"))

    def report(self, step: int, loss: float, examples: int = 1) -> None:
        """Tells the server the loss of this worker's newest step (its number, from 1), the mean
        over so many examples, for ``stepctl status`` and people."""
        self._handle.call(lib.stepd_report, whole(step, "step", 1, _U64), number(loss, "loss"),
                          whole(examples, "examples", 0, _arguments.EXAMPLES_MAX))

    def change(self, group: Optional[str] = None, *, optimizer: Optional[str] = None,
               schedule: Union[Schedule, str, None] = None, phases: Sequence[Phase] = (),
               at: int = 0, drop_phases: bool = False, dry_run: bool = False,
               deadline: Optional[float] = None, **params: Value) -> Change:
        """Changes groups of the job while it runs, on all shards from one version on.

        group: its name; None: all.
        optimizer, schedule, phases, params: go over what the group has, as in
            ``c.change(lr=0.01)``.
        at: version that the first step with it starts from; 0: the earliest.
        drop_phases: none of the phases to come stays, and no change at a later version.
        dry_run: say what would change, and change nothing.
        """
        draft = Draft()
        options = ffi.new("struct stepd_change_options *", lib.default_change_options())
        changed = Group(None, group, optimizer, schedule, phases=phases)
        changed.params = params
        draft.group(options.group, changed)
        options.at = whole(at, "at", 0, _U64)
        options.drop_phases = drop_phases
        options.dry_run = dry_run
        options.deadline_ms = milliseconds(deadline, "deadline")
        result = ffi.new("struct stepd_change_result *")
        self._handle.call(lib.stepd_change, options, result)
        return Change(result.number, result.groups, result.version)

    def checkpoint(self, deadline: Optional[float] = None) -> Checkpoint:
        """Asks the server for a checkpoint now, and waits until it is on its disk; training goes on
        meanwhile. :class:`FailedPrecondition`: the server keeps none."""
        result = ffi.new("struct stepd_checkpoint_result *")
        self._handle.call(lib.stepd_checkpoint, ffi.NULL, milliseconds(deadline, "deadline"),
                          result)
        return Checkpoint(text_of(result.name), result.step, result.bytes)

    def status(self, job: Optional[str] = None, timeout: float = 10.0) -> dict[str, Any]:
        """What ``stepctl status --json`` prints: ``{"server_version", "uptime_ms", "daemons": [...],
        "jobs_unknown", "jobs": [{"name", "state", "version_max", "waited_for", "members": [...],
        ...}]}``. ``jobs_unknown`` says why there may be other jobs; else it is empty.

        job: the one to ask for; None: all. :class:`Unavailable` after ``timeout`` seconds.
        """
        text = ffi.new("char **")
        name = Draft().text(job, "job")
        self._handle.call(lib.stepd_get_status, name, milliseconds(timeout, "timeout"), text)
        try:
            answer: dict[str, Any] = json.loads(text_of(text[0]))
            return answer
        finally:
            lib.free(text[0])

    # ---- The end -------------------------------------------------------------------------------

    def leave(self) -> None:
        """Says that this worker pushes no more: rounds close without it from now on. To be called
        when all its pushes are done; again is fine."""
        self._handle.call(lib.stepd_leave)

    def close(self) -> None:
        """Ends the connections, and cancels what is under way. A worker that has not left is lost,
        and its rank is free. Again is fine."""
        try:
            if not self._handle.closed:
                self._orphans.free(self._handle)
        finally:
            self._handle.close()
            self._orphans.clear()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], value: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        try:
            if kind is None and not self._observer and not self._handle.closed:
                self.leave()
        finally:
            self.close()


def _array_at(pointer: Any, tensor: Tensor) -> Array:
    data = ffi.buffer(pointer, 4 * tensor.elements)
    return np.frombuffer(data, np.float32).reshape(tensor.shape)


def _await(options: Any, awaited: bool) -> None:
    """Says whether the caller waits at once; then nobody but another thread completes what it has
    left out."""
    options.awaited = awaited
    options.whole = awaited and threading.active_count() == 1


def _step_options(examples: int, loss: Optional[float], loss_scale: Optional[float],
                  deadline: Optional[float], priority: int) -> Any:
    options = ffi.new("struct stepd_step_options *", lib.default_step_options())
    options.examples = whole(examples, "examples", 0, _arguments.EXAMPLES_MAX)
    options.deadline_ms = milliseconds(deadline, "deadline")
    options.priority = whole(priority, "priority", -2**31, 2**31 - 1)
    if loss is not None:
        options.has_loss, options.loss = True, number(loss, "loss")
    if loss_scale is not None:
        options.loss_scale = number(loss_scale, "loss_scale")
    return options


def connect(address: Optional[str] = None, *, job: Optional[str] = None,
            rank: Optional[int] = None, worker: Optional[str] = None, token: Optional[str] = None,
            observer: bool = False, push_dtype: str = "f32", pull_dtype: str = "f32",
            lease: Optional[float] = None, connect_timeout: float = 10.0,
            reconnect_timeout: float = 60.0, sockets_only: bool = False, busy_poll: float = 0.0,
            tls_ca: Optional[str] = None, tls_cert: Optional[str] = None,
            tls_key: Optional[str] = None, tls_name: Optional[str] = None, insecure: bool = False,
            on_event: Optional[Callable[[Event], None]] = None) -> Client:
    """Connects to a server, and joins a job.

    address: ``"host:port"``, ``"[v6]:port"``, the same behind ``"tls:"``, or ``"unix:/path"``; None:
        ``STEPD_ADDRESS``, else ``127.0.0.1:7070``.
    job: its name; None: ``STEPD_JOB``. Workers must have one.
    rank: of this worker; None: what the launcher says (``stepctl launch``, torchrun, Slurm, Open
        MPI), else any free one.
    worker: a name for people; None: host and process. A worker that was killed gets its rank again
        before its lease has run out where it connects with the name that it had.
    token: by which the server knows who this is; None: ``STEPD_TOKEN``, else none.
    observer: pulls and asks only, and is no member of the job.
    push_dtype, pull_dtype: how gradients and weights travel: ``"f32"``, ``"f16"`` or ``"bf16"``;
        in memory they are float32.
    lease: seconds of silence after which another worker may take the rank; None: the server's.
    connect_timeout: seconds for this call, which tries again until then.
    reconnect_timeout: how long a lost connection may be gone; 0: it stays lost.
    sockets_only: share no memory with a server on this host.
    busy_poll: for so many seconds a wait looks for its answer before it sleeps; for a core of its
        own.
    tls_ca, tls_cert, tls_key: PEM files of TLS: the CA of the server's certificate, a certificate of
        our own, and its key; None: ``STEPD_CA``, ``STEPD_CLIENT_CERT`` and ``STEPD_CLIENT_KEY``, else
        the system's CAs, and none.
    tls_name: in the server's certificate; None: ``STEPD_SERVER_NAME``, else the host.
    insecure: the token may go over a network in clear.
    on_event: called with each :class:`Event`, in another thread or in one that waits. It must not
        wait, nor call this client.

    :class:`Unavailable`: nobody answers. :class:`AlreadyExists`: the rank is taken by a living
    worker. :class:`ResourceExhausted`: all ranks are; the texts say who holds them and for how
    long, and nothing waits for one. :class:`FailedPrecondition`: the job has
    finished, or the rank has left.
    """
    signals = Signals(on_event)
    draft = Draft()
    options = ffi.new("struct stepd_options *", lib.default_options())
    server = _arguments.address(launcher.address() if address is None else address)
    options.address = draft.text(server)
    options.job = draft.text(_arguments.job(launcher.job() if job is None else job, observer))
    options.worker = draft.text(worker, "worker")
    options.token = draft.text(launcher.token() if token is None else token, "token")
    for field, said, name in (("tls_ca", tls_ca, "STEPD_CA"),
                              ("tls_cert", tls_cert, "STEPD_CLIENT_CERT"),
                              ("tls_key", tls_key, "STEPD_CLIENT_KEY"),
                              ("tls_name", tls_name, "STEPD_SERVER_NAME")):
        found = launcher.of_tls(server, name) if said is None else said
        setattr(options, field, draft.text(found, field))
    options.insecure = insecure
    if rank is None and not observer:
        rank = launcher.rank()
    options.rank = -1 if rank is None else whole(rank, "rank", 0, launcher.WORKERS_MAX - 1)
    options.observer = observer
    options.push_dtype = one_of(_DTYPES, push_dtype, "push_dtype")
    options.pull_dtype = one_of(_DTYPES, pull_dtype, "pull_dtype")
    options.lease_ms = milliseconds(lease, "lease")
    options.connect_timeout_ms = milliseconds(connect_timeout, "connect_timeout")
    options.reconnect_timeout_ms = (0 if reconnect_timeout == 0 else
                                    milliseconds(reconnect_timeout, "reconnect_timeout"))
    options.sockets_only = sockets_only
    options.busy_poll_us = _arguments.microseconds(busy_poll, "busy_poll")
    return Client(Handle(options, signals), observer)
