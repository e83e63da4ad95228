/* SPDX-License-Identifier: Apache-2.0
 *
 * A checkpoint that several daemons write, as control's daemon gathers it:
 *
 *     BEGINS ---> WRITES ---> COMMITS ---> over
 *        |           |           |
 *        +-----------+-----------+--> GIVES_UP ---> over
 *
 * An errand is out in every state, in WRITES as long as this daemon's own portion is not written.
 * What fails meanwhile, or is called off, is remembered, and acted upon when the errand is back,
 * and a failure when all daemons have answered: who still writes would make files in a folder that
 * is gone.
 */
#include "server/keeping_errands.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"

enum gathering_state { GATHERING_BEGINS, GATHERING_WRITES, GATHERING_COMMITS, GATHERING_GIVES_UP };

struct gathering {
    struct gathering *next;
    enum gathering_state state;
    bool out;                       /* an errand is */
    struct server_written *written; /* owned, until it goes to server_note_written */
    uint32_t own;                   /* shares that are this daemon's */
    struct portion_request request; /* to all daemons, but for the index */
    struct stepd_error error;       /* code OK, or why it is given up */
    bool called_off;                /* nobody is waited for any more */
    uint32_t left;                  /* daemons that have not said what came of their portion */
    struct manifest_sums sums;      /* owned; of this daemon's portion */
    struct portion_answer answer[PORTIONS_MAX]; /* owned; of the others', by index */
};

void keeping_use(struct keeping *keeping, struct server *server, const struct keeping_io *io)
{
    keeping->server = server;
    keeping->io = *io;
}

/* ---- One folder ------------------------------------------------------------------------------ */

enum stepd_status keeping_probe(struct keeping *keeping, const char **ret_name,
                                struct stepd_error *reterr)
{
    *ret_name = keeping->probe;
    if (keeping->store == NULL || keeping->probe[0] != '\0')
        return STEPD_OK;
    const enum stepd_status status = probe_write(keeping->store, keeping->probe, reterr);
    if (status != STEPD_OK)
        keeping->probe[0] = '\0';
    return status;
}

enum stepd_status keeping_see(const struct keeping *keeping, const char *name,
                              struct stepd_error *reterr)
{
    static const char remedy[] =
        "give every daemon the same folder, which all of them can write to";
    const char *const path = keeping->config->checkpoint_dir;
    struct stepd_error error;
    if (name[0] == '\0')
        return STEPD_OK;
    if (path[0] == '\0')
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "control's daemon keeps checkpoints, and this one has no checkpoint_dir; "
                          "%s",
                          remedy);
    if (probe_see(path, name, &error) == STEPD_OK)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "checkpoint_dir is not the folder of control's daemon (%s); %s", error.text,
                      remedy);
}

/* ---- Gathering ------------------------------------------------------------------------------- */

static struct gathering *find(const struct keeping *keeping, uint64_t number)
{
    struct gathering *gathering = keeping->first;
    while (gathering != NULL && gathering->request.number != number)
        gathering = gathering->next;
    return gathering;
}

static void destroy(struct gathering *gathering)
{
    for (size_t i = 0; i < PORTIONS_MAX; i++)
        portion_answer_deinit(&gathering->answer[i]);
    manifest_sums_deinit(&gathering->sums);
    free(gathering);
}

/* Jobs are to come back when nothing is being written any more. */
static void resume_when_free(struct keeping *keeping)
{
    struct keeping_note *const note = keeping->resume;
    if (note == NULL || keeping->first != NULL)
        return;
    keeping->resume = NULL;
    keeping_errand_send(note);
}

/* It is over, as `written` says. */
static void finish(struct keeping *keeping, struct gathering *gathering,
                   const struct control_written *written)
{
    struct gathering **at = &keeping->first;
    while (*at != gathering)
        at = &(*at)->next;
    *at = gathering->next;
    keeping->gatherings--;
    gathering->written->written = *written;
    server_note_written(keeping->server, gathering->written);
    destroy(gathering);
    resume_when_free(keeping);
}

static void fail(struct keeping *keeping, struct gathering *gathering)
{
    const struct control_written written = {.error = gathering->error,
                                            .step = gathering->request.step};
    finish(keeping, gathering, &written);
}

/* Has an errand do the next thing. Without memory for it the folder stays until the job's next
 * checkpoint is begun. */
static void send(struct keeping *keeping, struct gathering *gathering, enum gathering_state state,
                 struct keeping_note *note)
{
    if (note == NULL) {
        (void)stepd_fail(&gathering->error, STEPD_RESOURCE_EXHAUSTED,
                         "no memory to write a checkpoint");
        fail(keeping, gathering);
        return;
    }
    note->snapshot = gathering->written->snapshot;
    note->request = gathering->request;
    gathering->state = state;
    gathering->out = true;
    keeping_errand_send(note);
}

static struct keeping_note *to_write(struct keeping *keeping, const struct gathering *gathering)
{
    struct keeping_note *const note = keeping_errand_create(keeping, ERRAND_WRITE);
    if (note == NULL ||
        keeping_errand_lend(note, gathering->written->snapshot->share, gathering->own))
        return note;
    keeping_note_destroy(note);
    return NULL;
}

/* Takes with it what the daemons have said. */
static struct keeping_note *to_commit(struct keeping *keeping, struct gathering *gathering)
{
    struct keeping_note *const note = keeping_errand_create(keeping, ERRAND_COMMIT);
    if (note == NULL)
        return NULL;
    note->answer = calloc(gathering->request.portions, sizeof *note->answer);
    if (note->answer == NULL) {
        keeping_note_destroy(note);
        return NULL;
    }
    for (uint32_t i = 0; i < gathering->request.portions; i++) {
        note->answer[i] = gathering->answer[i];
        gathering->answer[i] = (struct portion_answer){.sums = NULL};
    }
    note->sums = gathering->sums;
    gathering->sums = (struct manifest_sums){.files = 0};
    return note;
}

/* Goes on, when nothing is waited for. */
static void advance(struct keeping *keeping, struct gathering *gathering)
{
    if (gathering->out)
        return;
    const bool waits = gathering->state == GATHERING_WRITES && gathering->left > 0;
    if (waits && !gathering->called_off)
        return;
    if (gathering->error.code != STEPD_OK)
        send(keeping, gathering, GATHERING_GIVES_UP,
             keeping_errand_create(keeping, ERRAND_GIVE_UP));
    else
        send(keeping, gathering, GATHERING_COMMITS, to_commit(keeping, gathering));
}

static void note_failure(struct gathering *gathering, const struct stepd_error *error,
                         uint32_t index)
{
    if (gathering->error.code != STEPD_OK)
        return; /* what came first */
    gathering->error = *error;
    if (index > 0)
        (void)stepd_fail_in(&gathering->error, error->code, "daemon %u", index);
}

/* ---- What comes of it ------------------------------------------------------------------------ */

static void on_begun(struct keeping *keeping, struct gathering *gathering,
                     const struct keeping_note *note)
{
    const char *const job_name = gathering->written->snapshot->job->name;
    struct portion_request request = note->request;
    if (note->error.code != STEPD_OK) { /* there is no folder */
        note_failure(gathering, &note->error, 0);
        fail(keeping, gathering);
        return;
    }
    gathering->request.place = note->request.place;
    if (gathering->error.code != STEPD_OK) {
        advance(keeping, gathering);
        return;
    }
    struct keeping_note *const own = to_write(keeping, gathering);
    const bool sent = own != NULL;
    send(keeping, gathering, GATHERING_WRITES, own);
    for (request.index = 1; sent && request.index < request.portions; request.index++)
        keeping->io.ask(keeping->io.owner, job_name, &request);
}

static void on_own(struct keeping *keeping, struct gathering *gathering, struct keeping_note *note)
{
    if (note->error.code == STEPD_OK) {
        gathering->sums = note->sums;
        note->sums = (struct manifest_sums){.files = 0};
    } else {
        note_failure(gathering, &note->error, 0);
    }
    gathering->left--;
    advance(keeping, gathering);
}

static void on_committed(struct keeping *keeping, struct gathering *gathering,
                         const struct keeping_note *note)
{
    if (note->error.code == STEPD_OK) {
        finish(keeping, gathering, &note->written);
        return;
    }
    note_failure(gathering, &note->error, 0);
    advance(keeping, gathering);
}

void keeping_answered(struct keeping *keeping, struct portion_answer *answer)
{
    struct gathering *const gathering = find(keeping, answer->number);
    const uint32_t index = answer->index;
    if (gathering == NULL || gathering->state != GATHERING_WRITES || index == 0 ||
        index >= gathering->request.portions || gathering->answer[index].number != 0) {
        portion_answer_deinit(answer);
        return;
    }
    struct portion_answer *const kept = &gathering->answer[index];
    *kept = *answer;
    if (answer->error.code != STEPD_OK)
        note_failure(gathering, &answer->error, index);
    gathering->left--;
    advance(keeping, gathering);
}

/* ---- Beginning and giving up ----------------------------------------------------------------- */

static void refuse(struct keeping *keeping, struct server_written *written, uint64_t step,
                   enum stepd_status code, const char *text)
{
    written->written = (struct control_written){.step = step};
    (void)stepd_fail(&written->written.error, code, "%s", text);
    server_note_written(keeping->server, written);
}

void keeping_write_portions(struct keeping *keeping, struct server_written *written, uint64_t step,
                            uint32_t own, uint32_t portions)
{
    assert(portions > 1 && portions <= PORTIONS_MAX && own > 0);
    struct gathering *const gathering = calloc(1, sizeof *gathering);
    if (gathering == NULL) {
        refuse(keeping, written, step, STEPD_RESOURCE_EXHAUSTED, "no memory to write a checkpoint");
        return;
    }
    gathering->written = written;
    gathering->own = own;
    gathering->left = portions;
    gathering->request =
        (struct portion_request){.number = ++keeping->number, .step = step, .portions = portions};
    gathering->next = keeping->first;
    keeping->first = gathering;
    keeping->gatherings++;
    send(keeping, gathering, GATHERING_BEGINS, keeping_errand_create(keeping, ERRAND_BEGIN));
}

void keeping_give_up(struct keeping *keeping)
{
    struct stepd_error error = {.code = STEPD_OK};
    struct gathering *next = NULL;
    (void)stepd_fail(&error, STEPD_CANCELLED,
                     "the checkpoint was given up: its daemons begin anew");
    if (keeping->writer != NULL)
        writer_give_up(keeping->writer);
    for (struct gathering *gathering = keeping->first; gathering != NULL; gathering = next) {
        next = gathering->next;
        gathering->called_off = true;
        note_failure(gathering, &error, 0);
        advance(keeping, gathering);
    }
}

size_t keeping_writing(const struct keeping *keeping)
{
    return keeping->gatherings;
}

/* ---- A reign begins -------------------------------------------------------------------------- */

static void fail_resume(const struct keeping *keeping, const char *text)
{
    struct stepd_error error = {.code = STEPD_OK};
    (void)stepd_fail(&error, STEPD_RESOURCE_EXHAUSTED, "%s", text);
    keeping->io.resumed(keeping->io.owner, &error);
}

void keeping_resume_begin(struct keeping *keeping, uint32_t shards, uint32_t own,
                          uint64_t bytes_max)
{
    const struct stepd_error nothing = {.code = STEPD_OK};
    keeping->reign++;
    keeping->wanted = (struct load_wanted){.shards = shards, .count = own};
    keeping->bytes_max = bytes_max;
    keeping_give_up(keeping);
    memset(keeping->resumed, 0, sizeof keeping->resumed);
    if (keeping->store == NULL) {
        keeping->io.resumed(keeping->io.owner, &nothing);
        return;
    }
    struct keeping_note *const note = keeping_errand_create(keeping, ERRAND_RESUME);
    if (note == NULL) {
        fail_resume(keeping, "no memory to bring jobs back");
        return;
    }
    note->wanted = keeping->wanted;
    note->bytes_max = bytes_max;
    note->request.number = keeping->reign;
    note->anew = keeping_begins_anew(keeping);
    keeping->looked = true;
    keeping_note_destroy(keeping->resume); /* another reign's, which has not begun */
    keeping->resume = note;
    resume_when_free(keeping);
}

static void log_skipped(const struct keeping *keeping, const struct control_returning *failed)
{
    const struct store_shelf_name name = store_shelf_name(failed->job_name);
    log_event(keeping->log, LOG_WARN, "checkpoint_skipped", "job=%s name=%s place=%u cause=%s",
              name.text, failed->checkpoint, (unsigned)failed->place, failed->error->text);
}

void keeping_resume_older(struct keeping *keeping, const struct control_returning *failed)
{
    struct keeping_note *const note = keeping_errand_create(keeping, ERRAND_RESUME);
    log_skipped(keeping, failed);
    if (note != NULL)
        note->job_name = strdup(failed->job_name);
    if (note == NULL || note->job_name == NULL) {
        keeping_note_destroy(note);
        fail_resume(keeping, "no memory to bring a job back");
        return;
    }
    (void)stepd_format(note->checkpoint, sizeof note->checkpoint, "%s", failed->checkpoint);
    (void)stepd_fail(&note->error, failed->error->code, "daemon %u: %s", (unsigned)failed->place,
                     failed->error->text);
    note->wanted = keeping->wanted;
    note->bytes_max = keeping->bytes_max;
    note->request.number = keeping->reign;
    keeping_errand_send(note);
}

static void on_read(struct keeping *keeping, struct keeping_note *note)
{
    struct stepd_error error = note->error;
    if (note->request.number != keeping->reign)
        return; /* what it has read is of one that is over */
    for (struct brought *at = note->first; at != NULL && error.code == STEPD_OK; at = at->next) {
        struct stepd_error refused;
        if (keeping_restore(keeping, &at->snapshot, at->state, &refused) != STEPD_OK)
            error = refused;
    }
    keeping->io.resumed(keeping->io.owner, &error);
}

/* ---- A member daemon ------------------------------------------------------------------------- */

static void answer(struct keeping *keeping, const struct portion_request *request, void *token,
                   const struct stepd_error *error, struct keeping_note *note)
{
    struct portion_answer made = {
        .number = request->number, .index = request->index, .error = *error};
    if (note != NULL && error->code == STEPD_OK) {
        made.sums = note->packed;
        made.sums_bytes = note->packed_bytes;
        note->packed = NULL;
    }
    keeping->io.answer(keeping->io.owner, token, &made);
}

void keeping_write_portion(struct keeping *keeping, const struct portion_request *request,
                           const struct job_state *const *share, size_t shares, void *token)
{
    struct stepd_error error = {.code = STEPD_OK};
    struct keeping_note *const note =
        keeping->writer == NULL ? NULL : keeping_errand_create(keeping, ERRAND_PORTION);
    if (note == NULL || !keeping_errand_lend(note, share, shares)) {
        keeping_note_destroy(note);
        (void)stepd_fail(&error, STEPD_RESOURCE_EXHAUSTED,
                         "no memory to write a checkpoint, or no checkpoint_dir to write it to");
        answer(keeping, request, token, &error, /* note= */ NULL);
        return;
    }
    note->request = *request;
    note->token = token;
    keeping_errand_send(note);
}

void keeping_load(struct keeping *keeping, struct job *job, const char *checkpoint,
                  struct keeping_shards shards, uint64_t bytes_max, void *token)
{
    struct stepd_error error = {.code = STEPD_OK};
    struct keeping_note *const note =
        keeping->writer == NULL ? NULL : keeping_errand_create(keeping, ERRAND_LOAD);
    if (note == NULL || strlen(checkpoint) >= sizeof note->checkpoint) {
        keeping_note_destroy(note);
        (void)stepd_fail(&error, STEPD_RESOURCE_EXHAUSTED,
                         "no memory to load a checkpoint, or no checkpoint_dir to load it from");
        keeping->io.loaded(keeping->io.owner, token, /* state= */ NULL, &error);
        return;
    }
    memcpy(note->checkpoint, checkpoint, strlen(checkpoint) + 1);
    note->job = job_ref(job);
    note->wanted = (struct load_wanted){
        .job = note->job, .first = shards.first, .count = shards.count, .alone = true};
    note->bytes_max = bytes_max;
    note->token = token;
    keeping_errand_send(note);
}

static void on_loaded(struct keeping *keeping, struct keeping_note *note)
{
    struct job_state *const state = note->state;
    note->state = NULL;
    keeping->io.loaded(keeping->io.owner, note->token, state, &note->error);
}

/* ---- Notes ----------------------------------------------------------------------------------- */

static void on_gathering(struct keeping *keeping, struct keeping_note *note)
{
    struct gathering *const gathering = find(keeping, note->request.number);
    assert(gathering != NULL && gathering->out);
    gathering->out = false;
    if (note->kind == ERRAND_BEGIN)
        on_begun(keeping, gathering, note);
    else if (note->kind == ERRAND_WRITE)
        on_own(keeping, gathering, note);
    else if (note->kind == ERRAND_COMMIT)
        on_committed(keeping, gathering, note);
    else
        fail(keeping, gathering);
}

void keeping_on_note(struct keeping *keeping, struct keeping_note *note)
{
    switch (note->kind) {
    case ERRAND_BEGIN:
    case ERRAND_WRITE:
    case ERRAND_COMMIT:
    case ERRAND_GIVE_UP: on_gathering(keeping, note); break;
    case ERRAND_RESUME: on_read(keeping, note); break;
    case ERRAND_PORTION: answer(keeping, &note->request, note->token, &note->error, note); break;
    case ERRAND_LOAD: on_loaded(keeping, note); break;
    }
    keeping_note_destroy(note);
}

void keeping_end_portions(struct keeping *keeping)
{
    keeping_note_destroy(keeping->resume);
    keeping->resume = NULL;
    while (keeping->first != NULL) {
        struct gathering *const gathering = keeping->first;
        (void)stepd_fail(&gathering->error, STEPD_CANCELLED,
                         "the daemon ends before it is written");
        fail(keeping, gathering);
    }
    if (keeping->probe[0] != '\0')
        probe_remove(keeping->store, keeping->probe);
    keeping->probe[0] = '\0';
}
