/* SPDX-License-Identifier: Apache-2.0
 *
 * Types and limits that the client library, the wire and the daemon agree on.
 */
#ifndef STEPD_TYPES_H
#define STEPD_TYPES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How elements travel. Sums and state are f32 whatever this says. The numbers are the wire's. */
enum stepd_dtype {
    STEPD_F32 = 0,
    STEPD_F16 = 1,
    STEPD_BF16 = 2,
};

/* How a job's gradients become steps. The numbers are the wire's. */
enum stepd_mode {
    STEPD_SYNC = 0,    /* one step per round; a round closes when every member has contributed */
    STEPD_ASYNC = 1,   /* every push is applied on arrival */
    STEPD_BOUNDED = 2, /* the same, and a worker waits while another is too many steps behind */
};

/* Which weights a pull asks for. The numbers are the wire's. */
enum stepd_view {
    STEPD_TRAINING = 0,   /* where gradients are to be computed: the weights, or the point ahead of
                           * them that the optimizer looks at (Nesterov's interim point) */
    STEPD_EVALUATION = 1, /* the weights themselves: what a checkpoint holds */
    STEPD_EMA = 2,        /* their exponential moving average, where the group keeps one */
    STEPD_SWA = 3,        /* their running mean, where the group keeps one */
};

#define STEPD_VIEWS 4

/* What a push came to, for one slice. The numbers are the wire's. */
enum stepd_outcome {
    STEPD_NONE = 0,         /* nothing was pushed: the slice was only pulled */
    STEPD_APPLIED = 1,      /* it is in the weights (in memory) */
    STEPD_DUPLICATE = 2,    /* this clock had been counted before; version says where */
    STEPD_LATE_DROPPED = 3, /* its round had closed without it */
    STEPD_SKIPPED = 4,      /* the round closed, and no update was made of it */
    STEPD_STALE = 5,        /* its base version was too old */
    STEPD_FENCED = 6,       /* its rank had been given to somebody else */
    STEPD_ACCUMULATED = 7,  /* it counts, and its step needs more of its rank's pushes */
};

/* Limits that both ends check before anything is allocated. */
#define STEPD_CHECKPOINT_NAME_BYTES  32u          /* "step-00001200", with its end */
#define STEPD_NAME_MAX_BYTES         200u         /* a job's, worker's, tensor's or group's name */
#define STEPD_BARRIER_NAME_MAX_BYTES 64u          /* a barrier's name */
#define STEPD_DIMS_MAX               8u           /* dimensions of a tensor */
#define STEPD_TENSORS_MAX            1048576u     /* tensors of a job */
#define STEPD_GROUPS_MAX             256u         /* param groups of a job */
#define STEPD_WORKERS_MAX            4096u        /* members of a job */
#define STEPD_EXAMPLES_MAX           (1u << 30)   /* examples behind one push */
#define STEPD_HEADER_MAX_BYTES       65536u       /* the header of a frame */
#define STEPD_FRAME_LEAST_BYTES      (128u << 10) /* nobody may ask for smaller ones than this */
#define STEPD_FRAME_MAX_BYTES        (64u << 20) /* a whole frame, unless Hello and Welcome say less */
#define STEPD_PROTOCOL_VERSION       1u
#define STEPD_SESSION_BYTES          16u
#define STEPD_CLIENT_BYTES           16u

#ifdef __cplusplus
}
#endif

#endif
