# SPDX-License-Identifier: Apache-2.0
"""Plants mistakes in the daemon, one at a time, and sees the simulation notice each.

    mutations.py list                         each mutation's name, its program of the simulation,
                                              and the files that it changes
    mutations.py apply NAME SOURCES FOLDER    writes these files, changed, below FOLDER
    mutations.py check FOLDER SEEDS           runs the programs in FOLDER, which must pass so many
                                              seeds, and each FOLDER/sim_mutant_NAME, which must not

A change is a text that stands in its file exactly once, and what stands there instead: where the
text has moved on, applying the mutation fails, and whoever changed it says anew what the mistake
would look like now. CMake builds the mutants (target sim_mutants) from the changed files and the
daemon's libraries; nothing of this is in the daemon's own sources.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

# name: (what goes wrong, [(file, text, instead)]), and behind that the program that must notice it,
# where it is not sim_training.
MUTATIONS = {
    "count_pushes": (
        "a round counts pushes instead of ranks",
        [("server/core/handle_push.c",
          "        waiter_park(waiter, WAITER_ROUND);\n        return;\n",
          "        slice->round.counted++;\n"
          "        waiter_park(waiter, WAITER_ROUND);\n"
          "        update_try(waiter->request->conn->core, slice);\n        return;\n"),
         ("server/sync/policy.c",
          "    return (double)lacking <= scene->consistency->backup || lacking == spent;\n",
          "    return (double)scene->round->counted + scene->consistency->backup >=\n"
          "           (double)scene->ranks;\n")]),
    "forget_record": (
        "what a rank has pushed is forgotten when it connects again",
        [("server/core/handle_hello.c",
          "    session->conn = conn;\n",
          "    session->conn = conn;\n"
          "    struct core_job *job = job_find(core, session->job_name);\n"
          "    for (size_t i = 0; job != NULL && i < job->job->layout.slices; i++) {\n"
          "        if (job->slice[i] != NULL && session->rank < job->slice[i]->slice.ranks)\n"
          "            job->slice[i]->slice.by_rank[session->rank].record =\n"
          "                (struct record){.clock = 0};\n"
          "    }\n")]),
    "half_a_slice": (
        "a slice that is cut short counts",
        [("server/core/receive.c",
          "        push_abort(current(conn));\n",
          "        push_complete(current(conn));\n")]),
    "without_a_member": (
        "a round closes without a member",
        [("server/sync/policy.c",
          "(double)lacking <= scene->consistency->backup ||",
          "(double)lacking <= scene->consistency->backup + 1.0 ||")]),
    "another_order": (
        "gradients are added up in another order than that of the ranks",
        [("server/core/gradient.c",
          "    for (uint32_t rank = 0; rank < slice->round.ranks; rank++) {\n"
          "        const struct contribution contribution = round_of(&slice->round, rank);\n",
          "    for (uint32_t rank = slice->round.ranks; rank-- > 0;) {\n"
          "        const struct contribution contribution = round_of(&slice->round, rank);\n")]),
    "staleness_plus_one": (
        "a worker may be farther ahead than the bound by one",
        [("server/sync/policy.c",
          "(double)clock - (double)pushed > scene->consistency->staleness &&",
          "(double)clock - (double)pushed > scene->consistency->staleness + 1.0 &&")]),
    "old_connection": (
        "a session's older connection goes on when it is resumed",
        [("server/core/session.c",
          "    if (session->conn != NULL)\n        conn_hang_up(session->conn);\n"
          "    session->epoch = order->epoch;\n",
          "    session->epoch = order->epoch;\n"),
         ("server/core/handle_hello.c",
          "    if (session->conn != NULL)\n        conn_hang_up(session->conn);\n"
          "    session->conn = conn;\n",
          "    session->conn = conn;\n")]),
    "too_old_by_now": (
        "a push that had to wait may be staler than it may",
        [("server/core/update.c",
          "        if (!policy->together && turn_away_stale(slice))\n            continue;\n",
          "")]),
    "torn_pull": (
        "weights are overwritten while they are on their way",
        [("server/model/slice_room.c",
          "alone = current != NULL && current->refs == 1;\n",
          "alone = current != NULL;\n")]),
    "annex_freed_early": (
        "the memory of an old version is freed while it is on its way",
        [("server/model/slice_room.c",
          "            if ((*at)->weights.refs > 0) {\n",
          "            if ((*at)->weights.refs > 1) {\n")]),
    "waits_for_observers": (
        "a round waits for observers who hold all versions",
        [("server/core/room.c",
          "            cut_readers(core, &slice->slice, (enum stepd_view)v);\n",
          "            (void)cut_readers;\n")]),
    "turn_that_never_comes": (
        "what was not answered because replies had piled up is never answered",
        [("server/core/dispatch.c",
          "    while (conn->due_first != NULL && takes(conn))\n        answer(conn->due_first);\n",
          "")]),
    "older_version": (
        "a pull gets weights that are older than what it waits for",
        [("server/core/handle_pull.c",
          "slice->version >= waiter->request->min_version",
          "slice->version + 1 >= waiter->request->min_version")]),
    "counts_when_reported": (
        "a gradient counts for a round whose mean was taken without it",
        [("server/core/handle_push.c",
          "    return verdict == VERDICT_COUNT && gate_is_sealed(slice) ? VERDICT_LATE : verdict;\n",
          "    return verdict;\n")]),
    "clips_each_shard": (
        "the norm that clips is that of a part of the tensors",
        [("server/sync/gate.c",
          "    for (size_t i = 0; i < job->tensors; i++) {\n"
          "        const double sum = sum_of_tensor(gate, i);\n",
          "    for (size_t i = 0; i < job->tensors; i++) {\n"
          "        const double sum = i == 1 ? 0.0 : sum_of_tensor(gate, i);\n")]),
    "first_step_lost": (
        "who takes over a rank goes on behind a first step that had come in part",
        [("server/core/jobs.c", "lowest == 1 && lacks_first ? 0 : lowest", "lowest"),
         ("server/control/members.c",
          "    if (lowest == 1 && lacks_first)\n        lowest = 0;\n",
          "")]),
    "late_counts": (
        "a gradient counts whose round has closed without it",
        [("server/sync/policy.c",
          "    if (late && scene->consistency->late == CONSISTENCY_LATE_DROP)\n",
          "    if (late && scene->consistency->late != CONSISTENCY_LATE_DROP)\n")]),
    "leak": (
        "a session that is gone leaves something behind",
        [("server/core/session.c", "    free(session->worker);\n", "")]),
    "no_deadline": (
        "a request outlives its deadline",
        [("server/core/request.c",
          "            if (request->deadline_ms <= core->now_ms)\n",
          "            if (request->deadline_ms + 1000 <= core->now_ms)\n")]),
    "half_a_step": (
        "a step is made before a worker has pushed all its parts of it",
        [("server/sync/policy.c",
          "    return pushes < scene->consistency->accumulate && owes(scene, rank);\n",
          "    return pushes + 1.0 < scene->consistency->accumulate && owes(scene, rank);\n")]),
    "turn_too_many": (
        "a step waits for another turn where there are enough examples",
        [("server/sync/policy.c",
          "(double)round->examples >= most ||\n",
          "(double)round->examples > most + 8.0 ||\n")]),
    "parts_weigh_the_same": (
        "all pushes of a worker's step weigh the same, whatever their examples",
        [("server/sync/round.c",
          "    return (float)((double)examples / (double)contribution->unit);\n",
          "    (void)contribution;\n    return examples > 0 ? 1.0F : 0.0F;\n")]),
    "part_counts_again": (
        "a push of a step that is open counts again when it is sent again",
        [("server/core/handle_push.c",
          "request->clock <= open.clock &&\n        open.pushes > 0) {\n",
          "request->clock < open.clock &&\n        open.pushes > 0) {\n")]),
    "halts_for_nothing": (
        "a job that halts for a NaN is halted where there is none",
        [("server/sync/gate.c",
          "finite ? ORDER_APPLY : halts ? ORDER_HALT",
          "finite && !halts ? ORDER_APPLY : halts ? ORDER_HALT")]),
    "fences_the_living": (
        "a worker that resumes its session is told that its rank has passed to another",
        [("server/control/handle_hello.c",
          "    enum stepd_status status = check_resume(session, hello, reterr);\n"
          "    if (status == STEPD_OK)\n        status = control_session_resume",
          "    enum stepd_status status = check_resume(session, hello, reterr);\n"
          "    if (status == STEPD_OK && session->epoch > 3)\n"
          "        status = stepd_fail(reterr, STEPD_FAILED_PRECONDITION,\n"
          "                            \"rank %u has passed to worker '?'\", session->rank);\n"
          "    if (status == STEPD_OK)\n        status = control_session_resume")]),
    "spent_waited_for": (
        "a round waits for a worker that was turned away from it",
        [("server/sync/policy.c", " || lacking == spent;", ";")]),
    "same_incarnation": (
        "a job comes back under the incarnation that it had",
        [("server/control/restore.c",
          "    job->incarnation = snapshot->incarnation + 1;\n",
          "    job->incarnation = snapshot->incarnation;\n")],
        "sim_recovery"),
    "snapshot_without_records": (
        "a snapshot has weights, and no record of the pushes that are in them",
        [("server/model/slice_state.c",
          "        rank->record = state->by_rank[i].record;\n",
          "")],
        "sim_recovery"),
    "snapshot_without_slots": (
        "a snapshot has weights, and no state of their optimizer",
        [("server/model/slice_state.c", "    restore_slots(slice, state);\n", "    (void)restore_slots;\n")],
        "sim_recovery"),
    "slots_copied_late": (
        "the slots of a slice are copied for a snapshot when steps have changed them",
        [("server/core/step.c",
          "    snapshot_before_change(slice);\n    struct work", "    struct work")],
        "sim_recovery"),
    "unannounced": (
        "a client takes another incarnation for the one that it had",
        [("client/lib/core/keeper_session.c",
          "    if (is_rolled_back(keeper, how, incarnation)) {\n",
          "    if (is_rolled_back(keeper, how, incarnation) && how == STEPD_GREET_REJOIN) {\n")],
        "sim_recovery"),
    "not_sent_again": (
        "a client sends nothing again over a link that was made again",
        [("client/lib/core/pending.c",
          "        request->kind->send(request);\n",
          "        if (request->kind->greets)\n            request->kind->send(request);\n")],
        "sim_recovery"),
    "sent_again_as_new": (
        "a client gives a push that it sends again the next clock",
        [("client/lib/core/transfer.c",
          "    drop_settled(transfer);\n",
          "    drop_settled(transfer);\n"
          "    transfer->clock += transfer->clock > 0 && transfer->delayed;\n")],
        "sim_recovery"),
    "leaves_anyway": (
        "a Leave outlives the job that it was of",
        [("client/lib/core/question.c",
          "    if (exchange != NULL && stepd_exchange_is_behind(exchange))\n",
          "    if (exchange != NULL && false)\n")],
        "sim_recovery"),
    "half_a_step_twice": (
        "what has counted of a step that failed takes the same gradient again",
        [("client/lib/core/exchange.c",
          "        state->again = state->sent;\n",
          "                state->again = 0;\n")],
        "sim_recovery"),
    "versions_remembered": (
        "a client goes on from versions of before the job went back",
        [("client/lib/core/exchange.c",
          "        exchange->slice[i] = (struct stepd_slice_state){.clock = 0};\n",
          "        exchange->slice[i].clock = 0;\n")],
        "sim_recovery"),
}


def program_of(name):
    return MUTATIONS[name][2] if len(MUTATIONS[name]) > 2 else "sim_training"


def apply(name, sources, folder):
    texts = {}
    for file, text, instead in MUTATIONS[name][1]:
        if file not in texts:
            texts[file] = (sources / file).read_text()
        if texts[file].count(text) != 1:
            sys.exit(f"mutation {name}: this stands {texts[file].count(text)} times in {file}, "
                     f"not once; say in tests/sim/mutations.py what it is now:\n{text}")
        texts[file] = texts[file].replace(text, instead)
    for file, text in texts.items():
        to = folder / file
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(text)


def run(program, seeds):
    result = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env={**os.environ, "STEPD_SIM_SEEDS": str(seeds)}, check=False,
                            errors="replace", timeout=300)
    return result.returncode, result.stdout


def verdict(name, folder, seeds):
    code, output = run(folder / f"sim_mutant_{name}", seeds)
    if code == 0:
        return False, f"NOT CAUGHT within {seeds} seeds"
    told = re.search(r"ERROR: (seed [0-9]+).*?: (.*)", output)
    if told:
        return True, f"caught by {told.group(1)}: {told.group(2)[:90]}"
    return True, f"caught by a crash (exit status {code})"


def check(folder, seeds):
    for program in sorted({program_of(name) for name in MUTATIONS}):
        code, output = run(folder / program, seeds)
        if code != 0:
            sys.exit(f"without any mutation {program} fails:\n{output}")
        print(f"without any mutation {seeds} seeds of {program} pass")
    missed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = pool.map(lambda name: verdict(name, folder, seeds), MUTATIONS)
        for (name, mutation), (caught, how) in zip(MUTATIONS.items(), verdicts):
            print(f"{name}: {mutation[0]}\n    {how}")
            missed += not caught
    print(f"{len(MUTATIONS)} mutations, {missed} missed")
    return 1 if missed or not MUTATIONS else 0


def main(arguments):
    if arguments == ["list"]:
        for name, mutation in MUTATIONS.items():
            print(" ".join([name, program_of(name), *sorted({file for file, _, _ in mutation[1]})]))
        return 0
    if len(arguments) == 4 and arguments[0] == "apply":
        apply(arguments[1], pathlib.Path(arguments[2]), pathlib.Path(arguments[3]))
        return 0
    if len(arguments) == 3 and arguments[0] == "check":
        return check(pathlib.Path(arguments[1]), int(arguments[2]))
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
