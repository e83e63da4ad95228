/* SPDX-License-Identifier: Apache-2.0
 *
 * A checkpoint that several daemons have written, as the files that one would have: what a tool
 * compares that knows nothing of daemons.
 */
#ifndef CLIENT_CTL_MERGED_H
#define CLIENT_CTL_MERGED_H

#include <stdbool.h>

#include <stepd/status.h>

#include "server/persist/arrays.h"

/*
 * Reads the checkpoint in a folder, verified, and writes its arrays into temporary files that have
 * no name; with as much memory as they take. One that one daemon has written is let alone. Errors
 * as load_checkpoint; UNAVAILABLE: no such file can be written. *ret_merged: were there several?
 * Then the caller closes the files.
 */
enum stepd_status merged_open(int folder, const char *shown, bool *ret_merged,
                              int ret_file[ARRAYS_FILES],
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
