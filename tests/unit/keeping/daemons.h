/* SPDX-License-Identifier: Apache-2.0
 *
 * Three daemons that keep the checkpoints of one job in one folder. Their servers are the test: it
 * brings what they say to each other, when it wants to, and the notes of their writers' threads to
 * the one that it runs on. One of these at a time. Needs CMocka's includes before it.
 */
#ifndef TESTS_UNIT_KEEPING_DAEMONS_H
#define TESTS_UNIT_KEEPING_DAEMONS_H

#include <pthread.h>

#include "server/keeping.h"
#include "tests/unit/disk/scratch.h"
#include "tests/unit/persist/shares.h"

enum { DAEMONS = 3, DAEMONS_NOTES_MAX = 16 };

struct daemon {
    struct daemons *fixture;
    struct config config;
    struct keeping keeping;
    const struct job_state *share; /* what its shards hold */
};

/* Something that a daemon's writer has said, and to whom. */
struct posted {
    struct daemon *daemon;
    struct keeping_note *note;
};

struct daemons {
    struct scratch *scratch;
    struct shares shares;
    struct job_state *own[DAEMONS];
    const struct job_state *share[DAEMONS];
    struct job_snapshot snapshot;
    struct daemon daemon[DAEMONS];
    size_t mute;                /* a daemon that is asked and does not hear; 0: none */
    struct portion_answer held; /* of one whose answer is not brought yet */
    size_t holds;               /* the daemon of it; 0: none */
    size_t answers;             /* daemons that have written their portion, or failed to */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t come;
    size_t notes;
    struct posted posted[DAEMONS_NOTES_MAX];

    /* What has come of it, on this thread. */
    size_t written;
    struct control_written outcome;
    size_t resumed;
    struct stepd_error resumed_error;
    size_t restored;
    uint64_t incarnation;
    char origin[STEPD_CHECKPOINT_NAME_BYTES]; /* the checkpoint that it was restored from last */
    size_t floats;                            /* slices whose floats have come back */
    struct job_state *loaded[DAEMONS];
    struct stepd_error loaded_error;
};

void daemons_setup(struct daemons *f, void *scratch);
void daemons_teardown(struct daemons *f);

/* Another process in the place of one, with this folder for its checkpoints; and its end. */
void daemons_start(struct daemons *f, size_t index, const char *folder);
void daemons_stop(struct daemon *daemon);

/* Takes the next note. False: none comes within a time that would do for any. */
bool daemons_take_note(struct daemons *f);

/* Takes notes until it holds. */
#define DAEMONS_UNTIL(daemons, condition)                                                          \
    while (!(condition))                                                                           \
    assert_true(daemons_take_note(daemons))

/* Control's daemon is to write a checkpoint; and it does. */
void daemons_ask(struct daemons *f, uint64_t step);

/* It is to write one, and the others have written their portions of it: nobody but itself has
 * anything to do in its folder any more. */
void daemons_ask_and_hold(struct daemons *f, uint64_t step, size_t daemon);

void daemons_write(struct daemons *f, uint64_t step);

/* There is that of the job beside its incarnation, or ("") nothing. */
void daemons_expect_there(const struct daemons *f, const char *name);

/* Slices whose floats are in a state; they must be those that were written. */
size_t daemons_count_floats(const struct daemons *f, const struct job_state *state);

#endif
