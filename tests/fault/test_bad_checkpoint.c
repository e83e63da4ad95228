/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints that cannot be: each is refused with its reason, and the job trains on as it did.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "scene.h"

static void send(struct scene *scene, struct wire *to, const char *job)
{
    const struct stepd_message message = {.request_id = ++scene->bad.request_id,
                                          .kind = STEPD_MESSAGE_CHECKPOINT,
                                          .body.checkpoint = {.job = job}};
    wire_send(to, &message, NULL, 0);
}

static void send_to_a_shard(struct scene *scene)
{
    send(scene, scene->bad.shard, "bad");
}

static void send_of_no_job(struct scene *scene)
{
    send(scene, scene->bad.control, "nowhere");
}

static void send_to_who_keeps_none(struct scene *scene)
{
    send(scene, scene->bad.control, "bad");
}

static void send_a_reply(struct scene *scene)
{
    const struct stepd_message message = {
        .request_id = ++scene->bad.request_id,
        .kind = STEPD_MESSAGE_CHECKPOINT_WRITTEN,
        .body.checkpoint_written = {.name = "step-00000001", .step = 1},
    };
    wire_send(scene->bad.control, &message, NULL, 0);
}

static const struct row rows[] = {
    {.name = "checkpoint_to_a_shard",
     .sender = MEMBER,
     .send = send_to_a_shard,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "send it to control"},
    {.name = "checkpoint_of_no_job",
     .sender = DEFINER,
     .send = send_of_no_job,
     .code = STEPD_NOT_FOUND,
     .text = "'nowhere'"},
    {.name = "checkpoint_where_none_are_kept",
     .sender = DEFINER,
     .send = send_to_who_keeps_none,
     .code = STEPD_FAILED_PRECONDITION,
     .text = "--checkpoint-dir"},
    {.name = "checkpoint_written_as_a_request",
     .sender = DEFINER,
     .send = send_a_reply,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "checkpoint_written is a reply"},
};

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    return scene_run("bad_checkpoint", rows, sizeof rows / sizeof rows[0]);
}
