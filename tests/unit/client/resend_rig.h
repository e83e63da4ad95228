/* SPDX-License-Identifier: Apache-2.0
 *
 * The bench of rig.h with links that go down and come back.
 */
#ifndef TESTS_UNIT_CLIENT_RESEND_RIG_H
#define TESTS_UNIT_CLIENT_RESEND_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/unit/client/rig.h"

extern const struct stepd_error resend_lost;
extern float resend_big[6], resend_a[2], resend_b[1];

/* All three tensors, with gradients 1 to 9 and these arrays for weights. */
extern const struct stepd_array resend_all[3];

/* By shard; what is for a link that is down is held. */
extern bool resend_down[RIG_SHARDS + 1];

/* How often a request was told ROLLED_BACK. */
extern unsigned resend_told_back;

/* For CMocka: *state is a struct rig. */
int resend_setup(void **state);
int resend_teardown(void **state);

/* The link breaks: what it was receiving is over. */
void resend_lose(struct rig *rig, uint32_t shard);

void resend_come_back(struct rig *rig, uint32_t shard, uint64_t now_ms);

/* The frame that was sent last, and its push. */
const struct rig_sent *resend_newest(const struct rig *rig);
const struct stepd_push_slices *resend_push_in(const struct rig_sent *sent);

/* Starts a step of the large tensor: one slice for each shard. */
struct rig_operation *resend_step_big(struct rig *rig);

/* Answers a frame; weights NULL: none. */
void resend_answer(struct rig *rig, const struct rig_sent *sent, enum stepd_outcome outcome,
                   uint64_t version, const float *weights);

#endif
