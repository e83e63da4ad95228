/* SPDX-License-Identifier: Apache-2.0 */
#include "court.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "proto/error.h"
#include "server/peer/roster.h"

enum { TIMEOUT_MS = 30000 };

struct court court;

/* ---- What is asked of the owner -------------------------------------------------------------- */

static enum stepd_status on_admits(void *owner, const struct control_caller *caller,
                                   const struct stepd_join *join,
                                   const struct access_grant **ret_grant,
                                   struct stepd_error *reterr)
{
    (void)owner;
    (void)caller;
    (void)join;
    *ret_grant = NULL;
    return court.admits == STEPD_OK ? STEPD_OK
                                    : stepd_fail(reterr, court.admits, "show a token that is good");
}

static void on_came(void *owner, size_t place, const struct access_grant *grant)
{
    (void)owner;
    (void)place;
    assert_null(grant);
}

static enum stepd_status on_keeps(void *owner, size_t place, struct stepd_error *reterr)
{
    (void)owner;
    (void)place;
    (void)reterr;
    return STEPD_OK;
}

static void on_begun(void *owner, uint32_t shards, const char *const *address)
{
    (void)owner;
    court.begun++;
    court.shards = shards;
    for (size_t i = 0; i < 2; i++)
        (void)snprintf(court.address[i], sizeof court.address[i], "%s", address[i * COURT_SHARDS]);
}

static void on_ended(void *owner, const struct stepd_error *why)
{
    (void)owner;
    court.ended++;
    court.why = *why;
}

static void on_notice(void *owner, struct notice *notice)
{
    (void)owner;
    (void)notice_destroy(notice);
}

static void on_note(void *owner, size_t place, const struct peer_note *note)
{
    (void)owner;
    assert_int_equal(place, 1);
    court.notes++;
    court.note = note->kind;
}

static void on_settled(void *owner)
{
    (void)owner;
}

static struct job *on_job(void *owner, const char *name)
{
    (void)owner;
    (void)name;
    return NULL;
}

static void on_known(void *owner)
{
    (void)owner;
}

static void on_gone(void *owner, bool known)
{
    (void)owner;
    (void)known;
    court.gone++;
}

/* ---- The court ------------------------------------------------------------------------------- */

static const char *const address[] = {"first:1", "second:2", "third:3"};

void court_open(size_t count)
{
    court.count = count;
    const struct daemons_options options = {
        .uv = &court.uv,
        .log = &court.log.log,
        .version = "1.0.0",
        .shards = COURT_SHARDS,
        .count = count,
        .address = address,
        .lease_ms = COURT_LEASE_MS,
        .write_timeout_ms = TIMEOUT_MS,
        .read_timeout_ms = TIMEOUT_MS,
        .frame_max_bytes = 1 << 20,
        .probe = "probe-7",
        .seed = COURT_REIGN - 1,
        .io = {.admits = on_admits,
               .came = on_came,
               .keeps = on_keeps,
               .begun = on_begun,
               .ended = on_ended,
               .notice = on_notice,
               .note = on_note,
               .settled = on_settled,
               .job = on_job,
               .known = on_known,
               .gone = on_gone},
    };
    court.daemons = daemons_create(&options);
    assert_non_null(court.daemons);
}

int court_set_up(void **state)
{
    (void)state;
    court = (struct court){.admits = STEPD_OK};
    kept_log_init(&court.log);
    assert_int_equal(uv_loop_init(&court.uv), 0);
    return 0;
}

int court_tear_down(void **state)
{
    (void)state;
    daemons_cut(court.daemons);
    far_turn(&court.uv);
    assert_int_equal(daemons_connections(court.daemons), 0);
    assert_int_equal(court.gone, court.fars);
    (void)daemons_destroy(court.daemons);
    for (size_t i = 0; i < court.fars; i++)
        (void)far_daemon_destroy(court.far[i]);
    assert_int_equal(uv_loop_close(&court.uv), 0);
    kept_log_deinit(&court.log);
    return 0;
}

struct far_daemon *court_come(void)
{
    struct caller *caller = NULL;
    struct far_daemon *const far = far_daemon_pair(&court.uv, &caller);
    court.far[court.fars++] = far;
    daemons_serve(court.daemons, caller);
    return far;
}

static uint64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* What a daemon that fits says; instance: a byte that makes it one process or another. */
static const uint8_t *instance_of(uint8_t which)
{
    static uint8_t instance[8][STEPD_INSTANCE_BYTES];
    memset(instance[which], which + 1, sizeof instance[which]);
    return instance[which];
}

struct stepd_join court_join_of(uint32_t place, uint8_t which)
{
    return (struct stepd_join){
        .protocol = STEPD_PROTOCOL_VERSION,
        .version = "1.0.0",
        .place = place,
        .address = "there:9",
        .shards = 3,
        .instance = {.count = STEPD_INSTANCE_BYTES, .at = instance_of(which)},
        .expects = 1,
        .clock_ms = wall_ms(),
    };
}

struct far_daemon *court_join(struct stepd_join said)
{
    said.daemons = (uint32_t)court.count;
    said.others = roster_sum(court.count, address);
    struct far_daemon *const far = court_come();
    far_say(far,
            &(struct stepd_message){.request_id = 1, .kind = STEPD_MESSAGE_JOIN, .body.join = said},
            NULL, 0);
    return far;
}

/* Two daemons that reign; gives the second, which has heard Joined. */
struct far_daemon *court_reign(void)
{
    court_open(2);
    struct far_daemon *const far = court_join(court_join_of(1, 0));
    (void)far_expect(far, STEPD_MESSAGE_JOINED);
    assert_int_equal(court.begun, 1);
    return far;
}

void court_tick(uint64_t after_ms)
{
    uv_update_time(&court.uv);
    daemons_tick(court.daemons, uv_now(&court.uv) + after_ms);
    far_turn(&court.uv);
}
