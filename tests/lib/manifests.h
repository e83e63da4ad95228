/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots as whoever reads a checkpoint finds them: written to a manifest, read, and compared
 * field by field with what they were. The arrays, which stand in other files, are copied.
 */
#ifndef TESTS_LIB_MANIFESTS_H
#define TESTS_LIB_MANIFESTS_H

#include "server/persist/manifest.h"

/* Writes a snapshot whose slices are in a whole state; sums NULL: there are no other files. It must
 * be possible. Caller frees the text with free(). */
char *manifests_write(const struct job_snapshot *snapshot, const struct job_state *state,
                      const struct manifest_sums *sums, size_t *ret_length);

/* Reads it; which must be possible. */
struct manifest manifests_read(const char *text, size_t length);

/* Gives the slices of a manifest the arrays of the state that it was written of, as copies. */
void manifests_fill(struct manifest *manifest, const struct job_state *state);

/* Fails the test unless everything that a manifest says is as it was, to the bit. */
void manifests_assert_same(const struct job_snapshot *a, const struct job_state *a_state,
                           const struct job_snapshot *b, const struct job_state *b_state);

/* All of it, and the same text when it is written again. Caller ends with manifest_deinit. */
struct manifest manifests_go_round(const struct job_snapshot *snapshot,
                                   const struct job_state *state);

#endif
