/* SPDX-License-Identifier: Apache-2.0
 *
 * Checking a case: spoil the sample, encode it, and see what the decoder says.
 */
#include "tests/unit/proto/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/frame.h"
#include "tests/unit/proto/samples.h"

char rule_name_too_long[STEPD_NAME_MAX_BYTES + 2];
char rule_address_too_long[302];
char rule_text_too_long[1026];

static void check(const struct rule *rule)
{
    struct stepd_arena arena;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    struct stepd_message spoilt = *sample_message(rule->kind);
    rule->spoil(&spoilt);
    uint8_t *bytes = NULL;
    size_t n;
    struct stepd_frame_head head;
    assert_int_equal(stepd_message_encode(&spoilt, 0, &arena, &bytes, &n, NULL), STEPD_OK);
    assert_int_equal(stepd_frame_parse(bytes, n, STEPD_FRAME_MAX_BYTES, &head, NULL),
                     STEPD_FRAME_HEAD);
    struct stepd_message decoded = {.request_id = 4711};
    struct stepd_error error = {.code = STEPD_OK, .text = "nothing"};
    const enum stepd_status status =
        stepd_message_decode(bytes + head.header_at, head.header_bytes, &arena, &decoded, &error);
    if (rule->text == NULL && status != STEPD_OK)
        fail_msg("a message that is fine was refused: %s", error.text);
    if (rule->text != NULL) {
        if (strncmp(error.text, rule->text, strlen(rule->text)) != 0)
            fail_msg("'%s' does not begin with '%s'", error.text, rule->text);
        assert_int_equal(status, STEPD_INVALID_ARGUMENT);
        assert_int_equal(error.code, STEPD_INVALID_ARGUMENT);
        assert_int_equal(decoded.request_id, 4711);
    }
    free(bytes);
    stepd_arena_deinit(&arena);
}

void check_rules(const struct rule *rules, size_t count)
{
    memset(rule_name_too_long, 'x', sizeof rule_name_too_long - 1);
    memset(rule_address_too_long, 'x', sizeof rule_address_too_long - 1);
    memset(rule_text_too_long, 'x', sizeof rule_text_too_long - 1);
    for (size_t i = 0; i < count; i++)
        check(&rules[i]);
    print_message("%zu rules\n", count);
}
