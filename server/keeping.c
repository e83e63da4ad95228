/* SPDX-License-Identifier: Apache-2.0 */
#include "server/keeping.h"

#include <string.h>

#include "proto/error.h"
#include "server/disk/init_read.h"
#include "server/disk/resume.h"

enum stepd_status keeping_open(struct keeping *keeping, const struct config *config,
                               const struct log *log, struct stepd_error *reterr)
{
    *keeping = (struct keeping){.config = config, .log = log};
    if (config->checkpoint_dir[0] == '\0')
        return STEPD_OK;
    return store_open(config->checkpoint_dir, &keeping->store, reterr);
}

void keeping_open_as_guest(struct keeping *keeping, const struct config *config,
                           const struct log *log)
{
    *keeping = (struct keeping){.config = config, .log = log, .guest = true};
}

enum stepd_status keeping_restore(void *owner, struct job_snapshot *snapshot,
                                  struct job_state *state, struct stepd_error *reterr)
{
    struct keeping *const keeping = owner;
    const char *const name = snapshot->job->name;
    const enum stepd_status status = server_restore(keeping->server, snapshot, state, reterr);
    const struct config_job *const job = config_find_job(keeping->config, name);
    if (status != STEPD_OK || job == NULL)
        return status;
    keeping->resumed[job - keeping->config->job] = true;
    if (job->init_from.file[0] != '\0')
        log_event(keeping->log, LOG_INFO, "init_from_unused", "job=%s file=%s reason=%s", name,
                  job->init_from.file, "the job goes on from its checkpoint");
    return STEPD_OK;
}

/* Of a job of the config; of another one nobody knows whether its size was asked for. */
uint32_t keeping_slice_elements(void *owner, const char *job)
{
    const struct keeping *const keeping = owner;
    const struct config_job *const found = config_find_job(keeping->config, job);
    if (found == NULL)
        return 0;
    const uint32_t own = found->definition.slice_elements;
    return own != 0 ? own : keeping->config->slice_elements;
}

/* A job that comes back within the daemon's life is its own. */
bool keeping_begins_anew(const struct keeping *keeping)
{
    return !keeping->looked && strcmp(keeping->config->resume, "never") == 0;
}

static enum stepd_status resume(struct keeping *keeping, uint64_t bytes_max,
                                struct stepd_error *reterr)
{
    const struct resume from = {
        .store = keeping->store,
        .bytes_max = bytes_max,
        .log = keeping->log,
        .cut = {.slice_elements = keeping_slice_elements, .owner = keeping, .log = keeping->log},
        .restore = keeping_restore,
        .owner = keeping,
    };
    return keeping_begins_anew(keeping) ? resume_none(keeping->store, keeping->log, reterr)
                                        : resume_jobs(&from, reterr);
}

/* The text is for the operator, who may be told where that is. */
enum stepd_status keeping_resume(struct keeping *keeping, struct server *server, uint64_t bytes_max,
                                 struct stepd_error *reterr)
{
    keeping->server = server;
    if (keeping->store == NULL)
        return STEPD_OK;
    const enum stepd_status status = resume(keeping, bytes_max, reterr);
    return status == STEPD_OK ? STEPD_OK
                              : stepd_fail_in(reterr, status, "checkpoint folder %s",
                                              keeping->config->checkpoint_dir);
}

enum stepd_status keeping_check_init_from(const struct keeping *keeping,
                                          const struct config_job *job, struct stepd_error *reterr)
{
    const char *const file = job->init_from.file;
    if (file[0] == '\0' || keeping->resumed[job - keeping->config->job] ||
        init_read_check(file, reterr) == STEPD_OK)
        return STEPD_OK;
    return stepd_fail_in(reterr, STEPD_FAILED_PRECONDITION, "init_from");
}

bool keeping_is_initialized(const struct keeping *keeping, const char *job)
{
    const struct config_job *const found = config_find_job(keeping->config, job);
    return found != NULL && found->init_from.file[0] != '\0';
}

enum stepd_status keeping_fetch(const struct keeping *keeping, const struct job *job,
                                const atomic_bool *stop, struct first_weights **ret_first,
                                struct stepd_error *reterr)
{
    const struct config_init_from *const from =
        &config_find_job(keeping->config, job->name)->init_from;
    const struct init_read reading = {
        .file = from->file, .naming = &from->naming, .stop = stop, .log = keeping->log};
    return init_read(&reading, job, ret_first, reterr);
}

static void on_written(void *owner, void *token, const struct control_written *written)
{
    const struct keeping *const keeping = owner;
    struct server_written *const note = token;
    note->written = *written;
    server_note_written(keeping->server, note);
}

enum stepd_status keeping_start(struct keeping *keeping, struct stepd_error *reterr)
{
    if (keeping->store == NULL && !(keeping->guest && keeping->config->checkpoint_dir[0] != '\0'))
        return STEPD_OK;
    const struct writer_options options = {
        .store = keeping->store,
        .keep = keeping->config->checkpoint_keep,
        .stepd = STEPD_VERSION,
        .log = keeping->log,
        .written = on_written,
        .owner = keeping,
    };
    if (writer_start(&options, &keeping->writer) == STEPD_OK)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                      "cannot start a thread that writes checkpoints");
}

void keeping_write(struct keeping *keeping, struct server_written *written, uint64_t step)
{
    writer_write(keeping->writer, written->snapshot, step, written);
}

void keeping_end(struct keeping *keeping)
{
    keeping->writer = writer_end(keeping->writer);
    keeping_end_portions(keeping);
    keeping->store = store_close(keeping->store);
}
