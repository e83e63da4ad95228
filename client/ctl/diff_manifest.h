/* SPDX-License-Identifier: Apache-2.0
 *
 * What two checkpoints say of themselves otherwise than by their arrays: versions, clocks of steps,
 * groups, schedules, members, history.
 */
#ifndef CLIENT_CTL_DIFF_MANIFEST_H
#define CLIENT_CTL_DIFF_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include <stepd/status.h>

/* What is not the same: a row for each value, {"what": "job.groups.all.lr", "a": 0.01, "b": 0.02},
 * where what only one of them has is null in the other. */
struct diff_rows {
    json_t *list;    /* borrowed; rows are appended */
    bool all;        /* those too that say only when and by whom a checkpoint was made */
    size_t left_out; /* of these, where not all are wanted */
};

/* Compares the JSON of two manifests, borrowed until return. */
void diff_trees(const json_t *a, const json_t *b, struct diff_rows *rows);

/*
 * Compares the manifests of two checkpoints, whose folders are borrowed. Checksums are left out:
 * they follow from the rest. The text begins with the path of the one that cannot be read.
 * UNAVAILABLE: a file cannot be read. RESOURCE_EXHAUSTED: it is too long, or no memory. Errors of
 * what stands in it as manifest_parse.
 */
enum stepd_status diff_manifests(int folder_a, const char *path_a, int folder_b, const char *path_b,
                                 struct diff_rows *rows,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Prints such rows for people, all or as many as one reads, and what of them. */
void diff_manifests_print(const struct diff_rows *rows);

#endif
