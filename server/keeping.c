/* SPDX-License-Identifier: Apache-2.0 */
#include "server/keeping.h"

#include <string.h>

#include "proto/error.h"
#include "server/disk/resume.h"

enum stepd_status keeping_open(struct keeping *keeping, const struct config *config,
                               const struct log *log, struct stepd_error *reterr)
{
    *keeping = (struct keeping){.config = config, .log = log};
    if (config->checkpoint_dir[0] == '\0')
        return STEPD_OK;
    return store_open(config->checkpoint_dir, &keeping->store, reterr);
}

static enum stepd_status restore(void *owner, struct job_snapshot *snapshot,
                                 struct job_state *state, struct stepd_error *reterr)
{
    const struct keeping *const keeping = owner;
    return server_restore(keeping->server, snapshot, state, reterr);
}

enum stepd_status keeping_resume(struct keeping *keeping, struct server *server, uint64_t bytes_max,
                                 struct stepd_error *reterr)
{
    keeping->server = server;
    if (keeping->store == NULL)
        return STEPD_OK;
    if (strcmp(keeping->config->resume, "never") == 0)
        return resume_none(keeping->store, reterr);
    const struct resume resume = {
        .store = keeping->store,
        .bytes_max = bytes_max,
        .log = keeping->log,
        .restore = restore,
        .owner = keeping,
    };
    return resume_jobs(&resume, reterr);
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
    if (keeping->store == NULL)
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
    keeping->store = store_close(keeping->store);
}
