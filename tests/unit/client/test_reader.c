/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader: replies cut at every byte, replies nobody waits for, and bytes that are no replies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/client/rig.h"

static const uint32_t slice0[] = {0};
static const float fetched[] = {11, 12, 13, 14};

static int setup(void **state)
{
    static struct rig rig;
    rig_setup(&rig);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_teardown(*state);
    return 0;
}

/* Pulls "big" and returns the bytes of the answer for its slice 0. */
static size_t pull_and_answer(struct rig *rig, float *weights, uint8_t **ret_bytes)
{
    const struct stepd_array array = {.tensor = 0, .weights = weights};
    (void)rig_start(rig, STEPD_OPERATION_PULL, &array, 1, NULL);
    const struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice0, STEPD_NONE, 1);
    return rig_encode(&result, fetched, sizeof fetched, ret_bytes);
}

static void reply__cut_at_every_byte__arrives_whole(void **state)
{
    struct rig *const rig = *state;
    size_t n = 2;
    for (size_t cut = 1; cut < n; cut++) {
        float weights[6] = {0};
        uint8_t *bytes;
        struct stepd_error error;
        n = pull_and_answer(rig, weights, &bytes);
        assert_int_equal(rig_feed(rig, 1, bytes, cut, SIZE_MAX, &error), STEPD_OK);
        assert_int_equal(rig_feed(rig, 1, bytes + cut, n - cut, SIZE_MAX, &error), STEPD_OK);
        assert_memory_equal(weights, fetched, sizeof fetched);
        free(bytes);
        rig_teardown(rig);
        rig_setup(rig);
    }
}

static void reply__byte_by_byte__arrives_whole(void **state)
{
    float weights[6] = {0};
    uint8_t *bytes;
    struct stepd_error error;
    const size_t n = pull_and_answer(*state, weights, &bytes);
    assert_int_equal(rig_feed(*state, 1, bytes, n, 1, &error), STEPD_OK);
    assert_memory_equal(weights, fetched, sizeof fetched);
    free(bytes);
}

static void replies__two_in_one_read__are_both_taken(void **state)
{
    struct rig *const rig = *state;
    float weights[6] = {0};
    uint8_t *bytes;
    struct stepd_error error;
    const struct stepd_message ack = {.request_id = 12345, .kind = STEPD_MESSAGE_ACK};
    uint8_t *first;
    const size_t m = rig_encode(&ack, NULL, 0, &first);
    const size_t n = pull_and_answer(rig, weights, &bytes);
    uint8_t *const both = malloc(m + n);
    assert_non_null(both);
    memcpy(both, first, m);
    memcpy(both + m, bytes, n);
    assert_int_equal(rig_feed(rig, 1, both, m + n, SIZE_MAX, &error), STEPD_OK);
    assert_memory_equal(weights, fetched, sizeof fetched);
    free(first);
    free(bytes);
    free(both);
}

static void reply__nobody_waits_for_it__is_dropped_with_its_payload(void **state)
{
    struct rig *const rig = *state;
    float weights[6] = {0};
    uint8_t *bytes;
    struct stepd_error error;
    static const float payload[40000];
    const struct stepd_message stray = rig_result(777, 1, slice0, STEPD_NONE, 1);
    rig_reply(rig, 1, &stray, payload, sizeof payload);
    const size_t n = pull_and_answer(rig, weights, &bytes);
    assert_int_equal(rig_feed(rig, 1, bytes, n, SIZE_MAX, &error), STEPD_OK);
    assert_memory_equal(weights, fetched, sizeof fetched);
    free(bytes);
}

static void reply__to_another_shards_request__is_dropped(void **state)
{
    struct rig *const rig = *state;
    float weights[6] = {0};
    uint8_t *bytes;
    struct stepd_error error;
    const size_t n = pull_and_answer(rig, weights, &bytes);
    assert_int_equal(rig_feed(rig, 2, bytes, n, SIZE_MAX, &error), STEPD_OK);
    assert_true(weights[0] == 0);
    free(bytes);
}

static void error__without_a_request__ends_the_connection_with_its_code(void **state)
{
    struct rig *const rig = *state;
    uint8_t *bytes;
    struct stepd_error error;
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_ERROR,
        .body.error = {.code = STEPD_UNAUTHENTICATED, .text = "the token is wrong"},
    };
    const size_t n = rig_encode(&message, NULL, 0, &bytes);
    assert_int_equal(rig_feed(rig, 1, bytes, n, SIZE_MAX, &error), STEPD_UNAUTHENTICATED);
    assert_string_equal(error.text, "the token is wrong");
    free(bytes);
}

static void error__without_a_text__says_what_its_code_means(void **state)
{
    struct rig *const rig = *state;
    uint8_t *bytes;
    struct stepd_error error;
    const struct stepd_message message = {
        .kind = STEPD_MESSAGE_ERROR,
        .body.error = {.code = STEPD_UNAUTHENTICATED, .text = ""},
    };
    const size_t n = rig_encode(&message, NULL, 0, &bytes);
    assert_int_equal(rig_feed(rig, 1, bytes, n, SIZE_MAX, &error), STEPD_UNAUTHENTICATED);
    assert_non_null(strstr(error.text, "the server answers UNAUTHENTICATED ("));
    assert_non_null(strstr(error.text, ") without saying why; see its log"));
    free(bytes);
}

static void assert_refused(struct rig *rig, const void *bytes, size_t n, const char *text)
{
    struct stepd_error error;
    assert_int_equal(rig_feed(rig, 1, bytes, n, SIZE_MAX, &error), STEPD_INTERNAL);
    assert_string_equal(error.text, text);
}

static void bytes__of_a_web_server__are_refused_by_name(void **state)
{
    static const char http[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    assert_refused(*state, http, sizeof http - 1,
                   "this server speaks HTTP, not the protocol of stepd");
}

static void bytes__of_a_tls_server__are_refused_by_name(void **state)
{
    static const uint8_t alert[] = {0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46};
    assert_refused(*state, alert, sizeof alert,
                   "this server speaks TLS, not the protocol of stepd");
}

static void bytes__of_anybody_else__are_refused_once(void **state)
{
    static const char ssh[] = "SSH-2.0-OpenSSH_9.6\r\n";
    assert_refused(*state, ssh, sizeof ssh - 1,
                   "the server's answer: bad frame: it does not begin with the field 'header'");
}

/* A tensor of one slice above the size from which the socket reads straight into the array. */
static void large_slice__with_an_empty_stash__is_read_into_its_array(void **state)
{
    struct rig *const rig = *state;
    static float weights[100000], sent[100000];
    static const uint64_t shape[] = {100000};
    static const struct stepd_tensor_def tensor = {.name = "large", .dims = 1, .shape = shape};
    static const uint32_t one[] = {1}, zero[] = {0}, elements[] = {100000};
    static const uint64_t offset[] = {0};
    const struct stepd_layout page = {
        .tensors = 1,
        .tensor = &tensor,
        .slice_shards = {1, one},
        .slice_parts = {1, one},
        .part_tensors = {1, zero},
        .part_offsets = {1, offset},
        .part_elements = {1, elements},
    };
    struct stepd_error error;
    stepd_exchange_deinit(&rig->exchange);
    stepd_layout_deinit(&rig->layout);
    assert_int_equal(stepd_layout_add(&rig->layout, &page, &error), STEPD_OK);
    assert_int_equal(stepd_layout_seal(&rig->layout, 1, &error), STEPD_OK);
    rig_use_layout(rig);
    for (size_t i = 0; i < 100000; i++)
        sent[i] = (float)i;
    const struct stepd_array array = {.tensor = 0, .weights = weights};
    struct rig_operation *const operation = rig_start(rig, STEPD_OPERATION_PULL, &array, 1, NULL);
    const struct stepd_message result =
        rig_result(rig->sent[0].message.request_id, 1, slice0, STEPD_NONE, 1);
    uint8_t *bytes;
    struct stepd_room room;
    const size_t n = rig_encode(&result, sent, sizeof sent, &bytes);
    assert_int_equal(rig_feed(rig, 1, bytes, 1000, SIZE_MAX, &error), STEPD_OK);
    stepd_reader_window(&rig->reader[0], &room);
    assert_true(room.at > (uint8_t *)weights && room.at < (uint8_t *)(weights + 100000));
    assert_int_equal(rig_feed(rig, 1, bytes + 1000, n - 1000, SIZE_MAX, &error), STEPD_OK);
    assert_true(operation->done);
    assert_memory_equal(weights, sent, sizeof sent);
    stepd_reader_window(&rig->reader[0], &room); /* what comes with the next head is copied */
    assert_in_range(room.bytes, 1, 4096);
    free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reply__cut_at_every_byte__arrives_whole),
        TEST(reply__byte_by_byte__arrives_whole),
        TEST(replies__two_in_one_read__are_both_taken),
        TEST(reply__nobody_waits_for_it__is_dropped_with_its_payload),
        TEST(reply__to_another_shards_request__is_dropped),
        TEST(error__without_a_request__ends_the_connection_with_its_code),
        TEST(error__without_a_text__says_what_its_code_means),
        TEST(bytes__of_a_web_server__are_refused_by_name),
        TEST(bytes__of_a_tls_server__are_refused_by_name),
        TEST(bytes__of_anybody_else__are_refused_once),
        TEST(large_slice__with_an_empty_stash__is_read_into_its_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
