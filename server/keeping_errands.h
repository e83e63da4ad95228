/* SPDX-License-Identifier: Apache-2.0
 *
 * What keeping_portions.c has done on the writer's thread. Each of these is an errand, has what it
 * needs of its own, and comes back as a note that says what came of it.
 */
#ifndef SERVER_KEEPING_ERRANDS_H
#define SERVER_KEEPING_ERRANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/keeping.h"

enum errand_kind {
    ERRAND_BEGIN,   /* control's daemon: makes the folder */
    ERRAND_WRITE,   /* and writes its own portion */
    ERRAND_COMMIT,  /* all portions are there */
    ERRAND_GIVE_UP, /* or one is not to come */
    ERRAND_RESUME,  /* reads what jobs go on from */
    ERRAND_PORTION, /* a member daemon: writes its own */
    ERRAND_LOAD,    /* and reads what its slices go on from */
};

/* A job that was read. */
struct brought {
    struct brought *next;
    struct job_snapshot snapshot; /* owned */
    struct job_state *state;      /* a reference */
};

struct keeping_note {
    struct errand errand;
    enum errand_kind kind;
    struct keeping
        *keeping; /* of no meaning to keeping_note_destroy, as are all that is borrowed */
    struct stepd_error error; /* code OK, or what came of it */
    void *token;              /* PORTION, LOAD */

    /* BEGIN, WRITE, COMMIT, GIVE_UP, PORTION */
    struct portion_request request;      /* the place is what BEGIN brings */
    const struct job_snapshot *snapshot; /* borrowed until the writing is over; not PORTION */
    const struct job_state **share;      /* owned list of what is lent; WRITE, PORTION */
    size_t shares;
    struct manifest_sums sums;     /* owned; of the own portion; WRITE and PORTION bring it */
    struct portion_answer *answer; /* owned list; COMMIT: of the others, by index */
    char *packed;                  /* owned; PORTION brings it */
    size_t packed_bytes;
    struct control_written written; /* COMMIT brings it */

    /* RESUME, LOAD */
    struct load_wanted wanted;
    uint64_t bytes_max;
    bool anew;      /* RESUME: nothing is to be gone on from */
    char *job_name; /* owned; RESUME of one job alone, which cannot go on from `checkpoint`, for the
                     * reason in `error`; NULL: of all */
    struct brought **last;
    struct brought *first;                        /* owned; RESUME brings it, in order */
    struct job *job;                              /* a reference; LOAD */
    char checkpoint[STEPD_CHECKPOINT_NAME_BYTES]; /* LOAD, RESUME of one job */
    struct job_state *state;                      /* a reference; LOAD brings it */
};

/* One that does this, when it is sent. NULL: no memory. */
struct keeping_note *keeping_errand_create(struct keeping *keeping, enum errand_kind kind);

/* The list of shares that it reads. False: no memory. */
bool keeping_errand_lend(struct keeping_note *note, const struct job_state *const *share,
                         size_t shares);

/* Takes ownership of it; io.post brings it back. */
void keeping_errand_send(struct keeping_note *note);

#endif
