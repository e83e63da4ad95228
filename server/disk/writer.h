/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread that writes checkpoints, one after the other, in the order in which they were asked
 * for, and removes the oldest of a job when a newer one is durable. It owns the store meanwhile:
 * whatever else is to be done there is an errand, which waits for its turn like a checkpoint.
 */
#ifndef DISK_WRITER_H
#define DISK_WRITER_H

#include <stdatomic.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/base/log.h"
#include "server/control/control.h"
#include "server/disk/shelf.h"
#include "server/disk/store.h"

struct job_snapshot;
struct writer;

struct writer_options {
    const struct store *store; /* borrowed while the writer lives */
    uint32_t keep;             /* checkpoints of a job; at least 1 */
    const char *stepd;         /* the daemon's version, borrowed likewise */
    const struct log *log;     /* likewise; may be NULL */

    /* A snapshot was written, or not; nobody reads it any more. On the writer's thread, or within
     * writer_write. */
    void (*written)(void *owner, void *token, const struct control_written *written);
    void *owner;
};

/* Starts the thread. RESOURCE_EXHAUSTED: no memory or no thread. *ret_writer: caller ends it with
 * writer_end. */
enum stepd_status writer_start(const struct writer_options *options,
                               struct writer **ret_writer) STEPD_MUST_CHECK;

/* Asks for a snapshot to be written as the checkpoint of this step; `written` follows. */
void writer_write(struct writer *writer, const struct job_snapshot *snapshot, uint64_t step,
                  void *token);

/* Something that is done on the writer's thread: the head of a struct of whoever asks for it. */
struct errand {
    struct errand *next;                /* the writer's */
    atomic_bool stop;                   /* set: it is to give up, and to say so as soon as it can */
    void (*run)(struct errand *errand); /* does it, or gives up where `stop` is set */
    void (*end)(struct errand *errand); /* says what came of it, and frees it */
};

/* Takes ownership of the errand, whose functions are set; the rest is zeroed. Each of these is
 * called once. */
void writer_send(struct writer *writer, struct errand *errand);

/* Has everything that was asked for so far end soon, well or CANCELLED; waits for nothing. */
void writer_give_up(struct writer *writer);

/* What a checkpoint begins with, whoever writes it: the job's shelf, at its incarnation. Errors as
 * the functions of retire.h and shelf.h. *ret_shelf: caller frees with shelf_close. On the writer's
 * thread, as all that follow. */
enum stepd_status writer_open_shelf(const struct store *store, const struct job_snapshot *snapshot,
                                    const struct log *log, struct shelf *ret_shelf,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* And what it ends with: the oldest go. */
void writer_retire(const struct shelf *shelf, uint32_t keep, uint64_t step, const struct log *log);

/* What there is to say of one of this step before it is written. */
struct control_written writer_begun(uint64_t step);

/* Gives up what is being written and what waits, and ends the thread. NULL is fine. Returns NULL.
 */
struct writer *writer_end(struct writer *writer);

#endif
