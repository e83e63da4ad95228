/* SPDX-License-Identifier: Apache-2.0
 *
 * Control's side of the links to other daemons (daemons.h), and who comes there: a test makes up
 * what they say, and asks what they and the owner were told.
 */
#ifndef TESTS_UNIT_NET_COURT_H
#define TESTS_UNIT_NET_COURT_H

#include "far_daemon.h"
#include "server/net/daemons.h"

enum { COURT_LEASE_MS = 60000, COURT_SHARDS = 2, COURT_REIGN = 1001 };

struct court {
    uv_loop_t uv;
    struct kept_log log;
    struct daemons *daemons;    /* owned */
    struct far_daemon *far[24]; /* owned; who has come, in turn */
    size_t fars;
    size_t count; /* of the list */
    enum stepd_status admits;
    size_t begun;
    size_t ended;
    uint32_t shards; /* of the reign */
    char address[2][64];
    struct stepd_error why; /* that it has ended */
    enum peer_note_kind note;
    size_t notes;
    size_t gone;
};

extern struct court court;

/* For CMocka: the second hangs up on all, and looks that nothing is left. */
int court_set_up(void **state);
int court_tear_down(void **state);

/* The daemons of a list of so many; "first:1" is where control is. */
void court_open(size_t count);

/* Somebody connects. */
struct far_daemon *court_come(void);

/* What a daemon that fits says, with three shards; which: one process or another. */
struct stepd_join court_join_of(uint32_t place, uint8_t which);
/* Somebody connects and says it. */
struct far_daemon *court_join(struct stepd_join said);

/* Two daemons that reign; gives the second, which has heard Joined. */
struct far_daemon *court_reign(void);

/* A tick so much later than now. */
void court_tick(uint64_t after_ms);

#endif
