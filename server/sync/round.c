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

/* Where a contribution of so many pushes rests while none is received. */
static enum contribution_state at_rest(const struct contribution *contribution)
{
    return contribution->pushes > 0 ? CONTRIBUTION_GATHERING : CONTRIBUTION_ABSENT;
}

void round_begin(struct round *round, uint32_t rank, uint64_t clock, uint64_t base_version)
{
    struct contribution *contribution =
        move(round, rank, at_rest(&round->of_rank[rank]), CONTRIBUTION_RECEIVING);
    if (contribution->pushes == 0)
        contribution->clock = clock;
    contribution->base_version = base_version;
}

void round_count(struct round *round, uint32_t rank, uint64_t examples, float *grad)
{
    struct contribution *contribution =
        move(round, rank, CONTRIBUTION_RECEIVING, CONTRIBUTION_COUNTED);
    if (contribution->pushes++ > 0)
        contribution->clock++;
    else
        round->present++;
    if (contribution->examples == 0)
        contribution->unit = examples;
    contribution->examples += examples;
    contribution->grad = grad;
    round->counted++;
    round->examples += examples;
    round->turn_examples += examples;
}

void round_go_on(struct round *round, uint32_t rank)
{
    (void)move(round, rank, CONTRIBUTION_COUNTED, CONTRIBUTION_GATHERING);
    round->counted--;
}

void round_go_on_all(struct round *round)
{
    for (uint32_t rank = 0; rank < round->ranks; rank++) {
        if (round->of_rank[rank].state == CONTRIBUTION_COUNTED)
            round_go_on(round, rank);
    }
    round->turn_examples = 0;
}

float round_share(const struct contribution *contribution, uint64_t examples)
{
    return (float)((double)examples / (double)contribution->unit);
}

/* The first loss of a contribution stands as it came. */
void round_note_loss(struct round *round, uint32_t rank, uint64_t examples, double loss)
{
    struct contribution *const contribution = &round->of_rank[rank];
    assert(contribution->state == CONTRIBUTION_COUNTED);
    if (examples == 0)
        return;
    const double before = (double)contribution->loss_examples;
    const double all = before + (double)examples;
    contribution->loss = contribution->loss_examples == 0
                             ? loss
                             : before / all * contribution->loss + (double)examples / all * loss;
    contribution->loss_examples += examples;
}

void round_drop(struct round *round, uint32_t rank)
{
    (void)move(round, rank, CONTRIBUTION_RECEIVING, at_rest(&round->of_rank[rank]));
}

struct contribution round_of(const struct round *round, uint32_t rank)
{
    return rank < round->ranks ? round->of_rank[rank]
                               : (struct contribution){.state = CONTRIBUTION_ABSENT};
}

/* A push that is being received goes on, as the first of a new contribution: its clock is the one
 * behind what is taken out. */
static void take_out(struct round *round, uint32_t rank)
{
    struct contribution *contribution = &round->of_rank[rank];
    assert(rank < round->ranks && contribution->pushes > 0);
    const bool receiving = contribution->state == CONTRIBUTION_RECEIVING;
    round->counted -= contribution->state == CONTRIBUTION_COUNTED;
    round->present--;
    round->examples -= contribution->examples;
    if (round->present == 0)
        round->turn_examples = 0;
    *contribution = (struct contribution){
        .state = receiving ? CONTRIBUTION_RECEIVING : CONTRIBUTION_ABSENT,
        .clock = contribution->clock + receiving,
        .base_version = contribution->base_version,
    };
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
    return (float)((double)contribution->unit / (double)round->examples);
}

double round_loss(const struct round *round)
{
    uint64_t examples = 0;
    for (size_t i = 0; i < round->ranks; i++)
        examples += round->of_rank[i].loss_examples;
    if (examples == 0)
        return NAN;
    double loss = 0.0;
    for (size_t i = 0; i < round->ranks; i++) {
        const struct contribution *contribution = &round->of_rank[i];
        if (contribution->loss_examples > 0)
            loss += (double)contribution->loss_examples / (double)examples * contribution->loss;
    }
    return loss;
}
