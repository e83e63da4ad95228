/* SPDX-License-Identifier: Apache-2.0
 *
 * What control asks a member daemon for, as bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"
#include "server/peer/portions.h"

static const struct portion_request wanted = {
    .number = UINT64_C(0x0102030405060708),
    .step = UINT64_MAX - 1,
    .index = 3,
    .portions = UINT32_MAX,
    .place = {.shelf = "mnist", .folder = ".new-step-00001200~0123456789abcdef"},
};

static void request__packed__is_unpacked_the_same(void **state)
{
    (void)state;
    uint8_t bytes[PEER_REQUEST_BYTES];
    struct portion_request request;
    struct stepd_error error;
    peer_request_pack(&wanted, bytes);
    assert_int_equal(bytes[0], 8); /* the lowest first, on any machine */
    assert_int_equal(peer_request_unpack(bytes, sizeof bytes, &request, &error), STEPD_OK);
    assert_true(request.number == wanted.number && request.step == wanted.step);
    assert_int_equal(request.index, wanted.index);
    assert_int_equal(request.portions, wanted.portions);
    assert_string_equal(request.place.shelf, wanted.place.shelf);
    assert_string_equal(request.place.folder, wanted.place.folder);
}

static void request__of_another_length__is_refused(void **state)
{
    (void)state;
    static uint8_t bytes[PEER_REQUEST_BYTES + 1];
    struct portion_request request;
    struct stepd_error error;
    for (size_t n = 0; n <= sizeof bytes; n++) {
        if (n != PEER_REQUEST_BYTES)
            assert_int_equal(peer_request_unpack(bytes, n, &request, &error),
                             STEPD_INVALID_ARGUMENT);
    }
}

static void request__name_without_an_end__is_refused(void **state)
{
    (void)state;
    static const size_t ends[] = {24 + PORTION_SHELF_BYTES - 1, PEER_REQUEST_BYTES - 1};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        uint8_t bytes[PEER_REQUEST_BYTES];
        struct portion_request request;
        struct stepd_error error;
        peer_request_pack(&wanted, bytes);
        bytes[ends[i]] = 'x';
        assert_int_equal(peer_request_unpack(bytes, sizeof bytes, &request, &error),
                         STEPD_INVALID_ARGUMENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request__packed__is_unpacked_the_same),
        cmocka_unit_test(request__of_another_length__is_refused),
        cmocka_unit_test(request__name_without_an_end__is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
