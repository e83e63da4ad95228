/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeping checkpoints of jobs that several daemons hold. Control's daemon has the store; the
 * others open the folder when they write or read there, without its lock. What is done there is
 * done on the writer's thread of each daemon, what is decided on the server's: nothing waits for
 * another daemon.
 *
 *     keeping_write_portions    a snapshot of control's is to be written
 *       io.ask                    to each other daemon, when the folder is made
 *       keeping_answered          from each, in any order
 *       server_note_written       when all is durable, or has failed
 *
 *     keeping_write_portion     a member daemon was asked
 *       io.answer
 *
 *     keeping_resume_begin      a reign begins: jobs come back, the server running meanwhile
 *       io.resumed
 *     keeping_resume_older      one of them cannot be opened like that
 *       io.resumed
 *     keeping_load              a member daemon is to open one of them
 *       io.loaded
 *
 * What the writer's thread has to say comes as a note, by io.post, to keeping_on_note.
 */
#ifndef SERVER_KEEPING_PORTIONS_H
#define SERVER_KEEPING_PORTIONS_H

#include <stdint.h>

#include <stepd/status.h>

#include "server/disk/load.h"
#include "server/model/job_state.h"
#include "server/persist/portion.h"

struct keeping;
struct keeping_note;
struct control_returning;
struct server;
struct server_written;

struct keeping_io {
    void *owner;

    /* Brings a note to the server's thread, where keeping_on_note takes it, or, when that thread
     * has ended, keeping_note_destroy. Any thread. */
    void (*post)(void *owner, struct keeping_note *note);

    /* The others are called on the server's thread, from within keeping_on_note or the function
     * that begins it. What is borrowed is so until return. */

    /* Control's daemon: ask the daemon of portion request->index, not 0, for it; then comes
     * keeping_answered, or keeping_give_up. */
    void (*ask)(void *owner, const char *job_name, const struct portion_request *request);

    /* Control's daemon: all jobs are back in the server (server_restore was called for each), or
     * error says why they cannot be; then some may be. */
    void (*resumed)(void *owner, const struct stepd_error *error);

    /* A member daemon: what came of its portion. Takes ownership of what the answer owns. */
    void (*answer)(void *owner, void *token, struct portion_answer *answer);

    /* A member daemon: the state of a job, with the floats of its own slices, and the others not
     * taken; a reference that the callee takes. NULL: error says why. */
    void (*loaded)(void *owner, void *token, struct job_state *state,
                   const struct stepd_error *error);
};

/* Before keeping_start, in place of keeping_resume. server is borrowed until keeping_end; io is
 * copied. */
void keeping_use(struct keeping *keeping, struct server *server, const struct keeping_io *io);

/* keeping_end's share of it: the writer has ended. */
void keeping_end_portions(struct keeping *keeping);

/* Takes ownership of the note. On the server's thread. */
void keeping_on_note(struct keeping *keeping, struct keeping_note *note);

/* NULL is fine. Any thread; keeping may be gone. */
void keeping_note_destroy(struct keeping_note *note);

/* ---- One folder ------------------------------------------------------------------------------ */

/* Control's daemon: the name of a probe that lies in its folder as long as that is open; "": it
 * keeps no checkpoints. UNAVAILABLE: none can be written. */
enum stepd_status keeping_probe(struct keeping *keeping, const char **ret_name,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A member daemon: is checkpoint_dir the folder where control has written this probe, "" for none,
 * and can files be made there? FAILED_PRECONDITION: no; the text says why, and what is to be done,
 * without the folder's name. */
enum stepd_status keeping_see(const struct keeping *keeping, const char *name,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* ---- Control's daemon ------------------------------------------------------------------------ */

/*
 * Writes a snapshot down as the checkpoint of this step. The first `own` of its shares are those of
 * this daemon's shards, the rest come from share_unpack. Takes ownership of written, which goes to
 * server_note_written. On the server's thread.
 */
void keeping_write_portions(struct keeping *keeping, struct server_written *written, uint64_t step,
                            uint32_t own, uint32_t portions);

/* A daemon has answered. One that is not waited for is ignored. Takes ownership of what the answer
 * owns. */
void keeping_answered(struct keeping *keeping, struct portion_answer *answer);

/* Gives up all that is being written: server_note_written follows for each, soon. Whoever frees the
 * shards' states waits for that. */
void keeping_give_up(struct keeping *keeping);

/* How many checkpoints are being written. */
size_t keeping_writing(const struct keeping *keeping);

/*
 * Gives up what is being written, and brings the jobs back for a reign, when server_note_written
 * was called for all of that: io.resumed follows. One that is asked for again before has no other.
 * Of their floats those come that the first `own` of `shards` shards will hold. bytes_max bounds
 * them. The server runs meanwhile, with no job. Calls nothing but io.resumed where no checkpoints
 * are kept.
 */
void keeping_resume_begin(struct keeping *keeping, uint32_t shards, uint32_t own,
                          uint64_t bytes_max);

/*
 * Behind io.resumed: a job could not be opened as it came back, since the daemon of this place
 * could not read its part of the checkpoint of this name, or its shards could not take it. The log
 * says so, and the job comes back from the next older one; io.resumed follows, with DATA_LOSS where
 * none is good. All is borrowed until return.
 */
void keeping_resume_older(struct keeping *keeping, const struct control_returning *failed);

/* ---- A member daemon ------------------------------------------------------------------------- */

/* Writes what these shares, lent by its shards until io.answer, hold. request is borrowed until
 * return. */
void keeping_write_portion(struct keeping *keeping, const struct portion_request *request,
                           const struct job_state *const *share, size_t shares, void *token);

/* Shards of one daemon, among those of all. */
struct keeping_shards {
    uint32_t first;
    uint32_t count;
};

/* Loads of the checkpoint of this name what these shards of the job hold, which is laid out over
 * those of all daemons. io.loaded follows. job is referred to. */
void keeping_load(struct keeping *keeping, struct job *job, const char *checkpoint,
                  struct keeping_shards shards, uint64_t bytes_max, void *token);

#endif
