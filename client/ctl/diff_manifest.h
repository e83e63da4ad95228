/* SPDX-License-Identifier: Apache-2.0
 *
 * What two checkpoints say of themselves otherwise than by their arrays: versions, clocks of steps,
 * groups, schedules, members, history.
 */
#ifndef CLIENT_CTL_DIFF_MANIFEST_H
#define CLIENT_CTL_DIFF_MANIFEST_H

#include <jansson.h>

#include <stepd/status.h>

/*
 * Compares the manifests of two checkpoints, whose folders are borrowed, and appends a row to rows
 * for each value that is not the same: {"what": "job.groups.all.lr", "a": 0.01, "b": 0.02}, where
 * what only one of them has is null in the other. Checksums are left out: they follow from the
 * rest. A text begins with the path of the one that cannot be read; errors as load_manifest.
 */
enum stepd_status diff_manifests(int folder_a, const char *path_a, int folder_b, const char *path_b,
                                 json_t *rows, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Prints such rows for people, as many as one reads, and what of them. */
void diff_manifests_print(const json_t *rows);

#endif
