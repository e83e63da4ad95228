/* SPDX-License-Identifier: Apache-2.0
 *
 * A keeper on a test bench: time is a number, chance is what the test says, and what the keeper
 * does is written down in words, "attempt 0 new; drop 1; fail 2 UNAVAILABLE". No shard is to be
 * tried without control.
 */
#ifndef TESTS_UNIT_CLIENT_KEEPER_RIG_H
#define TESTS_UNIT_CLIENT_KEEPER_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "client/lib/core/keeper.h"

#define KEEPER_BUDGET_MS 60000u
#define KEEPER_LINKS_MAX 8u

struct keeper_rig {
    struct stepd_keeper keeper;
    uint64_t now_ms;
    uint32_t highest;    /* chance gives so many thousandths of the most */
    uint32_t asked_most; /* the most that chance was asked for last */
    bool busy[KEEPER_LINKS_MAX];
    bool resumed[KEEPER_LINKS_MAX]; /* since it was dropped */
    struct stepd_error failed;      /* the newest failure */
    struct stepd_event event;       /* the newest; its text is in `text` */
    char text[STEPD_ERROR_TEXT_BYTES];
    unsigned events;
    char log[1024]; /* since the last keeper_did */
    char done[1024];
};

/* Time is 1000; chance gives the most. */
void keeper_setup(struct keeper_rig *rig);
void keeper_teardown(struct keeper_rig *rig);

/* What the keeper has done since the last call. */
const char *keeper_did(struct keeper_rig *rig);

/* Control and two shards stand, in incarnation 1; nothing is in the log. */
void keeper_stand(struct keeper_rig *rig);

void keeper_want(struct keeper_rig *rig, uint32_t shard);
void keeper_welcome(struct keeper_rig *rig, uint32_t shard, uint64_t incarnation);
void keeper_refuse(struct keeper_rig *rig, uint32_t shard, enum stepd_status code,
                   const char *text);
void keeper_lose(struct keeper_rig *rig, uint32_t shard);

/* Time goes by, and the keeper is called whenever it wants to be. */
void keeper_wait(struct keeper_rig *rig, uint64_t ms);

/* The same, and every attempt at this link fails, until the keeper gives up. */
void keeper_fail_for(struct keeper_rig *rig, uint32_t shard, uint64_t ms);

#endif
