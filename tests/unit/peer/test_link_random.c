/* SPDX-License-Identifier: Apache-2.0
 *
 * Links whose connections die at any byte, over and over: letters arrive once, in order and whole;
 * and where a daemon is lost, none of an older reign arrives in a newer one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/peer/link_rig.h"

enum { SEEDS = 3000, ACTS = 300, PIECE = PEER_PIECE_MAX_BYTES };

/* Mostly small; at times as long as a piece, or several. */
static size_t any_length(struct random *random)
{
    if (random_once_in(random, 60))
        return (size_t)random_between(random, PIECE - 18, PIECE - 14);
    if (random_once_in(random, 60))
        return (size_t)random_below(random, 4 * PIECE);
    return (size_t)random_below(random, 40);
}

/* A few bytes, or all that there is. */
static size_t any_bytes(struct random *random)
{
    return random_once_in(random, 2) ? SIZE_MAX : (size_t)random_below(random, 60);
}

static void act(struct rig *rig)
{
    struct random *const random = &rig->random;
    const size_t end = (size_t)random_below(random, 2);
    switch (random_below(random, 10)) {
    case 0:
    case 1: rig_post(rig, end, any_length(random)); break;
    case 2:
    case 3: rig_write(rig, end, (size_t)random_below(random, 5)); break;
    case 4:
    case 5:
    case 6: rig_arrive(rig, end, any_bytes(random)); break;
    case 7: rig_dial(rig); break;
    case 8: rig_notice_cut(rig, end); break;
    default:
        if (random_once_in(random, 3))
            rig_cut(rig);
        break;
    }
}

static void
link__over_connections_that_die_anywhere__carries_letters_once_and_in_order(void **state)
{
    (void)state;

    static const struct peer_link_options options = {.lease_ms = UINT64_MAX,
                                                     .ping_ms = 5,
                                                     .silent_ms = 40,
                                                     .kept_max_bytes = PEER_KEPT_MAX_BYTES,
                                                     .letter_max_bytes = PEER_LETTER_MAX_BYTES};

    uint64_t delivered = 0;
    uint64_t went_on = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig;
        rig_init(&rig, seed, &options);
        for (unsigned i = 0; i < ACTS; i++) {
            act(&rig);
            rig_pass(&rig, random_below(&rig.random, 4));
        }
        rig_settle(&rig);
        assert_int_equal(rig.reigns, 0);
        delivered += rig.delivered;
        went_on += rig.went_on;
        rig_deinit(&rig);
    }
    assert_true(delivered > (uint64_t)10 * SEEDS);
    assert_true(went_on > (uint64_t)4 * SEEDS);
}

static void link__of_daemons_that_are_lost__carries_letters_of_one_reign(void **state)
{
    (void)state;

    static const struct peer_link_options options = {.lease_ms = 60,
                                                     .ping_ms = 5,
                                                     .silent_ms = 20,
                                                     .kept_max_bytes = PEER_KEPT_MAX_BYTES,
                                                     .letter_max_bytes = PEER_LETTER_MAX_BYTES};

    uint64_t delivered = 0;
    uint64_t reigns = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig;
        rig_init(&rig, seed, &options);
        for (unsigned i = 0; i < 2 * ACTS; i++) {
            act(&rig);
            if (random_once_in(&rig.random, 200))
                rig_restart(&rig, (size_t)random_below(&rig.random, 2));
            if (random_once_in(&rig.random, 400))
                rig_pass(&rig, options.lease_ms);
            rig_pass(&rig, random_below(&rig.random, 4));
        }
        rig_settle(&rig);
        delivered += rig.delivered;
        reigns += rig.reigns;
        rig_deinit(&rig);
    }
    assert_true(delivered > (uint64_t)4 * SEEDS);
    assert_true(reigns > SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            link__over_connections_that_die_anywhere__carries_letters_once_and_in_order),
        cmocka_unit_test(link__of_daemons_that_are_lost__carries_letters_of_one_reign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
