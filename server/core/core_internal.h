/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a shard's brain, shared by the files of core/: what each of them does for the
 * others. What they work on is in core_structs.h.
 */
#ifndef CORE_CORE_INTERNAL_H
#define CORE_CORE_INTERNAL_H

#include "proto/frame.h"
#include "server/core/core_structs.h"

/* ---- session.c ------------------------------------------------------------------------------- */

struct session *session_find(const struct core *core, const uint8_t *id);
/* The newest session of a rank, or NULL. */
struct session *session_of_rank(const struct core *core, const char *job_name, uint32_t rank);
/* Bytes of it came in; NULL, before its Hello, is fine. */
void session_heard(const struct core *core, struct session *session);
/* Takes what it needs from ORDER_SESSION; an older epoch's connection is hung up. */
enum stepd_status session_update(struct core *core, struct order *order);
/* Its connection is told why, unless code is OK. */
void session_remove(struct core *core, struct session *session, const struct stepd_error *why);
/* Nothing more is taken of it: its requests, and those that come yet, end with the error. */
void session_fence(struct session *session, const struct stepd_error *why);
/* It has a connection, which gives way where no round may wait for whose it is. */
void session_give_way(const struct session *session);

/* ---- jobs.c ---------------------------------------------------------------------------------- */

struct core_job *job_find(const struct core *core, const char *name);
/* first: what its slices begin with, borrowed until return; NULL: as they are defined. */
enum stepd_status job_open(struct core *core, struct job *job, struct first_weights *first);
/* Nothing more is taken: all its requests end with the error. */
void job_fail(struct core *core, struct core_job *job, const struct stepd_error *why);
/* Ends its requests; frees it, at once or with the last piece. */
void job_close(struct core *core, struct core_job *job);
void job_free(struct core *core, struct core_job *job);

/* The lowest clock that has counted, over the slices here that the rank has pushed; 0: none. Who
 * takes the rank over goes on from there: slices that are ahead answer that they know it. Of a job
 * where others wait for a push to every slice (sync, bounded), 0 also where the first step has come
 * in part. */
uint64_t job_clock(const struct core_job *job, uint32_t rank);

/* The job's members or their connections have changed: closes what rounds can be closed now. */
void job_try(struct core *core, struct core_job *job);

/* ---- request.c ------------------------------------------------------------------------------- */

/* What a request asks, before it is one. */
struct request_terms {
    uint64_t id;
    enum stepd_message_kind kind;
    uint64_t incarnation;
    struct stepd_u32s slices;
    uint32_t deadline_ms;
};

/* Checks job, incarnation and slices, and makes a request with UNREAD waiters. */
enum stepd_status request_create(struct core_conn *conn, const struct request_terms *terms,
                                 struct request **ret_request, struct stepd_error *reterr);
/* Unlinks it everywhere and frees it. */
void request_destroy(struct request *request);

/* The request ends with this error; what it still waits for, it waits for no more. */
void request_fail(struct request *request, const struct stepd_error *error);

/* Do the slices' lengths sum to the payload's? */
enum stepd_status request_check_payload(const struct request *request, uint64_t payload_bytes,
                                        struct stepd_error *reterr);

/* Moves of a waiter. One that is parked may be parked in the other state. */
void waiter_park(struct waiter *waiter, enum waiter_state state);
void waiter_ready(struct waiter *waiter, enum stepd_outcome outcome, uint64_t version);

/* The newest clock that has counted of the worker who asks; 0 of an observer. */
uint64_t waiter_clock(const struct waiter *waiter);

/* Payload bytes of a waiter's slice in the request's dtype. */
uint64_t waiter_payload_bytes(const struct waiter *waiter);

/* Why a waiter waits, in words, and up to `most` ranks that it waits for. */
size_t waiter_explain(const struct waiter *waiter, char *text, size_t size, uint32_t *rank,
                      size_t most);

/* Ends a connection's requests about a job (NULL: all) with the error. */
void requests_fail(struct core_conn *conn, const struct core_job *job,
                   const struct stepd_error *error);

/* Ends the requests whose deadline has passed. */
void requests_expire(struct core *core);

/* ---- shared.c -------------------------------------------------------------------------------- */

/* Makes the memory for a job's weights, before its slices. By slice, where the weights are to
 * stand; caller frees. NULL: in the slices' own memory. */
struct slice_places *shared_open(struct core *core, struct core_job *job);
void shared_close(struct core *core, struct core_job *job);
/* The slices are there: where a worker's gradients of each will lie. */
void shared_lay_gradients(struct core_job *job);

/* Lends a worker that can map it the memory of its job (NULL: it has none yet), and says so in its
 * Welcome, which must be the next reply. */
void shared_lend(struct core_conn *conn, struct core_job *job, struct stepd_welcome *welcome);
bool shared_is_lent(const struct core_conn *conn, const struct core_job *job);

/* Where a worker has put a slice's gradient; to be read once. */
const float *shared_gradient(const struct waiter *waiter);

/* May the waiter's weights be read where they stand? At which byte of the job's memory is that? */
bool shared_place(const struct waiter *waiter, uint64_t *ret_place);
/* Its rank reads them from now on, and nothing else of this slice. */
void shared_hold(const struct waiter *waiter);
/* It reads nothing of the slice any more. */
void shared_let_go(const struct waiter *waiter);
/* Nobody is to read of it any more, whoever does. */
void shared_let_all_go(struct core_slice *slice);
/* The connection ends. */
void shared_forget(struct core_conn *conn);

/* ---- receive.c ------------------------------------------------------------------------------- */

/* Starts to take a request's payload; it may be empty. */
void receive_start(struct request *request);
/* The connection is gone, or the request: what came in of an unfinished slice is forgotten. */
void receive_abort(struct core_conn *conn);
/* The request is to end early: the rest of its payload will be read and dropped. */
void receive_cancel(struct core_conn *conn);
/* Whoever is held, and finds a buffer now, goes on; who stays held is not silent. */
void receive_go_on(struct core *core);
void receive_on_tick(const struct core *core);

/* ---- dispatch.c ------------------------------------------------------------------------------ */

/* Marks a request for the next flush. */
void dispatch_dirty(struct request *request);
/* It is not ready any more, or gone: its turn will not come. */
void dispatch_not_due(struct request *request);
/* Sends what is ready. Called once at the end of every entry into the core. */
void dispatch_flush(struct core *core);
/* The only senders of errors: for one request, which is not in any list. */
void dispatch_error(struct core_conn *conn, uint64_t request_id, const struct stepd_error *error,
                    struct stepd_u32s waited_for);

/* ---- handle_<message>.c ---------------------------------------------------------------------- */

/* A handler fills or parks one request, or says what is wrong with it. */
enum stepd_status handle_hello(struct core_conn *conn, const struct stepd_message *message,
                               uint64_t payload_bytes, struct stepd_error *reterr);
enum stepd_status handle_push(struct core_conn *conn, const struct stepd_message *message,
                              uint64_t payload_bytes, struct stepd_error *reterr);
enum stepd_status handle_pull(struct core_conn *conn, const struct stepd_message *message,
                              uint64_t payload_bytes, struct stepd_error *reterr);
enum stepd_status handle_assign(struct core_conn *conn, const struct stepd_message *message,
                                uint64_t payload_bytes, struct stepd_error *reterr);

/* Where a push's gradient of a slice is received, once it has begun; NULL: it is not wanted. */
float *push_staging(const struct waiter *waiter);

/* What a push of a slice came to. A step's weights may have to wait for others yet. */
void push_settle(struct waiter *waiter, enum stepd_outcome outcome, uint64_t version);

/* What becomes of a push of a slice whose turn in the payload has come. */
void push_begin(struct waiter *waiter);
/* So many bytes of its part of the payload are in staging; all are, or it has none. */
void push_look(struct waiter *waiter, uint64_t received);
void push_complete(struct waiter *waiter);
/* Where an open round has its NaN or infinity, in words. */
void push_explain_nonfinite(const struct core *core, const struct core_slice *slice,
                            struct stepd_error *reterr);
/* Its sender is gone. */
void push_abort(struct waiter *waiter);

void assign_begin(struct waiter *waiter);
void assign_complete(struct waiter *waiter);

/* Do the groups of all slices keep the view that is asked for? INVALID_ARGUMENT names the first
 * that does not, and what to set. */
enum stepd_status pull_check_view(const struct request *request, struct stepd_error *reterr);
/* The weights are what a pull, or a step whose push has settled, asked for, and nobody has to be
 * waited for: it is ready. Else it is parked. */
void pull_settle(struct waiter *waiter);

/* ---- gradient.c ------------------------------------------------------------------------------ */

/* Of n floats that come in `have` are there: widens and unscales them, finds what is not finite. */
void gradient_look(struct core_conn *conn, size_t n, float *grad, size_t have);
/* All of one that lies in memory which its worker may write to at any time: reads it once. */
void gradient_fetch(struct core_conn *conn, size_t n, const float *from, float *grad);
/* The mean of all that counts in a round. */
struct gradient gradient_of_all(struct core *core, const struct core_slice *slice);
/* Adds what has arrived of a rank to the slice's sum, where gradients are added up so. */
void gradient_add(const struct core *core, struct core_slice *slice, uint64_t examples,
                  const float *grad);
/* A push of so many examples is in a rank's staging, if it brought any, and is about to count: adds
 * it to the rank's contribution. What round_count is to be given. */
float *gradient_gather(const struct core *core, struct core_slice *slice, uint32_t rank,
                       uint64_t examples);
/* What a rank's push is being received into goes back to the job's staging. */
void gradient_drop(struct core_slice *slice, uint32_t rank);
/* What one rank has contributed. */
struct gradient gradient_of_rank(const struct core_slice *slice, uint32_t rank);
/* What is done to the n elements of a slice from `at` on, before its optimizer sees them. */
void gradient_treat(const struct core *core, struct slice *slice, const struct gradient *gradient,
                    size_t at, size_t n);

/* ---- room.c ---------------------------------------------------------------------------------- */

/* Finds where the slice's next version goes. False: readers hold all there is, and some worker, or
 * for a moment somebody who has just been cut off, is waited for. */
bool room_find(struct core *core, struct core_slice *slice, struct slice_room *ret_room);
/* References were given back: frees what nobody reads any more of a slice, or of a job's. */
void room_trim(struct core *core, struct core_slice *slice);
void room_trim_all(struct core *core, const struct core_job *job);

/* ---- step.c ---------------------------------------------------------------------------------- */

/* Makes version + 1 in room, from slice_find_room: APPLIED, or SKIPPED where the optimizer can make
 * no update of this gradient. */
enum stepd_outcome step_make(struct core *core, struct core_slice *slice,
                             const struct gradient *gradient, const struct slice_room *room);
/* Version + 1 is the same weights: SKIPPED. */
enum stepd_outcome step_skip(struct core_slice *slice);

/* ---- update.c -------------------------------------------------------------------------------- */

/* What has counted in a round goes from there into the records. */
void settle_counted(struct core_slice *slice, enum stepd_outcome outcome);

/* Closes a slice's round if it can be closed, and again while it can. */
void update_try(struct core *core, struct core_slice *slice);

/* The slice's version or values have changed: readies the waiters that this is enough for. */
void waiters_wake(struct core_slice *slice);

/* ---- gate.c ---------------------------------------------------------------------------------- */

/* The job's slices stand. */
void gate_open(struct core *core, struct core_job *job);
/* Does this slice close with all others of its job? */
bool gate_holds(const struct core_slice *slice);
/* Has a rank contributed to all slices here that close together? */
bool gate_has_contributed(const struct core_job *job, uint32_t rank);
/* Is the slice's open round reported, so that it takes nothing more? */
bool gate_is_sealed(const struct core_slice *slice);
/* The slice that such a slice waits for; itself, where it waits for other shards or alone. */
const struct core_slice *gate_slowest(const struct core_slice *slice);
/* Something of such a slice has changed: its round, its members, who holds its weights. */
void gate_try(struct core *core, struct core_slice *slice);
void gate_on_tick(struct core *core, struct core_job *job);
/* Control's answers to a report. Take what they need from the order. */
void gate_commit(struct core *core, struct core_job *job, struct order *order);
void gate_without(struct core *core, struct core_job *job, const struct order *order);

/* ---- change.c -------------------------------------------------------------------------------- */

/* Must the step that starts from this version wait for control to decide on a change? */
bool change_holds(const struct core_job *job, uint64_t version);
/* Control's orders. */
void change_propose(struct core *core, struct core_job *job, const struct order *order);
/* Takes what it needs from the order. */
void change_make(struct core *core, struct core_job *job, struct order *order);
/* A slice has got to a version: its group is what it is to be from there on. */
void change_reach(struct core_slice *slice);
/* Frees what a job keeps of changes. */
void change_deinit(struct core_job *job);

/* The schedule's clock of a slice's next step. */
uint64_t step_clock(const struct core_slice *slice);

/* ---- member.c -------------------------------------------------------------------------------- */

/* Control's orders about one rank; see sync/members.h. */
void member_set(struct core *core, struct core_job *job, const struct order *order);
void member_give_up(struct core *core, struct core_job *job, const struct order *order);

/* ---- orders.c, core.c ------------------------------------------------------------------------ */

/* Gives a notice to control. Takes ownership of it. */
void notice_send(struct core *core, struct notice *notice);

/* Forgets a connection that the core wants to end, and tells io. */
void conn_hang_up(struct core_conn *conn);

#endif
