/* SPDX-License-Identifier: Apache-2.0
 *
 * One request at a time, for all slices: the core answers before the last core_filled or
 * core_on_message returns, because nobody else is waited for; or, where the slices close together,
 * when the gate has decided, which is asked here in control's place.
 */
#include "server/core/local.h"

#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/core/core.h"
#include "server/sync/gate.h"

struct local {
    struct core *core;      /* owned */
    struct job *job;        /* a reference */
    struct core_conn *conn; /* of the one worker */
    uint64_t clock;         /* pushes made */
    uint64_t version;       /* of the weights that the last of them left */
    uint64_t requests;
    struct gate *gate;      /* owned; NULL: the job has none */
    struct order *decision; /* owned; the gate's, which the core has not been given yet */
    uint32_t *slice;        /* owned; 0, 1, ... slices - 1 */
    /* The answer to the request under way. */
    struct stepd_error error; /* code OK, or what the core said */
    size_t answered;          /* slices */
    uint64_t answered_version;
    float *const *weights; /* borrowed: where weights go, by tensor; or NULL */
    struct weights **held; /* owned; pieces to give back: room for one of each slice */
    size_t held_count;
};

/* ---- The core's outside ---------------------------------------------------------------------- */

/* Copies a slice's elements to the tensors' arrays. */
static void scatter(const struct job *job, uint32_t slice, const float *elements,
                    float *const *weights)
{
    const struct slice_plan *plan = &job->layout.slice[slice];
    for (uint32_t i = 0; i < plan->parts; i++) {
        const struct part *part = &job->layout.part[plan->first_part + i];
        memcpy(weights[part->tensor] + part->offset, elements, part->elements * sizeof *elements);
        elements += part->elements;
    }
}

static void on_reply(void *owner, void *peer, const struct stepd_message *message,
                     const struct core_piece *piece, size_t pieces)
{
    (void)peer;
    struct local *local = owner;
    if (message->kind == STEPD_MESSAGE_ERROR)
        (void)stepd_fail(&local->error, message->body.error.code, "%s", message->body.error.text);
    if (message->kind == STEPD_MESSAGE_RESULT) {
        local->answered += message->body.result.slices.count;
        local->answered_version = message->body.result.versions.at[0];
    }
    for (size_t i = 0; i < pieces; i++) {
        scatter(local->job, message->body.result.slices.at[i], piece[i].weights->values,
                local->weights);
        local->held[local->held_count++] = piece[i].weights;
    }
}

static void on_hang_up(void *owner, void *peer)
{
    (void)peer;
    struct local *local = owner;
    local->conn = NULL;
}

/* The core may not be called from here: the decision waits until it has returned. */
static void decide(struct local *local)
{
    struct order decision = {.job_name = local->job->name};
    gate_decide(local->gate, &decision);
    local->decision = order_copy(&decision);
    if (local->decision == NULL)
        (void)stepd_fail(&local->error, STEPD_RESOURCE_EXHAUSTED, "no memory for a step");
}

/* What a shard tells control: here, whether the job's slices stand, and that a step can be made. */
static void on_notify(void *owner, struct notice *notice)
{
    struct local *local = owner;
    if (notice->kind == NOTICE_JOB_OPENED)
        local->error = notice->error;
    if (notice->kind == NOTICE_READY && gate_take(local->gate, notice))
        decide(local);
    (void)notice_destroy(notice);
}

/* ---- Opening --------------------------------------------------------------------------------- */

static enum stepd_status no_memory(struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a job in this process");
}

static enum stepd_status make_job(const struct stepd_define_job *def,
                                  const struct stepd_define_tensors *tensors, struct job **ret_job,
                                  struct stepd_error *reterr)
{
    struct job_draft *draft = NULL;
    enum stepd_status status =
        job_draft_create("local", def, LAYOUT_SLICE_ELEMENTS_DEFAULT, &draft, reterr);
    if (status != STEPD_OK)
        return status;
    status = job_draft_add(draft, tensors, reterr);
    if (status == STEPD_OK)
        status = job_draft_seal(draft, 1, 1, ret_job, reterr);
    (void)job_draft_destroy(draft);
    return status;
}

static enum stepd_status give_order(struct local *local, struct order *order)
{
    if (order == NULL)
        return STEPD_RESOURCE_EXHAUSTED;
    core_on_order(local->core, order, 0);
    return local->error.code;
}

/* What control would say: open the job, here is a session, it is a member, start. */
static enum stepd_status give_orders(struct local *local)
{
    struct order *order = order_create(ORDER_JOB_OPEN, local->job->name);
    if (order != NULL)
        order->job = job_ref(local->job);
    enum stepd_status status = give_order(local, order);
    if (status != STEPD_OK)
        return status;
    order = order_create(ORDER_SESSION, local->job->name);
    if (order == NULL || (order->worker = strdup("local")) == NULL) {
        (void)order_destroy(order);
        return STEPD_RESOURCE_EXHAUSTED;
    }
    status = give_order(local, order);
    if (status != STEPD_OK)
        return status;
    order = order_create(ORDER_MEMBER, local->job->name);
    if (order != NULL)
        order->last_clock = UINT64_MAX;
    status = give_order(local, order);
    if (status != STEPD_OK)
        return status;
    return give_order(local, order_create(ORDER_JOB_START, local->job->name));
}

static enum stepd_status say_hello(struct local *local, struct stepd_error *reterr)
{
    static const uint8_t session[STEPD_SESSION_BYTES] = {0};
    local->conn = core_open(local->core, local, 0);
    if (local->conn == NULL)
        return no_memory(reterr);
    const struct stepd_message hello = {
        .request_id = ++local->requests,
        .kind = STEPD_MESSAGE_HELLO,
        .body.hello = {.protocol = STEPD_PROTOCOL_VERSION,
                       .job = local->job->name,
                       .worker = "local",
                       .session = {.count = sizeof session, .at = session},
                       .shard = 1},
    };
    return core_on_message(local->conn, &hello, 0, 0, reterr);
}

static bool make_lists(struct local *local)
{
    const size_t slices = local->job->layout.slices;
    local->held = calloc(slices, sizeof(struct weights *));
    local->slice = calloc(slices, sizeof *local->slice);
    for (uint32_t i = 0; local->slice != NULL && i < slices; i++)
        local->slice[i] = i;
    const bool gated = job_is_gated(local->job);
    return local->held != NULL && local->slice != NULL &&
           (!gated || gate_create(local->job, &local->gate) == STEPD_OK);
}

static enum stepd_status open_local(struct local *local, enum optim_isa isa,
                                    struct stepd_error *reterr)
{
    const struct core_options options = {
        .isa = isa, .wait_max_ms = UINT32_MAX, .frame_max_bytes = STEPD_FRAME_MAX_BYTES};
    const struct core_io io = {
        .owner = local, .reply = on_reply, .hang_up = on_hang_up, .notify = on_notify};
    if (!make_lists(local) || core_create(&options, &io, &local->core) != STEPD_OK)
        return no_memory(reterr);
    if (give_orders(local) != STEPD_OK)
        return no_memory(reterr);
    return say_hello(local, reterr);
}

enum stepd_status local_create(const struct stepd_define_job *def,
                               const struct stepd_define_tensors *tensors, enum optim_isa isa,
                               struct local **ret_local, struct stepd_error *reterr)
{
    struct local *local = calloc(1, sizeof *local);
    if (local == NULL)
        return no_memory(reterr);
    enum stepd_status status = make_job(def, tensors, &local->job, reterr);
    if (status == STEPD_OK)
        status = open_local(local, isa, reterr);
    if (status != STEPD_OK) {
        (void)local_destroy(local);
        return status;
    }
    *ret_local = local;
    return STEPD_OK;
}

struct local *local_destroy(struct local *local)
{
    if (local == NULL)
        return NULL;
    if (local->conn != NULL)
        core_close(local->conn, 0);
    (void)core_destroy(local->core);
    (void)order_destroy(local->decision);
    (void)gate_destroy(local->gate);
    (void)job_unref(local->job);
    free(local->held);
    free(local->slice);
    free(local);
    return NULL;
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* What goes with a request, by tensor. */
struct payload {
    const float *const *elements; /* NULL: nothing goes with it */
    const float *const *extra;    /* behind them, by the slice's first tensor; NULL: none */
};

/* Hands n floats to the core through its windows. */
static void send_floats(struct local *local, const float *floats, size_t n)
{
    const uint8_t *bytes = (const uint8_t *)floats;
    size_t left = n * sizeof *floats;
    while (left > 0) {
        size_t room = 0;
        uint8_t *window = core_window(local->conn, &room);
        const size_t part = room < left ? room : left;
        if (window != NULL)
            memcpy(window, bytes, part);
        core_filled(local->conn, part, 0);
        bytes += part;
        left -= part;
    }
}

static uint32_t first_tensor(const struct local *local, uint32_t slice)
{
    const struct layout *layout = &local->job->layout;
    return layout->part[layout->slice[slice].first_part].tensor;
}

/* The array behind a slice's elements, or NULL. */
static const float *extra_of(const struct local *local, uint32_t slice,
                             const struct payload *payload)
{
    const bool wanted = local->job->layout.slice[slice].extra > 0;
    return wanted && payload->extra != NULL ? payload->extra[first_tensor(local, slice)] : NULL;
}

static size_t payload_floats(const struct local *local, uint32_t slice,
                             const struct payload *payload)
{
    const struct slice_plan *plan = &local->job->layout.slice[slice];
    if (payload->elements == NULL)
        return 0;
    const size_t elements = plan->elements;
    return extra_of(local, slice, payload) == NULL ? elements : elements + plan->extra;
}

/* Part by part, and what is behind them. */
static void send_payload(struct local *local, uint32_t slice, const struct payload *payload)
{
    const struct layout *layout = &local->job->layout;
    const struct slice_plan *plan = &layout->slice[slice];
    if (payload->elements == NULL)
        return;
    for (uint32_t i = 0; i < plan->parts; i++) {
        const struct part *part = &layout->part[plan->first_part + i];
        send_floats(local, payload->elements[part->tensor] + part->offset, part->elements);
    }
    const float *extra = extra_of(local, slice, payload);
    if (extra != NULL)
        send_floats(local, extra, plan->extra);
}

/* Gives the core what the gate has decided, until it asks for nothing more. */
static void give_decisions(struct local *local)
{
    while (local->decision != NULL) {
        struct order *const decision = local->decision;
        local->decision = NULL;
        core_on_order(local->core, decision, 0);
    }
}

static void release_held(struct local *local)
{
    while (local->held_count > 0)
        core_release(local->core, local->held[--local->held_count], 0);
}

/* One request for these slices, and its answer. */
static enum stepd_status ask(struct local *local, struct stepd_message *message,
                             const struct stepd_u32s *slices, const struct payload *payload,
                             struct stepd_error *reterr)
{
    size_t floats = 0;
    for (size_t i = 0; i < slices->count; i++)
        floats += payload_floats(local, slices->at[i], payload);
    message->request_id = ++local->requests;
    local->error = (struct stepd_error){.code = STEPD_OK};
    local->answered = 0;
    const enum stepd_status status =
        core_on_message(local->conn, message, floats * sizeof(float), 0, reterr);
    if (status != STEPD_OK)
        return status;
    for (size_t i = 0; i < slices->count; i++)
        send_payload(local, slices->at[i], payload);
    give_decisions(local);
    release_held(local);
    if (local->error.code != STEPD_OK)
        return stepd_fail(reterr, local->error.code, "%s", local->error.text);
    if (local->answered < slices->count)
        return stepd_fail(reterr, STEPD_INTERNAL, "the core has not answered");
    return STEPD_OK;
}

static bool is_assigned(const struct local *local, uint32_t slice)
{
    return local->job->tensor[first_tensor(local, slice)].init.kind == STEPD_INIT_VALUES;
}

enum stepd_status local_assign(struct local *local, const float *const *values,
                               struct stepd_error *reterr)
{
    const struct payload payload = {.elements = values};
    enum stepd_status status = STEPD_OK;
    for (uint32_t i = 0; i < local->job->layout.slices && status == STEPD_OK; i++) {
        if (!is_assigned(local, i))
            continue;
        const struct stepd_u32s one = {.count = 1, .at = &i};
        struct stepd_message message = {
            .kind = STEPD_MESSAGE_ASSIGN,
            .body.assign = {.incarnation = local->job->incarnation, .slices = one},
        };
        status = ask(local, &message, &one, &payload, reterr);
    }
    return status;
}

static struct stepd_u32s all_slices(const struct local *local)
{
    return (struct stepd_u32s){.count = local->job->layout.slices, .at = local->slice};
}

enum stepd_status local_pull(struct local *local, enum stepd_view view, float *const *weights,
                             struct stepd_error *reterr)
{
    const struct payload nothing = {.elements = NULL};
    const struct stepd_u32s all = all_slices(local);
    struct stepd_message message = {
        .kind = STEPD_MESSAGE_PULL,
        .body.pull = {.incarnation = local->job->incarnation, .slices = all, .view = view},
    };
    local->weights = weights;
    return ask(local, &message, &all, &nothing, reterr);
}

enum stepd_status local_step(struct local *local, const struct local_push *push,
                             float *const *weights, struct stepd_error *reterr)
{
    if (local->job->workers != 1)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "a step in one process is of 1 worker, and the job has %u",
                          local->job->workers);
    const bool empty = push->examples == 0;
    const struct payload payload = {.elements = empty ? NULL : push->grad, .extra = push->extra};
    const struct stepd_u32s all = all_slices(local);
    struct stepd_message message = {
        .kind = STEPD_MESSAGE_STEP,
        .body.step.push = {.incarnation = local->job->incarnation,
                           .clock = local->clock + 1,
                           .slices = all,
                           .base_versions = {.count = 1, .at = &local->version},
                           .examples = push->examples,
                           .has_loss = push->has_loss,
                           .loss = push->loss,
                           .loss_scale = push->loss_scale == 0.0 ? 1.0 : push->loss_scale},
    };
    local->weights = weights;
    const enum stepd_status status = ask(local, &message, &all, &payload, reterr);
    if (status == STEPD_OK) {
        local->clock++;
        local->version = local->answered_version;
    }
    return status;
}
