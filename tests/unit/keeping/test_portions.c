/* SPDX-License-Identifier: Apache-2.0
 *
 * Three daemons that keep the checkpoints of one job in one folder. Their servers are this test: it
 * brings what they say to each other, when it wants to, and the notes of their writers' threads to
 * the one that it runs on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/disk/shelf.h"
#include "server/keeping.h"
#include "tests/lib/settings.h"
#include "tests/unit/disk/scratch.h"
#include "tests/unit/persist/deal.h"
#include "tests/unit/persist/shares.h"

enum { DAEMONS = 3, NOTES_MAX = 16, STEP = 7, PATIENCE_S = 60 };

struct daemon {
    struct fixture *fixture;
    struct config config;
    struct keeping keeping;
    const struct job_state *share; /* what its shards hold */
};

/* Something that a daemon's writer has said, and to whom. */
struct posted {
    struct daemon *daemon;
    struct keeping_note *note;
};

struct fixture {
    struct scratch *scratch;
    struct shares shares;
    struct job_state *own[DAEMONS];
    const struct job_state *share[DAEMONS];
    struct job_snapshot snapshot;
    struct daemon daemon[DAEMONS];
    size_t mute;                /* a daemon that is asked and does not hear; 0: none */
    struct portion_answer held; /* of one whose answer is not brought yet */
    size_t holds;               /* the daemon of it; 0: none */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t come;
    size_t notes;
    struct posted posted[NOTES_MAX];

    /* What has come of it, on this thread. */
    size_t written;
    struct control_written outcome;
    size_t resumed;
    struct stepd_error resumed_error;
    size_t restored;
    uint64_t incarnation;
    size_t floats; /* slices whose floats have come back */
    struct job_state *loaded[DAEMONS];
    struct stepd_error loaded_error;
};

static struct fixture *current;

/* ---- The server ------------------------------------------------------------------------------ */

void server_note_written(struct server *server, struct server_written *written)
{
    (void)server;
    current->written++;
    current->outcome = written->written;
    free(written);
}

static size_t count_floats(const struct fixture *f, const struct job_state *state)
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
    current->incarnation = snapshot->incarnation + 1; /* as control makes it */
    current->floats = count_floats(current, state);
    return STEPD_OK;
}

/* ---- What daemons say ------------------------------------------------------------------------ */

static void on_post(void *owner, struct keeping_note *note)
{
    struct daemon *const daemon = owner;
    struct fixture *const f = daemon->fixture;
    (void)pthread_mutex_lock(&f->mutex);
    assert_true(f->notes < NOTES_MAX);
    f->posted[f->notes++] = (struct posted){.daemon = daemon, .note = note};
    (void)pthread_cond_signal(&f->come);
    (void)pthread_mutex_unlock(&f->mutex);
}

static void on_ask(void *owner, const char *job_name, const struct portion_request *request)
{
    struct daemon *const control = owner;
    struct fixture *const f = control->fixture;
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
    struct fixture *const f = daemon->fixture;
    assert_ptr_equal(token, daemon);
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

/* Takes the next note. False: none comes within a time that would do for any. */
static bool take_note(struct fixture *f)
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

#define UNTIL(condition)                                                                           \
    while (!(condition))                                                                           \
    assert_true(take_note(f))

/* ---- The daemons ----------------------------------------------------------------------------- */

static void start(struct fixture *f, size_t index, const char *folder)
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
static void stop(struct daemon *daemon)
{
    struct fixture *const f = daemon->fixture;
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

static void setup(struct fixture *f, void *scratch)
{
    const uint64_t big[] = {60, 50};
    const struct stepd_tensor_def tensor = draft_tensor("w", big, 2);
    const struct stepd_group group = settings_group("adam", "lr=0.001");
    struct stepd_define_job def = draft_definition();
    *f = (struct fixture){.scratch = scratch};
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
        start(f, i, "store");
}

static void teardown(struct fixture *f)
{
    for (size_t i = 0; i < DAEMONS; i++)
        stop(&f->daemon[i]);
    portion_answer_deinit(&f->held);
    for (size_t i = 0; i < DAEMONS; i++) {
        (void)job_state_unref(f->loaded[i]);
        (void)deal_end(f->own[i]);
    }
    shares_teardown(&f->shares);
    (void)pthread_cond_destroy(&f->come);
    (void)pthread_mutex_destroy(&f->mutex);
}

static void ask(struct fixture *f, uint64_t step)
{
    struct server_written *const written = calloc(1, sizeof *written);
    assert_non_null(written);
    written->snapshot = &f->snapshot;
    keeping_write_portions(&f->daemon[0].keeping, written, step, 1, DAEMONS);
}

static void write_one(struct fixture *f, uint64_t step)
{
    const size_t before = f->written;
    ask(f, step);
    UNTIL(f->written > before);
    if (f->outcome.error.code != STEPD_OK)
        fail_msg("%s", f->outcome.error.text);
}

/* What is there of the job beside its incarnation: that, or nothing. */
static void expect_there(const struct fixture *f, const char *name)
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

/* ---- Writing --------------------------------------------------------------------------------- */

static void checkpoint__of_three_daemons__is_written(void **state)
{
    struct fixture fixture, *const f = &fixture;
    setup(f, *state);
    write_one(f, STEP);
    assert_string_equal(f->outcome.name, "step-00000007");
    assert_int_equal(f->outcome.step, STEP);
    assert_true(f->outcome.bytes > 3000 * 3 * sizeof(float));
    assert_int_equal(keeping_writing(&f->daemon[0].keeping), 0);
    expect_there(f, "step-00000007");
    assert_true(scratch_has(*state, "store/j/step-00000007/model-00003-of-00003.safetensors"));
    teardown(f);
}

static void checkpoints__beyond_what_is_kept__are_removed(void **state)
{
    struct fixture fixture, *const f = &fixture;
    setup(f, *state);
    f->daemon[0].config.checkpoint_keep = 1;
    write_one(f, STEP);
    write_one(f, STEP + 1);
    expect_there(f, "step-00000008");
    teardown(f);
}

static void checkpoint__of_which_a_portion_fails__is_given_up(void **state)
{
    struct fixture fixture, *const f = &fixture;
    setup(f, *state);
    stop(&f->daemon[2]);
    start(f, 2, "elsewhere"); /* where there is nothing */
    ask(f, STEP);
    UNTIL(f->written == 1);
    assert_int_equal(f->outcome.error.code, STEPD_UNAVAILABLE);
    assert_memory_equal(f->outcome.error.text, "daemon 3: ", 10);
    assert_null(strstr(f->outcome.error.text, "elsewhere"));
    expect_there(f, "");
    stop(&f->daemon[2]);
    start(f, 2, "store");
    write_one(f, STEP); /* the same step, in another folder */
    expect_there(f, "step-00000007");
    teardown(f);
}

static void checkpoint__that_a_daemon_does_not_answer_for__waits_and_can_be_given_up(void **state)
{
    struct fixture fixture, *const f = &fixture;
    setup(f, *state);
    f->holds = 1;
    ask(f, STEP);
    UNTIL(f->held.number != 0); /* it has written */
    assert_int_equal(f->written, 0);
    assert_int_equal(keeping_writing(&f->daemon[0].keeping), 1);
    keeping_give_up(&f->daemon[0].keeping);
    UNTIL(f->written == 1);
    assert_int_equal(f->outcome.error.code, STEPD_CANCELLED);
    expect_there(f, "");
    keeping_answered(&f->daemon[0].keeping, &f->held); /* too late */
    f->held = (struct portion_answer){.sums = NULL};
    f->holds = 0;
    write_one(f, STEP);
    teardown(f);
}

static void answers__that_nobody_has_asked_for__are_ignored(void **state)
{
    struct fixture fixture, *const f = &fixture;
    setup(f, *state);
    f->holds = 2;
    ask(f, STEP);
    UNTIL(f->held.number != 0);
    struct portion_answer strange[] = {
        {.number = f->held.number + 1, .index = 1, .error = {.code = STEPD_UNAVAILABLE}},
        {.number = f->held.number, .index = 0, .error = {.code = STEPD_UNAVAILABLE}},
        {.number = f->held.number, .index = DAEMONS, .error = {.code = STEPD_UNAVAILABLE}},
        {.number = f->held.number, .index = UINT32_MAX, .error = {.code = STEPD_UNAVAILABLE}},
    };
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++)
        keeping_answered(&f->daemon[0].keeping, &strange[i]);
    assert_int_equal(f->written, 0);
    keeping_answered(&f->daemon[0].keeping, &f->held);
    f->held = (struct portion_answer){.sums = NULL};
    UNTIL(f->written == 1);
    assert_int_equal(f->outcome.error.code, STEPD_OK);
    teardown(f);
}

static void answer__with_sums_of_other_files__fails_the_checkpoint(void **state)
{
    static const char lie[] = "{\"files\": [], \"arrays\": {}}";
    struct fixture fixture, *const f = &fixture;
    setup(f, *state);
    f->mute = 1;
    f->holds = 2;
    ask(f, STEP);
    UNTIL(f->held.number != 0);
    struct portion_answer answer = {
        .number = f->held.number, .index = 1, .sums = strdup(lie), .sums_bytes = sizeof lie - 1};
    keeping_answered(&f->daemon[0].keeping, &answer);
    keeping_answered(&f->daemon[0].keeping, &f->held);
    f->held = (struct portion_answer){.sums = NULL};
    UNTIL(f->written == 1);
    assert_int_equal(f->outcome.error.code, STEPD_INVALID_ARGUMENT);
    assert_non_null(strstr(f->outcome.error.text, "what daemon 2 has written"));
    expect_there(f, "");
    teardown(f);
}

static void keeping_end__while_one_is_written__says_so_and_leaves_what_the_next_clears(void **state)
{
    struct fixture fixture, *const f = &fixture;
    setup(f, *state);
    f->holds = 1;
    ask(f, STEP);
    UNTIL(f->held.number != 0);
    stop(&f->daemon[0]);
    assert_int_equal(f->written, 1);
    assert_int_equal(f->outcome.error.code, STEPD_CANCELLED);
    start(f, 0, "store"); /* the next daemon */
    f->holds = 0;
    write_one(f, STEP + 1);
    expect_there(f, "step-00000008");
    teardown(f);
}

/* ---- Going on -------------------------------------------------------------------------------- */

static void jobs__of_a_reign__come_back_with_the_floats_of_their_own_shards(void **state)
{
    struct fixture fixture, *const f = &fixture;
    const size_t slices = 12;
    struct store *store = NULL;
    struct shelf shelf;
    struct stepd_error error = {.code = STEPD_OK};
    uint64_t incarnation = 0;
    setup(f, *state);
    assert_int_equal(f->shares.job->layout.slices, slices);
    write_one(f, STEP);
    keeping_resume_begin(&f->daemon[0].keeping, 4, 1, UINT64_MAX);
    UNTIL(f->resumed == 1);
    if (f->resumed_error.code != STEPD_OK)
        fail_msg("%s", f->resumed_error.text);
    assert_int_equal(f->restored, 1);
    assert_int_equal(f->floats, slices / 4);
    assert_int_equal(store_open_to_read(scratch_path(*state, "store"), &store, &error), STEPD_OK);
    const struct store_shelf_name name = store_shelf_name("j");
    assert_int_equal(shelf_open(store, &name, &shelf, &error), STEPD_OK);
    assert_int_equal(shelf_read_incarnation(&shelf, &incarnation, &error), STEPD_OK);
    assert_int_equal(incarnation, f->incarnation); /* before anybody is told */
    shelf_close(&shelf);
    (void)store_close(store);
    teardown(f);
}

static void state__of_a_member__is_that_of_its_own_shards(void **state)
{
    struct fixture fixture, *const f = &fixture;
    struct job *job = NULL;
    struct job_draft *draft = NULL;
    size_t floats = 0;
    setup(f, *state);
    write_one(f, STEP);
    assert_int_equal(job_draft_of(f->shares.job, f->shares.job->slice_elements, &draft, NULL),
                     STEPD_OK);
    assert_int_equal(job_draft_seal(draft, 6, 6, &job, NULL), STEPD_OK);
    (void)job_draft_destroy(draft);
    for (uint32_t i = 1; i < DAEMONS; i++) {
        keeping_load(&f->daemon[i].keeping, job, "step-00000007",
                     (struct keeping_shards){.first = 2 * i, .count = 2}, UINT64_MAX, NULL);
        UNTIL(f->loaded[i] != NULL || f->loaded_error.code != STEPD_OK);
        if (f->loaded[i] == NULL)
            fail_msg("%s", f->loaded_error.text);
        for (size_t k = 0; k < job->layout.slices; k++)
            assert_int_equal(f->loaded[i]->slice[k].taken, job->layout.slice[k].shard / 2 == i);
        floats += count_floats(f, f->loaded[i]);
    }
    assert_int_equal(floats, 8); /* of 12: the rest are control's */
    (void)job_unref(job);
    teardown(f);
}

static void load__of_what_is_no_checkpoint__is_refused(void **state)
{
    static const char *const names[] = {
        "", "..", "step-7", "../j/step-00000007", ".new-step-00000007", "step-00000009"};
    struct fixture fixture, *const f = &fixture;
    setup(f, *state);
    write_one(f, STEP);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        f->loaded_error.code = STEPD_OK;
        keeping_load(&f->daemon[1].keeping, f->shares.job, names[i],
                     (struct keeping_shards){.count = 1}, UINT64_MAX, NULL);
        UNTIL(f->loaded_error.code != STEPD_OK);
        assert_null(f->loaded[1]);
        assert_null(strstr(f->loaded_error.text, f->scratch->path));
    }
    teardown(f);
}

static void reign__that_begins_while_one_is_written__gives_it_up_first(void **state)
{
    struct fixture fixture, *const f = &fixture;
    setup(f, *state);
    write_one(f, STEP);
    f->holds = 1;
    ask(f, STEP + 1);
    UNTIL(f->held.number != 0);
    keeping_resume_begin(&f->daemon[0].keeping, 1, 1, UINT64_MAX);
    UNTIL(f->resumed == 1);
    assert_int_equal(f->resumed_error.code, STEPD_OK);
    assert_int_equal(f->written, 2);
    assert_int_equal(f->outcome.error.code, STEPD_CANCELLED);
    assert_int_equal(f->floats, 12);
    expect_there(f, "step-00000007");
    teardown(f);
}

static void reign__that_ends_before_its_jobs_are_back__brings_none(void **state)
{
    struct fixture fixture, *const f = &fixture;
    setup(f, *state);
    write_one(f, STEP);
    keeping_resume_begin(&f->daemon[0].keeping, 1, 1, UINT64_MAX);
    keeping_resume_begin(&f->daemon[0].keeping, 2, 1, UINT64_MAX);
    UNTIL(f->resumed == 1);
    assert_int_equal(f->restored, 1);
    assert_int_equal(f->floats, 6); /* of the second one's layout */
    keeping_load(&f->daemon[1].keeping, f->shares.job, "", (struct keeping_shards){.count = 1},
                 UINT64_MAX, NULL);
    UNTIL(f->loaded_error.code != STEPD_OK); /* nothing else comes before */
    assert_int_equal(f->resumed, 1);
    teardown(f);
}

/* ---- One folder ------------------------------------------------------------------------------ */

static void probe__is_seen_by_those_who_have_the_folder(void **state)
{
    struct fixture fixture, *const f = &fixture;
    struct stepd_error error = {.code = STEPD_OK};
    const char *name = NULL;
    setup(f, *state);
    assert_int_equal(keeping_probe(&f->daemon[0].keeping, &name, &error), STEPD_OK);
    assert_int_equal(keeping_see(&f->daemon[1].keeping, name, &error), STEPD_OK);
    assert_int_equal(keeping_see(&f->daemon[1].keeping, "", &error), STEPD_OK);
    stop(&f->daemon[2]);
    start(f, 2, "elsewhere");
    assert_int_equal(keeping_see(&f->daemon[2].keeping, name, &error), STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "checkpoint_dir is not the folder of control's daemon"));
    assert_null(strstr(error.text, "elsewhere"));
    const char *const path = f->daemon[2].config.checkpoint_dir;
    f->daemon[2].config.checkpoint_dir = "";
    assert_int_equal(keeping_see(&f->daemon[2].keeping, name, &error), STEPD_FAILED_PRECONDITION);
    assert_non_null(strstr(error.text, "has no checkpoint_dir"));
    f->daemon[2].config.checkpoint_dir = path;
    teardown(f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(checkpoint__of_three_daemons__is_written),
        TEST(checkpoints__beyond_what_is_kept__are_removed),
        TEST(checkpoint__of_which_a_portion_fails__is_given_up),
        TEST(checkpoint__that_a_daemon_does_not_answer_for__waits_and_can_be_given_up),
        TEST(answers__that_nobody_has_asked_for__are_ignored),
        TEST(answer__with_sums_of_other_files__fails_the_checkpoint),
        TEST(keeping_end__while_one_is_written__says_so_and_leaves_what_the_next_clears),
        TEST(jobs__of_a_reign__come_back_with_the_floats_of_their_own_shards),
        TEST(state__of_a_member__is_that_of_its_own_shards),
        TEST(load__of_what_is_no_checkpoint__is_refused),
        TEST(reign__that_begins_while_one_is_written__gives_it_up_first),
        TEST(reign__that_ends_before_its_jobs_are_back__brings_none),
        TEST(probe__is_seen_by_those_who_have_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
