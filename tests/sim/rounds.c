/* SPDX-License-Identifier: Apache-2.0
 *
 * The order in which the parts of an open round came is seen event by event: the bytes of an event
 * are of one connection, and so of one rank. What a slice remembers of a contribution stays in its
 * round until the rank's next one begins; so it is there when the round has closed.
 */
#include "tests/sim/rounds.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

bool rounds_has(const struct push_round *round, uint32_t rank, uint64_t clock)
{
    size_t i = 0;
    while (i < round->parts && (round->part[i].rank != rank || round->part[i].clock != clock))
        i++;
    return i < round->parts;
}

uint64_t rounds_pushes(const struct push_round *round, uint32_t rank)
{
    uint64_t pushes = 0;
    for (size_t i = 0; i < round->parts; i++)
        pushes += round->part[i].rank == rank;
    return pushes;
}

uint64_t rounds_turns(const struct plan *plan, const struct push_round *round)
{
    const struct consistency *consistency = &plan->job->consistency;
    uint64_t turns = 1;
    if (consistency->accumulate_examples == 0.0)
        return (uint64_t)consistency->accumulate;
    for (uint32_t rank = 0; rank < plan->job->workers; rank++) {
        const uint64_t pushes = rounds_pushes(round, rank);
        turns = pushes > turns ? pushes : turns;
    }
    return turns;
}

static void add_part(struct push_round *round, const struct push_part *part)
{
    assert_true(round->parts < PUSH_PARTS_MAX);
    round->part[round->parts++] = *part;
}

static void remove_part(struct push_round *round, size_t index)
{
    for (size_t i = index + 1; i < round->parts; i++)
        round->part[i - 1] = round->part[i];
    round->parts--;
}

/* Is a push one of those that count in its rank's contribution? */
static bool is_open(const struct core_slice *slice, const struct push_part *part)
{
    const struct contribution of_rank = round_of(&slice->round, part->rank);
    return part->clock <= of_rank.clock && part->clock + of_rank.pushes > of_rank.clock;
}

void rounds_look_at_open(struct push_round *open, const struct core_slice *slice)
{
    for (size_t i = 0; i < open->parts;) {
        if (is_open(slice, &open->part[i]))
            i++;
        else
            remove_part(open, i);
    }
    for (uint32_t rank = 0; rank < slice->round.ranks; rank++) {
        const struct contribution *of_rank = &slice->round.of_rank[rank];
        for (uint64_t k = of_rank->pushes; k > 0; k--) {
            const struct push_part part = {.rank = rank,
                                           .clock = of_rank->clock - k + 1,
                                           .base_version = of_rank->base_version};
            if (!rounds_has(open, rank, part.clock))
                add_part(open, &part);
        }
    }
}

static bool counts_for(const struct record_entry *entry, uint64_t version)
{
    const bool counted = entry->outcome == STEPD_APPLIED || entry->outcome == STEPD_SKIPPED;
    return entry->clock != 0 && entry->version == version && counted;
}

bool rounds_find_entry(const struct core_slice *slice, const struct push_part *part,
                       uint64_t version, struct record_entry *ret_entry)
{
    const struct record *record = &slice->slice.by_rank[part->rank].record;
    const bool is_known = part->clock + RECORD_DEPTH > record->clock;
    const uint64_t clock = is_known ? part->clock : record->clock - RECORD_DEPTH + 1;
    return record_find(record, clock, ret_entry) && counts_for(ret_entry, version);
}

/* The one push of a rank that came with the event, if there is one. */
static void gather_unseen(const struct plan *plan, const struct core_slice *slice, uint32_t rank,
                          uint64_t version, struct push_round *round)
{
    const struct contribution of_rank = round_of(&slice->round, rank);
    for (size_t i = 0; i < RECORD_DEPTH; i++) {
        const struct record_entry *entry = &slice->slice.by_rank[rank].record.entry[i];
        if (!counts_for(entry, version) || rounds_has(round, rank, entry->clock))
            continue;
        if (of_rank.clock != entry->clock)
            plan_fail(plan, "slice %u, version %llu: rank %u's part came from nowhere",
                      slice->slice.index, (unsigned long long)version, rank);
        add_part(round, &(struct push_part){.rank = rank,
                                            .clock = entry->clock,
                                            .base_version = of_rank.base_version});
    }
}

void rounds_gather(const struct plan *plan, const struct core_slice *slice, uint64_t version,
                   struct push_round *open, struct push_round *ret_round)
{
    *ret_round = (struct push_round){.parts = 0};
    for (size_t i = 0; i < open->parts;) {
        struct record_entry entry;
        const struct push_part part = open->part[i];
        if (!rounds_find_entry(slice, &part, version, &entry)) {
            i++;
            continue;
        }
        add_part(ret_round, &part);
        remove_part(open, i);
    }
    for (uint32_t rank = 0; rank < slice->slice.ranks; rank++)
        gather_unseen(plan, slice, rank, version, ret_round);
}
