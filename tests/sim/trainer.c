/* SPDX-License-Identifier: Apache-2.0
 *
 * Each step begins something and waits for its end, which is looked at when the process acts again,
 * as a caller's thread would.
 */
#include "tests/sim/trainer_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/error.h"

/* ---- Life ------------------------------------------------------------------------------------ */

void trainer_init(struct trainer *trainer, struct client_world *world, struct lineages *lineages,
                  uint32_t rank)
{
    const struct stepd_define_tensors *page = &world->plan->def.page;
    assert_true(world->plan->job->layout.slices <= TRAINER_SLICES_MAX);
    *trainer = (struct trainer){.plan = world->plan, .lineages = lineages};
    client_init(&trainer->client, world, rank);
    for (size_t i = 0; i < page->tensors; i++) {
        uint64_t elements = 1;
        for (size_t d = 0; d < page->tensor[i].dims; d++)
            elements *= page->tensor[i].shape[d];
        trainer->weights[i] = calloc(elements, sizeof(float));
        trainer->grad[i] = calloc(elements, sizeof(float));
        assert_non_null(trainer->weights[i]);
        assert_non_null(trainer->grad[i]);
    }
}

static void end_operation(struct trainer *trainer)
{
    if (trainer->operates)
        stepd_operation_deinit(&trainer->operation);
    trainer->operates = false;
}

static void end_assign(struct trainer *trainer)
{
    trainer->values = stepd_outgoing_destroy(trainer->values);
    free(trainer->first);
    trainer->first = NULL;
}

void trainer_deinit(struct trainer *trainer)
{
    client_deinit(&trainer->client);
    end_operation(trainer);
    end_assign(trainer);
    trainer->fresh = stepd_home_destroy(trainer->fresh);
    trainer->home = stepd_home_destroy(trainer->home);
    for (size_t i = 0; i < DEFINITION_TENSORS_MAX; i++) {
        free(trainer->weights[i]);
        free(trainer->grad[i]);
    }
}

void trainer_explain(const struct trainer *trainer, char *text, size_t size)
{
    (void)snprintf(text, size, "rank %u in step %d, %s, after %llu steps, of lineage %llu",
                   trainer->client.rank, (int)trainer->step,
                   trainer->waiting ? "waits" : "waits for nothing",
                   (unsigned long long)trainer->steps, (unsigned long long)trainer->lineage);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

void trainer_end_with(struct trainer *trainer, const struct stepd_error *error)
{
    trainer->waiting = false;
    trainer->answered = true;
    trainer->error = *error;
}

static void on_opened(struct stepd_opening *opening)
{
    struct trainer *trainer =
        (struct trainer *)((char *)opening - offsetof(struct trainer, opening));
    trainer_end_with(trainer, &opening->error);
}

static void open_link(struct trainer *trainer, uint32_t shard)
{
    trainer->waiting = true;
    trainer->opening = (struct stepd_opening){.shard = shard, .on_done = on_opened};
    stepd_links_open(trainer->client.brain.links, &trainer->opening);
}

static void on_answered(struct stepd_question *question)
{
    struct trainer *trainer =
        (struct trainer *)((char *)question - offsetof(struct trainer, question));
    trainer_end_with(trainer, &question->error);
}

static void ask(struct trainer *trainer, struct stepd_question question)
{
    trainer->waiting = true;
    trainer->question = question;
    trainer->question.brain = &trainer->client.brain;
    trainer->question.message = &trainer->message;
    trainer->question.on_done = on_answered;
    stepd_question_ask(&trainer->question);
}

/* ---- Defining -------------------------------------------------------------------------------- */

static enum stepd_status on_layout(void *user, const struct stepd_message *reply,
                                   struct stepd_error *reterr)
{
    return stepd_layout_add(user, &reply->body.layout, reterr);
}

static void on_layout_again(void *user)
{
    stepd_layout_deinit(user);
    stepd_layout_init(user);
}

static void ask_layout(struct trainer *trainer)
{
    trainer->fresh = stepd_home_create();
    assert_non_null(trainer->fresh);
    trainer->message = (struct stepd_message){.kind = STEPD_MESSAGE_GET_LAYOUT};
    ask(trainer, (struct stepd_question){.on_reply = on_layout,
                                         .on_again = on_layout_again,
                                         .user = &trainer->fresh->table});
}

/* What cannot be settled in is left, and all of it defined again. */
static void leave_fresh(struct trainer *trainer)
{
    if (trainer->client.brain.home == trainer->fresh)
        stepd_brain_move(&trainer->client.brain, trainer->home, /* back= */ true);
    trainer->fresh = stepd_home_destroy(trainer->fresh);
}

static bool move_in(struct trainer *trainer)
{
    struct stepd_brain *brain = &trainer->client.brain;
    struct stepd_error error;
    if (stepd_layout_seal(&trainer->fresh->table, brain->self.shards, &error) != STEPD_OK)
        plan_fail(trainer->plan, "the layout is refused: %s", error.text);
    assert_int_equal(stepd_home_furnish(trainer->fresh, brain, trainer->plan->push_dtype,
                                        trainer->plan->pull_dtype, &error),
                     STEPD_OK);
    stepd_brain_move(brain, trainer->fresh, /* back= */ false);
    return true;
}

/* The next shard that has slices, or that first values are for; false: there is none. */
static bool next_shard(struct trainer *trainer)
{
    const uint32_t shards = (uint32_t)trainer->client.brain.self.shards;
    do {
        trainer->shard++;
    } while (trainer->shard <= shards &&
             !stepd_layout_uses(&trainer->fresh->table, trainer->shard));
    return trainer->shard <= shards;
}

static void assign(struct trainer *trainer)
{
    const struct plan *plan = trainer->plan;
    const struct layout *layout = &plan->job->layout;
    const size_t most = (size_t)layout->slices * PLAN_FLOATS_MAX;
    size_t count = 0;
    trainer->first = calloc(most, sizeof(float));
    trainer->values = stepd_outgoing_create(STEPD_F32, most);
    assert_non_null(trainer->first);
    assert_non_null(trainer->values);
    for (uint32_t i = 0; i < layout->slices; i++) {
        if (layout->slice[i].shard + 1 != trainer->shard || !plan_is_assigned(plan, i))
            continue;
        float *values = trainer->first + count * PLAN_FLOATS_MAX;
        plan_values(plan, i, values);
        assert_int_equal(
            stepd_outgoing_add_floats(trainer->values, values, layout->slice[i].elements),
            STEPD_OK);
        trainer->slice[count++] = i;
    }
    trainer->message = (struct stepd_message){
        .kind = STEPD_MESSAGE_ASSIGN,
        .body.assign = {.incarnation = trainer->fresh->table.incarnation,
                        .slices = {.count = count, .at = trainer->slice},
                        .dtype = STEPD_F32},
    };
    if (count > 0)
        ask(trainer, (struct stepd_question){.shard = trainer->shard, .outgoing = trainer->values});
    else
        trainer_end_with(trainer, &(struct stepd_error){.code = STEPD_OK});
}

/* ---- Going on -------------------------------------------------------------------------------- */

static bool is_over(const struct trainer *trainer)
{
    uint64_t clock = trainer_next_clock(trainer, 0);
    for (uint32_t i = 1; i < trainer->plan->job->layout.slices; i++) {
        const uint64_t other = trainer_next_clock(trainer, i);
        const bool later = other > clock;
        clock = later != trainer_is_sync(trainer) ? other : clock;
    }
    return clock > trainer->plan->steps_of[trainer->client.rank];
}

static void start(struct trainer *trainer)
{
    const struct plan *plan = trainer->plan;
    const bool known = plan->exact && trainer_is_sync(trainer);
    switch (trainer->step) {
    case TRAINER_CONNECT: open_link(trainer, 0); return;
    case TRAINER_DEFINE_JOB:
        trainer->message = (struct stepd_message){.kind = STEPD_MESSAGE_DEFINE_JOB,
                                                  .body.define_job = plan->def.job};
        ask(trainer, (struct stepd_question){.shard = 0});
        return;
    case TRAINER_DEFINE_TENSORS:
        trainer->message = (struct stepd_message){.kind = STEPD_MESSAGE_DEFINE_TENSORS,
                                                  .body.define_tensors = plan->def.page};
        ask(trainer, (struct stepd_question){.shard = 0});
        return;
    case TRAINER_LAYOUT: ask_layout(trainer); return;
    case TRAINER_SHARDS: open_link(trainer, trainer->shard); return;
    case TRAINER_ASSIGN: assign(trainer); return;
    case TRAINER_PULL: trainer_operate(trainer, STEPD_OPERATION_PULL, 0); return;
    case TRAINER_TRAIN: /* in one exchange, or in two */
        trainer_operate(trainer,
                        random_once_in(trainer->client.world->random, 3) ? STEPD_OPERATION_PUSH
                                                                         : STEPD_OPERATION_STEP,
                        0);
        return;
    case TRAINER_FINAL:
        trainer_operate(trainer, STEPD_OPERATION_PULL, known ? plan_last_version(plan) : 0);
        return;
    case TRAINER_LEAVE:
        witness_leave(trainer->lineages->witness[trainer->lineages->newest], trainer->client.rank,
                      stepd_brain_clock(&trainer->client.brain));
        trainer->message = (struct stepd_message){.kind = STEPD_MESSAGE_LEAVE};
        ask(trainer, (struct stepd_question){.shard = 0});
        return;
    case TRAINER_DONE:
    case TRAINER_DEAD: return;
    }
}

/* Home at last: the newest of those that are kept for who holds views of their tensors. */
static void settle_in(struct trainer *trainer)
{
    trainer->fresh->older = trainer->home;
    trainer->home = trainer->fresh;
    trainer->fresh = NULL;
    trainer->step = TRAINER_PULL;
}

static void go_on(struct trainer *trainer)
{
    switch (trainer->step) {
    case TRAINER_CONNECT: trainer->step = TRAINER_DEFINE_JOB; return;
    case TRAINER_DEFINE_JOB:
        trainer->attaches = false;
        trainer->step = TRAINER_DEFINE_TENSORS;
        return;
    case TRAINER_DEFINE_TENSORS: trainer->step = TRAINER_LAYOUT; return;
    case TRAINER_LAYOUT:
        (void)move_in(trainer);
        trainer->shard = 0;
        trainer->step = TRAINER_SHARDS;
        (void)next_shard(trainer);
        return;
    case TRAINER_SHARDS:
        if (next_shard(trainer))
            return;
        trainer->shard = 0;
        trainer->step = TRAINER_ASSIGN;
        if (trainer->client.rank != 0 || trainer->attaches || !next_shard(trainer))
            settle_in(trainer);
        return;
    case TRAINER_ASSIGN:
        end_assign(trainer);
        if (!next_shard(trainer))
            settle_in(trainer);
        return;
    case TRAINER_TRAIN:
        trainer->steps++;
        trainer_check_counted(trainer);
        if (trainer->operation.kind == STEPD_OPERATION_PUSH) {
            trainer->step = TRAINER_PULL;
            return;
        }
        trainer_check_weights(trainer);
        trainer->step = is_over(trainer) ? TRAINER_LEAVE : TRAINER_TRAIN;
        return;
    case TRAINER_PULL:
        trainer_check_weights(trainer);
        trainer->step = is_over(trainer) ? TRAINER_LEAVE : TRAINER_TRAIN;
        return;
    case TRAINER_FINAL:
        trainer_check_weights(trainer);
        trainer->step = TRAINER_DONE;
        return;
    case TRAINER_LEAVE: trainer->step = TRAINER_FINAL; return;
    case TRAINER_DONE:
    case TRAINER_DEAD: return;
    }
}

/* Is this how something fails that may be tried again? */
static bool may_fail(const struct trainer *trainer, const struct stepd_error *error)
{
    if (!trainer->plan->faults)
        return false;
    switch (error->code) {
    case STEPD_ROLLED_BACK:
    case STEPD_DEADLINE_EXCEEDED:
    case STEPD_UNAVAILABLE:
    case STEPD_NOT_FOUND:
    case STEPD_ABORTED: return true;
    case STEPD_ALREADY_EXISTS: /* who had the rank before is known again, or still */
        return trainer->step == TRAINER_CONNECT || trainer->client.ended;
    case STEPD_FAILED_PRECONDITION: return true;
    default: return false;
    }
}

/* After a job went back a pull alone will do where its tensors are there; that rank 0 has to bring
 * their first values again is known by the pull's deadline. */
static bool defines_again(const struct trainer *trainer)
{
    const bool back = trainer->error.code == STEPD_ROLLED_BACK;
    if (back)
        return random_once_in(trainer->client.world->random, 2);
    return trainer->step == TRAINER_PULL && trainer->client.rollbacks > 0;
}

static void fall_back(struct trainer *trainer)
{
    const struct stepd_error *error = &trainer->error;
    plan_trace(trainer->plan, "rank %u, step %d: %s", trainer->client.rank, (int)trainer->step,
               error->text);
    if (!may_fail(trainer, error))
        plan_fail(trainer->plan, "rank %u, in step %d, is told: %s", trainer->client.rank,
                  (int)trainer->step, error->text);
    /* Whoever is not known when it leaves, or when it has left, may be wanted as of before it came.
     */
    const bool unknown = trainer->step >= TRAINER_PULL && error->code == STEPD_NOT_FOUND;
    if (trainer->step == TRAINER_CONNECT || trainer->client.ended || unknown) {
        trainer->step = TRAINER_DEAD;
        return;
    }
    end_assign(trainer);
    trainer->timeouts += error->code == STEPD_DEADLINE_EXCEEDED;
    if (strstr(error->text, "has left job") != NULL) { /* as of what the job went back to */
        leave_fresh(trainer);
        trainer->attaches = true;
        trainer->step = TRAINER_LAYOUT;
    } else if (trainer->step < TRAINER_PULL) {
        leave_fresh(trainer);
        trainer->step = TRAINER_DEFINE_JOB;
    } else if (trainer->step == TRAINER_TRAIN && error->code == STEPD_DEADLINE_EXCEEDED &&
               random_once_in(trainer->client.world->random, 2)) {
        trainer->repeats = true;
    } else if (strstr(error->text, "stepd_define") != NULL || defines_again(trainer)) {
        trainer->step = TRAINER_DEFINE_JOB;
    } else {
        trainer->step = TRAINER_PULL;
    }
}

void trainer_act(struct trainer *trainer)
{
    if (trainer->waiting)
        return;
    if (!trainer->answered) {
        start(trainer);
        return;
    }
    trainer->answered = false;
    if (trainer->error.code == STEPD_OK) {
        trainer->timeouts = 0;
        go_on(trainer);
    } else {
        fall_back(trainer);
    }
    end_operation(trainer);
}
