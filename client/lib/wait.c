/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lib/wait.h"

#include "client/lib/net/clock.h"

/* A person who presses Ctrl-C takes this for at once, and it costs a wait nothing to speak of. */
#define SLICE_MS 50u

static uint64_t end_of_slice(const struct stepd_client *client, uint64_t until_ms)
{
    if (client->interrupted == NULL)
        return until_ms;
    const uint64_t slice_ms = stepd_clock_ms() + SLICE_MS;
    return until_ms == 0 || slice_ms < until_ms ? slice_ms : until_ms;
}

enum stepd_wait_end stepd_wait_while(struct stepd_client *client, struct stepd_mail *letter,
                                     const atomic_bool *flag, uint64_t until_ms)
{
    if (letter != NULL)
        stepd_loop_leave(client->loop, letter);
    for (;;) {
        if (stepd_loop_await(client->loop, flag, end_of_slice(client, until_ms)))
            return STEPD_WAIT_OVER;
        if (until_ms != 0 && stepd_clock_ms() >= until_ms)
            return STEPD_WAIT_LATE;
        if (client->interrupted != NULL && client->interrupted(client->event_user))
            return STEPD_WAIT_INTERRUPTED;
    }
}
