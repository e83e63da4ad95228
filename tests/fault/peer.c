/* SPDX-License-Identifier: Apache-2.0
 *
 * Each message is made whole by one function; peer_define() and the rest send it as it is.
 */
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const double half = 0.5;

const float *peer_ones(void)
{
    static const float ones[PEER_ELEMENTS] = {1, 1, 1, 1};
    return ones;
}

/* Fails the test unless the reply is of this kind and answers the newest request. */
static const struct stepd_message *expect(struct peer *peer, struct wire *wire,
                                          enum stepd_message_kind kind)
{
    const struct stepd_message *const message = wire_receive(wire);
    if (message->kind == STEPD_MESSAGE_ERROR)
        fail_msg("%s", message->body.error.text);
    assert_int_equal(message->kind, kind);
    assert_int_equal(message->request_id, peer->request_id);
    return message;
}

struct stepd_message peer_hello(const struct peer *peer, uint32_t shard)
{
    struct stepd_message hello = {
        .request_id = 1,
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello =
            {
                .protocol = STEPD_PROTOCOL_VERSION,
                .role = peer->role,
                .job = peer->job,
                .worker = "test",
                .rank = -1,
                .shard = shard,
            },
    };
    if (shard > 0)
        hello.body.hello.session =
            (struct stepd_bytes){.count = STEPD_SESSION_BYTES, .at = peer->session};
    return hello;
}

struct stepd_message peer_define_job(struct peer *peer)
{
    static const struct stepd_setting lr = {.name = "lr", .values = 1, .value = &half};
    static const struct stepd_group all = {
        .name = "all",
        .match = "*",
        .optimizer = "sgd",
        .settings = {.count = 1, .at = &lr},
        .schedule = "",
    };
    return (struct stepd_message){
        .request_id = ++peer->request_id,
        .kind = STEPD_MESSAGE_DEFINE_JOB,
        .body.define_job = {.mode = STEPD_SYNC, .workers = 1, .groups = 1, .group = &all},
    };
}

struct stepd_message peer_define_tensors(struct peer *peer)
{
    static const uint64_t shape[] = {PEER_ELEMENTS};
    static const struct stepd_tensor_def w = {
        .name = "w",
        .dims = 1,
        .shape = shape,
        .init = {.kind = STEPD_INIT_CONSTANT, .a = 1},
        .group = "",
    };
    return (struct stepd_message){
        .request_id = ++peer->request_id,
        .kind = STEPD_MESSAGE_DEFINE_TENSORS,
        .body.define_tensors = {.tensors = 1, .tensor = &w, .last = true},
    };
}

struct stepd_message peer_push(struct peer *peer)
{
    static const uint32_t slice[] = {0};
    static uint64_t base_version[1];
    base_version[0] = peer->clock;
    return (struct stepd_message){
        .request_id = ++peer->request_id,
        .kind = STEPD_MESSAGE_PUSH,
        .body.push =
            {
                .incarnation = peer->incarnation,
                .clock = peer->clock + 1,
                .slices = {.count = 1, .at = slice},
                .base_versions = {.count = 1, .at = base_version},
                .examples = 1,
            },
    };
}

void peer_join(struct peer *peer, uint16_t port, const char *job, enum stepd_role role)
{
    *peer = (struct peer){.port = port, .job = job, .role = role, .request_id = 1};
    const struct stepd_message hello = peer_hello(peer, 0);
    peer->control = wire_connect(port);
    wire_send(peer->control, &hello, NULL, 0);
    const struct stepd_welcome *const welcome =
        &expect(peer, peer->control, STEPD_MESSAGE_WELCOME)->body.welcome;
    assert_int_equal(welcome->session.count, STEPD_SESSION_BYTES);
    memcpy(peer->session, welcome->session.at, STEPD_SESSION_BYTES);
}

void peer_define(struct peer *peer)
{
    const struct stepd_message job = peer_define_job(peer);
    wire_send(peer->control, &job, NULL, 0);
    peer->incarnation =
        expect(peer, peer->control, STEPD_MESSAGE_JOB_DEFINED)->body.job_defined.incarnation;
    const struct stepd_message tensors = peer_define_tensors(peer);
    wire_send(peer->control, &tensors, NULL, 0);
    (void)expect(peer, peer->control, STEPD_MESSAGE_TENSORS_DEFINED);
}

void peer_open_shard(struct peer *peer)
{
    const struct stepd_message hello = peer_hello(peer, 1);
    peer->shard = wire_connect(peer->port);
    peer->request_id = 1;
    wire_send(peer->shard, &hello, NULL, 0);
    (void)expect(peer, peer->shard, STEPD_MESSAGE_WELCOME);
}

void peer_ready(struct peer *peer, uint16_t port, const char *job)
{
    peer_join(peer, port, job, STEPD_WORKER);
    peer_define(peer);
    peer_open_shard(peer);
}

void peer_step(struct peer *peer)
{
    struct stepd_message step = peer_push(peer);
    const struct stepd_push_slices push = step.body.push;
    step.kind = STEPD_MESSAGE_STEP;
    step.body.step = (struct stepd_step_slices){.push = push, .pull_dtype = STEPD_F32};
    wire_send(peer->shard, &step, peer_ones(), PEER_ELEMENTS * sizeof(float));
    const struct stepd_result *const result =
        &expect(peer, peer->shard, STEPD_MESSAGE_RESULT)->body.result;
    peer->clock++;
    assert_int_equal(result->slices.count, 1);
    assert_int_equal(result->outcomes.at[0], STEPD_APPLIED);
    assert_int_equal(result->versions.at[0], peer->clock);
    assert_int_equal(peer->shard->payload_bytes, PEER_ELEMENTS * sizeof(float));
    for (size_t i = 0; i < PEER_ELEMENTS; i++) {
        float weight;
        memcpy(&weight, peer->shard->payload + i * sizeof weight, sizeof weight);
        assert_true(weight == 1.0f - 0.5f * (float)peer->clock);
    }
}

void peer_close(struct peer *peer)
{
    wire_close(peer->control);
    wire_close(peer->shard);
    peer->control = NULL;
    peer->shard = NULL;
}
