/* SPDX-License-Identifier: Apache-2.0
 *
 * One daemon for each row, so that no row stands on what another left.
 */
#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TESTS_MAX = 64 };

struct scene *scene_start_with(void **state, const char *const flags[])
{
    struct scene *const scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    *state = scene;
    daemon_start(&scene->daemon, flags);
    peer_ready(&scene->good, scene->daemon.port, "good");
    peer_step(&scene->good);
    return scene;
}

struct scene *scene_start(void **state)
{
    return scene_start_with(state, NULL);
}

/* Brings the sender to where the row begins, and returns what it will send on. */
static struct wire *prepare(struct scene *scene, enum sender sender)
{
    struct peer *const bad = &scene->bad;
    const uint16_t port = scene->daemon.port;
    switch (sender) {
    case STRANGER: scene->stranger = wire_connect(port); return scene->stranger;
    case JOINED: peer_join(bad, port, "bad", STEPD_WORKER); return bad->control;
    case MEMBER: peer_ready(bad, port, "bad"); return bad->shard;
    case DEFINER: peer_ready(bad, port, "bad"); return bad->control;
    case UNDEFINED:
        peer_join(bad, port, "bad", STEPD_WORKER);
        peer_open_shard(bad);
        return bad->shard;
    case WATCHER:
        peer_join(bad, port, "good", STEPD_OBSERVER);
        peer_open_shard(bad);
        bad->incarnation = scene->good.incarnation;
        return bad->shard;
    }
    return NULL;
}

/* The sender goes on and does it right. */
static void make_good(struct scene *scene, enum sender sender)
{
    struct peer *const bad = &scene->bad;
    if (sender == WATCHER)
        return;
    if (sender == JOINED || sender == UNDEFINED) {
        peer_define(bad);
        if (bad->shard == NULL)
            peer_open_shard(bad);
    }
    peer_step(bad);
}

/* What clients are told names no address and no path of the server's. */
static void expect_no_secrets(const char *text)
{
    assert_null(strstr(text, "127.0.0.1"));
    assert_null(strchr(text, '/'));
}

static void play(void **state)
{
    const struct row *const row = *state;
    struct scene *const scene = scene_start(state);
    struct wire *const wire = prepare(scene, row->sender);
    row->send(scene);
    wire_expect_error(wire, row->code, row->text);
    expect_no_secrets(wire->message.body.error.text);
    if (row->closes) {
        assert_int_equal(wire->message.request_id, 0);
        wire_expect_end(wire);
    } else {
        assert_int_equal(wire->message.request_id, scene->bad.request_id);
        if (!row->spoils)
            make_good(scene, row->sender);
    }
    peer_step(&scene->good);
}

static int tear_down(void **state)
{
    struct scene *const scene = *state;
    wire_close(scene->stranger);
    peer_close(&scene->good);
    peer_close(&scene->bad);
    const int code = scene->daemon.pid > 0 ? daemon_stop(&scene->daemon) : 0;
    free(scene);
    return code;
}

int scene_run(const char *name, const struct row *rows, size_t count)
{
    struct CMUnitTest tests[TESTS_MAX];
    assert_true(count <= TESTS_MAX);
    for (size_t i = 0; i < count; i++) {
        tests[i] = (struct CMUnitTest){
            .name = rows[i].name,
            .test_func = rows[i].play != NULL ? rows[i].play : play,
            .teardown_func = tear_down,
            .initial_state = (void *)(uintptr_t)&rows[i],
        };
    }
    return _cmocka_run_group_tests(name, tests, count, NULL, NULL);
}
