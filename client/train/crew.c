/* SPDX-License-Identifier: Apache-2.0
 *
 * A single worker needs no thread. Of several, one that fails or diverges raises a flag at which
 * the others leave before their next step, so that none of them trains on with half of a crew.
 */
#include "client/train/crew.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "client/train/home.h"
#include "proto/error.h"

struct crew;

struct member {
    struct crew *crew;
    struct train_options options; /* with its rank */
    pthread_t thread;
    struct train_result result; /* of meaning where the status is OK */
    enum stepd_status status;
    struct stepd_error error;
};

struct crew {
    const struct train_data *data;
    const char *title;
    size_t members;
    struct member *member; /* owned */
    atomic_bool stop;
    atomic_size_t failed; /* who did first; `members`: nobody */
};

static enum stepd_status work(const struct train_options *options, const struct train_data *data,
                              const char *title, const atomic_bool *stop,
                              struct train_result *ret_result, struct stepd_error *reterr)
{
    struct home *home;
    const enum stepd_status status = options->local ? home_local_create(&home, reterr)
                                                    : home_remote_create(options, &home, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "connect");
    const struct train_task task = {
        .options = options, .data = data, .home = home, .stop = stop, .title = title};
    return train_run(&task, ret_result, reterr);
}

static void *run_member(void *argument)
{
    struct member *const member = argument;
    struct crew *const crew = member->crew;
    member->status = work(&member->options, crew->data, crew->title, &crew->stop, &member->result,
                          &member->error);
    if (member->status != STEPD_OK) {
        size_t nobody = crew->members;
        (void)atomic_compare_exchange_strong(&crew->failed, &nobody, (size_t)member->options.rank);
    }
    if (member->status != STEPD_OK || member->result.diverged_at != 0)
        atomic_store(&crew->stop, true);
    return NULL;
}

/* Starts the threads, and waits for those that could be. */
static enum stepd_status run_members(struct crew *crew, struct stepd_error *reterr)
{
    size_t started = 0;
    while (started < crew->members && pthread_create(&crew->member[started].thread, NULL,
                                                     run_member, &crew->member[started]) == 0)
        started++;
    if (started < crew->members)
        atomic_store(&crew->stop, true);
    for (size_t i = 0; i < started; i++)
        (void)pthread_join(crew->member[i].thread, NULL);
    if (started < crew->members)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "the system gives no thread for worker %zu of %zu", started,
                          crew->members);
    const size_t failed = atomic_load(&crew->failed);
    if (failed == crew->members)
        return STEPD_OK;
    const struct member *const first = &crew->member[failed];
    return stepd_fail(reterr, first->status, "rank %zu: %s", failed, first->error.text);
}

/* Rank 0's result goes out, the curves of the others are freed. */
static void collect(struct crew *crew, enum stepd_status status, struct train_result *ret_result,
                    uint64_t *ret_steps)
{
    uint64_t diverged_at = 0;
    for (size_t i = 0; i < crew->members; i++) {
        struct train_result *const result = &crew->member[i].result;
        if (result->diverged_at != 0 && (diverged_at == 0 || result->diverged_at < diverged_at))
            diverged_at = result->diverged_at;
        if (i > 0 || status != STEPD_OK)
            curve_close(&result->curve);
    }
    if (status != STEPD_OK)
        return;
    for (size_t i = 0; i < crew->members; i++)
        ret_steps[i] = crew->member[i].result.steps;
    *ret_result = crew->member[0].result;
    ret_result->diverged_at = diverged_at;
}

enum stepd_status crew_run(const struct train_options *options, const struct train_data *data,
                           const char *title, struct train_result *ret_result, uint64_t *ret_steps,
                           struct stepd_error *reterr)
{
    if (options->world == 1) {
        const enum stepd_status status =
            work(options, data, title, /* stop= */ NULL, ret_result, reterr);
        if (status == STEPD_OK)
            ret_steps[0] = ret_result->steps;
        return status;
    }
    struct crew crew = {.data = data, .title = title, .members = options->world};
    atomic_init(&crew.stop, false);
    atomic_init(&crew.failed, crew.members);
    crew.member = calloc(crew.members, sizeof *crew.member);
    if (crew.member == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %zu workers",
                          crew.members);
    for (size_t i = 0; i < crew.members; i++) {
        crew.member[i].crew = &crew;
        crew.member[i].options = *options;
        crew.member[i].options.rank = (int)i;
    }
    const enum stepd_status status = run_members(&crew, reterr);
    collect(&crew, status, ret_result, ret_steps);
    free(crew.member);
    return status;
}
