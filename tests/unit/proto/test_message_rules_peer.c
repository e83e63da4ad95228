/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of what daemons say to each other in Join, Joined and Letter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/proto/rules.h"

static void join_protocol(struct stepd_message *m)
{
    m->body.join.protocol = 77; /* for whoever answers to refuse */
}

static void join_version_long(struct stepd_message *m)
{
    m->body.join.version = rule_name_too_long;
}

static void join_place_0(struct stepd_message *m)
{
    m->body.join.place = 0;
}

static void join_place_high(struct stepd_message *m)
{
    m->body.join.place = STEPD_DAEMONS_MAX;
}

static void join_address_long(struct stepd_message *m)
{
    m->body.join.address = rule_address_too_long;
}

static void join_address_longest(struct stepd_message *m)
{
    m->body.join.address = rule_address_too_long + 1;
}

static void join_no_shards(struct stepd_message *m)
{
    m->body.join.shards = 0;
}

static void join_many_shards(struct stepd_message *m)
{
    m->body.join.shards = STEPD_SHARDS_MAX + 1;
}

static void join_no_instance(struct stepd_message *m)
{
    m->body.join.instance.count = 0;
}

static void join_instance_short(struct stepd_message *m)
{
    m->body.join.instance.count = 15;
}

static void join_expects_0(struct stepd_message *m)
{
    m->body.join.expects = 0;
}

static void joined_reign_0(struct stepd_message *m)
{
    m->body.joined.reign = 0;
}

static void joined_first_shard(struct stepd_message *m)
{
    m->body.joined.first_shard = m->body.joined.shards;
}

static void joined_many_shards(struct stepd_message *m)
{
    m->body.joined.shards = STEPD_SHARDS_MAX + 1;
}

static void joined_expects_0(struct stepd_message *m)
{
    m->body.joined.expects = 0;
}

static void joined_probe(struct stepd_message *m)
{
    m->body.joined.probe = "a\nb";
}

static void letter_more_of_nothing(struct stepd_message *m)
{
    m->body.letter.sequence = 0;
}

static void letter_ping(struct stepd_message *m)
{
    m->body.letter = (struct stepd_letter){.seen = 3};
}

static const struct rule rules[] = {
    {STEPD_MESSAGE_JOIN, join_protocol, NULL},
    {STEPD_MESSAGE_JOIN, join_version_long, "join.version: 201 bytes, but at most 64 may be"},
    {STEPD_MESSAGE_JOIN, join_place_0, "join.place: 0, but must be at least 1"},
    {STEPD_MESSAGE_JOIN, join_place_high, "join.place: 256"},
    {STEPD_MESSAGE_JOIN, join_address_long, "join.address: 301 bytes"},
    {STEPD_MESSAGE_JOIN, join_address_longest, NULL},
    {STEPD_MESSAGE_JOIN, join_no_shards, "join.shards: 0, but must be at least 1"},
    {STEPD_MESSAGE_JOIN, join_many_shards, "join.shards: 4097"},
    {STEPD_MESSAGE_JOIN, join_no_instance, "join.instance: "},
    {STEPD_MESSAGE_JOIN, join_instance_short, "join.instance: "},
    {STEPD_MESSAGE_JOIN, join_expects_0, "join.expects: 0, but must be at least 1"},
    {STEPD_MESSAGE_JOINED, joined_reign_0, "joined.reign: 0, but must be at least 1"},
    {STEPD_MESSAGE_JOINED, joined_first_shard, "joined.first_shard: 4096, but there are 4096"},
    {STEPD_MESSAGE_JOINED, joined_many_shards, "joined.shards: 4097"},
    {STEPD_MESSAGE_JOINED, joined_expects_0, "joined.expects: 0, but must be at least 1"},
    {STEPD_MESSAGE_JOINED, joined_probe, "joined.probe: not UTF-8"},
    {STEPD_MESSAGE_LETTER, letter_more_of_nothing, "letter.sequence: 0, but must be at least 1"},
    {STEPD_MESSAGE_LETTER, letter_ping, NULL},
};

static void messages_of_daemons__that_break_a_rule__are_refused_by_name(void **state)
{
    (void)state;
    check_rules(rules, sizeof rules / sizeof rules[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_daemons__that_break_a_rule__are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
