/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/client/resend_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const float big_grad[] = {1, 2, 3, 4, 5, 6};
static const float a_grad[] = {7, 8};
static const float b_grad[] = {9};

const struct stepd_error resend_lost = {.code = STEPD_UNAVAILABLE, .text = "lost"};
float resend_big[6], resend_a[2], resend_b[1];
const struct stepd_array resend_all[3] = {
    {.tensor = 0, .grad = big_grad, .weights = resend_big},
    {.tensor = 1, .grad = a_grad, .weights = resend_a},
    {.tensor = 2, .grad = b_grad, .weights = resend_b},
};
bool resend_down[RIG_SHARDS + 1];
unsigned resend_told_back;

static bool port_holds(void *self, uint32_t shard)
{
    (void)self;
    return resend_down[shard];
}

static void port_rolled_back(void *self)
{
    (void)self;
    resend_told_back++;
}

int resend_setup(void **state)
{
    static struct rig rig;
    rig_setup(&rig);
    memset(resend_down, 0, sizeof resend_down);
    memset(resend_big, 0, sizeof resend_big);
    resend_told_back = 0;
    rig.exchange.port.holds = port_holds;
    rig.exchange.port.rolled_back = port_rolled_back;
    *state = &rig;
    return 0;
}

int resend_teardown(void **state)
{
    rig_teardown(*state);
    return 0;
}

void resend_lose(struct rig *rig, uint32_t shard)
{
    resend_down[shard] = true;
    stepd_reader_deinit(&rig->reader[shard - 1]);
    assert_int_equal(stepd_reader_init(&rig->reader[shard - 1], &rig->pending, shard), STEPD_OK);
    stepd_pending_suspend(&rig->pending, shard, &resend_lost);
}

void resend_come_back(struct rig *rig, uint32_t shard, uint64_t now_ms)
{
    resend_down[shard] = false;
    stepd_exchange_resend(&rig->exchange, shard, now_ms);
}

const struct rig_sent *resend_newest(const struct rig *rig)
{
    return &rig->sent[rig->sent_count - 1];
}

struct rig_operation *resend_step_big(struct rig *rig)
{
    return rig_start(rig, STEPD_OPERATION_STEP, resend_all, 1, NULL);
}

const struct stepd_push_slices *resend_push_in(const struct rig_sent *sent)
{
    return sent->message.kind == STEPD_MESSAGE_STEP ? &sent->message.body.step.push
                                                    : &sent->message.body.push;
}

void resend_answer(struct rig *rig, const struct rig_sent *sent, enum stepd_outcome outcome,
                   uint64_t version, const float *weights)
{
    const struct stepd_u32s slices = sent->message.kind == STEPD_MESSAGE_PULL
                                         ? sent->message.body.pull.slices
                                         : resend_push_in(sent)->slices;
    const struct stepd_message reply =
        rig_result(sent->message.request_id, slices.count, slices.at, outcome, version);
    size_t elements = 0;
    for (size_t i = 0; i < slices.count && weights != NULL; i++)
        elements += rig->layout.slice[slices.at[i]].elements;
    rig_reply(rig, sent->shard, &reply, weights, elements * sizeof(float));
}
