/* SPDX-License-Identifier: Apache-2.0
 *
 * A rule that a message must keep, as a case: the sample of a kind with one thing made wrong. Our
 * encoder writes whatever it is given, and the decoder must refuse it in words that name the field.
 * What no encoder can write is spelled out in bytes, in test_message_hostile.c.
 */
#ifndef TESTS_UNIT_PROTO_RULES_H
#define TESTS_UNIT_PROTO_RULES_H

#include <stddef.h>

#include "proto/message.h"

struct rule {
    enum stepd_message_kind kind;
    void (*spoil)(struct stepd_message *message);
    const char *text; /* what the error must begin with; NULL: the message is fine */
};

/* Texts of one byte more than a name, an address and an error's text may have; +1 just fits. */
extern char rule_name_too_long[STEPD_NAME_MAX_BYTES + 2];
extern char rule_address_too_long[302];
extern char rule_text_too_long[1026];

/* Fails the test at the first rule that is not kept. */
void check_rules(const struct rule *rules, size_t count);

#endif
