/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of Hello and Welcome, of the definitions but for groups, and of the layout.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/proto/rules.h"

/* Parts of a message that a case changes; one case at a time. */
static struct stepd_tensor_def tensor[3];
static uint64_t shape[STEPD_DIMS_MAX + 1];
static uint32_t numbers[3];
static const char *addresses[2];

/* ---- Names ----------------------------------------------------------------------------------- */

static void job_too_long(struct stepd_message *m)
{
    m->body.hello.job = rule_name_too_long;
}

static void job_longest(struct stepd_message *m)
{
    m->body.hello.job = rule_name_too_long + 1;
}

static void job_no_utf8(struct stepd_message *m)
{
    m->body.hello.job = "mnist\xFF";
}

static void worker_newline(struct stepd_message *m)
{
    m->body.hello.worker = "a\nb";
}

static void worker_c1(struct stepd_message *m)
{
    m->body.hello.worker = "a\xC2\x9B[31m";
}

static void address_too_long(struct stepd_message *m)
{
    addresses[0] = "";
    addresses[1] = rule_address_too_long;
    m->body.welcome.shards = 2;
    m->body.welcome.shard_address = addresses;
}

/* ---- Hello and Welcome ----------------------------------------------------------------------- */

static void role_unknown(struct stepd_message *m)
{
    m->body.hello.role = (enum stepd_role)2;
}

static void role_negative(struct stepd_message *m)
{
    m->body.hello.role = (enum stepd_role) - 1;
}

static void rank_too_low(struct stepd_message *m)
{
    m->body.hello.rank = -2;
}

static void rank_highest(struct stepd_message *m)
{
    m->body.hello.rank = STEPD_WORKERS_MAX - 1;
}

static void rank_too_high(struct stepd_message *m)
{
    m->body.hello.rank = STEPD_WORKERS_MAX;
}

static void session_short(struct stepd_message *m)
{
    m->body.hello.session.count = STEPD_SESSION_BYTES - 1;
}

static void session_none(struct stepd_message *m)
{
    m->body.hello.session.count = 0;
}

static void client_long(struct stepd_message *m)
{
    static const uint8_t bytes[STEPD_CLIENT_BYTES + 1];
    m->body.hello.client = (struct stepd_bytes){.count = sizeof bytes, .at = bytes};
}

static void client_none(struct stepd_message *m)
{
    m->body.hello.client.count = 0;
}

static void welcome_session_short(struct stepd_message *m)
{
    m->body.welcome.session.count = 1;
}

/* ---- Definitions ----------------------------------------------------------------------------- */

static void mode_unknown(struct stepd_message *m)
{
    m->body.define_job.mode = (enum stepd_mode)3;
}

/* Puts three tensors into the message, all fine. */
static void three_tensors(struct stepd_message *m)
{
    for (size_t i = 0; i < 3; i++)
        tensor[i] = (struct stepd_tensor_def){.name = "w"};
    m->body.define_tensors.tensor = tensor;
    m->body.define_tensors.tensors = 3;
}

static void tensor_nameless(struct stepd_message *m)
{
    three_tensors(m);
    tensor[2].name = "";
}

static void tensor_most_dims(struct stepd_message *m)
{
    three_tensors(m);
    tensor[1].shape = shape;
    tensor[1].dims = STEPD_DIMS_MAX;
}

static void tensor_too_many_dims(struct stepd_message *m)
{
    tensor_most_dims(m);
    tensor[1].dims++;
}

static void tensor_group_name(struct stepd_message *m)
{
    three_tensors(m);
    tensor[0].group = rule_name_too_long;
}

static void init_unknown(struct stepd_message *m)
{
    three_tensors(m);
    tensor[0].init.kind = (enum stepd_init_kind)4;
}

static void init_a_nan(struct stepd_message *m)
{
    three_tensors(m);
    tensor[2].init.a = NAN;
}

static void init_b_infinite(struct stepd_message *m)
{
    three_tensors(m);
    tensor[2].init.b = INFINITY;
}

static void tensors_last_page(struct stepd_message *m)
{
    three_tensors(m);
    m->body.define_tensors.first = STEPD_TENSORS_MAX - 3;
}

static void tensors_too_many(struct stepd_message *m)
{
    three_tensors(m);
    m->body.define_tensors.first = STEPD_TENSORS_MAX - 2;
}

static void tensors_first_huge(struct stepd_message *m)
{
    m->body.define_tensors.first = UINT32_MAX;
}

/* ---- Layout ---------------------------------------------------------------------------------- */

static void layout_shards_short(struct stepd_message *m)
{
    m->body.layout.slice_shards.count--;
}

static void layout_offsets_short(struct stepd_message *m)
{
    m->body.layout.part_offsets.count--;
}

static void layout_elements_short(struct stepd_message *m)
{
    m->body.layout.part_elements.count--;
}

static void layout_parts_sum(struct stepd_message *m)
{
    numbers[0] = 1;
    numbers[1] = 1;
    m->body.layout.slice_parts = (struct stepd_u32s){.count = 2, .at = numbers};
}

static void layout_parts_wrap(struct stepd_message *m)
{
    numbers[0] = UINT32_MAX;
    numbers[1] = 4; /* 3 in 32 bits */
    m->body.layout.slice_parts = (struct stepd_u32s){.count = 2, .at = numbers};
}

static void layout_no_parts(struct stepd_message *m)
{
    numbers[0] = 0;
    numbers[1] = 3;
    m->body.layout.slice_parts = (struct stepd_u32s){.count = 2, .at = numbers};
}

static void layout_extras_short(struct stepd_message *m)
{
    m->body.layout.slice_extras.count--;
}

static void layout_extras_long(struct stepd_message *m)
{
    m->body.layout.slice_extras = (struct stepd_u32s){.count = 3, .at = numbers};
}

static void layout_no_extras(struct stepd_message *m)
{
    m->body.layout.slice_extras.count = 0;
}

static void layout_mode(struct stepd_message *m)
{
    m->body.layout.mode = (enum stepd_mode)7;
}

static void layout_tensor_nameless(struct stepd_message *m)
{
    tensor[0] = (struct stepd_tensor_def){.name = ""};
    m->body.layout.tensors = 1;
    m->body.layout.tensor = tensor;
}

/* ---- The table ------------------------------------------------------------------------------- */

static const struct rule rules[] = {
    {STEPD_MESSAGE_HELLO, job_too_long, "hello.job: 201 bytes"},
    {STEPD_MESSAGE_HELLO, job_longest, NULL},
    {STEPD_MESSAGE_HELLO, job_no_utf8, "hello.job: not UTF-8"},
    {STEPD_MESSAGE_HELLO, worker_newline, "hello.worker: not UTF-8, or with"},
    {STEPD_MESSAGE_HELLO, worker_c1, "hello.worker: "},
    {STEPD_MESSAGE_HELLO, role_unknown, "hello.role: 2 is no Role"},
    {STEPD_MESSAGE_HELLO, role_negative, "hello.role: -1 is no Role"},
    {STEPD_MESSAGE_HELLO, rank_too_low, "hello.rank: -2"},
    {STEPD_MESSAGE_HELLO, rank_highest, NULL},
    {STEPD_MESSAGE_HELLO, rank_too_high, "hello.rank: 4096"},
    {STEPD_MESSAGE_HELLO, session_short, "hello.session: 15 bytes"},
    {STEPD_MESSAGE_HELLO, session_none, NULL},
    {STEPD_MESSAGE_HELLO, client_long, "hello.client: 17 bytes"},
    {STEPD_MESSAGE_HELLO, client_none, NULL},
    {STEPD_MESSAGE_WELCOME, welcome_session_short, "welcome.session: 1 bytes"},
    {STEPD_MESSAGE_WELCOME, address_too_long, "welcome.shard_addresses[1]: 301 bytes"},
    {STEPD_MESSAGE_DEFINE_JOB, mode_unknown, "define_job.mode: 3 is no Mode"},
    {STEPD_MESSAGE_DEFINE_TENSORS, three_tensors, NULL},
    {STEPD_MESSAGE_DEFINE_TENSORS, tensor_nameless, "define_tensors.tensors[2].name: empty"},
    {STEPD_MESSAGE_DEFINE_TENSORS, tensor_most_dims, NULL},
    {STEPD_MESSAGE_DEFINE_TENSORS, tensor_too_many_dims, "define_tensors.tensors[1].shape: 9"},
    {STEPD_MESSAGE_DEFINE_TENSORS, tensor_group_name, "define_tensors.tensors[0].group: "},
    {STEPD_MESSAGE_DEFINE_TENSORS, init_unknown, "define_tensors.tensors[0].init.kind: 4 is no"},
    {STEPD_MESSAGE_DEFINE_TENSORS, init_a_nan, "define_tensors.tensors[2].init.a: not a finite"},
    {STEPD_MESSAGE_DEFINE_TENSORS, init_b_infinite, "define_tensors.tensors[2].init.b: "},
    {STEPD_MESSAGE_DEFINE_TENSORS, tensors_last_page, NULL},
    {STEPD_MESSAGE_DEFINE_TENSORS, tensors_too_many, "define_tensors.first: 1048577"},
    {STEPD_MESSAGE_DEFINE_TENSORS, tensors_first_huge, "define_tensors.first: 4294967297"},
    {STEPD_MESSAGE_LAYOUT, layout_shards_short, "layout.slice_parts: 2 elements, but 1"},
    {STEPD_MESSAGE_LAYOUT, layout_offsets_short, "layout.part_offsets: 2 elements, but 3"},
    {STEPD_MESSAGE_LAYOUT, layout_elements_short, "layout.part_elements: 2 elements, but 3"},
    {STEPD_MESSAGE_LAYOUT, layout_parts_sum, "layout.slice_parts: they sum to 2"},
    {STEPD_MESSAGE_LAYOUT, layout_parts_wrap, "layout.slice_parts: they sum to 4294967299"},
    {STEPD_MESSAGE_LAYOUT, layout_no_parts, "layout.slice_parts[0]: a slice has at least"},
    {STEPD_MESSAGE_LAYOUT, layout_extras_short, "layout.slice_extras: 1 elements, but 2"},
    {STEPD_MESSAGE_LAYOUT, layout_extras_long, "layout.slice_extras: 3 elements, but 2"},
    {STEPD_MESSAGE_LAYOUT, layout_no_extras, NULL},
    {STEPD_MESSAGE_LAYOUT, layout_mode, "layout.mode: 7 is no Mode"},
    {STEPD_MESSAGE_LAYOUT, layout_tensor_nameless, "layout.tensors[0].name: empty"},
};

static void define__that_breaks_a_rule__is_refused_by_name(void **state)
{
    (void)state;
    check_rules(rules, sizeof rules / sizeof rules[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(define__that_breaks_a_rule__is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
