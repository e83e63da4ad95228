/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints that lie in a folder, found as a daemon would find them, but without its lock and
 * without touching anything: one may be at work there.
 *
 * A path may be the folder of a daemon's checkpoints, that of one of its jobs, or a checkpoint.
 * Links in it are not followed; the path itself may be one.
 */
#ifndef CLIENT_CTL_SHELVES_H
#define CLIENT_CTL_SHELVES_H

#include <stdint.h>

#include <stepd/status.h>

struct shelves_checkpoint {
    const char *job;          /* the folder that it is in; "": the path is the checkpoint itself */
    const char *name;         /* "step-00001200" */
    int folder;               /* to be read; borrowed until return; -1: it cannot be */
    struct stepd_error error; /* why not */
};

struct shelves {
    const char *path;
    const char *job; /* of this one only; NULL: all */
    void (*visit)(void *owner, const struct shelves_checkpoint *found);
    void *owner;
};

/* Visits all checkpoints, job by job by rising names, of each the newest step first. NOT_FOUND:
 * there is none of that job, or nothing at the path. FAILED_PRECONDITION: the path cannot be
 * opened. UNAVAILABLE: what is in it cannot be read. */
enum stepd_status shelves_visit(const struct shelves *shelves,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The folder of one checkpoint, to be read; the caller closes it. -1, and reterr says why not. */
int shelves_open(const char *path, struct stepd_error *reterr);

/* Bytes that the arrays of a checkpoint may take in memory: what its files can fill, and so never
 * what a manifest merely claims. */
uint64_t shelves_bytes_max(int folder);

#endif
