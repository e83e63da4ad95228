/* SPDX-License-Identifier: Apache-2.0
 *
 * Versions are looked at one by one, each with the round that made it (rounds.c), before what is
 * open by now.
 */
#include "tests/sim/witness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/core/core_internal.h"
#include "tests/sim/gated.h"
#include "tests/sim/rounds.h"
#include "tests/sim/worker.h"

enum { CLOCKS_MAX = PLAN_STEPS_MAX + 2, WEIGHTS_MAX = 4096 };

/* What is known of one push of a slice. */
struct fate {
    uint64_t version; /* that it counted for; 0: none */
    bool turned_away; /* a worker was told that it never will */
};

/* How a version came to be. */
struct past {
    struct push_round round;
    struct replay_verdict verdict; /* with `factor` for its own */
    float factor[DEFINITION_TENSORS_MAX];
};

struct watched {
    uint64_t version;
    struct past *past;                 /* owned; by version */
    struct push_round open;            /* parts that count, in the order of their arrival */
    uint64_t newest[PLAN_WORKERS_MAX]; /* clock that is used up */
    uint64_t away[PLAN_WORKERS_MAX];   /* version that it was turned away from */
    struct fate fate[PLAN_WORKERS_MAX][CLOCKS_MAX];
};

struct witness {
    const struct plan *plan;
    struct replay *replay;
    uint64_t last_clock[PLAN_WORKERS_MAX];        /* UINT64_MAX: it has not left */
    bool gone[PLAN_SHARDS_MAX][PLAN_WORKERS_MAX]; /* it has, and hung up */
    struct gated gated;
    struct watched slice[WORKER_SLICES_MAX];
    size_t sent; /* weights, since the last look */

    struct {
        uint32_t rank;
        uint32_t slice;
    } weights[WEIGHTS_MAX];
};

struct witness *witness_create(const struct plan *plan, struct replay *replay)
{
    struct witness *witness = calloc(1, sizeof *witness);
    assert_non_null(witness);
    witness->plan = plan;
    witness->replay = replay;
    gated_init(&witness->gated, plan, replay);
    for (size_t rank = 0; rank < PLAN_WORKERS_MAX; rank++)
        witness->last_clock[rank] = UINT64_MAX;
    for (size_t i = 0; i < plan->job->layout.slices; i++) {
        witness->slice[i].past = calloc(plan->steps * plan->job->workers + 1, sizeof(struct past));
        assert_non_null(witness->slice[i].past);
    }
    return witness;
}

struct witness *witness_destroy(struct witness *witness)
{
    for (size_t i = 0; i < witness->plan->job->layout.slices; i++)
        free(witness->slice[i].past);
    free(witness);
    return NULL;
}

void witness_leave(struct witness *witness, uint32_t rank, uint64_t last_clock)
{
    witness->last_clock[rank] = last_clock;
}

/* ---- Is it allowed? -------------------------------------------------------------------------- */

/* Pushes of this rank that a slice may wait for. None when it has left, and has sent its last one
 * or hung up. */
static uint64_t debt(const struct witness *witness, uint32_t slice, uint32_t rank)
{
    const uint32_t shard = witness->plan->job->layout.slice[slice].shard;
    const uint64_t newest = witness->slice[slice].newest[rank];
    const uint64_t last = witness->last_clock[rank];
    return newest < last && !witness->gone[shard][rank] ? last - newest : 0;
}

/* Members that owed this round a push and are not in it. Those whose last one was turned away from
 * it need not be waited for. */
struct missing {
    size_t all;
    size_t waited_for;
};

static struct missing count_missing(const struct witness *witness, uint32_t slice,
                                    const struct push_round *round)
{
    const struct watched *watched = &witness->slice[slice];
    const uint64_t turns = rounds_turns(witness->plan, round);
    struct missing missing = {.all = 0};
    for (uint32_t rank = 0; rank < witness->plan->job->workers; rank++) {
        const uint64_t owed = debt(witness, slice, rank);
        const bool is_missing = rounds_pushes(round, rank) < (owed < turns ? owed : turns);
        missing.all += is_missing;
        missing.waited_for += is_missing && watched->away[rank] != watched->version;
    }
    return missing;
}

/* A step of so many examples is made with the first turn after which there are enough, or that has
 * brought none; or when nobody owes a push any more. */
static void check_turns(const struct witness *witness, uint32_t slice,
                        const struct push_round *round)
{
    const struct plan *plan = witness->plan;
    const struct watched *watched = &witness->slice[slice];
    const uint64_t turns = rounds_turns(witness->plan, round);
    uint64_t all = 0;
    bool owed = false;
    for (uint32_t rank = 0; rank < plan->job->workers; rank++)
        owed = owed || debt(witness, slice, rank) > rounds_pushes(round, rank);
    for (uint64_t turn = 1; turn <= turns; turn++) {
        uint64_t of_turn = 0;
        for (size_t i = 0; i < round->parts; i++) {
            const struct push_part *part = &round->part[i];
            if (part->clock == watched->newest[part->rank] + turn)
                of_turn += plan_examples(plan, part->rank, part->clock);
        }
        all += of_turn;
        const bool ends = of_turn == 0 || (double)all >= plan->job->consistency.accumulate_examples;
        if (ends != (turn == turns) && (ends || owed))
            plan_fail(plan, "slice %u, version %llu: of %llu turns number %llu has %llu examples",
                      slice, (unsigned long long)watched->version, (unsigned long long)turns,
                      (unsigned long long)turn, (unsigned long long)of_turn);
    }
}

/* Is a round made of as many pushes of each worker as it has to be? Fewer are missing. */
static void check_accumulation(const struct witness *witness, uint32_t slice,
                               const struct push_round *round)
{
    const struct plan *plan = witness->plan;
    const uint64_t turns = rounds_turns(witness->plan, round);
    uint64_t most = 0;
    for (uint32_t rank = 0; rank < plan->job->workers; rank++)
        most = rounds_pushes(round, rank) > most ? rounds_pushes(round, rank) : most;
    if (most > turns)
        plan_fail(plan, "slice %u: %llu pushes of a worker make a step, and not %llu", slice,
                  (unsigned long long)most, (unsigned long long)turns);
    coverage_count(plan->coverage, COVERAGE_GATHERED, most > 1);
    if (plan->job->consistency.accumulate_examples == 0.0)
        return;
    check_turns(witness, slice, round);
    coverage_count(plan->coverage, COVERAGE_TURNED, most > 1);
}

static void check_sync(const struct witness *witness, const struct watched *watched, uint32_t slice,
                       const struct push_round *round)
{
    const struct plan *plan = witness->plan;
    const struct consistency *consistency = &plan->job->consistency;
    const struct missing missing = count_missing(witness, slice, round);
    const bool by_examples = consistency->close_examples > 0.0 &&
                             (double)pushes_examples(plan, round) >= consistency->close_examples;
    if ((double)missing.all > consistency->backup && missing.waited_for > 0 && !by_examples)
        plan_fail(plan, "slice %u, version %llu: closed without %zu members", slice,
                  (unsigned long long)watched->version, missing.all);
    check_accumulation(witness, slice, round);
    coverage_count(plan->coverage, COVERAGE_CLOSED_WITHOUT, missing.all > 0 && !by_examples);
    coverage_count(plan->coverage, COVERAGE_CLOSED_BY_EXAMPLES, missing.all > 0 && by_examples);
    coverage_count(plan->coverage, COVERAGE_ARRIVAL,
                   consistency->reduction == CONSISTENCY_ARRIVAL && round->parts > 1);
}

static void check_part(const struct witness *witness, struct watched *watched, uint32_t slice,
                       const struct push_part *part)
{
    const struct plan *plan = witness->plan;
    const struct consistency *consistency = &plan->job->consistency;
    const uint64_t base = watched->version - 1;
    struct fate *fate = &watched->fate[part->rank][part->clock];
    const bool late = part->base_version < base;
    const bool may_be_late =
        consistency->mode != STEPD_SYNC || consistency->late == CONSISTENCY_LATE_APPLY;
    if (fate->version != 0)
        plan_fail(plan, "slice %u: clock %llu of rank %u counts for version %llu and for %llu",
                  slice, (unsigned long long)part->clock, part->rank,
                  (unsigned long long)fate->version, (unsigned long long)watched->version);
    if (fate->turned_away)
        plan_fail(plan, "slice %u: clock %llu of rank %u counts, and was turned away", slice,
                  (unsigned long long)part->clock, part->rank);
    if (late && !may_be_late)
        plan_fail(plan, "slice %u: clock %llu of rank %u, of version %llu, counts for version %llu",
                  slice, (unsigned long long)part->clock, part->rank,
                  (unsigned long long)part->base_version, (unsigned long long)watched->version);
    if (late && consistency->staleness_max != CONSISTENCY_NONE &&
        (double)(base - part->base_version) > consistency->staleness_max)
        plan_fail(plan, "slice %u: clock %llu of rank %u counts %llu versions late", slice,
                  (unsigned long long)part->clock, part->rank,
                  (unsigned long long)(base - part->base_version));
    fate->version = watched->version;
    coverage_count(plan->coverage, COVERAGE_LATE_APPLIED, late && consistency->mode == STEPD_SYNC);
}

static void check_round(const struct witness *witness, struct watched *watched, uint32_t slice,
                        const struct push_round *round)
{
    const struct plan *plan = witness->plan;
    if (plan->job->consistency.mode == STEPD_SYNC)
        check_sync(witness, watched, slice, round);
    else if (round->parts != 1)
        plan_fail(plan, "slice %u, version %llu: %zu pushes count together", slice,
                  (unsigned long long)watched->version, round->parts);
    for (size_t i = 0; i < round->parts; i++)
        check_part(witness, watched, slice, &round->part[i]);
}

/* ---- Looking --------------------------------------------------------------------------------- */

static void check_outcomes(const struct witness *witness, const struct core_slice *slice,
                           uint64_t version, const struct push_round *round)
{
    const bool update = replay_is_update(witness->replay, version, slice->slice.index);
    for (size_t i = 0; i < round->parts; i++) {
        struct record_entry entry = {.clock = 0};
        (void)rounds_find_entry(slice, &round->part[i], version, &entry);
        if (entry.outcome != (update ? STEPD_APPLIED : STEPD_SKIPPED))
            plan_fail(witness->plan, "slice %u, version %llu: outcome %d, where an update was %s",
                      slice->slice.index, (unsigned long long)version, (int)entry.outcome,
                      update ? "made" : "not made");
    }
}

/* The slice has its version of this round. */
static void close_round(struct witness *witness, uint32_t slice, const struct push_round *round,
                        const struct replay_verdict *verdict)
{
    struct watched *watched = &witness->slice[slice];
    struct past *past = &watched->past[watched->version];
    past->round = *round;
    past->verdict = *verdict;
    for (size_t i = 0; i < DEFINITION_TENSORS_MAX && verdict->factor != NULL; i++)
        past->factor[i] = verdict->factor[i];
    if (verdict->factor != NULL)
        past->verdict.factor = past->factor;
    replay_close(witness->replay, slice, round, &past->verdict);
}

static void look_at_version(struct witness *witness, const struct core_slice *slice)
{
    const uint32_t index = slice->slice.index;
    struct watched *watched = &witness->slice[index];
    struct push_round round;
    const struct replay_verdict alone = {.skips = false};
    const struct replay_verdict *verdict = &alone;
    watched->version++;
    rounds_gather(witness->plan, slice, watched->version, &watched->open, &round);
    plan_trace(witness->plan, "slice %u has version %llu, of %zu pushes", index,
               (unsigned long long)watched->version, round.parts);
    check_round(witness, watched, index, &round);
    if (gated_holds(&witness->gated, index))
        verdict = gated_decide(&witness->gated, index, watched->version, &round);
    close_round(witness, index, &round, verdict);
    check_outcomes(witness, slice, watched->version, &round);
}

/* Whose newest push was turned away from the round for the next version. */
static void look_at_turned_away(struct watched *watched, const struct core_slice *slice)
{
    for (uint32_t rank = 0; rank < slice->slice.ranks; rank++) {
        for (size_t i = 0; i < RECORD_DEPTH; i++) {
            const struct record_entry *entry = &slice->slice.by_rank[rank].record.entry[i];
            const bool away = entry->outcome == STEPD_LATE_DROPPED || entry->outcome == STEPD_STALE;
            if (entry->clock != 0 && away && entry->version == watched->version)
                watched->away[rank] = watched->version + 1;
        }
    }
}

static void look_at_slice(struct witness *witness, const struct core_slice *slice)
{
    struct watched *watched = &witness->slice[slice->slice.index];
    if (slice->slice.version < watched->version)
        plan_fail(witness->plan, "slice %u goes back from version %llu to %llu", slice->slice.index,
                  (unsigned long long)watched->version, (unsigned long long)slice->slice.version);
    while (watched->version < slice->slice.version) {
        look_at_turned_away(watched, slice);
        look_at_version(witness, slice);
    }
    rounds_look_at_open(&watched->open, slice);
    for (const struct waiter *w = slice->waiters; w != NULL; w = w->next)
        coverage_count(witness->plan->coverage, COVERAGE_HELD_BACK,
                       slice->job->policy->holds_back != NULL && w->state == WAITER_VERSION &&
                           w->request->min_version <= slice->slice.version);
    for (uint32_t rank = 0; rank < slice->slice.ranks; rank++)
        watched->newest[rank] = slice->slice.by_rank[rank].record.clock;
}

/* Does a worker that has come so far with a slice have to wait for another? */
static bool is_too_far_ahead(const struct witness *witness, uint32_t rank, uint32_t slice)
{
    const struct watched *watched = &witness->slice[slice];
    const double staleness = witness->plan->job->consistency.staleness;
    for (uint32_t other = 0; other < witness->plan->job->workers; other++) {
        const uint64_t clock = watched->newest[other];
        if (debt(witness, slice, other) > 0 &&
            (double)watched->newest[rank] - (double)clock > staleness)
            return true;
    }
    return false;
}

void witness_weights(struct witness *witness, uint32_t rank, uint32_t slice)
{
    if (witness->plan->job->consistency.mode != STEPD_BOUNDED)
        return;
    assert_true(witness->sent < WEIGHTS_MAX);
    witness->weights[witness->sent].rank = rank;
    witness->weights[witness->sent++].slice = slice;
}

/* Who has left, and had a connection to the shard that is no more? */
static void look_at_members(struct witness *witness, uint32_t shard, const struct core_job *job)
{
    for (uint32_t rank = 0; job != NULL && rank < job->members.ranks; rank++) {
        if (job->members.member[rank].gone && witness->last_clock[rank] == UINT64_MAX)
            plan_fail(witness->plan, "rank %u counts as gone, and has not left", rank);
        witness->gone[shard][rank] = job->members.member[rank].gone;
    }
}

void witness_look(struct witness *witness, uint32_t shard, const struct core *core)
{
    const struct core_job *job = core->jobs;
    const struct layout *layout = &witness->plan->job->layout;
    look_at_members(witness, shard, job);
    for (size_t i = 0; job != NULL && i < layout->slices; i++) {
        if (layout->slice[i].shard == shard)
            look_at_slice(witness, job->slice[i]);
    }
    for (size_t i = 0; i < witness->sent; i++) {
        if (is_too_far_ahead(witness, witness->weights[i].rank, witness->weights[i].slice))
            plan_fail(witness->plan, "rank %u gets weights of slice %u and is too far ahead",
                      witness->weights[i].rank, witness->weights[i].slice);
    }
    witness->sent = 0;
}

void witness_ready(struct witness *witness, uint32_t shard, const struct core *core)
{
    const struct layout *layout = &witness->plan->job->layout;
    look_at_members(witness, shard, core->jobs);
    for (uint32_t i = 0; i < layout->slices; i++) {
        if (layout->slice[i].shard != shard || !gated_holds(&witness->gated, i))
            continue;
        look_at_slice(witness, core->jobs->slice[i]);
        gated_report(&witness->gated, i, witness->slice[i].version + 1, &witness->slice[i].open);
    }
}

/* ---- Going back ------------------------------------------------------------------------------ */

static void go_back(struct witness *witness, const struct witness *before, uint32_t index,
                    const struct slice_state *state)
{
    const struct watched *from = &before->slice[index];
    struct watched *watched = &witness->slice[index];
    if (state->version > from->version)
        plan_fail(witness->plan, "a snapshot has slice %u at version %llu, which does not exist",
                  index, (unsigned long long)state->version);
    while (watched->version < state->version) {
        watched->version++;
        const struct past *past = &from->past[watched->version];
        for (size_t i = 0; i < past->round.parts; i++) {
            const struct push_part *part = &past->round.part[i];
            watched->fate[part->rank][part->clock].version = watched->version;
        }
        close_round(witness, index, &past->round, &past->verdict);
    }
    for (uint32_t rank = 0; rank < state->ranks; rank++)
        watched->newest[rank] = state->by_rank[rank].record.clock;
}

struct witness *witness_go_back(const struct witness *before, const struct job_snapshot *snapshot,
                                const struct job_state *state, struct replay *replay)
{
    struct witness *witness = witness_create(before->plan, replay);
    for (uint32_t i = 0; i < before->plan->job->layout.slices; i++)
        go_back(witness, before, i, &state->slice[i]);
    for (size_t i = 0; i < snapshot->members; i++) {
        if (snapshot->member[i].left)
            witness->last_clock[snapshot->member[i].rank] = snapshot->member[i].last_clock;
    }
    return witness;
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* Who takes a rank over may begin at a higher clock than a slice has seen, and it is too late then
 * for those in between. */
static bool is_passed_over(const struct witness *witness, const struct witness_answer *answer)
{
    return !witness->plan->exact && witness->plan->faults &&
           answer->clock < witness->slice[answer->slice].newest[answer->rank];
}

/* Does it say what holds while the step of a push is open? The answer may come when it is made. */
static bool is_of_open(const struct witness *witness, const struct witness_answer *answer,
                       const struct fate *fate)
{
    const struct plan *plan = witness->plan;
    const struct watched *watched = &witness->slice[answer->slice];
    const bool known = fate->version == 0
                           ? answer->version == watched->version &&
                                 rounds_has(&watched->open, answer->rank, answer->clock)
                           : answer->version + 1 == fate->version;
    return known && consistency_accumulates(&plan->job->consistency) &&
           plan_version_until(plan, witness->last_clock, answer->clock) == answer->version;
}

static bool is_right(const struct witness *witness, const struct witness_answer *answer,
                     const struct fate *fate)
{
    const struct consistency *consistency = &witness->plan->job->consistency;
    const bool update = replay_is_update(witness->replay, fate->version, answer->slice);
    const bool version_fits =
        answer->with_weights ? answer->version >= fate->version : answer->version == fate->version;
    switch (answer->outcome) {
    case STEPD_APPLIED: return fate->version != 0 && update && version_fits;
    case STEPD_DUPLICATE: /* where it counted is known for the last few clocks only */
        if (is_of_open(witness, answer, fate))
            return true;
        if (fate->version == 0)
            return is_passed_over(witness, answer);
        return update && answer->version >= fate->version;
    case STEPD_SKIPPED: return fate->version != 0 && !update && version_fits;
    case STEPD_LATE_DROPPED: return fate->version == 0 && plan_may_be_late(witness->plan);
    case STEPD_STALE: return fate->version == 0 && consistency->staleness_max != CONSISTENCY_NONE;
    case STEPD_NONE:
    case STEPD_FENCED: return false;
    case STEPD_ACCUMULATED: return is_of_open(witness, answer, fate);
    }
    return false;
}

uint64_t witness_counted(const struct witness *witness, uint32_t rank, uint64_t clock,
                         uint32_t slice)
{
    return clock < CLOCKS_MAX ? witness->slice[slice].fate[rank][clock].version : 0;
}

void witness_answer(struct witness *witness, const struct witness_answer *answer)
{
    const struct plan *plan = witness->plan;
    struct fate *fate = &witness->slice[answer->slice].fate[answer->rank][answer->clock];
    if (!is_right(witness, answer, fate))
        plan_fail(plan,
                  "clock %llu of rank %u, slice %u, is answered with outcome %d and version %llu; "
                  "it counted for version %llu",
                  (unsigned long long)answer->clock, answer->rank, answer->slice,
                  (int)answer->outcome, (unsigned long long)answer->version,
                  (unsigned long long)fate->version);
    fate->turned_away =
        fate->turned_away || (fate->version == 0 && !rounds_has(&witness->slice[answer->slice].open,
                                                                answer->rank, answer->clock));
    coverage_count(plan->coverage, COVERAGE_ACCUMULATED, answer->outcome == STEPD_ACCUMULATED);
    coverage_count(plan->coverage, COVERAGE_LATE_DROPPED, answer->outcome == STEPD_LATE_DROPPED);
    coverage_count(plan->coverage, COVERAGE_STALE_REFUSED, answer->outcome == STEPD_STALE);
}

void witness_halted(const struct witness *witness, const char *text)
{
    static const char words[] = "is halted at version ";
    const char *at = strstr(text, words);
    assert_non_null(at);
    const uint64_t version = strtoull(at + strlen(words), NULL, 10);
    if (witness->plan->job->consistency.nonfinite != CONSISTENCY_HALT ||
        gated_is_finite(&witness->gated, version + 1))
        plan_fail(witness->plan, "there is no NaN to be halted for: %s", text);
}
