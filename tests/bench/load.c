/* SPDX-License-Identifier: Apache-2.0
 *
 * Teams of workers, each a thread with a client, which step together in a job of their own. The
 * tensor of a team is the smaller the more workers it has, so that a step of any team moves the
 * same bytes in all. Teams take turns, one step at a time: those of 1, 2, 4 and 8 workers in one
 * daemon, or two equal ones in daemons of 1 and 2 shards. What the daemon spends on processors is
 * taken from its clock around a step.
 *
 *     a team's thread:  for each step: begin (barrier) -> stepd_step -> end (barrier)
 */
#include "tests/bench/load.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <stepd/client.h>

#include "proto/error.h"
#include "tests/bench/daemon.h"

#define TEAMS_MAX     4u
#define WORKERS_MAX   8u
#define ROUNDS_LEAST  5u
#define ROUNDS_WARM   2u /* not counted */
#define SECONDS       4.0
#define SECONDS_QUICK 0.05
#define BYTES         ((size_t)64 << 20)
#define BYTES_QUICK   ((size_t)1 << 20)

struct team;

struct member {
    struct team *team;           /* borrowed */
    struct stepd_client *client; /* owned */
    struct stepd_array array;
    enum stepd_status status; /* of the last step */
    struct stepd_error error; /* the same */
    pthread_t thread;
    bool running; /* the thread was started and not joined */
};

/* What is compared. */
struct team_row {
    const char *lane;
    size_t workers;
    const char *shards; /* of its daemon; NULL: it shares the daemon of the team before it */
};

struct team {
    const struct team_row *row;
    const struct daemon *daemon; /* borrowed */
    struct member member[WORKERS_MAX];
    pthread_barrier_t begin; /* of the workers and who measures */
    pthread_barrier_t end;
    bool barriers; /* are there */
    bool over;     /* from the next beginning on */
    struct samples samples;
};

struct load {
    const struct step_settings *settings;
    const char *transport;
    size_t bytes;
    size_t teams;
    struct daemon daemon[TEAMS_MAX];
    float *grad;    /* (bytes / 4,), owned; a share for each worker of a team */
    float *weights; /* the same */
    struct team team[TEAMS_MAX];
};

/* ---- A worker -------------------------------------------------------------------------------- */

static void *work(void *self)
{
    struct member *const member = self;
    struct team *const team = member->team;
    for (;;) {
        (void)pthread_barrier_wait(&team->begin);
        if (team->over)
            return NULL;
        member->status =
            stepd_step(member->client, &member->array, 1, /* options= */ NULL, &member->error);
        (void)pthread_barrier_wait(&team->end);
    }
}

static enum stepd_status join(const struct load *load, struct team *team, size_t rank,
                              struct stepd_error *reterr)
{
    struct member *const member = &team->member[rank];
    const size_t elements = load->bytes / sizeof(float) / team->row->workers;
    const struct stepd_param_group group = {
        .match = "*",
        .optimizer = load->settings->optimizer,
    };
    const uint64_t shape[] = {elements};
    const struct stepd_tensor tensor = {.name = "w", .shape = shape, .dims = 1};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    struct stepd_options options = STEPD_OPTIONS_INIT;
    job.groups = &group;
    job.groups_count = 1;
    job.workers = (uint32_t)team->row->workers;
    options.job = team->row->lane;
    options.rank = (int)rank;
    options.address =
        load->transport[0] == 't' ? team->daemon->tcp_address : team->daemon->unix_address;
    member->team = team;
    member->array = (struct stepd_array){
        .grad = load->grad + rank * elements,
        .weights = load->weights + rank * elements,
    };
    const enum stepd_status status = stepd_connect(&options, &member->client, reterr);
    return status == STEPD_OK ? stepd_define(member->client, &job, &tensor, 1, reterr) : status;
}

/* ---- A team ---------------------------------------------------------------------------------- */

static enum stepd_status start_team(const struct load *load, struct team *team,
                                    struct stepd_error *reterr)
{
    const unsigned parties = (unsigned)team->row->workers + 1;
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < team->row->workers && status == STEPD_OK; i++)
        status = join(load, team, i, reterr);
    if (status != STEPD_OK)
        return status;
    team->barriers = pthread_barrier_init(&team->begin, NULL, parties) == 0 &&
                     pthread_barrier_init(&team->end, NULL, parties) == 0;
    for (size_t i = 0; i < team->row->workers && team->barriers; i++) {
        struct member *const member = &team->member[i];
        member->running = pthread_create(&member->thread, NULL, work, member) == 0;
        if (!member->running) /* the others wait at a barrier for ever: they end with the program */
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no thread for a worker");
    }
    return team->barriers ? STEPD_OK
                          : stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no barrier for workers");
}

/* Of a team that has started as a whole. */
static void end_team(struct team *team)
{
    team->over = true;
    (void)pthread_barrier_wait(&team->begin);
    for (size_t i = 0; i < team->row->workers; i++)
        (void)pthread_join(team->member[i].thread, NULL);
    (void)pthread_barrier_destroy(&team->begin);
    (void)pthread_barrier_destroy(&team->end);
}

static enum stepd_status step_together(struct team *team, bool counted, struct stepd_error *reterr)
{
    const double spent_s = samples_cpu(team->daemon->pid);
    const double began = samples_now();
    (void)pthread_barrier_wait(&team->begin);
    (void)pthread_barrier_wait(&team->end);
    if (counted) {
        samples_add(&team->samples, samples_now() - began);
        team->samples.cpu_s += samples_cpu(team->daemon->pid) - spent_s;
    }
    for (size_t i = 0; i < team->row->workers; i++) {
        const struct member *const member = &team->member[i];
        if (member->status != STEPD_OK)
            return stepd_fail(reterr, member->status, "%s, worker %zu: %s", team->row->lane, i,
                              member->error.text);
    }
    return STEPD_OK;
}

/* ---- All of them ----------------------------------------------------------------------------- */

static enum stepd_status make_arrays(struct load *load, struct stepd_error *reterr)
{
    load->grad = malloc(load->bytes);
    load->weights = malloc(load->bytes);
    if (load->grad == NULL || load->weights == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for %zu bytes", load->bytes);
    for (size_t i = 0; i < load->bytes / sizeof(float); i++) {
        load->grad[i] = 1e-3f * (float)(i % 7);
        load->weights[i] = 1.0f;
    }
    return STEPD_OK;
}

static enum stepd_status start_daemons(struct load *load, const struct team_row *row,
                                       struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    for (size_t i = 0; i < load->teams && status == STEPD_OK; i++) {
        const char *const flags[] = {"--shards", row[i].shards, NULL};
        load->team[i].row = &row[i];
        if (row[i].shards != NULL)
            status = daemon_start_with(load->settings->daemon, flags, &load->daemon[i], reterr);
        load->team[i].daemon = row[i].shards != NULL ? &load->daemon[i] : load->team[i - 1].daemon;
    }
    return status;
}

static enum stepd_status stop_load(struct load *load, size_t started, enum stepd_status status,
                                   struct stepd_error *reterr)
{
    for (size_t i = 0; i < load->teams; i++) {
        if (i < started)
            end_team(&load->team[i]);
        for (size_t k = 0; k < WORKERS_MAX; k++)
            stepd_close(load->team[i].member[k].client);
    }
    for (size_t i = 0; i < load->teams; i++) {
        if (load->daemon[i].pid <= 0)
            continue;
        const enum stepd_status ended =
            daemon_stop(&load->daemon[i], status == STEPD_OK ? reterr : NULL);
        status = status == STEPD_OK ? ended : status;
    }
    free(load->grad);
    free(load->weights);
    free(load);
    return status;
}

static enum stepd_status run_load(struct load *load, struct stepd_error *reterr)
{
    const double until = samples_now() + (load->settings->quick ? SECONDS_QUICK : SECONDS);
    enum stepd_status status = STEPD_OK;
    for (size_t round = 0; round < SAMPLES_MAX && status == STEPD_OK; round++) {
        if (round >= ROUNDS_WARM + ROUNDS_LEAST && samples_now() >= until)
            break;
        for (size_t i = 0; i < load->teams && status == STEPD_OK; i++)
            status = step_together(&load->team[i], round >= ROUNDS_WARM, reterr);
    }
    return status;
}

static enum stepd_status measure(const struct step_settings *settings, const char *transport,
                                 const struct team_row *row, size_t teams, struct report *report,
                                 struct stepd_error *reterr)
{
    struct load *const load = calloc(1, sizeof *load); /* samples: too large for a stack */
    struct report_lane lanes[TEAMS_MAX];
    size_t started = 0;
    if (load == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for samples");
    load->settings = settings;
    load->transport = transport;
    load->bytes = settings->quick ? BYTES_QUICK : BYTES;
    load->teams = teams;
    const struct report_subject subject = {
        .optimizer = settings->optimizer,
        .kind_name = "transport",
        .kind = transport,
        .size_name = "bytes",
        .size = load->bytes,
        .bytes = 2 * load->bytes,
    };
    report_progress(report, &subject);
    enum stepd_status status = make_arrays(load, reterr);
    if (status == STEPD_OK)
        status = start_daemons(load, row, reterr);
    for (; started < teams && status == STEPD_OK; started += status == STEPD_OK ? 1 : 0)
        status = start_team(load, &load->team[started], reterr);
    if (status == STEPD_OK)
        status = run_load(load, reterr);
    for (size_t i = 0; i < teams; i++)
        lanes[i] = (struct report_lane){.name = row[i].lane, .samples = &load->team[i].samples};
    if (status == STEPD_OK)
        report_comparison(report, &subject, lanes, teams);
    return stop_load(load, started, status, reterr);
}

static enum stepd_status measure_both(const struct step_settings *settings,
                                      const struct team_row *row, size_t teams,
                                      struct report *report, struct stepd_error *reterr)
{
    const enum stepd_status status = measure(settings, "tcp", row, teams, report, reterr);
    return status == STEPD_OK ? measure(settings, "unix", row, teams, report, reterr) : status;
}

enum stepd_status workers_measure(const struct step_settings *settings, struct report *report,
                                  struct stepd_error *reterr)
{
    static const struct team_row rows[] = {
        {"1-worker", 1, "1"},
        {"2-worker", 2, NULL},
        {"4-worker", 4, NULL},
        {"8-worker", 8, NULL},
    };
    report_section(report, "workers",
                   "A step of so many workers at once, size of all their gradients together, GB/s "
                   "both ways in sum; ratios to 1 worker");
    return measure_both(settings, rows, sizeof rows / sizeof rows[0], report, reterr);
}

enum stepd_status shards_measure(const struct step_settings *settings, struct report *report,
                                 struct stepd_error *reterr)
{
    static const struct team_row rows[] = {
        {"1-shard", 2, "1"},
        {"2-shard", 2, "2"},
    };
    report_section(report, "shards",
                   "A step of two workers at once in a daemon of 1 and of 2 shards, GB/s both ways "
                   "in sum; ratios to 1 shard");
    return measure_both(settings, rows, sizeof rows / sizeof rows[0], report, reterr);
}
