/* SPDX-License-Identifier: Apache-2.0
 *
 * How the gradients of a job become steps: the mode, and what may be set beside it. One table of
 * settings serves the wire, the file and the client; each setting belongs to some modes and is
 * refused in the others, where it would do nothing. What they mean for a round is in sync/policy.c.
 */
#ifndef MODEL_CONSISTENCY_H
#define MODEL_CONSISTENCY_H

#include <stdbool.h>
#include <stdint.h>

#include <stepd/status.h>
#include <stepd/types.h>

#include "proto/message.h"

/* What becomes of a gradient whose round closed without it (sync). */
enum consistency_late {
    CONSISTENCY_LATE_DROP,
    CONSISTENCY_LATE_APPLY, /* it counts in the round that is open */
};

/* In which order the gradients of a round are added up (sync). */
enum consistency_reduction {
    CONSISTENCY_RANK,    /* in rank order, when the last is there: the same bits every time */
    CONSISTENCY_ARRIVAL, /* each as it comes: no staging per worker, and other bits every time */
};

/* What becomes of a NaN or infinity in a gradient (skip and halt: sync). */
enum consistency_nonfinite {
    CONSISTENCY_REFUSE, /* that slice of the push is not counted, and may be sent again */
    CONSISTENCY_SKIP,   /* the step of its version is made by nobody */
    CONSISTENCY_HALT,   /* the same, and the job ends there */
};

/* What is applied whole or not at all (sync). */
enum consistency_atomic {
    CONSISTENCY_ATOMIC_SLICE,
    CONSISTENCY_ATOMIC_JOB,
};

/* What becomes of a job when a worker's lease has run out. */
enum consistency_on_loss {
    CONSISTENCY_LOSS_WAIT,   /* it is waited for, or for another worker that takes its rank */
    CONSISTENCY_LOSS_SHRINK, /* the job goes on without it, as long as enough are left */
    CONSISTENCY_LOSS_FAIL,   /* the job ends there */
};

/* What was not set, where 0 would be a value. */
#define CONSISTENCY_NONE (-1.0)

/* All numbers are doubles, so that one function sets them; booleans are 0 or 1, words one of the
 * enums above. */
struct consistency {
    enum stepd_mode mode;
    double backup;              /* sync: so many members may be missing when a round closes */
    double close_examples;      /* sync: examples that close a round; 0: no number does */
    double accumulate;          /* sync: pushes of every member that make a step */
    double accumulate_examples; /* sync: examples that make a step, in whole turns of pushes by
                                 * every member; 0: accumulate says when */
    double late;                /* sync: enum consistency_late */
    double reduction;           /* sync: enum consistency_reduction */
    double nonfinite;           /* sync: enum consistency_nonfinite */
    double atomic;              /* sync: enum consistency_atomic */
    double clip_global_norm;    /* sync: largest norm of the gradient of all tensors; 0: any */
    double staleness;           /* bounded: clocks that the slowest may be behind */
    double staleness_max;       /* versions that a gradient may be old; CONSISTENCY_NONE: any */
    double lr_by_staleness;     /* the learning rate is divided by 1 + staleness */
    double delay_compensation;  /* lambda of DC-ASGD; 0: none */
    double on_loss;             /* enum consistency_on_loss */
    double workers_min; /* so many must join before a round closes, and are left at least when
                         * the job shrinks; CONSISTENCY_NONE: all, and 1 */
};

/* Of a job of so many workers: how many must have joined before a round closes. */
uint32_t consistency_start(const struct consistency *consistency, uint32_t workers);

/* Below how many members a job is not shrunk. */
uint32_t consistency_least(const struct consistency *consistency);

/* More than there are. */
#define CONSISTENCY_SETTINGS_MAX 32u

/* The settings that come to the same: each that belongs to the mode and is not CONSISTENCY_NONE.
 * Returns how many. Numbers are borrowed as long as consistency lives. */
size_t consistency_settings(const struct consistency *consistency,
                            struct stepd_setting ret_setting[CONSISTENCY_SETTINGS_MAX]);

/*
 * Merges settings over the mode's defaults. INVALID_ARGUMENT: an unknown setting (the text names
 * the nearest), one that stands twice or belongs to other modes, a word or a list where a number
 * is wanted, a value out of range, or two that do not go together.
 */
enum stepd_status consistency_init(enum stepd_mode mode, const struct stepd_settings *settings,
                                   struct consistency *ret_consistency,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

/* INVALID_ARGUMENT: with so many workers a setting makes no sense (backup leaves none to wait for,
 * workers_min is more than all); the text names it. */
enum stepd_status consistency_check_workers(const struct consistency *consistency, uint32_t workers,
                                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Do several pushes of a member make a step? */
bool consistency_accumulates(const struct consistency *consistency);

/* Does somebody wait for a push of every member to every slice: a round, or who is ahead? */
bool consistency_awaits_pushes(const struct consistency *consistency);

/* Do two say the same? INVALID_ARGUMENT: the text names the first difference. */
enum stepd_status consistency_same(const struct consistency *a, const struct consistency *b,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
