/* SPDX-License-Identifier: Apache-2.0
 *
 * What the caller of libstepd does: asks, defines, trains. A call waits in its own thread for what
 * it has asked, and so nothing is done within on_done but to note it; guest_look does the rest.
 */
#include "proto/utf8.h"
#include "tests/fuzz/guest.h"

#define ASSIGNED_FLOATS 5u

static void check_end(const struct stepd_error *error)
{
    if (error->code == STEPD_OK)
        return;
    FUZZ_CHECK(error->text[0] != '\0');
    FUZZ_CHECK(stepd_utf8_printable((const uint8_t *)error->text, strlen(error->text)));
}

/* ---- Links ----------------------------------------------------------------------------------- */

static void on_opened(struct stepd_opening *opening)
{
    struct guest *const guest =
        (struct guest *)((char *)(opening - opening->shard) - offsetof(struct guest, opening));
    FUZZ_CHECK(guest->opens[opening->shard]);
    guest->opens[opening->shard] = false;
    check_end(&opening->error);
}

void guest_open(struct guest *guest, uint32_t shard)
{
    if (guest->opens[shard] || (shard > 0 && shard > guest->brain.self.shards))
        return;
    guest->opens[shard] = true;
    guest->opening[shard] = (struct stepd_opening){.shard = shard, .on_done = on_opened};
    stepd_links_open(guest->brain.links, &guest->opening[shard]);
}

/* ---- Questions ------------------------------------------------------------------------------- */

static void on_done(struct stepd_question *question)
{
    struct ask *const ask = (struct ask *)question;
    FUZZ_CHECK(ask->busy && !ask->answered);
    ask->answered = true;
    check_end(&question->error);
}

static void free_ask(struct ask *ask)
{
    (void)stepd_home_destroy(ask->fresh);
    (void)stepd_outgoing_destroy(ask->values);
    free(ask->floats);
    stepd_arena_deinit(&ask->arena);
    *ask = (struct ask){.busy = false};
}

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

/* A layout is asked for by who has none, or none any more. */
static bool prepare_layout(const struct guest *guest, struct ask *ask)
{
    if (guest->home != NULL && !guest->rolled_back)
        return false;
    ask->fresh = stepd_home_create();
    FUZZ_CHECK(ask->fresh != NULL);
    ask->question.on_reply = on_layout;
    ask->question.on_again = on_layout_again;
    ask->question.user = &ask->fresh->table;
    return true;
}

static void prepare_assign(struct ask *ask, uint32_t shard)
{
    ask->floats = calloc(ASSIGNED_FLOATS, sizeof *ask->floats);
    ask->values = stepd_outgoing_create(STEPD_F32, ASSIGNED_FLOATS);
    FUZZ_CHECK(ask->floats != NULL && ask->values != NULL);
    FUZZ_CHECK(stepd_outgoing_add_floats(ask->values, ask->floats, ASSIGNED_FLOATS) == STEPD_OK);
    ask->message.body.assign.dtype = STEPD_F32;
    ask->question.shard = shard;
    ask->question.outgoing = ask->values;
}

static bool prepare(const struct guest *guest, struct ask *ask, uint32_t shard)
{
    switch (ask->message.kind) {
    case STEPD_MESSAGE_GET_LAYOUT: return prepare_layout(guest, ask);
    case STEPD_MESSAGE_LEAVE: stepd_links_leaving(guest->brain.links); return true;
    case STEPD_MESSAGE_ASSIGN:
        if (shard == 0 || shard > guest->brain.self.shards || guest->home == NULL)
            return false;
        prepare_assign(ask, shard);
        return true;
    case STEPD_MESSAGE_HELLO:
    case STEPD_MESSAGE_PUSH:
    case STEPD_MESSAGE_PULL:
    case STEPD_MESSAGE_STEP:
    case STEPD_MESSAGE_HEARTBEAT: return false;
    default: return true;
    }
}

static bool is_request(enum stepd_message_kind kind)
{
    switch (kind) {
    case STEPD_MESSAGE_WELCOME:
    case STEPD_MESSAGE_JOB_DEFINED:
    case STEPD_MESSAGE_TENSORS_DEFINED:
    case STEPD_MESSAGE_LAYOUT:
    case STEPD_MESSAGE_RESULT:
    case STEPD_MESSAGE_ACK:
    case STEPD_MESSAGE_STATUS:
    case STEPD_MESSAGE_GROUPS:
    case STEPD_MESSAGE_CHANGES:
    case STEPD_MESSAGE_CHECKPOINT_WRITTEN:
    case STEPD_MESSAGE_ERROR: return false;
    default: return true;
    }
}

void guest_ask(struct guest *guest, struct taker *taker)
{
    static const uint32_t slices[] = {0};
    const struct known known = {
        .incarnation = 1,
        .clock = 1,
        .slices = {.count = 1, .at = slices},
        .job = {"job", ""},
        .jobs = 2,
    };
    struct ask *ask = guest->ask;
    while (ask < guest->ask + GUEST_ASKS && ask->busy)
        ask++;
    if (ask == guest->ask + GUEST_ASKS)
        return;
    const uint32_t shard = take_byte(taker) % GUEST_LINKS;
    *ask = (struct ask){.guest = guest};
    stepd_arena_init(&ask->arena, STEPD_ARENA_MESSAGE_MAX_BYTES);
    compose_request(taker, &known, &ask->arena, &ask->message);
    if (!is_request(ask->message.kind) || !prepare(guest, ask, shard)) {
        free_ask(ask);
        return;
    }
    ask->busy = true;
    ask->question.brain = &guest->brain;
    ask->question.message = &ask->message;
    ask->question.on_done = on_done;
    stepd_question_ask(&ask->question);
}

void guest_withdraw(struct guest *guest, size_t index)
{
    struct ask *const ask = &guest->ask[index % GUEST_ASKS];
    if (!ask->busy || ask->answered || ask->values != NULL)
        return; /* values may be on their way */
    stepd_question_withdraw(&ask->question);
    free_ask(ask);
}

/* A layout has come: is it one to work with? */
static void settle_in(struct guest *guest, struct ask *ask)
{
    struct stepd_home *const home = ask->fresh;
    struct stepd_error error = {.code = STEPD_OK};
    enum stepd_status status = ask->question.error.code;
    if (status == STEPD_OK)
        status = stepd_layout_seal(&home->table, guest->brain.self.shards, &error);
    if (status == STEPD_OK)
        status = stepd_home_furnish(home, &guest->brain, STEPD_F32, STEPD_F32, &error);
    check_end(&error);
    if (status != STEPD_OK || (guest->home != NULL && !guest->rolled_back))
        return;
    ask->fresh = NULL;
    home->older = guest->home;
    guest->home = home;
    guest->rolled_back = false;
    stepd_brain_move(&guest->brain, home, /* back= */ false);
    for (uint32_t shard = 1; shard < GUEST_LINKS && shard <= guest->brain.self.shards; shard++) {
        if (stepd_layout_uses(&home->table, shard))
            guest_open(guest, shard);
    }
}

/* ---- Operations ------------------------------------------------------------------------------ */

static void on_operation(struct stepd_operation *operation)
{
    struct work *const work = (struct work *)operation;
    FUZZ_CHECK(work->busy && !work->done);
    work->done = true;
    check_end(&operation->error);
}

static void free_work(struct work *work)
{
    stepd_operation_deinit(&work->operation);
    for (size_t i = 0; i < GUEST_TENSORS; i++) {
        free(work->grad[i]);
        free(work->second[i]);
        free(work->weights[i]);
    }
    *work = (struct work){.busy = false};
}

static bool has_room(const struct stepd_layout_table *table)
{
    bool small = table->tensors > 0 && table->tensors <= GUEST_TENSORS;
    for (size_t i = 0; i < table->tensors && small; i++)
        small = table->tensor[i].elements <= GUEST_ELEMENTS;
    return small;
}

/* Arrays of the tensors that `which` has a bit for, or of all where it has none. */
static enum stepd_status fill(struct work *work, const struct stepd_layout_table *table,
                              uint8_t which, struct stepd_error *reterr)
{
    struct stepd_array array[GUEST_TENSORS];
    size_t count = 0;
    for (size_t i = 0; i < table->tensors; i++) {
        if (which != 0 && (which & 1u << i) == 0)
            continue;
        const size_t elements = table->tensor[i].elements;
        work->grad[i] = calloc(elements + (elements == 0), sizeof(float));
        work->weights[i] = calloc(elements + (elements == 0), sizeof(float));
        FUZZ_CHECK(work->grad[i] != NULL && work->weights[i] != NULL);
        array[count++] =
            (struct stepd_array){.tensor = i, .grad = work->grad[i], .weights = work->weights[i]};
    }
    return stepd_operation_fill(&work->operation, table, array, count, reterr);
}

/* Second derivatives for each slice whose pushes carry some. */
static void add_hessians(struct work *work, const struct stepd_layout_table *table,
                         struct stepd_step_options *options)
{
    size_t count = 0;
    for (size_t i = 0; i < table->slices && count < GUEST_TENSORS; i++) {
        const struct stepd_slice_place *const slice = &table->slice[i];
        if (slice->extra == 0 || slice->extra > GUEST_ELEMENTS)
            continue;
        work->second[count] = calloc(slice->extra, sizeof *work->second[count]);
        FUZZ_CHECK(work->second[count] != NULL);
        work->hessian[count] = (struct stepd_hessian){
            .tensor = table->part[slice->first_part].tensor, .values = work->second[count]};
        count++;
    }
    options->hessians = work->hessian;
    options->hessians_count = count;
}

void guest_operate(struct guest *guest, struct taker *taker)
{
    static const enum stepd_operation_kind kinds[] = {STEPD_OPERATION_PULL, STEPD_OPERATION_STEP,
                                                      STEPD_OPERATION_PUSH};
    struct stepd_step_options options = STEPD_STEP_OPTIONS_INIT;
    struct stepd_error error = {.code = STEPD_OK};
    struct work *work = guest->work;
    while (work < guest->work + GUEST_WORKS && work->busy)
        work++;
    if (work == guest->work + GUEST_WORKS || guest->home == NULL || !has_room(&guest->home->table))
        return;
    const enum stepd_operation_kind kind = kinds[take_byte(taker) % 3];
    const uint8_t which = take_byte(taker);
    options.min_version = take_number(taker);
    options.deadline_ms = (uint32_t)take_number(taker);
    options.examples = 1 + take_byte(taker);
    options.view = (enum stepd_view)(take_byte(taker) % STEPD_VIEWS);
    if (kind != STEPD_OPERATION_PULL)
        add_hessians(work, &guest->home->table, &options);
    enum stepd_status status =
        stepd_operation_init(&work->operation, kind, &guest->home->table, &options, &error);
    if (status == STEPD_OK)
        status = fill(work, &guest->home->table, which, &error);
    if (status == STEPD_OK)
        status =
            stepd_operation_fill_hessians(&work->operation, &guest->home->table, &options, &error);
    if (status != STEPD_OK) {
        check_end(&error);
        free_work(work);
        return;
    }
    work->operation.on_done = on_operation;
    work->busy = true;
    stepd_brain_start(&guest->brain, &work->operation, guest->now_ms);
}

/* ---- Looking --------------------------------------------------------------------------------- */

void guest_look(struct guest *guest)
{
    for (size_t i = 0; i < GUEST_ASKS; i++) {
        struct ask *const ask = &guest->ask[i];
        if (!ask->busy || !ask->answered)
            continue;
        if (ask->fresh != NULL)
            settle_in(guest, ask);
        free_ask(ask);
    }
    for (size_t i = 0; i < GUEST_WORKS; i++) {
        if (guest->work[i].busy && guest->work[i].done)
            free_work(&guest->work[i]);
    }
}
