/* SPDX-License-Identifier: Apache-2.0
 *
 * The keeper that the tests of it share, and what a test begins and ends with.
 */
#ifndef TESTS_UNIT_CLIENT_KEEPER_BENCH_H
#define TESTS_UNIT_CLIENT_KEEPER_BENCH_H

#include "tests/unit/client/keeper_rig.h"

extern struct keeper_rig rig;

/* For CMocka: nothing is wanted yet; control and two shards stand; the same of an observer; and
 * their end. */
int keeper_begin(void **state);
int keeper_begin_standing(void **state);
int keeper_begin_observing(void **state);
int keeper_end(void **state);

/* Since the last time that this was asked. */
#define ASSERT_DID(what) assert_string_equal(keeper_did(&rig), what)

#endif
