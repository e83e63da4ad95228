/* SPDX-License-Identifier: Apache-2.0
 *
 * Orders, notices and jobs with something in every field, all of it from a seed, and what it means
 * that two of them are the same.
 */
#ifndef TESTS_UNIT_PEER_LETTERS_H
#define TESTS_UNIT_PEER_LETTERS_H

#include "server/peer/letter.h"
#include "tests/sim/settings.h"

/* The caller deinits the arena. */
struct drawing letters_drawing(uint64_t seed);

/* A job as the simulation draws it. The caller gives the reference back. */
struct job *letters_draw_job(struct drawing *drawing, enum stepd_mode mode, uint32_t shards);

/* Of any kind; with a job, and changes of its groups. The caller frees it. */
struct order *letters_draw_order(struct drawing *drawing);
/* READY has *ret_sums of them. The caller frees it. */
struct notice *letters_draw_notice(struct drawing *drawing, size_t *ret_sums);

/* Packs it and unpacks it. The caller deinits the letter. */
struct peer_letter letters_go_round(struct peer_bytes *bytes);

/* Fail the test unless both say the same, numbers to the bit. */
void letters_assert_same_job(const struct job *a, const struct job *b);
void letters_assert_same_order(const struct order *a, const struct order *b);
void letters_assert_same_notice(const struct notice *a, const struct notice *b, size_t sums);

#endif
