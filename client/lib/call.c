/* SPDX-License-Identifier: Apache-2.0
 *
 * A call lives on its caller's stack. Two letters may be posted for it: one that sends it, and,
 * if the caller runs out of time or is interrupted, one that withdraws it; the caller leaves only
 * when the loop's thread has let go of it (done, withdrawn). What is sent, and sent again, is
 * decided in core/question.c.
 */
#include "client/lib/call.h"

#include "client/lib/client.h"
#include "client/lib/net/clock.h"
#include "client/lib/wait.h"
#include "proto/error.h"

/* For what a shard does at once. */
#define SHARD_ANSWERS_MS 300000u

struct call {
    struct stepd_question question; /* first */
    struct stepd_mail send;
    struct stepd_mail withdraw;
    struct stepd_client *client;
    uint64_t wait_ms;
    bool interrupted;
    atomic_bool done;
    atomic_bool withdrawn;
};

static void on_done(struct stepd_question *question)
{
    struct call *const call = (struct call *)question;
    stepd_mailbox_raise(stepd_loop_mailbox(call->client->loop), &call->done);
}

static void deliver_send(struct stepd_loop *loop, struct stepd_mail *letter)
{
    struct call *const call = (struct call *)((char *)letter - offsetof(struct call, send));
    (void)loop;
    stepd_question_ask(&call->question);
}

/* The caller waits no more: says for what it did. */
static void explain_end(const struct call *call, struct stepd_error *ret_error)
{
    const struct stepd_links *const links = call->client->brain.links;
    const char *const name = stepd_message_name(call->question.message->kind);
    const unsigned long long ms = call->wait_ms;
    struct stepd_error why;
    if (call->interrupted) {
        (void)stepd_fail(ret_error, STEPD_CANCELLED, "interrupted while %s waited for an answer",
                         name);
        return;
    }
    if (call->question.request.id != 0) {
        (void)stepd_fail(ret_error, STEPD_UNAVAILABLE, "%s has not answered %s for %llu ms",
                         call->client->address, name, ms);
        return;
    }
    stepd_links_explain(links, call->question.shard, &why);
    (void)stepd_fail(ret_error, STEPD_UNAVAILABLE, "%.100s has not answered %s for %llu ms: %.400s",
                     call->client->address, name, ms, why.text);
}

static void deliver_withdraw(struct stepd_loop *loop, struct stepd_mail *letter)
{
    struct call *const call = (struct call *)((char *)letter - offsetof(struct call, withdraw));
    if (!atomic_load(&call->done)) {
        explain_end(call, &call->question.error);
        stepd_question_withdraw(&call->question);
    }
    stepd_mailbox_raise(stepd_loop_mailbox(loop), &call->withdrawn);
}

enum stepd_status stepd_call_with(struct stepd_client *client, const struct stepd_message *message,
                                  const struct stepd_call_options *options,
                                  struct stepd_error *reterr)
{
    struct call call = {
        .question = {.brain = &client->brain,
                     .message = message,
                     .shard = options->shard,
                     .outgoing = options->outgoing,
                     .on_reply = options->on_reply,
                     .on_again = options->on_again,
                     .user = options->user,
                     .on_done = on_done},
        .send = {.deliver = deliver_send},
        .withdraw = {.deliver = deliver_withdraw},
        .client = client,
        .wait_ms = options->wait_ms,
    };
    if (options->shard > 0) /* control's silence is noticed by its heartbeats */
        call.question.request.expires_ms = stepd_clock_ms() + SHARD_ANSWERS_MS;
    const uint64_t until_ms = options->wait_ms == 0 ? 0 : stepd_clock_ms() + options->wait_ms;
    const enum stepd_wait_end end = stepd_wait_while(client, &call.send, &call.done, until_ms);
    call.interrupted = end == STEPD_WAIT_INTERRUPTED;
    if (end != STEPD_WAIT_OVER)
        (void)stepd_loop_ask(client->loop, &call.withdraw, &call.withdrawn, 0);
    (void)stepd_outgoing_destroy(options->outgoing);
    const struct stepd_error *const error = &call.question.error;
    return error->code == STEPD_OK ? STEPD_OK : stepd_fail(reterr, error->code, "%s", error->text);
}

enum stepd_status stepd_call(struct stepd_client *client, const struct stepd_message *message,
                             stepd_reply_function *on_reply, void *user, struct stepd_error *reterr)
{
    const struct stepd_call_options options = {.on_reply = on_reply, .user = user};
    return stepd_call_with(client, message, &options, reterr);
}

enum stepd_status stepd_call_within(struct stepd_client *client,
                                    const struct stepd_message *message, uint64_t wait_ms,
                                    stepd_reply_function *on_reply, void *user,
                                    struct stepd_error *reterr)
{
    const struct stepd_call_options options = {
        .wait_ms = wait_ms,
        .on_reply = on_reply,
        .user = user,
    };
    return stepd_call_with(client, message, &options, reterr);
}
