/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands between the server, which knows no files, and the disk, which knows no loop: the
 * store, what is brought back from it, and the thread that writes to it.
 *
 *     keeping_open      takes the store
 *     keeping_resume    before the jobs of the config file are defined
 *     keeping_start     before the server runs
 *     keeping_end       when it has ended, and before it is destroyed
 *
 * Without a checkpoint_dir all of them do nothing. Where several daemons hold the jobs, see
 * keeping_portions.h: then jobs come back while the server runs. Jobs that begin anew may begin
 * with a file of somebody else's, with or without a checkpoint_dir.
 */
#ifndef SERVER_KEEPING_H
#define SERVER_KEEPING_H

#include <stdint.h>

#include <stepd/status.h>

#include "server/base/log.h"
#include "server/config/config.h"
#include "server/disk/probe.h"
#include "server/disk/store.h"
#include "server/disk/writer.h"
#include "server/keeping_portions.h"
#include "server/net/server.h"

/* By index of the config's jobs. */
typedef bool keeping_jobs[CONFIG_JOBS_MAX];

struct gathering;

struct keeping {
    const struct config *config; /* borrowed, like the next two, until keeping_end */
    const struct log *log;
    struct server *server;
    struct store *store;   /* owned; NULL: no checkpoints are kept */
    struct writer *writer; /* owned; NULL: not started */
    keeping_jobs resumed;  /* brought back */
    bool guest;            /* of another daemon's folder: it has no store */
    bool looked;           /* for what there is to be gone on from */

    /* Of several daemons: keeping_portions.h */
    struct keeping_io io;
    struct gathering *first; /* owned; checkpoints that are being written */
    size_t gatherings;
    struct keeping_note *resume;  /* owned; an errand that waits for these to end; NULL: none */
    uint64_t number;              /* of the last one */
    uint64_t reign;               /* how often jobs were to come back */
    struct load_wanted wanted;    /* of what comes back in this one */
    uint64_t bytes_max;           /* likewise */
    char probe[PROBE_NAME_BYTES]; /* "": none is there */
};

/* Errors as store_open. */
enum stepd_status keeping_open(struct keeping *keeping, const struct config *config,
                               const struct log *log, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A member daemon's: takes nothing, since control's daemon has the store. */
void keeping_open_as_guest(struct keeping *keeping, const struct config *config,
                           const struct log *log);

/* Brings jobs back into the server, or not, as the config says. Errors as resume_jobs. */
enum stepd_status keeping_resume(struct keeping *keeping, struct server *server, uint64_t bytes_max,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/* RESOURCE_EXHAUSTED: no thread. */
enum stepd_status keeping_start(struct keeping *keeping,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Can a job of the config begin with its init_from? It need not, where it was brought back.
 * FAILED_PRECONDITION: not with that file; the text says why. */
enum stepd_status keeping_check_init_from(const struct keeping *keeping,
                                          const struct config_job *job,
                                          struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The server's `is_initialized` and `fetch`. */
bool keeping_is_initialized(const struct keeping *keeping, const char *job);
enum stepd_status keeping_fetch(const struct keeping *keeping, const struct job *job,
                                const atomic_bool *stop, struct first_weights **ret_first,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The server's `checkpoint`. */
void keeping_write(struct keeping *keeping, struct server_written *written, uint64_t step);

/* What keeping.c and keeping_portions.c share. Brings a job back into the server, as its
 * server_restore; which slices jobs are to have; and, at the daemon's start, what is to become of
 * the checkpoints that there are. */
enum stepd_status keeping_restore(void *owner, struct job_snapshot *snapshot,
                                  struct job_state *state,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;
uint32_t keeping_slice_elements(void *owner, const char *job);
bool keeping_begins_anew(const struct keeping *keeping);

/* A zeroed one is fine. */
void keeping_end(struct keeping *keeping);

#endif
