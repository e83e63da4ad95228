/* SPDX-License-Identifier: Apache-2.0
 *
 * A round is an array by rank; its moves are checked in one place. That a move starts from the
 * right state is the core's promise, not the remote side's: the core asks round_of first.
 */
#include "server/sync/round.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

void round_deinit(struct round *round)
{
    free(round->of_rank);
    *round = (struct round){.ranks = 0};
}

enum stepd_status round_admit(struct round *round, uint32_t rank)
{
    if (rank < round->ranks)
        return STEPD_OK;
    struct contribution *more = realloc(round->of_rank, ((size_t)rank + 1) * sizeof *more);
    if (more == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    round->of_rank = more;
    while (round->ranks <= rank)
        round->of_rank[round->ranks++] = (struct contribution){.state = CONTRIBUTION_ABSENT};
    return STEPD_OK;
}

/* The only place where a contribution changes its state. */
static struct contribution *move(struct round *round, uint32_t rank, enum contribution_state from,
                                 enum contribution_state to)
{
    assert(rank < round->ranks && round->of_rank[rank].state == from);
    (void)from;
    round->of_rank[rank].state = to;
    return &round->of_rank[rank];
}

void round_begin(struct round *round, uint32_t rank, uint64_t clock, uint64_t base_version)
{
    struct contribution *contribution =
        move(round, rank, CONTRIBUTION_ABSENT, CONTRIBUTION_RECEIVING);
    contribution->clock = clock;
    contribution->base_version = base_version;
}

void round_count(struct round *round, uint32_t rank, uint64_t examples, float *grad)
{
    struct contribution *contribution =
        move(round, rank, CONTRIBUTION_RECEIVING, CONTRIBUTION_COUNTED);
    contribution->examples = examples;
    contribution->grad = grad;
    contribution->has_loss = false;
    round->counted++;
    round->examples += examples;
}

void round_note_loss(struct round *round, uint32_t rank, double loss)
{
    assert(round_of(round, rank).state == CONTRIBUTION_COUNTED);
    round->of_rank[rank].has_loss = true;
    round->of_rank[rank].loss = loss;
}

void round_drop(struct round *round, uint32_t rank)
{
    (void)move(round, rank, CONTRIBUTION_RECEIVING, CONTRIBUTION_ABSENT);
}

struct contribution round_of(const struct round *round, uint32_t rank)
{
    return rank < round->ranks ? round->of_rank[rank]
                               : (struct contribution){.state = CONTRIBUTION_ABSENT};
}

static void take_out(struct round *round, uint32_t rank)
{
    const struct contribution *contribution =
        move(round, rank, CONTRIBUTION_COUNTED, CONTRIBUTION_ABSENT);
    round->counted--;
    round->examples -= contribution->examples;
}

void round_settle(struct round *round, uint32_t rank)
{
    take_out(round, rank);
}

void round_retract(struct round *round, uint32_t rank)
{
    take_out(round, rank);
}

float round_weight(const struct round *round, const struct contribution *contribution)
{
    return (float)((double)contribution->examples / (double)round->examples);
}

static bool tells_loss(const struct contribution *contribution)
{
    return contribution->state == CONTRIBUTION_COUNTED && contribution->has_loss &&
           contribution->examples > 0;
}

double round_loss(const struct round *round)
{
    uint64_t examples = 0;
    for (size_t i = 0; i < round->ranks; i++)
        examples += tells_loss(&round->of_rank[i]) ? round->of_rank[i].examples : 0;
    if (examples == 0)
        return NAN;
    double loss = 0.0;
    for (size_t i = 0; i < round->ranks; i++) {
        const struct contribution *contribution = &round->of_rank[i];
        if (tells_loss(contribution))
            loss += (double)contribution->examples / (double)examples * contribution->loss;
    }
    return loss;
}
