/* SPDX-License-Identifier: Apache-2.0
 *
 * Who has not been let in: bytes that are no frame, frames that are no Hello, and a Hello that
 * cannot be.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scene.h"
#include "tests/lib/random.h"

static void send_random_bytes(struct scene *scene)
{
    struct random random = {.state = 1};
    uint8_t bytes[512];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)random_next(&random);
    bytes[0] = 0x42; /* a length that passes, so that what it leads to is looked at */
    bytes[1] = 0x99;
    (void)wire_write(scene->stranger, bytes, sizeof bytes);
}

static void send_http(struct scene *scene)
{
    SEND_LITERAL(scene->stranger, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

static void send_tls(struct scene *scene)
{
    SEND_LITERAL(scene->stranger, "\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03");
}

static void send_long_greeting(struct scene *scene)
{
    SEND_LITERAL(scene->stranger, "\x81\x20\x0A"); /* 4097 bytes */
}

static void send_payload_first(struct scene *scene)
{
    SEND_LITERAL(scene->stranger, "\x06\x12\x00\x0A\x02\x08\x01");
}

static void send_header_longer_than_frame(struct scene *scene)
{
    SEND_LITERAL(scene->stranger, "\x04\x0A\x20\x08\x01");
}

static void send_frame_longer_than_its_parts(struct scene *scene)
{
    SEND_LITERAL(scene->stranger, "\x0A\x0A\x02\x08\x01\x12\x02\x00\x00\x00\x00");
}

static void send_no_protobuf(struct scene *scene)
{
    SEND_LITERAL(scene->stranger, "\x05\x0A\x03\x12\xFF\xFF");
}

static void send_name_with_nul(struct scene *scene)
{
    /* Hello{protocol 1, job "a\0b"} */
    SEND_LITERAL(scene->stranger, "\x0D\x0A\x0B\x08\x01\x12\x07\x08\x01\x1A\x03"
                                  "a\0b");
}

static void send_heartbeat_first(struct scene *scene)
{
    const struct stepd_message message = {.request_id = 1, .kind = STEPD_MESSAGE_HEARTBEAT};
    wire_send(scene->stranger, &message, NULL, 0);
}

/* Sends a Hello of a worker of job `bad`, after the row has spoilt it. */
static void send_hello(struct scene *scene, uint32_t shard,
                       void (*spoil)(struct stepd_hello *hello))
{
    const struct peer peer = {.job = "bad", .role = STEPD_WORKER};
    struct stepd_message hello = peer_hello(&peer, shard);
    spoil(&hello.body.hello);
    wire_send(scene->stranger, &hello, NULL, 0);
}

static void spoil_protocol(struct stepd_hello *hello)
{
    hello->protocol = 9;
}

static void spoil_nothing(struct stepd_hello *hello)
{
    (void)hello;
}

static void spoil_session(struct stepd_hello *hello)
{
    hello->session.count = 0;
}

static void spoil_rank(struct stepd_hello *hello)
{
    hello->rank = STEPD_WORKERS_MAX;
}

static void spoil_job(struct stepd_hello *hello)
{
    hello->job = "";
}

static void spoil_role(struct stepd_hello *hello)
{
    hello->role = STEPD_OBSERVER;
    hello->job = "nowhere";
}

static void send_hello_of_another_protocol(struct scene *scene)
{
    send_hello(scene, 0, spoil_protocol);
}

static void send_hello_to_no_shard(struct scene *scene)
{
    send_hello(scene, 7, spoil_nothing);
}

static void send_hello_with_a_made_up_session(struct scene *scene)
{
    send_hello(scene, 1, spoil_nothing);
}

static void send_hello_without_a_session(struct scene *scene)
{
    send_hello(scene, 1, spoil_session);
}

static void send_hello_of_a_rank_too_high(struct scene *scene)
{
    send_hello(scene, 0, spoil_rank);
}

static void send_hello_without_a_job(struct scene *scene)
{
    send_hello(scene, 0, spoil_job);
}

static void send_hello_to_watch_no_job(struct scene *scene)
{
    send_hello(scene, 0, spoil_role);
}

static void stranger__random_bytes_of_many_seeds__are_refused_or_cut(void **state)
{
    enum { SEEDS = 300 };
    struct scene *const scene = scene_start(state);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct random random = {.state = seed};
        uint8_t bytes[256];
        const size_t n = random_between(&random, 1, sizeof bytes);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)random_next(&random);
        if (random_once_in(&random, 2)) /* far enough to reach the decoder now and then */
            bytes[0] = (uint8_t)(n - 1), bytes[1] = 0x0A, bytes[2] = (uint8_t)(n - 3);
        print_message("seed %llu\n", (unsigned long long)seed);
        struct wire *const wire = wire_connect(scene->daemon.port);
        (void)wire_write(wire, bytes, n);
        wire_shut(wire);
        (void)wire_receive_or_end(wire);
        wire_close(wire);
    }
    peer_step(&scene->good);
}

static const struct row rows[] = {
    {.name = "random_bytes",
     .sender = STRANGER,
     .send = send_random_bytes,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "bad frame",
     .closes = true},
    {.name = "http_request",
     .sender = STRANGER,
     .send = send_http,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "this is HTTP",
     .closes = true},
    {.name = "tls_hello",
     .sender = STRANGER,
     .send = send_tls,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "this is TLS",
     .closes = true},
    {.name = "greeting_over_the_cap",
     .sender = STRANGER,
     .send = send_long_greeting,
     .code = STEPD_RESOURCE_EXHAUSTED,
     .text = "4096",
     .closes = true},
    {.name = "payload_before_header",
     .sender = STRANGER,
     .send = send_payload_first,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "payload comes before the header",
     .closes = true},
    {.name = "header_longer_than_frame",
     .sender = STRANGER,
     .send = send_header_longer_than_frame,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "bad frame",
     .closes = true},
    {.name = "frame_longer_than_its_parts",
     .sender = STRANGER,
     .send = send_frame_longer_than_its_parts,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "bad frame",
     .closes = true},
    {.name = "no_protobuf",
     .sender = STRANGER,
     .send = send_no_protobuf,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "",
     .closes = true},
    {.name = "name_with_nul",
     .sender = STRANGER,
     .send = send_name_with_nul,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "hello.job",
     .closes = true},
    {.name = "no_hello_first",
     .sender = STRANGER,
     .send = send_heartbeat_first,
     .code = STEPD_FAILED_PRECONDITION,
     .text = "begins with hello, not with heartbeat",
     .closes = true},
    {.name = "unknown_protocol_version",
     .sender = STRANGER,
     .send = send_hello_of_another_protocol,
     .code = STEPD_FAILED_PRECONDITION,
     .text = "this server speaks protocol 1, and Hello asks for 9",
     .closes = true},
    {.name = "unknown_shard",
     .sender = STRANGER,
     .send = send_hello_to_no_shard,
     .code = STEPD_NOT_FOUND,
     .text = "no shard 7",
     .closes = true},
    {.name = "made_up_session",
     .sender = STRANGER,
     .send = send_hello_with_a_made_up_session,
     .code = STEPD_NOT_FOUND,
     .text = "session is not known",
     .closes = true},
    {.name = "no_session",
     .sender = STRANGER,
     .send = send_hello_without_a_session,
     .code = STEPD_FAILED_PRECONDITION,
     .text = "session",
     .closes = true},
    {.name = "rank_too_high",
     .sender = STRANGER,
     .send = send_hello_of_a_rank_too_high,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "4096",
     .closes = true},
    {.name = "no_job",
     .sender = STRANGER,
     .send = send_hello_without_a_job,
     .code = STEPD_INVALID_ARGUMENT,
     .text = "job",
     .closes = true},
    {.name = "watching_no_job",
     .sender = STRANGER,
     .send = send_hello_to_watch_no_job,
     .code = STEPD_NOT_FOUND,
     .text = "nowhere",
     .closes = true},
    {.name = "stranger__random_bytes_of_many_seeds__are_refused_or_cut",
     .play = stranger__random_bytes_of_many_seeds__are_refused_or_cut},
};

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    return scene_run("bad_stranger", rows, sizeof rows / sizeof rows[0]);
}
