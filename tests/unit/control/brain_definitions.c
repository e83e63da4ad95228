/* SPDX-License-Identifier: Apache-2.0
 *
 * The job that most tests define, and its one tensor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "brain_fixture.h"
#include "tests/lib/settings.h"

struct stepd_message define_job(enum stepd_mode mode, uint32_t workers)
{
    static const double lr = 0.5;
    static const double drop[] = {10, 0.1};
    static const struct stepd_setting settings[] = {{.name = "lr", .values = 1, .value = &lr}};
    static const struct stepd_setting schedule[] = {
        {.name = "step_size", .values = 1, .value = &drop[0]},
        {.name = "gamma", .values = 1, .value = &drop[1]},
    };
    static const struct stepd_group group = {
        .name = "all",
        .match = "*",
        .optimizer = "sgd",
        .settings = {.count = 1, .at = settings},
        .schedule = "step",
        .schedule_settings = {.count = 2, .at = schedule},
    };
    return (struct stepd_message){
        .kind = STEPD_MESSAGE_DEFINE_JOB,
        .body.define_job = {.mode = mode, .workers = workers, .groups = 1, .group = &group},
    };
}

struct stepd_message define_tensor(uint64_t n)
{
    static uint64_t shape;
    static struct stepd_tensor_def tensor;
    shape = n;
    tensor = (struct stepd_tensor_def){.name = "w", .dims = 1, .shape = &shape, .group = ""};
    return (struct stepd_message){
        .kind = STEPD_MESSAGE_DEFINE_TENSORS,
        .body.define_tensors = {.tensors = 1, .tensor = &tensor, .last = true},
    };
}

void peer_define_with(struct peer *peer, const char *job, enum stepd_mode mode, uint32_t workers,
                      const char *settings)
{
    struct stepd_message definition = define_job(mode, workers);
    definition.body.define_job.settings = settings_of(settings);
    peer_request(peer, definition);
    (void)peer_answer(peer, STEPD_MESSAGE_JOB_DEFINED);
    peer_request(peer, define_tensor(1000));
    brain_opened_all(peer->brain, job);
    (void)peer_answer(peer, STEPD_MESSAGE_TENSORS_DEFINED);
}
