/* SPDX-License-Identifier: Apache-2.0
 *
 * What reading the manifest and reading the arrays share.
 */
#ifndef DISK_LOAD_INTERNAL_H
#define DISK_LOAD_INTERNAL_H

#include "server/persist/arrays.h"
#include "server/persist/manifest.h"

/* A file cannot be opened or read, as errno says. */
enum stepd_status load_refuse(const char *name, const char *doing, struct stepd_error *reterr);

/* Has a file the length that the manifest says? DATA_LOSS: another. */
enum stepd_status load_check_length(const struct manifest_file *expected, uint64_t bytes,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Reads the floats of a state that has been mapped. all: it is to have all that is in the files,
 * which are held to their checksums then; else only the arrays that it has something of are read,
 * and held to theirs. Errors as load_checkpoint. */
enum stepd_status load_arrays(int folder, const struct manifest_sums *sums,
                              const struct arrays *arrays, bool all,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
