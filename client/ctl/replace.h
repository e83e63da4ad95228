/* SPDX-License-Identifier: Apache-2.0
 *
 * A file that a command writes where the user says: whole and on the disk, or not there. It is
 * written beside its place, under a name that no other command has, and renamed. Only a file is
 * replaced: a device, a pipe or a link stays what it is. A command that is killed leaves what it
 * has written, named .new-NAME-PID-N.
 */
#ifndef CLIENT_CTL_REPLACE_H
#define CLIENT_CTL_REPLACE_H

#include <limits.h>

#include <stepd/status.h>

struct replace {
    const char *path; /* borrowed until replace_finish or replace_abandon */
    const char *name; /* the last part of it */
    int folder;
    int file;                  /* to be written to */
    char beside[NAME_MAX + 1]; /* what it is called until it is whole */
};

/*
 * Opens the file. INVALID_ARGUMENT: the path is none of a file. FAILED_PRECONDITION: what stands
 * there is no file; the text says what it is. UNAVAILABLE: the system refuses. RESOURCE_EXHAUSTED:
 * no memory. On success one of the two below is to follow.
 */
enum stepd_status replace_begin(struct replace *replace, const char *path,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Syncs it and puts it in its place, with the mode of the file that stood there, and with its owner
 * where we are root; a new one is its owner's alone. UNAVAILABLE: the disk refuses, and nothing has
 * changed. */
enum stepd_status replace_finish(struct replace *replace,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Leaves what stands there, and removes the other; cause is the errno of a write that failed.
 * Returns UNAVAILABLE. */
enum stepd_status replace_abandon(struct replace *replace, int cause, struct stepd_error *reterr);

#endif
