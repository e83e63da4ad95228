/* SPDX-License-Identifier: Apache-2.0
 *
 * Our packing against protobuf-c's own: the same bytes for every message, and nothing beyond its
 * room.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/frame.h"
#include "proto/message_internal.h"
#include "tests/unit/proto/samples.h"

enum { ROOM_BYTES = 16384 };

/* A sample as protobuf-c unpacks it. Caller frees with free_unpacked. */
static Stepd__V1__Header *unpacked(enum stepd_message_kind kind)
{
    struct stepd_arena arena;
    struct stepd_frame_head head;
    uint8_t *bytes = NULL;
    size_t n;
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    assert_int_equal(stepd_message_encode(sample_message(kind), 0, &arena, &bytes, &n, NULL),
                     STEPD_OK);
    stepd_arena_deinit(&arena);
    assert_int_equal(stepd_frame_parse(bytes, n, STEPD_FRAME_MAX_BYTES, &head, NULL),
                     STEPD_FRAME_HEAD);
    Stepd__V1__Header *const wire =
        stepd__v1__header__unpack(NULL, head.header_bytes, bytes + head.header_at);
    free(bytes);
    assert_non_null(wire);
    return wire;
}

static void pack__every_kind__gives_the_bytes_of_protobuf_c(void **state)
{
    (void)state;
    static uint8_t ours[ROOM_BYTES];
    static uint8_t theirs[ROOM_BYTES];
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        Stepd__V1__Header *const wire = unpacked(sample_kinds[i]);
        assert_true(stepd__v1__header__get_packed_size(wire) <= ROOM_BYTES);
        const size_t n = stepd__v1__header__pack(wire, theirs);
        assert_int_equal(stepd_message_pack(wire, ours, ROOM_BYTES), n);
        assert_memory_equal(ours + ROOM_BYTES - n, theirs, n);
        stepd__v1__header__free_unpacked(wire, NULL);
    }
}

static void pack__room_too_short__says_so_and_writes_nothing_beyond(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        Stepd__V1__Header *const wire = unpacked(sample_kinds[i]);
        const size_t needed = stepd__v1__header__get_packed_size(wire);
        for (size_t room_bytes = 0; room_bytes < needed; room_bytes++) {
            uint8_t *const room = malloc(room_bytes + 1); /* the sanitizers watch its end */
            assert_non_null(room);
            room[0] = 0xA5;
            assert_int_equal(stepd_message_pack(wire, room + 1, room_bytes), room_bytes + 1);
            assert_int_equal(room[0], 0xA5);
            free(room);
        }
        stepd__v1__header__free_unpacked(wire, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pack__every_kind__gives_the_bytes_of_protobuf_c),
        cmocka_unit_test(pack__room_too_short__says_so_and_writes_nothing_beyond),
    };
    return cmocka_run_group_tests_name("message_pack", tests, NULL, NULL);
}
