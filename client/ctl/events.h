/* SPDX-License-Identifier: Apache-2.0
 *
 * The steps of a course at which something happens, found by looking at the learning rate of every
 * step: so they are right for any schedule, and for what several of them make together.
 */
#ifndef CLIENT_CTL_EVENTS_H
#define CLIENT_CTL_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "client/ctl/course.h"

#define EVENTS_MAX 64u

/* X(name, text); of two at one step the earlier of this list counts */
#define EVENT_MAP(X)                                                                               \
    X(PHASE, "phase")             /* another optimizer begins */                                   \
    X(JUMP, "jump")               /* the learning rate is suddenly another one */                  \
    X(FLAT, "constant from here") /* the first step of many at one learning rate */                \
    X(LEAVE, "constant until here")                                                                \
    X(TOP, "top")       /* it has risen, and falls from here on */                                 \
    X(BOTTOM, "bottom") /* the other way round */                                                  \
    X(BEND, "bend")     /* it rises or falls at another rate from here on */

#define X(name, text) EVENT_##name,

enum event_kind { EVENT_MAP(X) EVENT_KINDS };

#undef X

struct event {
    uint64_t step;
    enum event_kind kind;
};

struct events {
    size_t count;
    struct event at[EVENTS_MAX]; /* by step, one for each */
    uint64_t more;               /* found behind the last of these */
};

/* Looks at the steps 0 .. steps - 1; their first and last are no events by themselves. */
void events_find(const struct course *course, uint64_t steps, struct events *ret_events);

/* What happens, for a table. Static. */
const char *event_text(enum event_kind kind);

#endif
