/* SPDX-License-Identifier: Apache-2.0
 *
 * See the header.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/keeping/daemons.h"

#include "server/disk/shelf.h"
#include "tests/lib/settings.h"
#include "tests/unit/persist/deal.h"

enum { PATIENCE_S = 60 };

static struct daemons *current;

/* ---- The server ------------------------------------------------------------------------------ */

void server_note_written(struct server *server, struct server_written *written)
{
    (void)server;
    current->written++;
    current->outcome = written->written;
    free(written);
}

size_t daemons_count_floats(const struct daemons *f, const struct job_state *state)
{
    size_t count = 0;
    for (size_t i = 0; i < state->job->layout.slices; i++) {
        const struct slice_state *const saved = shares_slice(&f->shares, i);
        const float *const weights = state->slice[i].view[STEPD_EVALUATION];
        if (weights == NULL)
            continue;
        assert_memory_equal(weights, saved->view[STEPD_EVALUATION],
                            saved->elements * sizeof(float));
        count++;
    }
    return count;
}

enum stepd_status server_restore(struct server *server, struct job_snapshot *snapshot,
                                 struct job_state *state, struct stepd_error *reterr)
{
    (void)server;
    (void)reterr;
    current->restored++;
    memcpy(current->origin, snapshot->origin.name, sizeof current->origin);
    current->incarnation = snapshot->incarnation + 1; /* as control makes it */
    current->floats = daemons_count_floats(current, state);
    return STEPD_OK;
}

/* ---- What daemons say ------------------------------------------------------------------------ */

static void on_post(void *owner, struct keeping_note *note)
{
    struct daemon *const daemon = owner;
    struct daemons *const f = daemon->fixture;
    (void)pthread_mutex_lock(&f->mutex);
    assert_true(f->notes < DAEMONS_NOTES_MAX);
    f->posted[f->notes++] = (struct posted){.daemon = daemon, .note = note};
    (void)pthread_cond_signal(&f->come);
    (void)pthread_mutex_unlock(&f->mutex);
}

static void on_ask(void *owner, const char *job_name, const struct portion_request *request)
{
    struct daemon *const control = owner;
    struct daemons *const f = control->fixture;
    assert_string_equal(job_name, "j");
    assert_in_range(request->index, 1, DAEMONS - 1);
    if (request->index == f->mute)
        return;
    struct daemon *const daemon = &f->daemon[request->index];
    keeping_write_portion(&daemon->keeping, request, &daemon->share, 1, daemon);
}

static void on_answer(void *owner, void *token, struct portion_answer *answer)
{
    struct daemon *const daemon = owner;
    struct daemons *const f = daemon->fixture;
    assert_ptr_equal(token, daemon);
    f->answers++;
    if (answer->index == f->holds)
        f->held = *answer;
    else
        keeping_answered(&f->daemon[0].keeping, answer);
}

static void on_resumed(void *owner, const struct stepd_error *error)
{
    struct daemon *const control = owner;
    control->fixture->resumed++;
    control->fixture->resumed_error = *error;
}

static void on_loaded(void *owner, void *token, struct job_state *state,
                      const struct stepd_error *error)
{
    struct daemon *const daemon = owner;
    (void)token;
    daemon->fixture->loaded[daemon - daemon->fixture->daemon] = state;
    daemon->fixture->loaded_error = *error;
}

bool daemons_take_note(struct daemons *f)
{
    struct timespec until;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
    until.tv_sec += PATIENCE_S;
    (void)pthread_mutex_lock(&f->mutex);
    while (f->notes == 0 && pthread_cond_timedwait(&f->come, &f->mutex, &until) == 0)
        continue;
    const bool come = f->notes > 0;
    const struct posted first = f->posted[0];
    if (come)
        memmove(&f->posted[0], &f->posted[1], --f->notes * sizeof f->posted[0]);
    (void)pthread_mutex_unlock(&f->mutex);
    if (come)
        keeping_on_note(&first.daemon->keeping, first.note);
    return come;
}

/* ---- The daemons ----------------------------------------------------------------------------- */

void daemons_start(struct daemons *f, size_t index, const char *folder)
{
    struct daemon *const daemon = &f->daemon[index];
    struct stepd_error error = {.code = STEPD_OK};
    const struct keeping_io io = {.owner = daemon,
                                  .post = on_post,
                                  .ask = on_ask,
                                  .resumed = on_resumed,
                                  .answer = on_answer,
                                  .loaded = on_loaded};
    *daemon = (struct daemon){
        .fixture = f,
        .share = f->share[index],
        .config = {.checkpoint_dir = scratch_path(f->scratch, folder),
                   .checkpoint_keep = 3,
                   .resume = "auto"},
    };
    daemon->config.checkpoint_dir = strdup(daemon->config.checkpoint_dir);
    if (index > 0)
        keeping_open_as_guest(&daemon->keeping, &daemon->config, NULL);
    else if (keeping_open(&daemon->keeping, &daemon->config, NULL, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    keeping_use(&daemon->keeping, NULL, &io);
    assert_int_equal(keeping_start(&daemon->keeping, &error), STEPD_OK);
}

/* Its server has ended, and what the writer has said since then is for nobody. */
void daemons_stop(struct daemon *daemon)
{
    struct daemons *const f = daemon->fixture;
    size_t left = 0;
    keeping_end(&daemon->keeping);
    (void)pthread_mutex_lock(&f->mutex);
    for (size_t i = 0; i < f->notes; i++) {
        if (f->posted[i].daemon == daemon)
            keeping_note_destroy(f->posted[i].note);
        else
            f->posted[left++] = f->posted[i];
    }
    f->notes = left;
    (void)pthread_mutex_unlock(&f->mutex);
    free((char *)(uintptr_t)daemon->config.checkpoint_dir);
}

void daemons_setup(struct daemons *f, void *scratch)
{
    const uint64_t big[] = {60, 50};
    const struct stepd_tensor_def tensor = draft_tensor("w", big, 2);
    const struct stepd_group group = settings_group("adam", "lr=0.001");
    struct stepd_define_job def = draft_definition();
    *f = (struct daemons){.scratch = scratch};
    current = f;
    def.group = &group;
    def.slice_elements = LAYOUT_SLICE_ELEMENTS_LEAST;
    assert_int_equal(pthread_mutex_init(&f->mutex, NULL), 0);
    assert_int_equal(pthread_cond_init(&f->come, NULL), 0);
    shares_setup_tensors(&f->shares, &def, &tensor, 1);
    shares_take(&f->shares);
    const struct job_state *const share[SHARES] = {f->shares.share[0], f->shares.share[1]};
    for (uint32_t i = 0; i < DAEMONS; i++) {
        f->own[i] = deal(share, SHARES, deal_in_turns, i, DAEMONS);
        f->share[i] = f->own[i];
    }
    f->snapshot = (struct job_snapshot){.job = f->shares.job,
                                        .version = JOB_STATE_AS_IT_STANDS,
                                        .incarnation = 5,
                                        .share = f->share,
                                        .shares = DAEMONS};
    for (size_t i = 0; i < DAEMONS; i++)
        daemons_start(f, i, "store");
}

void daemons_teardown(struct daemons *f)
{
    for (size_t i = 0; i < DAEMONS; i++)
        daemons_stop(&f->daemon[i]);
    portion_answer_deinit(&f->held);
    for (size_t i = 0; i < DAEMONS; i++) {
        (void)job_state_unref(f->loaded[i]);
        (void)deal_end(f->own[i]);
    }
    shares_teardown(&f->shares);
    (void)pthread_cond_destroy(&f->come);
    (void)pthread_mutex_destroy(&f->mutex);
}

void daemons_ask(struct daemons *f, uint64_t step)
{
    struct server_written *const written = calloc(1, sizeof *written);
    assert_non_null(written);
    written->snapshot = &f->snapshot;
    keeping_write_portions(&f->daemon[0].keeping, written, step, 1, DAEMONS);
}

void daemons_ask_and_hold(struct daemons *f, uint64_t step, size_t daemon)
{
    f->holds = daemon;
    f->answers = 0;
    daemons_ask(f, step);
    DAEMONS_UNTIL(f, f->answers == DAEMONS - 1 - (f->mute != 0));
}

void daemons_write(struct daemons *f, uint64_t step)
{
    const size_t before = f->written;
    daemons_ask(f, step);
    DAEMONS_UNTIL(f, f->written > before);
    if (f->outcome.error.code != STEPD_OK)
        fail_msg("%s", f->outcome.error.text);
}

void daemons_expect_there(const struct daemons *f, const char *name)
{
    DIR *const list = opendir(scratch_path(f->scratch, "store/j"));
    const struct dirent *entry;
    size_t names = 0;
    assert_non_null(list);
    while ((entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strcmp(entry->d_name, SHELF_INCARNATION_FILE) == 0)
            continue;
        assert_string_equal(entry->d_name, name);
        names++;
    }
    (void)closedir(list);
    assert_int_equal(names, name[0] != '\0');
}
