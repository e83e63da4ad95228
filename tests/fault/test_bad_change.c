/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes that cannot be, of a job that runs: each is refused with its reason, and the job trains
 * on as it did.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "scene.h"

/* A change of the sender's own job to another rate, which the row spoils. */
static struct stepd_message change(struct scene *scene)
{
    static const double quarter = 0.25;
    static const struct stepd_setting lr = {.name = "lr", .values = 1, .value = &quarter};
    return (struct stepd_message){
        .request_id = ++scene->bad.request_id,
        .kind = STEPD_MESSAGE_CHANGE_JOB,
        .body.change_job = {.job = "bad", .group = {.settings = {.count = 1, .at = &lr}}},
    };
}

static void send(struct scene *scene, const struct stepd_message *message)
{
    wire_send(scene->bad.control, message, NULL, 0);
}

static void send_to_a_shard(struct scene *scene)
{
    const struct stepd_message message = change(scene);
    wire_send(scene->bad.shard, &message, NULL, 0);
}

static void send_of_no_job(struct scene *scene)
{
    struct stepd_message message = change(scene);
    message.body.change_job.job = "nowhere";
    send(scene, &message);
}

static void send_of_a_job_that_is_not_open(struct scene *scene)
{
    const struct stepd_message message = change(scene);
    send(scene, &message);
}

static void send_of_no_group(struct scene *scene)
{
    struct stepd_message message = change(scene);
    message.body.change_job.group.name = "nobody";
    send(scene, &message);
}

static void send_nothing(struct scene *scene)
{
    struct stepd_message message = change(scene);
    message.body.change_job.group.settings.count = 0;
    send(scene, &message);
}

static void send_with_a_match(struct scene *scene)
{
    struct stepd_message message = change(scene);
    message.body.change_job.group.match = "*";
    send(scene, &message);
}

static void send_of_a_large_optimizer(struct scene *scene)
{
    struct stepd_message message = change(scene);
    message.body.change_job.group.optimizer = "adam";
    send(scene, &message);
}

static void send_of_an_unknown_schedule(struct scene *scene)
{
    struct stepd_message message = change(scene);
    message.body.change_job.group.schedule = "cosin";
    send(scene, &message);
}

static void send_of_a_phase_without_a_rate(struct scene *scene)
{
    static const struct stepd_phase phase = {.from = UINT64_MAX, .optimizer = "sgd"};
    struct stepd_message message = change(scene);
    message.body.change_job.group.phases = 1;
    message.body.change_job.group.phase = &phase;
    send(scene, &message);
}

static void send_changes_of_no_job(struct scene *scene)
{
    const struct stepd_message message = {
        .request_id = ++scene->bad.request_id,
        .kind = STEPD_MESSAGE_GET_CHANGES,
        .body.get_changes = {.job = "nowhere"},
    };
    send(scene, &message);
}

static const struct row rows[] = {
    {.name = "change_to_a_shard",
     .sender = MEMBER,
     .send = send_to_a_shard,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "send it to control"},
    {.name = "change_of_no_job",
     .sender = DEFINER,
     .send = send_of_no_job,
     .code = STEPD_NOT_FOUND,
     .text = "'nowhere'"},
    {.name = "change_of_a_job_that_is_not_open",
     .sender = JOINED,
     .send = send_of_a_job_that_is_not_open,
     .code = STEPD_FAILED_PRECONDITION,
     .text = "not open yet"},
    {.name = "change_of_no_group",
     .sender = DEFINER,
     .send = send_of_no_group,
     .code = STEPD_NOT_FOUND,
     .text = "no group 'nobody'"},
    {.name = "change_of_nothing",
     .sender = DEFINER,
     .send = send_nothing,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "nothing is said to change"},
    {.name = "change_with_a_match",
     .sender = DEFINER,
     .send = send_with_a_match,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "change_job.group.match",
     .closes = true},
    {.name = "change_to_a_large_optimizer",
     .sender = DEFINER,
     .send = send_of_a_large_optimizer,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "adam keeps "},
    {.name = "change_to_an_unknown_schedule",
     .sender = DEFINER,
     .send = send_of_an_unknown_schedule,
     .code = STEPD_NOT_FOUND,
     .text = "'cosine'"},
    {.name = "change_to_a_phase_without_a_rate",
     .sender = DEFINER,
     .send = send_of_a_phase_without_a_rate,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "learning rate of its own"},
    {.name = "changes_of_no_job",
     .sender = DEFINER,
     .send = send_changes_of_no_job,
     .code = STEPD_NOT_FOUND,
     .text = "'nowhere'"},
};

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    return scene_run("bad_change", rows, sizeof rows / sizeof rows[0]);
}
