/* SPDX-License-Identifier: Apache-2.0
 *
 * See question.h. A message that breaks a rule of the protocol is refused here, with nothing sent.
 */
#include "client/lib/core/question.h"

#include "proto/arena.h"
#include "proto/error.h"

/* Which reply belongs to which message. */
static enum stepd_message_kind reply_kind(enum stepd_message_kind kind)
{
    switch (kind) {
    case STEPD_MESSAGE_DEFINE_JOB: return STEPD_MESSAGE_JOB_DEFINED;
    case STEPD_MESSAGE_DEFINE_TENSORS: return STEPD_MESSAGE_TENSORS_DEFINED;
    case STEPD_MESSAGE_GET_LAYOUT: return STEPD_MESSAGE_LAYOUT;
    case STEPD_MESSAGE_ASSIGN: return STEPD_MESSAGE_RESULT;
    case STEPD_MESSAGE_GET_STATUS: return STEPD_MESSAGE_STATUS;
    case STEPD_MESSAGE_GET_GROUPS: return STEPD_MESSAGE_GROUPS;
    case STEPD_MESSAGE_CHANGE_JOB:
    case STEPD_MESSAGE_GET_CHANGES: return STEPD_MESSAGE_CHANGES;
    case STEPD_MESSAGE_CHECKPOINT: return STEPD_MESSAGE_CHECKPOINT_WRITTEN;
    default: return STEPD_MESSAGE_ACK;
    }
}

static bool is_last(const struct stepd_message *reply)
{
    switch (reply->kind) {
    case STEPD_MESSAGE_LAYOUT: return reply->body.layout.last;
    case STEPD_MESSAGE_RESULT: return reply->body.result.last;
    case STEPD_MESSAGE_STATUS: return reply->body.status.last;
    case STEPD_MESSAGE_GROUPS: return reply->body.groups.last;
    case STEPD_MESSAGE_CHANGES: return reply->body.changes.last;
    default: return true;
    }
}

static struct stepd_question *question_of(struct stepd_request *request)
{
    return (struct stepd_question *)request;
}

/* ---- The reply ------------------------------------------------------------------------------- */

static enum stepd_status take_reply(struct stepd_request *request,
                                    const struct stepd_message *reply, size_t payload_bytes,
                                    struct stepd_error *reterr)
{
    struct stepd_question *const question = question_of(request);
    const enum stepd_message_kind kind = question->message->kind;
    struct stepd_error error;
    (void)payload_bytes; /* replies to questions have none; it would be dropped */
    if (reply->kind != reply_kind(kind))
        return stepd_fail(reterr, STEPD_INTERNAL, "the server answered %s with %s",
                          stepd_message_name(kind), stepd_message_name(reply->kind));
    question->begun = true;
    question->last = is_last(reply);
    if (question->on_reply == NULL || question->error.code != STEPD_OK)
        return STEPD_OK;
    if (question->on_reply(question->user, reply, &error) != STEPD_OK)
        question->error = error;
    return STEPD_OK;
}

static void on_frame_end(struct stepd_request *request)
{
    struct stepd_question *const question = question_of(request);
    if (question->last)
        stepd_pending_end(&question->brain->pending, request,
                          question->error.code == STEPD_OK ? NULL : &question->error);
}

static void on_end(struct stepd_request *request, const struct stepd_error *error)
{
    struct stepd_question *const question = question_of(request);
    if (error != NULL)
        question->error = *error;
    else if (question->message->kind == STEPD_MESSAGE_LEAVE)
        stepd_links_left(question->brain->links);
    question->on_done(question);
}

static bool on_lost(struct stepd_request *request)
{
    struct stepd_question *const question = question_of(request);
    if (question->begun && question->on_reply != NULL) {
        if (question->on_again == NULL)
            return false;
        question->on_again(question->user);
    }
    question->begun = false;
    question->error.code = STEPD_OK;
    return true;
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* A worker leaves after the last of its pushes, and comes to a barrier of the incarnation that it
 * trains under. */
static struct stepd_message message_to_send(struct stepd_question *question)
{
    struct stepd_message message = *question->message;
    const struct stepd_exchange *const exchange = stepd_links_exchange(question->brain->links);
    message.request_id = question->request.id;
    if (!question->sent) {
        question->clock = stepd_brain_clock(question->brain);
        question->incarnation = exchange == NULL ? 0 : exchange->incarnation;
    }
    if (message.kind == STEPD_MESSAGE_LEAVE)
        message.body.leave.clock = question->clock;
    else if (message.kind == STEPD_MESSAGE_BARRIER)
        message.body.barrier.incarnation = question->incarnation;
    return message;
}

static enum stepd_status encode_and_send(struct stepd_question *question,
                                         struct stepd_error *reterr)
{
    struct stepd_arena arena;
    struct stepd_outgoing *const outgoing = question->outgoing == NULL
                                                ? stepd_outgoing_create(STEPD_F32, 0)
                                                : stepd_outgoing_again(question->outgoing);
    if (outgoing == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a request");
    stepd_arena_init(&arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    const struct stepd_message message = message_to_send(question);
    enum stepd_status status = stepd_outgoing_encode(outgoing, &message, &arena, reterr);
    if (status == STEPD_OK)
        status = stepd_outgoing_check(outgoing, &arena, reterr);
    stepd_arena_deinit(&arena);
    if (status == STEPD_OK)
        status = stepd_links_send(question->brain->links, question->shard, outgoing, reterr);
    question->sent = status == STEPD_OK;
    if (status != STEPD_OK)
        (void)stepd_outgoing_destroy(outgoing);
    return status;
}

static void send_or_hold(struct stepd_request *request);

static const struct stepd_request_kind question_kind = {
    .on_reply = take_reply,
    .on_frame_end = on_frame_end,
    .on_end = on_end,
    .on_lost = on_lost,
    .send = send_or_hold,
};

/* Whoever leaves has made all its pushes, and who comes to a barrier knows where it trains. After
 * the job went back that is not so. */
static enum stepd_status check_place(const struct stepd_question *question,
                                     struct stepd_error *reterr)
{
    const struct stepd_exchange *const exchange = stepd_links_exchange(question->brain->links);
    const bool leaves = question->message->kind == STEPD_MESSAGE_LEAVE;
    if (!leaves && question->message->kind != STEPD_MESSAGE_BARRIER)
        return STEPD_OK;
    if (exchange != NULL && stepd_exchange_is_behind(exchange))
        return stepd_fail(reterr, STEPD_ROLLED_BACK,
                          "the job went back: pull the weights, or define the tensors again where "
                          "that is answered so, and %s",
                          leaves ? "leave after the last step" : "go on from there");
    if (leaves)
        stepd_links_leaving(question->brain->links);
    return STEPD_OK;
}

static void send_or_hold(struct stepd_request *request)
{
    struct stepd_question *const question = question_of(request);
    struct stepd_pending *const pending = &question->brain->pending;
    struct stepd_error error;
    if (check_place(question, &error) != STEPD_OK) {
        question->error = error;
        question->on_done(question);
        return;
    }
    if (stepd_links_hold(question->brain->links, question->shard)) {
        stepd_pending_hold(pending, question->shard, request);
        return;
    }
    stepd_pending_add(pending, question->shard, request);
    if (encode_and_send(question, &error) == STEPD_OK)
        return;
    request->written = true;
    stepd_pending_end(pending, request, &error);
}

void stepd_question_ask(struct stepd_question *question)
{
    question->request.kind = &question_kind;
    send_or_hold(&question->request);
}

void stepd_question_withdraw(struct stepd_question *question)
{
    stepd_pending_remove(&question->brain->pending, &question->request);
}
