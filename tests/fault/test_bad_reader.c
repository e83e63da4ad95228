/* SPDX-License-Identifier: Apache-2.0
 *
 * Peers that ask for a lot and never read it: the daemon holds references to weights for them, and
 * must neither wait for them nor let them keep it from ending.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "scene.h"

enum { MANY_ELEMENTS = 8 << 20 }; /* 32 MiB: no socket takes as much */

/* Defines a job with one large tensor, and asks for all of it. */
static void ask_for_much(struct scene *scene)
{
    static const uint64_t shape[] = {MANY_ELEMENTS};
    struct peer *const bad = &scene->bad;
    peer_join(bad, scene->daemon.port, "bad", STEPD_WORKER);
    const struct stepd_message job = peer_define_job(bad);
    wire_send(bad->control, &job, NULL, 0);
    bad->incarnation = wire_receive(bad->control)->body.job_defined.incarnation;
    struct stepd_message tensors = peer_define_tensors(bad);
    struct stepd_tensor_def large = tensors.body.define_tensors.tensor[0];
    large.shape = shape;
    tensors.body.define_tensors.tensor = &large;
    wire_send(bad->control, &tensors, NULL, 0);
    assert_int_equal(wire_receive(bad->control)->kind, STEPD_MESSAGE_TENSORS_DEFINED);
    peer_open_shard(bad);
    static uint32_t slice[MANY_ELEMENTS / 262144]; /* of the default size */
    const size_t slices = sizeof slice / sizeof slice[0];
    for (uint32_t i = 0; i < slices; i++)
        slice[i] = i;
    const struct stepd_message pull = {
        .request_id = ++bad->request_id,
        .kind = STEPD_MESSAGE_PULL,
        .body.pull =
            {
                .incarnation = bad->incarnation,
                .slices = {.count = slices, .at = slice},
            },
    };
    wire_send(bad->shard, &pull, NULL, 0);
}

static void reader__takes_nothing__loses_its_connection(void **state)
{
    struct scene *const scene =
        scene_start_with(state, (const char *const[]){"--write-timeout-ms", "100", NULL});
    ask_for_much(scene);
    assert_true(daemon_logs(&scene->daemon, "it does not take its replies"));
    peer_step(&scene->good);
}

static void reader__takes_nothing_while_the_daemon_ends__is_cut(void **state)
{
    struct scene *const scene = scene_start(state);
    ask_for_much(scene);
    peer_step(&scene->good); /* behind the pull on the same shard: its replies are queued by now */
    daemon_signal(&scene->daemon, SIGTERM);
    assert_true(daemon_logs(&scene->daemon, "the server stops"));
    assert_int_equal(daemon_wait(&scene->daemon), 0);
}

int main(void)
{
    static const struct row rows[] = {
        {.name = "reader__takes_nothing__loses_its_connection",
         .play = reader__takes_nothing__loses_its_connection},
        {.name = "reader__takes_nothing_while_the_daemon_ends__is_cut",
         .play = reader__takes_nothing_while_the_daemon_ends__is_cut},
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return scene_run("bad_reader", rows, sizeof rows / sizeof rows[0]);
}
