# SPDX-License-Identifier: Apache-2.0
"""Seeds of fuzz_session and fuzz_client, as their programs: what honest and less honest clients do,
and servers.

Names of fields follow tests/fuzz/compose*.c, where 0 is what an honest peer would say.
"""

import zlib

KINDS = ["hello", "define_job", "define_tensors", "get_layout", "assign", "push", "pull", "step",
         "report", "heartbeat", "leave", "get_status", "get_groups", "change_job", "get_changes",
         "barrier", "checkpoint"]
OPTIMIZERS = 26
SCHEDULES = ["", "constant", "step", "multistep", "exponential", "linear", "polynomial", "cosine",
             "cyclic", "noam", "plateau", "lambda", "inverse_sqrt", "one_cycle", "sequential",
             "chained", "cosine_restarts"]
# What a schedule needs, as indices of SCHEDULE_SETTINGS and numbers.
NEEDS = {"step": [("step_size", 2)], "multistep": [("milestones", 3)], "exponential": [("gamma", 4)],
         "linear": [("total_iters", 9)], "polynomial": [("total_iters", 9)], "cosine": [("t_max", 9)],
         "cyclic": [("base_lr", 6), ("max_lr", 1), ("step_size_up", 2)], "noam": [("warmup_steps", 3)],
         "lambda": [("steps", 1), ("factors", 2)], "one_cycle": [("max_lr", 1), ("total_steps", 9)],
         "cosine_restarts": [("t_0", 3)]}
SETTINGS = ["lr", "weight_decay", "beta1", "beta2", "eps", "momentum", "lr_mult", "preset",
            "clip_norm", "clip_value", "ema_decay", "swa_start", "swa_every"]
SCHEDULE_SETTINGS = ["total_steps", "warmup_steps", "step_size", "gamma", "milestones", "t_max",
                     "eta_min", "t_0", "t_mult", "factor", "patience", "cooldown", "threshold",
                     "mode", "window", "start_factor", "end_factor", "total_iters", "power",
                     "base_lr", "max_lr", "step_size_up", "steps", "factors"]
JOB_SETTINGS = ["nonfinite", "atomic", "reduction", "accumulate", "accumulate_examples", "backup",
                "late", "close_examples", "clip_global_norm", "staleness", "staleness_max",
                "lr_by_staleness", "delay_compensation", "on_loss", "workers_min"]
WORDS = ["skip", "halt", "refuse", "job", "slice", "arrival", "rank", "drop", "apply", "wait",
         "fail", "shrink", "true", "false"]
LATE, SLOW, DEAF = 0x80, 0x40, 0x20
SYNC, ASYNC, BOUNDED = 0, 1, 2
ZEROS = [0] * 8


def number_of(name):
    """Some options are by the name: so seeds stay as they are where others are added."""
    return zlib.crc32(name.encode())


def act(*numbers):
    return bytes([len(numbers), *numbers])


def options(course=0, flags=0):
    return act(course, flags)


def control(who):
    return who


def shard(who, which):
    return 4 + 4 * which + who


def send(peer, kind, *fields, fill=0, trim=0, how=0):
    return act(how, peer, fill, trim, KINDS.index(kind), *fields)


def number(value):
    """As take_double() reads it."""
    return 17 + value


def setting(names, name, value):
    if isinstance(value, str):
        return [names.index(name), 128, WORDS.index(value)]
    return [names.index(name), 0, value]


def settings(names, pairs):
    return [len(pairs)] + [byte for name, value in pairs for byte in setting(names, name, value)]


def group(optimizer=0, pairs=(), schedule=0, schedule_pairs=(), phases=()):
    out = [optimizer, *settings(SETTINGS, pairs), schedule,
           *settings(SCHEDULE_SETTINGS, schedule_pairs), 0, len(phases)]
    for start, of in phases:
        out += [start, of, 0]
    return out


def define_job(mode=SYNC, workers=1, pairs=(), averages=False, clips=False, slice_elements=0,
               **of_group):
    if averages:
        of_group["pairs"] = [("ema_decay", 4), ("swa_start", 2)]
    if clips:
        of_group["pairs"] = [("clip_norm", 2)]
    return [mode, workers - 1, 0, *group(**of_group), 0, 0, 0, *settings(JOB_SETTINGS, pairs),
            slice_elements]


def tensors(*tensor, last=True):
    """Each is (name, shape, kind of init - 1)."""
    out = [(len(tensor) - 2) % 7, 0 if last else 3, 0]
    for i, (name, shape, kind) in enumerate(tensor):
        out += [(name - i) % 7, len(shape) - 1, *[n + 1 for n in shape], kind, 0, 0, 7, 0]
    return out


PLAIN = tensors((0, (5,), 0), (1, (4, 4), 0))
MATRIX = tensors((0, (4, 2), 0), (1, (4, 2), 0))
BROUGHT = tensors((0, (5,), 2), (1, (4, 4), 0))


def hello(who, job=0, rank=0, flags=0, token=0, lease=0):
    return send(control(who), "hello", flags, job, rank, token, 0, 0, lease)


def on_shards(who, job=0, rank=0, flags=0, token=0):
    return b"".join(send(shard(who, k), "hello", flags, job, rank, token) for k in range(2))


def enrol(workers=1, job=0, flags=0, page=PLAIN, first=0, token=0, **definition):
    out = b""
    for rank in range(workers):
        out += hello(first + rank, job, rank, token=token)
    out += send(control(first), "define_job", *define_job(workers=workers, **definition))
    out += send(control(first), "define_tensors", *page)
    for rank in range(workers):
        out += on_shards(first + rank, job, rank, flags)
    return out


def on_both(who, kind, *fields, **how):
    return b"".join(send(shard(who, k), kind, *fields, **how) for k in range(2))


def steps(workers, count, kind="push", *fields, **how):
    return b"".join(on_both(rank, kind, *fields, **how) for _ in range(count)
                    for rank in range(workers))


def carry(peer, n):
    """And nothing else arrives."""
    return act(2 | SLOW, peer, n & 255, n >> 8)


def passes(ms, how=0):
    return act(4 | how, ms // 16 & 255, ms // 16 >> 8)


def victim(acts=4):
    return act(7, acts - 1)


def ask(who=0, job=0):
    return b"".join(send(control(who), kind, job) for kind in
                    ("get_status", "get_groups", "get_changes")) + send(control(who), "get_layout")


ENDS = b"".join(act(5, peer) for peer in range(12))


# A part of a push of each of four workers to one shard, where only three may come in at a time.
PARTS = b"".join(send(shard(who, 0), "push", 64, 0, 0, 0, 50 if who == 3 else 0, how=SLOW)
                 + carry(shard(who, 0), 60) for who in range(4))


def leave(workers):
    return b"".join(send(control(rank), "leave") for rank in range(workers))


def pull(who=0, dtype=0, view=1, version=0):
    return on_both(who, "pull", 0, dtype, view, version)


def programs():
    out = {
        "train": enrol() + steps(1, 3) + pull() + ask() + leave(1) + pull(),
        "two_workers": enrol(2) + victim() + steps(2, 2) + pull(1, 1) + victim() + leave(2),
        "whole_job": enrol(2, pairs=[("atomic", "job")]) + steps(2, 3) + pull() + leave(2),
        "global_norm": enrol(2, pairs=[("atomic", "job"), ("nonfinite", "skip")])
                       + steps(2, 1) + steps(1, 1, fill=2) + steps(2, 2),
        "halts": enrol(1, pairs=[("nonfinite", "halt")]) + steps(1, 1, fill=2) + steps(1, 1) + ask(),
        "refuses": enrol() + steps(1, 1, fill=2) + steps(1, 2),
        "arrival": enrol(4, pairs=[("reduction", "arrival")]) + PARTS
                   + act(5 | SLOW, shard(0, 0)) + carry(shard(1, 0), 500) + steps(4, 2),
        "held": enrol(4, pairs=[("reduction", "arrival")]) + PARTS + passes(2000, SLOW)
                + act(5 | SLOW, shard(3, 0)) + carry(shard(1, 0), 500) + steps(4, 1),
        "held_and_closed": enrol(4, pairs=[("reduction", "arrival")]) + PARTS
                           + send(control(3), "leave", how=SLOW) + passes(12000, SLOW) + ENDS,
        "expires": enrol(2) + send(shard(0, 0), "push", 64, 0, 0, 0, 50, how=SLOW)
                   + carry(shard(0, 0), 60) + passes(3000, SLOW) + carry(shard(0, 0), 500)
                   + steps(2, 1),
        "clips": enrol(1, slice_elements=233, pairs=[("clip_global_norm", 2)]) + steps(1, 3, fill=9),
        "clips_groups": enrol(1, slice_elements=233, clips=True) + steps(1, 3, fill=9),
        "pages": hello(0) + send(0, "define_job", *define_job())
                 + send(0, "define_tensors", *tensors((0, (5,), 0), (1, (4, 4), 0), last=False))
                 + send(0, "define_tensors", 5, 0, 2, 2) + ask(),
        "any_rank": send(0, "hello", 0, 0, 224) + send(0, "define_job", *define_job(workers=2))
                    + send(1, "hello", 0, 0, 224) + send(2, "hello", 0, 0, 224)
                    + send(0, "define_tensors", *PLAIN),
        "assign_nan": enrol(1, page=BROUGHT) + on_both(0, "assign", fill=2) + on_both(0, "assign"),
        "change_async": enrol(1, mode=ASYNC) + steps(1, 2)
                        + send(control(0), "change_job", 0, *group(0, [("lr", 6)])) + steps(1, 1)
                        + send(control(0), "change_job", 0, *group(0, [("lr", 2)])) + ask(),
        "many_jobs": b"".join(enrol(1, job=job, first=who) + on_both(who, "push")
                              + send(control(who), "leave") + act(5, who) + act(5, 4 + who)
                              + act(5, 8 + who) for who, job in enumerate((0, 1, 2, 5))),
        "abandoned": b"".join(hello(who, job) + act(5, who)
                              for who, job in enumerate((0, 1, 2, 5))) + passes(20000) + hello(0, 5),
        "waits_for_layout": hello(0) + hello(1, 0, 1) + send(1, "get_layout", 100) + passes(70000),
        "async": enrol(2, mode=ASYNC, optimizer=1) + steps(2, 3, "step") + pull(1, 2) + leave(2),
        "delayed": enrol(2, mode=ASYNC, pairs=[("delay_compensation", 2), ("staleness_max", 2)])
                   + pull(0, 0, 0) + pull(1, 0, 0) + steps(2, 4, "step"),
        "bounded": enrol(2, mode=BOUNDED, pairs=[("staleness", 2)]) + steps(1, 3, "step")
                   + steps(2, 2, "step") + pull(0, 0, 0),
        "backup": enrol(3, pairs=[("backup", 2), ("late", "apply")]) + steps(2, 2) + steps(3, 1),
        "close_examples": enrol(2, pairs=[("close_examples", number(2))]) + steps(2, 3),
        "accumulate": enrol(2, pairs=[("accumulate", number(2))]) + steps(2, 5),
        "assigns": enrol(1, page=BROUGHT) + on_both(0, "assign") + on_both(0, "assign") + steps(1, 2),
        "assign_cut": enrol(1, page=BROUGHT) + on_both(0, "assign", trim=3) + ENDS,
        "shared": enrol(2, flags=4) + act(12, shard(0, 0), 0) + act(12, shard(1, 0), 9)
                  + steps(2, 3, "step", 4),
        "elastic": hello(0) + send(0, "define_job", *define_job(workers=2, pairs=[("workers_min", 2)]))
                   + send(0, "define_tensors", *PLAIN) + on_shards(0) + steps(1, 2) + hello(1, 0, 1)
                   + on_shards(1, 0, 1) + steps(2, 2) + steps(1, 1) + steps(2, 2),
        "shrinks": enrol(2, pairs=[("on_loss", "shrink")]) + steps(1, 1) + passes(30000)
                   + send(control(0), "heartbeat") + steps(1, 3),
        "fails": enrol(2, pairs=[("on_loss", "fail")]) + steps(1, 1) + act(5, 1) + act(5, shard(1, 0))
                 + act(5, shard(1, 1)) + passes(12000) + ask(),
        "replaced": enrol(2) + steps(2, 1) + ENDS + passes(12000) + passes(12000) + hello(2, 0, 0)
                    + hello(3, 0, 1) + on_shards(2, 0, 0) + on_shards(3, 0, 1) + on_both(2, "push") + on_both(3, "push"),
        "resumes": enrol(1) + steps(1, 1) + act(5, 0) + send(control(0), "hello", 0, 0, 0, 0, 1)
                   + on_shards(0) + steps(1, 1),
        "changes": enrol(1) + steps(1, 1)
                   + send(control(0), "change_job", 0, *group(0, [("lr", 6)])) + steps(1, 2)
                   + send(control(0), "change_job", 0, *group(1, [("lr", 6)]), 2) + ask()
                   + send(control(0), "change_job", 0, *group(0, [("clip_norm", 2)]), 0, 0, 9),
        "checkpoints": enrol(1) + steps(1, 1) + send(control(0), "checkpoint", 0) + act(8, 0) + act(8, 1)
                       + act(9, 0) + steps(1, 1) + send(control(0), "checkpoint", 0) + act(8, 0)
                       + act(8, 1) + act(9, 1) + ask(),
        "snapshots": enrol(1) + act(11, 0) + steps(1, 2) + act(8, 0) + act(8, 1)
                     + act(11, 3) + victim() + act(8, 0) + act(8, 1) + act(9, 0) + act(9, 0),
        "barriers": enrol(2) + send(control(0), "barrier") + send(control(1), "barrier")
                    + send(control(0), "barrier", 1, 1) + passes(70000),
        "observes": enrol(1) + steps(1, 1) + send(control(3), "hello", 1, 0, 0, 2)
                    + on_shards(3, 0, 0, 1, 2) + pull(3) + pull(3, 0, 1, 1) + ask(3) + on_both(3, "push"),
        "brief": enrol(1, token=3) + steps(1, 1) + b"".join(passes(9000) + send(0, "heartbeat")
                                                               for _ in range(14)) + ask(),
        "list": enrol(1) + act(10, 1) + passes(160) + steps(1, 1) + act(10, 0) + hello(1),
        "found": enrol(1, job=2) + act(9, 0) + on_shards(0, 2) + steps(1, 1) + ask(0, 2),
        "fetches": hello(0, 2) + send(control(0), "define_job", *define_job())
                   + send(control(0), "define_tensors", *PLAIN) + act(9, 1) + ask(0, 2),
        "stranger": hello(0, 4) + send(control(1), "hello", 1, 4, 0, 2) + hello(2, 3)
                    + send(control(0), "hello", 0, 0, 0, 239),
        "stranger_changes": enrol(1) + victim(2)
                            + send(control(0), "change_job", 4, *group(0, [("lr", 6)])) + ask(0, 4)
                            + send(control(0), "checkpoint", 4) + send(control(0), "barrier")
                            + on_shards(0, 4) + steps(1, 1) + pull(),
        "three_jobs": enrol(1) + enrol(1, job=1, first=1) + enrol(1, job=5, first=2)
                      + on_both(1, "push") + on_both(2, "push") + leave(3) + hello(3, 1),
        "late": hello(0)[:1] + bytes([LATE]) + hello(0)[2:]
                + send(control(0), "define_job", *define_job(), how=LATE)
                + send(control(0), "define_tensors", *PLAIN, how=LATE) + act(3 | LATE, 0, 1)
                + act(3 | LATE, 1, 1) + act(3 | LATE, 2, 1) + act(3, 0, 9) + on_shards(0) + steps(1, 1),
        "cut": enrol(2) + on_both(0, "push", how=SLOW) + carry(4, 70) + carry(8, 200)
               + act(5, 4) + ENDS + passes(400),
        "deaf": enrol(2) + b"".join(on_both(0, "pull", 0, d, 1, how=DEAF) for d in range(3))
                + steps(2, 3, how=DEAF) + act(6, 4, 1) + act(6, 8, 9) + pull(),
        "hoards": enrol(1) + steps(1, 1) + send(control(3), "hello", 1, 0, 0, 2) + on_shards(3, 0, 0, 1, 2)
                  + (on_both(3, "pull", 0, 0, 1, how=DEAF) + steps(1, 1, how=DEAF)) * 14
                  + act(6 | DEAF, shard(3, 0), 2) + pull(),
        "phases": enrol(1, phases=[(1, 0), (1, 1)]) + steps(1, 5),
        "averages": enrol(1, averages=True) + steps(1, 3) + pull(0, 0, 2) + pull(0, 1, 3),
        "hostile_bytes": act(1, 0, *b"GET / HTTP/1.1\r\n\r\n") + act(1, 4, *b"\xff" * 12)
                         + act(1, 8, 0x07, 0x12, 0x02, 0x08, 0x01) + act(1, 1, 0, 0, 0),
        "hostile_payloads": enrol(1) + steps(1, 1, trim=1) + steps(1, 1, trim=200) + steps(1, 1),
        "hostile_clocks": enrol(1) + steps(1, 1, "push", 0, 0, 5) + steps(1, 1, "push", 0, 0, 255)
                          + steps(1, 1, "push", 16, 0, 0, 0, 1, 9),
        "hostile_slices": enrol(1) + steps(1, 1, "push", 0, 66, 200, 1) + pull() + steps(1, 1),
    }
    for optimizer in range(1, OPTIMIZERS):
        out[f"optimizer_{optimizer}"] = (
            enrol(1, optimizer=optimizer, page=MATRIX if optimizer == 21 else PLAIN) + steps(1, 2, "step", 2, 0, 0, optimizer % 3, 3, fill=7))
    for index, name in enumerate(SCHEDULES[1:], 1):
        pairs = [(key, number(value)) for key, value in NEEDS.get(name, [])]
        out[f"schedule_{name}"] = (enrol(1, schedule=index, schedule_pairs=pairs)
                                   + steps(1, 2, "push", 2, 0, 0, 3) + ask())
    for course in range(4):
        out[f"course_{course}"] = enrol(1) + victim(2) + steps(1, 1) + victim(9) + passes(3000)
    return {name: options(number_of(name) % 4, number_of(name) // 4 % 4 | (name == "shared")) + program
            for name, program in out.items()}


# ---- fuzz_client.c -------------------------------------------------------------------------------

REPLIES = ["answer", "job_defined", "tensors_defined", "layout", "result", "ack", "status", "groups",
           "error", "changes", "checkpoint_written"]
PULL, STEP, PUSH = 0, 1, 2


def reply(link, kind="answer", *fields, fill=0, trim=0, which=0):
    return act(0, link, fill, trim, which, REPLIES.index(kind), *fields)


def wants(link):
    return act(4, link)


def asks(kind, *fields, link=0):
    return act(5, link, KINDS.index(kind), *fields)


def operates(kind=PULL, *fields):
    return act(6, kind, *fields)


def answers(*links, **how):
    return b"".join(reply(link, **how) for link in links)


def lost(link):
    return act(2, link)


def ticks(ms):
    return act(3, ms // 16 & 255, ms // 16 >> 8)


CONNECTED = wants(0) + reply(0)
SETTLED = CONNECTED + asks("get_layout") + reply(0) + answers(1, 2)


# Both tensors in one slice, on shard 1.
PACKED = [0, *[0] * 16, 1, 1, 1, 2]


def client_programs():
    out = {
        "connects": CONNECTED,
        "defines": CONNECTED + asks("define_job") + reply(0) + asks("define_tensors") + reply(0)
                   + asks("get_layout") + reply(0) + answers(1, 2),
        "pulls": SETTLED + (operates() + answers(1, 2)) * 2,
        "steps": SETTLED + (operates(STEP) + answers(1, 2)) * 3,
        "pushes": SETTLED + operates(PUSH) + answers(1, 2) + operates(PULL) + answers(2, 1),
        "assigns": SETTLED + asks("assign", link=1) + reply(1),
        "overtaking": SETTLED + operates(STEP) + operates(PULL) + operates(PULL)
                      + answers(1, 2, which=1) + answers(1, 2) + answers(1, 2, which=2),
        "asks": SETTLED + b"".join(
            asks(kind) + reply(0) for kind in ("get_status", "get_groups", "get_changes", "report",
                                               "barrier", "checkpoint", "change_job", "leave")),
        "pages": SETTLED + asks("get_status") + reply(0, "status", 3, 1, 9, 2) + reply(0, "status", 0, 1)
                 + asks("get_groups") + reply(0, "groups", 3, 2) + reply(0, "groups", 0, 1),
        "layout_pages": CONNECTED + asks("get_layout") + reply(0, "layout", 1) + lost(0) + ticks(400)
                        + reply(0) + reply(0),
        "reconnects": SETTLED + operates(STEP) + lost(1) + ticks(200) + reply(1) + answers(1, 2)
                      + lost(0) + ticks(400) + reply(0) + answers(1, 2),
        "rolls_back": SETTLED + operates(STEP) + reply(1, "error", 1) + ticks(48) + lost(0) + ticks(300)
                      + reply(0, "answer", 0, 0, 0, 1) + reply(0, "answer", 0) + answers(1, 2)
                      + operates(PULL) + answers(1, 2),
        "forgotten": SETTLED + lost(0) + ticks(300) + reply(0, "error", 2) + ticks(300) + reply(0)
                     + reply(0) + answers(1, 2) + operates(PULL) + answers(1, 2),
        "deadlines": SETTLED + operates(PULL, 0, 0, 9) + ticks(6000) + ticks(6000) + ticks(9000),
        "refused": wants(0) + reply(0, "error", 4) + wants(0) + ticks(100),
        "error_without_text": wants(0) + reply(0, "error", 4, 0) + SETTLED + asks("get_status")
                              + reply(0, "error", 4, 0) + operates() + reply(1, "error", 4, 0),
        "gives_up": wants(0) + (lost(0) + ticks(5000)) * 14,
        "withdraws": CONNECTED + asks("get_status") + act(7, 0) + reply(0) + asks("get_groups") + reply(0),
        "unwritten": SETTLED + act(6 | 0x80, STEP) + act(0 | 0x80, 1, 0, 0, 0, 0) + act(8, 1, 0)
                     + act(8, 2, 0) + answers(2),
        "shared": wants(0) + reply(0) + asks("get_layout") + reply(0)
                  + b"".join(reply(k, "answer", 32, 0, 0, 0, 0, 0, 0, 233, 233) for k in (1, 2))
                  + operates(STEP) + b"".join(reply(k, "result", 4, 0, 0, 0, 0, 0, 1, 0) for k in (1, 2)),
        "bfloat16": SETTLED + operates() + b"".join(reply(k, "result", 0, 0, 0, 0, 2, fill=63) for k in (1, 2)),
        "packed": CONNECTED + asks("get_layout") + reply(0, "layout", *PACKED) + reply(1)
                  + operates(PUSH, 1) + operates(PUSH, 2) + reply(1) + operates(PULL, 2) + reply(1)
                  + operates(STEP, 1) + ticks(9000) + ticks(60000) + operates(STEP, 3) + reply(1),
        "newton": CONNECTED + asks("get_layout") + reply(0, "layout", 4, *[0] * 16, *[0] * 7, 2, 25, 25)
                  + answers(1, 2) + operates(STEP) + answers(1, 2) + operates(PUSH, 1) + reply(1),
        "packed_back": CONNECTED + asks("get_layout") + reply(0, "layout", *PACKED) + reply(1)
                       + operates(STEP, 1) + reply(0, "error", 1) + lost(1) + ticks(300)
                       + reply(1, "answer", 0, 0, 0, 1) + ticks(100) + reply(0, "layout", *PACKED)
                       + operates(STEP, 1) + operates(PULL, 3),
        "hostile_bytes": CONNECTED + act(1, 0, *b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        "hostile_payloads": SETTLED + operates() + reply(1, trim=1) + reply(2, trim=200),
        "hostile_results": SETTLED + operates() + reply(1, "result", 0, 2, 0, 1) + reply(2, "result", 2)
                           + reply(2, "result", 0, 1, 9),
        "hostile_layouts": CONNECTED + asks("get_layout") + reply(0, "layout", 0, 0, 0, 0, 3)
                           + asks("get_layout") + reply(0, "layout", 2, 4),
        "hostile_welcome": wants(0) + reply(0, "answer", 16 + 2 + 4, 3, 9, 8),
        "wrong_answers": SETTLED + asks("get_status") + reply(0, "groups") + ticks(300) + reply(0)
                         + operates() + reply(1, "ack") + reply(2, "status"),
    }
    return {name: act(2 * (name == "shared") | (number_of(name) % 4 == 3)) + program
            for name, program in out.items()}
