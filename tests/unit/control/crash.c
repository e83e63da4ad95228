/* SPDX-License-Identifier: Apache-2.0
 *
 * See the header.
 */
#include "crash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct brain *crash_new_brain(uint32_t shards)
{
    struct control_options options = brain_options();
    options.shards = shards;
    struct brain *brain = brain_create(&options);
    brain->newest_random = 100;
    return brain;
}

void crash_begin(struct crash *crash, enum stepd_mode mode)
{
    crash_begin_with(crash, mode, "");
}

void crash_begin_with(struct crash *crash, enum stepd_mode mode, const char *settings)
{
    const struct control_options options = brain_options();
    *crash = (struct crash){.old = brain_create(&options), .brain = crash_new_brain(BRAIN_SHARDS)};
    for (int32_t rank = 0; rank < 2; rank++)
        crash->worker[rank] = peer_join(crash->old, hello_worker("j", rank));
    shares_define_with(crash->worker[0], mode, 2, settings);
}

void crash_end(struct crash *crash)
{
    shares_taken_deinit(&crash->taken);
    brain_destroy(crash->brain);
    brain_destroy(crash->old);
}

void crash_take(struct crash *crash, uint64_t version, const uint64_t clock[2])
{
    crash->taken = shares_take(crash->old, version, clock);
}

enum stepd_status crash_try_restore(struct crash *crash, struct stepd_error *reterr)
{
    return control_restore(crash->brain->control, &crash->taken.snapshot, crash->taken.state,
                           crash->brain->now_ms, reterr);
}

void crash_restore(struct crash *crash)
{
    struct stepd_error error = {.text = ""};
    if (crash_try_restore(crash, &error) != STEPD_OK)
        fail_msg("%s", error.text);
}

const struct stepd_welcome *peer_welcome(struct peer *peer)
{
    return &peer_answer(peer, STEPD_MESSAGE_WELCOME)->body.welcome;
}
