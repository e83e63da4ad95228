/* SPDX-License-Identifier: Apache-2.0
 *
 * See the header.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/persist/deal.h"

bool deal_in_turns(const struct job *job, size_t slice, uint32_t hand, uint32_t hands)
{
    (void)job;
    return slice % hands == hand;
}

bool deal_by_shard(const struct job *job, size_t slice, uint32_t hand, uint32_t hands)
{
    (void)hands;
    return job->layout.slice[slice].shard == hand;
}

struct job_state *deal(const struct job_state *const *share, size_t shares,
                       bool (*takes)(const struct job *job, size_t slice, uint32_t hand,
                                     uint32_t hands),
                       uint32_t hand, uint32_t hands)
{
    struct job *const job = share[0]->job;
    struct job_state *state = NULL;
    assert_int_equal(job_state_create(job, share[0]->version, &state), STEPD_OK);
    state->halted = share[0]->halted;
    for (size_t i = 0; i < job->layout.slices; i++) {
        for (size_t k = 0; k < shares && takes(job, i, hand, hands); k++) {
            if (share[k]->slice[i].taken)
                state->slice[i] = share[k]->slice[i];
        }
    }
    return state;
}

struct job_state *deal_end(struct job_state *state)
{
    for (size_t i = 0; i < state->job->layout.slices; i++)
        state->slice[i] = (struct slice_state){.taken = false};
    return job_state_unref(state);
}
