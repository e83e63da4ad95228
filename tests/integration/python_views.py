#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a worker on the stock protobuf package alone can say of losses, views and Hessians.

usage: python_views.py BIN: the folder of stepd. Connections are those of the Python example.
"""
import importlib.util
import pathlib
import struct
import subprocess
import sys
import tempfile

from processes import Daemon

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77


class Worker:
    """The only worker of a job with one group and one tensor, which fits one slice."""

    def __init__(self, pb, connect, server, group, elements):
        self.pb = pb
        who = dict(job=group.name, worker="python", rank=0)
        control = connect(server, **who)
        control.ask(define_job=pb.DefineJob(mode=pb.SYNC, workers=1, groups=[group]))
        tensor = pb.Tensor(name="w", shape=[elements])
        control.ask(define_tensors=pb.DefineTensors(tensors=[tensor], last=True))
        (self.layout, _), = control.ask(get_layout=pb.GetLayout())
        owner = self.layout.slice_shards[0]
        address = control.welcome.shard_addresses[owner - 1] or server
        self.shard = connect(address, session=control.welcome.session, shard=owner, **who)
        self.incarnation = self.layout.incarnation
        self.clock = 0

    def pull(self, view):
        pull = self.pb.Pull(incarnation=self.incarnation, slices=[0], view=view)
        (_, payload), = self.shard.ask(pull=pull)
        return [w for w, in struct.iter_unpack("<f", payload)]

    def step(self, numbers, pull_view=0, **push):
        """numbers: the gradient, and behind it what the layout asks for."""
        self.clock += 1
        push = self.pb.Push(incarnation=self.incarnation, clock=self.clock, slices=[0],
                            base_versions=[self.clock - 1], examples=1, **push)
        payload = struct.pack(f"<{len(numbers)}f", *numbers)
        (result, payload), = self.shard.ask(
            payload, step=self.pb.Step(push=push, pull_view=pull_view))
        assert list(result.outcomes) == [self.pb.APPLIED], result
        return [w for w, in struct.iter_unpack("<f", payload)]


def setting(pb, name, value):
    return pb.Setting(name=name, **({"word": value} if isinstance(value, str)
                                    else {"values": [value]}))


def settings(pb, **values):
    return [setting(pb, name, value) for name, value in values.items()]


def check_losses(pb, connect, server):
    group = pb.Group(name="losses", match="*", optimizer="sgd", settings=settings(pb, lr=1),
                     schedule="plateau",
                     schedule_settings=settings(pb, factor=0.5, patience=0, mode="min"))
    worker = Worker(pb, connect, server, group, 1)
    seen = [worker.step([8], loss=pb.Loss(mean=mean), loss_scale=8)[0] for mean in (2, 1, 1, 0)]
    assert seen == [-1, -2, -3, -3.5], f"plateau on the pushed loss: {seen}"


def check_views(pb, connect, server):
    group = pb.Group(name="views", match="*", optimizer="nesterov",
                     settings=settings(pb, preset="lecture", lr=0.5, momentum=0.5, ema_decay=0.5))
    worker = Worker(pb, connect, server, group, 1)
    ahead = worker.step([1])
    weights = worker.step([1], pull_view=pb.EVALUATION)
    seen = ahead + weights + worker.pull(pb.TRAINING) + worker.pull(pb.EMA)
    assert seen == [-0.75, -1.25, -1.625, -0.875], f"views: {seen}"
    try:
        worker.pull(pb.SWA)
    except SystemExit as refused:  # as the example ends on an Error
        assert "set swa_start in the group" in str(refused), refused
    else:
        raise AssertionError("a view that is not kept was handed out")


def check_hessian(pb, connect, server):
    """The lowest point of (x - 1)^2 + x y + (y + 2)^2 from (0, 0)."""
    worker = Worker(pb, connect, server, pb.Group(name="hessian", match="*", optimizer="newton"), 2)
    assert list(worker.layout.slice_extras) == [4], worker.layout
    x, y = worker.step([-2, 4] + [2, 1, 1, 2])
    assert abs(x - 8 / 3) < 1e-6 and abs(y + 10 / 3) < 1e-6, f"newton: {x}, {y}"


def main():
    if importlib.util.find_spec("google.protobuf") is None:
        print("skipped: this Python has no protobuf package")
        raise SystemExit(SKIPPED)
    checks = [check_losses, check_views, check_hessian]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["protoc", f"-I{SOURCE}/proto", f"--python_out={folder}",
                        f"{SOURCE}/proto/stepd.proto"], check=True)
        sys.path[:0] = [folder, f"{SOURCE}/client/examples/python"]
        import linear
        import stepd_pb2
        with Daemon(f"{sys.argv[1]}/stepd", "--shards", "2") as daemon:
            for check in checks:
                check(stepd_pb2, linear.Connection, daemon.address)
    print(f"{len(checks)} jobs: a loss, views and a Hessian")


if __name__ == "__main__":
    main()
