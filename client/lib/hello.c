/* SPDX-License-Identifier: Apache-2.0
 *
 * Dialling a shard (or control) and saying hello. A server that is just being started refuses
 * connections, and one that is being restarted breaks them: both are tried again, with growing
 * pauses, until the time is up. What the server says in an Error is final.
 */
#include <string.h>
#include <unistd.h>

#include "client/lib/call.h"
#include "client/lib/client.h"
#include "client/lib/net/clock.h"
#include "client/lib/net/dial.h"
#include "proto/error.h"

/* Gives a connected socket to the loop. */
struct open_letter {
    struct stepd_letter letter; /* first */
    struct stepd_mailbox *mailbox;
    uint32_t shard;
    int fd;
    bool local;
    const char *peer;
    atomic_bool done;
    enum stepd_status status;
    struct stepd_error *reterr;
};

/* Takes a link away again. */
struct close_letter {
    struct stepd_letter letter; /* first */
    struct stepd_mailbox *mailbox;
    uint32_t shard;
    atomic_bool done;
};

static void deliver_open(struct stepd_loop *loop, struct stepd_letter *letter)
{
    struct open_letter *const open = (struct open_letter *)letter;
    open->status =
        stepd_loop_open_link(loop, open->shard, open->fd, open->local, open->peer, open->reterr);
    stepd_mailbox_raise(open->mailbox, &open->done);
}

static void deliver_close(struct stepd_loop *loop, struct stepd_letter *letter)
{
    struct close_letter *const close_it = (struct close_letter *)letter;
    struct stepd_error error;
    (void)stepd_fail(&error, STEPD_UNAVAILABLE, "the server has not let us in");
    stepd_loop_close_link(loop, close_it->shard, &error);
    stepd_mailbox_raise(close_it->mailbox, &close_it->done);
}

static void close_link(struct stepd_client *client, uint32_t shard)
{
    struct close_letter letter = {
        .letter = {.deliver = deliver_close},
        .mailbox = stepd_loop_mailbox(client->loop),
        .shard = shard,
    };
    stepd_loop_post(client->loop, &letter.letter);
    (void)stepd_mailbox_await(letter.mailbox, &letter.done, 0);
}

/* "": the shard is where control is. */
static const char *address_of(const struct stepd_client *client, uint32_t shard)
{
    if (shard == 0 || client->shard_address[shard - 1][0] == '\0')
        return client->address;
    return client->shard_address[shard - 1];
}

static enum stepd_status open_link(struct stepd_client *client, uint32_t shard, uint64_t until_ms,
                                   struct stepd_error *reterr)
{
    const char *const text = address_of(client, shard);
    struct stepd_address address;
    enum stepd_status status = stepd_address_parse(text, &address, reterr);
    if (status != STEPD_OK)
        return status;
    int fd = -1;
    status = stepd_dial(&address, until_ms, &fd, reterr);
    if (status != STEPD_OK)
        return status;
    struct open_letter letter = {
        .letter = {.deliver = deliver_open},
        .mailbox = stepd_loop_mailbox(client->loop),
        .shard = shard,
        .fd = fd,
        .local = address.local,
        .peer = text,
        .reterr = reterr,
    };
    stepd_loop_post(client->loop, &letter.letter);
    (void)stepd_mailbox_await(letter.mailbox, &letter.done, 0);
    return letter.status;
}

static struct stepd_message hello_of(const struct stepd_client *client, uint32_t shard)
{
    const bool resumes = shard != 0; /* another connection of the session that control gave */
    return (struct stepd_message){
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello =
            {
                .protocol = STEPD_PROTOCOL_VERSION,
                .role = client->observer ? STEPD_OBSERVER : STEPD_WORKER,
                .job = client->job,
                .worker = client->worker,
                .rank = (int32_t)client->rank,
                .token = {.count = strlen(client->token), .at = (const uint8_t *)client->token},
                .session = {.count = resumes ? STEPD_SESSION_BYTES : 0, .at = client->session},
                .shard = shard,
                .lease_ms = client->lease_ms,
                .max_frame_bytes = STEPD_FRAME_MAX_BYTES,
            },
    };
}

static enum stepd_status try_once(struct stepd_client *client, uint32_t shard,
                                  const struct stepd_call_options *options,
                                  struct stepd_error *reterr)
{
    enum stepd_status status = open_link(client, shard, options->until_ms, reterr);
    if (status != STEPD_OK)
        return status;
    const struct stepd_message hello = hello_of(client, shard);
    status = stepd_call_with(client, &hello, options, reterr);
    if (status != STEPD_OK)
        close_link(client, shard);
    return status;
}

enum stepd_status stepd_hello(struct stepd_client *client, uint32_t shard, uint64_t until_ms,
                              stepd_reply_function *on_welcome, void *user,
                              struct stepd_error *reterr)
{
    const struct stepd_call_options options = {
        .shard = shard,
        .until_ms = until_ms,
        .on_reply = on_welcome,
        .user = user,
    };
    struct stepd_error error;
    uint32_t backoff_ms = STEPD_DIAL_BACKOFF_FIRST_MS;
    enum stepd_status status;
    do {
        status = try_once(client, shard, &options, &error);
    } while (status == STEPD_UNAVAILABLE && stepd_dial_again(&backoff_ms, until_ms));
    if (status == STEPD_OK)
        return STEPD_OK;
    if (status == STEPD_DEADLINE_EXCEEDED)
        return stepd_fail(reterr, STEPD_UNAVAILABLE, "%s does not answer like a stepd server",
                          address_of(client, shard));
    if (status == STEPD_INTERNAL) /* bytes that are no stepd's: from where is half of the answer */
        return stepd_fail(reterr, status, "%s: %s", address_of(client, shard), error.text);
    return stepd_fail(reterr, status, "%s", error.text);
}
