/* SPDX-License-Identifier: Apache-2.0
 *
 * An observer of the simulation: it is let in by control, connects to shards, and pulls any view of
 * any slices, again and again, whether it has read the answers before or not. What comes is held
 * against the replay. Now and then it reads nothing from the start. No round may wait for it, which
 * host.c sees to.
 */
#ifndef TESTS_SIM_OBSERVER_H
#define TESTS_SIM_OBSERVER_H

#include "tests/lib/random.h"
#include "tests/sim/link.h"
#include "tests/sim/replay.h"

enum { OBSERVERS_MAX = 3, OBSERVER_PULLS_MAX = 256 };

struct observer {
    const struct plan *plan;
    const struct replay *replay;
    struct random *random;
    uint32_t number;      /* behind the ranks */
    struct link *control; /* borrowed from the cluster; NULL: none */
    bool welcome;
    uint8_t session[STEPD_SESSION_BYTES];
    struct link *link[PLAN_SHARDS_MAX]; /* likewise */
    bool let_in[PLAN_SHARDS_MAX];
    uint64_t requests;                        /* made so far */
    enum stepd_view view[OBSERVER_PULLS_MAX]; /* of the last of them, by number */
};

/* All but the observer are borrowed. */
void observer_init(struct observer *observer, const struct plan *plan, const struct replay *replay,
                   struct random *random, uint32_t number);

/* A new connection, to control where shard is the number of shards; or one is lost. */
void observer_connect(struct observer *observer, uint32_t shard, struct link *link);
void observer_disconnect(struct observer *observer, const struct link *link);

/* Does it want a connection that it has not got? Else it says something on the one that it has. */
bool observer_act(struct observer *observer, uint32_t shard);

/* For link_create; the owner is a struct observer. */
void observer_on_frame(void *owner, struct link *link, const struct stepd_message *message,
                       const uint8_t *payload, size_t payload_bytes);

#endif
