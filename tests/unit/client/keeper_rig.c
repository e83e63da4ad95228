/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/client/keeper_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"

static void note(struct keeper_rig *rig, const char *what, uint32_t shard, const char *how)
{
    const size_t at = strlen(rig->log);
    (void)snprintf(rig->log + at, sizeof rig->log - at, "%s%s %u%s%s", at == 0 ? "" : "; ", what,
                   shard, how[0] == '\0' ? "" : " ", how);
    assert_true(strlen(rig->log) + 1 < sizeof rig->log);
}

static void attempt(void *owner, uint32_t shard, enum stepd_greeting how)
{
    static const char *const names[] = {"new", "resume", "rejoin"};
    const struct keeper_rig *const rig = owner;
    assert_true(shard == 0 || stepd_keeper_is_open(&rig->keeper, 0));
    note(owner, "attempt", shard, names[how]);
}

static void drop(void *owner, uint32_t shard, const struct stepd_error *why)
{
    struct keeper_rig *const rig = owner;
    assert_non_null(why);
    rig->resumed[shard] = false;
    note(rig, "drop", shard, "");
}

static void resume(void *owner, uint32_t shard)
{
    struct keeper_rig *const rig = owner;
    assert_true(stepd_keeper_is_open(&rig->keeper, shard));
    rig->resumed[shard] = true;
    note(rig, "resume", shard, "");
}

static void fail_link(void *owner, uint32_t shard, const struct stepd_error *error)
{
    struct keeper_rig *const rig = owner;
    rig->failed = *error;
    rig->resumed[shard] = false;
    note(rig, "fail", shard, stepd_status_name(error->code));
}

static void roll_back(void *owner, const struct stepd_error *error)
{
    struct keeper_rig *const rig = owner;
    assert_int_equal(error->code, STEPD_ROLLED_BACK);
    rig->failed = *error;
    note(rig, "roll back", 0, "");
}

static bool busy(void *owner, uint32_t shard)
{
    return ((const struct keeper_rig *)owner)->busy[shard];
}

static uint32_t chance(void *owner, uint32_t most)
{
    struct keeper_rig *const rig = owner;
    rig->asked_most = most;
    return (uint32_t)((uint64_t)most * rig->highest / 1000);
}

static void tell(void *owner, const struct stepd_event *event)
{
    struct keeper_rig *const rig = owner;
    assert_int_equal(event->size, sizeof *event);
    rig->event = *event;
    (void)snprintf(rig->text, sizeof rig->text, "%s", event->text);
    rig->event.text = rig->text;
    rig->events++;
}

void keeper_setup(struct keeper_rig *rig)
{
    *rig = (struct keeper_rig){.now_ms = 1000, .highest = 1000};
    const struct stepd_keeper_io io = {
        .owner = rig,
        .attempt = attempt,
        .drop = drop,
        .resume = resume,
        .fail = fail_link,
        .roll_back = roll_back,
        .busy = busy,
        .random = chance,
        .tell = tell,
    };
    stepd_keeper_init(&rig->keeper, &io);
    rig->keeper.budget_ms = KEEPER_BUDGET_MS;
}

void keeper_teardown(struct keeper_rig *rig)
{
    stepd_keeper_deinit(&rig->keeper);
}

const char *keeper_did(struct keeper_rig *rig)
{
    memcpy(rig->done, rig->log, sizeof rig->done);
    rig->log[0] = '\0';
    return rig->done;
}

void keeper_want(struct keeper_rig *rig, uint32_t shard)
{
    struct stepd_error error;
    assert_int_equal(stepd_keeper_open(&rig->keeper, shard, rig->now_ms, &error), STEPD_OK);
}

void keeper_welcome(struct keeper_rig *rig, uint32_t shard, uint64_t incarnation)
{
    stepd_keeper_opened(&rig->keeper, shard, incarnation, rig->now_ms);
}

void keeper_refuse(struct keeper_rig *rig, uint32_t shard, enum stepd_status code, const char *text)
{
    struct stepd_error error;
    (void)stepd_fail(&error, code, "%s", text);
    stepd_keeper_failed(&rig->keeper, shard, &error, rig->now_ms);
}

void keeper_lose(struct keeper_rig *rig, uint32_t shard)
{
    struct stepd_error error;
    (void)stepd_fail(&error, STEPD_UNAVAILABLE, "link %u broke", shard);
    stepd_keeper_lost(&rig->keeper, shard, &error, rig->now_ms);
}

void keeper_stand(struct keeper_rig *rig)
{
    keeper_want(rig, 0);
    keeper_welcome(rig, 0, 1);
    stepd_keeper_know(&rig->keeper, 1);
    for (uint32_t shard = 1; shard <= 2; shard++) {
        keeper_want(rig, shard);
        keeper_welcome(rig, shard, 1);
    }
    (void)keeper_did(rig);
}

void keeper_wait(struct keeper_rig *rig, uint64_t ms)
{
    const uint64_t until = rig->now_ms + ms;
    for (;;) {
        const uint64_t due = stepd_keeper_next_ms(&rig->keeper);
        if (due > until)
            break;
        if (due > rig->now_ms)
            rig->now_ms = due;
        stepd_keeper_tick(&rig->keeper, rig->now_ms);
        assert_true(stepd_keeper_next_ms(&rig->keeper) > rig->now_ms); /* it has done what is due */
    }
    rig->now_ms = until;
}

void keeper_fail_for(struct keeper_rig *rig, uint32_t shard, uint64_t ms)
{
    const uint64_t until = rig->now_ms + ms;
    while (rig->now_ms < until && !rig->keeper.over) {
        const uint64_t due = stepd_keeper_next_ms(&rig->keeper);
        keeper_wait(rig, (due < until ? due : until) - rig->now_ms);
        if (rig->keeper.link[shard].state == STEPD_KEPT_TRYING)
            keeper_refuse(rig, shard, STEPD_UNAVAILABLE, "nobody is there");
    }
}
