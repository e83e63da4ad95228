/* SPDX-License-Identifier: Apache-2.0
 *
 * A job that control opens, on a member daemon. What it begins with does not come with the order:
 * where it goes on from a checkpoint, or begins with a file's weights, this daemon reads them
 * itself, once for all its shards, on another thread; the order goes on to the shards when they are
 * there. If they cannot be read, the shards do not hear of it, and control is told so for each.
 *
 * Meanwhile nothing else is ordered about the job but that it is closed: control waits for its
 * shards.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/model/first_weights.h"
#include "server/model/job.h"
#include "server/net/server_internal.h"

struct opening {
    struct opening *next;
    struct server *server;       /* borrowed */
    struct order *order;         /* owned */
    bool dropped;                /* nobody waits for it any more */
    uv_work_t work;              /* FIRST_ELSEWHERE */
    struct first_weights *first; /* a reference; NULL: see error */
    struct stepd_error error;
};

static void unlink_opening(struct opening *opening)
{
    struct opening **at = &opening->server->reign.opening;
    while (*at != opening)
        at = &(*at)->next;
    *at = opening->next;
}

static void destroy(struct opening *opening)
{
    (void)order_destroy(opening->order);
    (void)first_weights_unref(opening->first);
    free(opening);
}

/* For each shard here: the job is not open. */
static void refuse(struct server *server, const struct order *order,
                   const struct stepd_error *error)
{
    for (uint32_t i = 0; i < server->options.shards; i++) {
        struct notice *const notice = notice_create(NOTICE_JOB_OPENED, order->job_name);
        if (notice == NULL) { /* control would wait for ever */
            mailbox_post(&server->mailbox, (struct letter){.kind = LETTER_LOST});
            return;
        }
        notice->shard = server->reign.first + i;
        notice->query = order->query;
        notice->error = *error;
        deputy_notice(server->deputy, notice, 0, NULL);
    }
}

/* It is read, or cannot be. */
static void finish(struct opening *opening, const struct stepd_error *error)
{
    struct server *const server = opening->server;
    unlink_opening(opening);
    if (!opening->dropped && error->code == STEPD_OK) {
        server_order_shards(server, opening->order);
        opening->order = NULL;
    } else if (!opening->dropped) {
        refuse(server, opening->order, error);
    }
    destroy(opening);
}

/* ---- A file's weights ------------------------------------------------------------------------ */

static void fetch(uv_work_t *work)
{
    struct opening *const opening = work->data;
    const struct server_options *const options = &opening->server->options;
    opening->error.code =
        options->fetch(options->owner, opening->order->job, &opening->server->ending,
                       &opening->first, &opening->error);
}

/* Are they what control's daemon has read? A job must not be mixed of two. */
static void check_first(struct opening *opening)
{
    const struct server_options *const options = &opening->server->options;
    const struct order *const order = opening->order;
    if (strcmp(opening->first->sum, order->first_sum) == 0)
        return;
    log_event(options->log, LOG_WARN, "init_from_differs", "job=%s sum=%s sum_of_control=%s",
              order->job_name, opening->first->sum, order->first_sum);
    (void)stepd_fail(&opening->error, STEPD_FAILED_PRECONDITION,
                     "job '%s' begins with the weights of a file (init_from), and daemon %u has "
                     "read others from its own than control's daemon: give all daemons the same "
                     "file, whose name and sum the log of each has behind event=init_from",
                     order->job_name, (unsigned)options->place);
}

static void on_fetched(uv_work_t *work, int status)
{
    struct opening *const opening = work->data;
    (void)status; /* nothing is cancelled */
    opening->dropped = opening->dropped || atomic_load(&opening->server->ending);
    if (opening->error.code == STEPD_OK)
        check_first(opening);
    opening->order->first = opening->first;
    opening->first = NULL;
    finish(opening, &opening->error);
}

static void begin_fetch(struct opening *opening)
{
    const struct server_options *const options = &opening->server->options;
    struct stepd_error error;
    if (options->fetch == NULL ||
        !options->is_initialized(options->owner, opening->order->job_name)) {
        (void)stepd_fail(&error, STEPD_FAILED_PRECONDITION,
                         "job '%s' begins with the weights of a file (init_from), and the config "
                         "file of daemon %u names none: start all daemons with the same file",
                         opening->order->job_name, (unsigned)options->place);
        finish(opening, &error);
        return;
    }
    opening->work.data = opening;
    (void)uv_queue_work(&opening->server->uv, &opening->work, fetch, on_fetched);
}

/* ---- A checkpoint ---------------------------------------------------------------------------- */

void server_loaded(struct server *server, void *token, struct job_state *state,
                   const struct stepd_error *error)
{
    struct opening *const opening = token;
    (void)server;
    opening->order->state = state;
    finish(opening, error);
}

/* ---- Both ------------------------------------------------------------------------------------ */

bool server_open_job(struct server *server, struct order *order)
{
    const struct server_options *const options = &server->options;
    struct opening *const opening = calloc(1, sizeof *opening);
    if (opening == NULL)
        return false;
    *opening = (struct opening){.next = server->reign.opening, .server = server, .order = order};
    server->reign.opening = opening;
    if (order->checkpoint != NULL)
        options->load(options->peers_owner, order->job, order->checkpoint, server->reign.first,
                      options->shards, opening);
    else
        begin_fetch(opening);
    return true;
}

void server_drop_openings(struct server *server, const char *job_name)
{
    for (struct opening *at = server->reign.opening; at != NULL; at = at->next)
        at->dropped = at->dropped || job_name == NULL || strcmp(at->order->job_name, job_name) == 0;
}

void server_destroy_openings(struct server *server)
{
    while (server->reign.opening != NULL) {
        struct opening *const opening = server->reign.opening;
        server->reign.opening = opening->next;
        destroy(opening);
    }
}
