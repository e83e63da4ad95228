/* SPDX-License-Identifier: Apache-2.0
 *
 * libstepd: a worker's side of stepd, in C.
 *
 *     struct stepd_options options = STEPD_OPTIONS_INIT;
 *     options.address = "127.0.0.1:7070";
 *     options.job = "mnist";
 *     struct stepd_client *client;
 *     struct stepd_error error;
 *     if (stepd_connect(&options, &client, &error) != STEPD_OK) ...
 *     stepd_define(client, &job, tensors, 2, &error);       // the same in every worker
 *     stepd_pull(client, arrays, 2, NULL, &error);          // weights into your own arrays
 *     for (...) {
 *         ... compute gradients from the weights ...
 *         stepd_step(client, arrays, 2, &step, &error);     // push, and pull what came of it
 *     }
 *     stepd_leave(client, &error);
 *     stepd_close(client);
 *
 * Every call that waits has a twin ending in _start that returns at once with an operation
 * (struct stepd_op) to wait on, so that one layer's gradient travels while the next is computed.
 *
 * Memory. Gradients are sent from, and weights received into, arrays of the caller, which are
 * borrowed until the operation has completed: until stepd_wait() has returned, or the call itself.
 *
 * Threads. A client has one thread of its own that drives its sockets and sends heartbeats. Any
 * number of threads may call functions on one client at a time; calls on one operation must not
 * overlap. stepd_define() and stepd_attach() run in one thread at a time, and stepd_close() must
 * be the last call.
 *
 * Errors. Functions return a status and write the text for people to the last parameter `reterr`
 * (may be NULL). A failure leaves ret_* parameters untouched. Beside what stands at a function,
 * each that talks to the server may fail with UNAVAILABLE (below), RESOURCE_EXHAUSTED (no memory
 * here, or a limit there) and INTERNAL (the server broke the protocol).
 *
 * Lost connections. A connection that is lost is made again, in the background, and what was not
 * answered is sent again from the caller's arrays, which are borrowed for as long. What had been
 * counted before is answered as a duplicate, with the weights that came of it; so a worker notices
 * nothing but the time. Attempts come at random intervals of up to 5 s; meanwhile operations wait
 * until their own deadline (DEADLINE_EXCEEDED says how the connection was lost, when, and what was
 * tried). A server that goes silent is found out by heartbeats, and no operation outlives its
 * deadline by much more than 5 s. When a connection has been gone for options.reconnect_timeout_ms,
 * or the server does not let the worker in any more, the client gives up: everything fails from
 * then on, with UNAVAILABLE or what the server said, and it can only be closed. ALREADY_EXISTS: the
 * worker was silent for longer than its lease, and another one has taken its rank.
 *
 * ROLLED_BACK. The server may have gone back: it was restored from a checkpoint, or started again
 * without its state, or it has dropped the job and begun it anew. Then all operations under way
 * fail with ROLLED_BACK, and the client joins the job again by itself. The training loop must
 * handle that status, of any operation: what it has computed is of weights that are no more. It
 * calls stepd_define() again with the same lists (which does nothing where the server still has the
 * job's tensors), stepd_pull(), and goes on from the version that came. Until a tensor has been
 * pulled, pushes of it fail with ROLLED_BACK; stepd_pull() alone will do where the tensors are
 * still there, and says FAILED_PRECONDITION where they are not.
 *
 * Whether the last pushes of a client that has given up were counted is not known. A new client of
 * its rank goes on from the clocks that the server has counted, and what it repeats is answered as
 * a duplicate. The rank is free at once where stepd_close() could tell the server; after a crash
 * when the old one's lease has run out, or for a client of the same options.worker. Until then
 * stepd_connect() fails with ALREADY_EXISTS, or RESOURCE_EXHAUSTED where it asks for any rank, and
 * the text says who holds it and for how long.
 *
 * Units. Shapes count elements, offsets are row-major; all elements are 32-bit floats in memory,
 * whatever travels. Times are milliseconds. Versions count closed rounds (sync) or updates (async)
 * of a slice.
 */
#ifndef STEPD_CLIENT_H
#define STEPD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/define.h>
#include <stepd/status.h>
#include <stepd/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct stepd_client;
struct stepd_op;

/* ---- Connecting ------------------------------------------------------------------------------ */

/* What becomes of the connections. */
enum stepd_event_kind {
    STEPD_EVENT_LOST = 1,        /* one is lost and being made again; operations wait */
    STEPD_EVENT_BACK = 2,        /* all stand again, and what was not answered is sent again */
    STEPD_EVENT_ROLLED_BACK = 3, /* operations fail with ROLLED_BACK: see above */
    STEPD_EVENT_ENDED = 4,       /* given up: everything fails from now on */
    STEPD_EVENT_UNSHARED = 5,    /* memory that a server on this host shares cannot be mapped: with
                                  * that shard everything goes by the socket, more slowly */
    STEPD_EVENT_WAITING = 6,     /* a push has waited here for seconds for a tensor that travels in
                                  * one slice with its own; the text names both */
};

struct stepd_event {
    size_t size; /* sizeof(struct stepd_event) of the library */
    enum stepd_event_kind kind;
    enum stepd_status code; /* why; OK for BACK */
    const char *text;       /* the same for people, without a line's end; "" for BACK */
    uint32_t attempts;      /* at connecting again, since the loss; 0 without one */
    uint64_t down_ms;       /* since the loss; 0 without one */
};

/* Always start from STEPD_OPTIONS_INIT; strings are borrowed until stepd_connect returns. */
struct stepd_options {
    size_t size;         /* sizeof(struct stepd_options): lets the struct grow */
    const char *address; /* "host:port", "[v6]:port", the same behind "tls:", or
                          * "unix:/path" */
    const char *job;     /* name of the job; required for workers */
    const char *worker;  /* name for people; NULL: "host:pid". Who crashed is let in again at
                          * once under the name that it had */
    const char *token;   /* credentials; NULL: none */
    int rank;            /* -1: any free one */
    bool observer;       /* pulls and asks, no member of the job */
    enum stepd_dtype push_dtype; /* how gradients travel */
    enum stepd_dtype pull_dtype; /* how weights travel */
    uint32_t lease_ms;           /* silence after which the rank is lost; 0: the server's default */
    uint32_t connect_timeout_ms; /* for stepd_connect as a whole, which retries until then, and for
                                  * what stepd_define asks of control */
    uint32_t reconnect_timeout_ms; /* how long a lost connection may be gone; 0: it stays lost, and
                                    * what needs it fails with UNAVAILABLE */
    /* Called in the client's own thread or in one that waits in a call, with `event_user`; borrows
     * the event until return. It must not wait, nor call functions on the client. NULL: of no
     * interest. */
    void (*on_event)(void *event_user, const struct stepd_event *event);
    void *event_user;
    bool sockets_only;     /* share no memory with a server on this host */
    uint32_t busy_poll_us; /* for how many microseconds a call that waits looks for its answer
                            * before it sleeps: for a core of its own; 0: it sleeps at once */
    /* Asked some 20 times a second, in the thread that waits, with `event_user`. True: the call
     * fails with CANCELLED. Not in stepd_push, _pull, _step, _wait and _close. NULL: nobody is. */
    bool (*interrupted)(void *event_user);
    bool insecure; /* the token may go over a network in clear; otherwise it goes to this
                    * host alone */
    /* Of TLS, where the address says so, or where it is unix:PATH and other daemons serve beside
     * that one; files are PEM. */
    const char *tls_ca;   /* who signs the server's certificate; NULL: the system's CAs */
    const char *tls_cert; /* ours, and those up to its CA; NULL: none is shown */
    const char *tls_key;  /* of ours */
    const char *tls_name; /* in the server's certificate; NULL: the host of the address */
};

#define STEPD_OPTIONS_INIT                                                                         \
    {                                                                                              \
        sizeof(struct stepd_options), "127.0.0.1:7070", NULL, NULL, NULL, -1, false, STEPD_F32,    \
            STEPD_F32, 0, 10000, 60000, NULL, NULL, false, 0, NULL, false, NULL, NULL, NULL, NULL  \
    }

/*
 * Connects, says hello and joins the job. options: borrowed until return. *ret_client: caller frees
 * with stepd_close. UNAVAILABLE: nobody answered in connect_timeout_ms. INVALID_ARGUMENT: an option
 * is malformed, or the job has no such rank. ALREADY_EXISTS: the rank is taken by a living worker.
 * RESOURCE_EXHAUSTED: all ranks are taken; it does not wait for one. FAILED_PRECONDITION: the rank
 * has left, the job has finished, or the server speaks another version of the protocol. NOT_FOUND:
 * no such job, for an observer. UNAUTHENTICATED: the server lets in whom it knows, and the token is
 * missing or not good. PERMISSION_DENIED: the token is not for this job, or not for workers. Any
 * thread.
 */
STEPD_EXPORT enum stepd_status stepd_connect(const struct stepd_options *options,
                                             struct stepd_client **ret_client,
                                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Ends the connections. A worker that is done calls stepd_leave first; one that has not is lost at
 * once, as if its lease had run out, where the server can be told. Ends attempts to make them again
 * as well, at once. No other call may be running. Operations that have not been waited for are
 * cancelled and freed, and their arrays given back. NULL is fine. Returns NULL. */
STEPD_EXPORT struct stepd_client *stepd_close(struct stepd_client *client);

/* The rank that the server gave (of no meaning for an observer), and the number of workers of the
 * job (0 before the job is defined). Never fail; any thread. The rank never changes. */
STEPD_EXPORT uint32_t stepd_rank(const struct stepd_client *client);
STEPD_EXPORT uint32_t stepd_world(const struct stepd_client *client);

/* ---- Defining -------------------------------------------------------------------------------- */

/*
 * Defines the job (NULL: it is defined in the server's config file or by somebody else) and its
 * tensors, waits for the layout, opens the shards, and sends rank 0's values. Tensors are known by
 * their index in this list from then on. Every worker calls it with the same lists. All is borrowed
 * until return. After a failure it may be called again, with other lists too unless another worker
 * has defined the job so, and after an operation has failed with ROLLED_BACK it is to be.
 * INVALID_ARGUMENT: malformed, or different from what is defined (the text names the difference).
 * FAILED_PRECONDITION: this client has done it before, or job is NULL and nobody has defined it.
 * ROLLED_BACK: the server went back meanwhile.
 * RESOURCE_EXHAUSTED: the server has not the memory. One thread at a time.
 */
STEPD_EXPORT enum stepd_status stepd_define(struct stepd_client *client,
                                            const struct stepd_job_options *job,
                                            const struct stepd_tensor *tensors, size_t count,
                                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * For who does not know the tensors (observers): waits until somebody has defined them, at most
 * timeout_ms (0: only if that has happened), and opens the shards. DEADLINE_EXCEEDED: nobody has.
 * NOT_FOUND: no such job. FAILED_PRECONDITION: this client has its tensors already. After a failure
 * it may be called again. One thread at a time.
 */
STEPD_EXPORT enum stepd_status stepd_attach(struct stepd_client *client, uint32_t timeout_ms,
                                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/* What is known of a tensor. Pointers are borrowed until stepd_close. */
struct stepd_tensor_view {
    const char *name;
    const char *group;
    const uint64_t *shape;
    size_t dims;
    uint64_t elements;
};

/* Of the list; 0 before stepd_define or stepd_attach. This and the next two ask nobody, so they
 * never wait; any thread. */
STEPD_EXPORT size_t stepd_tensor_count(const struct stepd_client *client);
/* OUT_OF_RANGE: no such index. */
STEPD_EXPORT enum stepd_status stepd_tensor_at(const struct stepd_client *client, size_t index,
                                               struct stepd_tensor_view *ret_view) STEPD_MUST_CHECK;
/* NOT_FOUND: no tensor of that name. */
STEPD_EXPORT enum stepd_status stepd_tensor_find(const struct stepd_client *client,
                                                 const char *name,
                                                 size_t *ret_index) STEPD_MUST_CHECK;

/* ---- Training -------------------------------------------------------------------------------- */

/* One tensor of an operation. Both arrays hold all its elements, row-major, and stay the caller's:
 * borrowed until the operation has completed. They may not overlap other arrays under way. */
struct stepd_array {
    size_t tensor;     /* index */
    const float *grad; /* for push and step: mean gradient over the worker's examples */
    float *weights;    /* for pull and step: where to put the weights; may be NULL in a push */
};

/* Second derivatives of the loss, for the tensors of a group whose optimizer is Newton's method. */
struct stepd_hessian {
    size_t tensor;       /* index of the group's first tensor */
    const float *values; /* n x n, row-major; n: elements of all tensors of the group, in order;
                          * borrowed until the operation has completed */
};

struct stepd_step_options {
    size_t size;          /* sizeof(struct stepd_step_options) */
    uint64_t examples;    /* behind the gradient, its weight in a sync round; 0: an empty
                           * contribution, grad is not read */
    uint32_t deadline_ms; /* how long the server may wait for others; 0: its longest */
    uint64_t min_version; /* pull: least version to accept */
    enum stepd_view view; /* pull and step: which weights */
    bool has_loss;        /* loss is given */
    double loss;          /* push: mean over the examples; schedules and optimizers may need it */
    double loss_scale;    /* push: what gradients and Hessians were multiplied by, in the range of
                           * floats; 0: nothing */
    const struct stepd_hessian *hessians; /* push */
    size_t hessians_count;
    int32_t priority; /* what is larger goes first among what waits to be sent */
    bool awaited;     /* _start: the caller waits for it next, and moves it on by that; the client's
                       * own thread is not woken for it, and helps only after 0.1 s and more */
    int whole; /* push and step, if not 0: no other thread of this program gives what is missing of
                * tensors that travel together with these, so the call is refused for it (an int, so
                * that the struct has grown by it) */
};

/* Always start from it. */
#define STEPD_STEP_OPTIONS_INIT                                                                    \
    {                                                                                              \
        sizeof(struct stepd_step_options), 1, 0, 0, STEPD_TRAINING, false, 0.0, 0.0, NULL, 0, 0,   \
            false, 0                                                                               \
    }

/* What an operation came to, over all its slices; types.h says what the outcomes mean. */
struct stepd_outcome_counts {
    uint64_t slices;
    uint64_t applied;
    uint64_t duplicate;
    uint64_t dropped; /* LATE_DROPPED, STALE or FENCED */
    uint64_t skipped;
    uint64_t accumulated; /* their step needs more pushes, and their version is the old one yet */
    uint64_t version_min; /* of the weights that came; after a push, that it went into */
    uint64_t version_max;
    uint64_t durable_version; /* the oldest, of what would survive a crash of the server; 0: none */
    /* The least, over the slices that it has pushed, of this worker's newest pushes that were sent
     * or that the server has counted: how many steps it has taken. After ROLLED_BACK, and where it
     * takes a rank over, a pull so says where to go on from, in every mode. */
    uint64_t clock;
};

/*
 * push: sends gradients; done when they are in the weights (sync: when their round has closed).
 * pull: fetches weights of at least min_version.
 * step: both in one exchange; a slice's weights come as soon as its own round has closed. Where the
 * job accumulates, and the step needs further pushes of this worker, they come at once: the old.
 * Each tensor may occur once in a call. Small tensors of one group travel together: what is pushed
 * of them is sent when the last of them has been given, by this call or by another one of the
 * same step; where none comes, STEPD_EVENT_WAITING names it, and see options.whole. In sync mode a
 * tensor is pushed again only when its last push has completed. options: NULL for the defaults; it
 * and the list of arrays are borrowed until return, what the list points to until the operation has
 * completed. INVALID_ARGUMENT: no such tensor, one twice, a NULL array, too many examples, or the
 * server refused the gradient (NaN, Inf). FAILED_PRECONDITION: no tensors are defined, an observer
 * pushes, or one push overtook another. DEADLINE_EXCEEDED: the text names who or what is waited
 * for. ROLLED_BACK: the job went back: see the top. After another failure some slices may have been
 * counted: the next push of these tensors repeats the clock of all of them, and is told. Any
 * thread.
 */
STEPD_EXPORT enum stepd_status stepd_push(struct stepd_client *client,
                                          const struct stepd_array *arrays, size_t count,
                                          const struct stepd_step_options *options,
                                          struct stepd_error *reterr) STEPD_MUST_CHECK;
STEPD_EXPORT enum stepd_status stepd_pull(struct stepd_client *client,
                                          const struct stepd_array *arrays, size_t count,
                                          const struct stepd_step_options *options,
                                          struct stepd_error *reterr) STEPD_MUST_CHECK;
STEPD_EXPORT enum stepd_status stepd_step(struct stepd_client *client,
                                          const struct stepd_array *arrays, size_t count,
                                          const struct stepd_step_options *options,
                                          struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * The same without waiting, so that one layer's gradient travels while the next is computed: the
 * client's own thread moves it on. A backward pass comes to the first layer last, and the next
 * forward pass needs the first layer first; so a training loop gives the layers priorities that
 * fall from the first to the last. What waits to be sent to a shard, and the weights that come of
 * it, are then in that order; some MiB at most are sent already. Two pushes of one tensor stay in
 * the order in which they were started. A pull of higher priority passes a push.
 *
 * *ret_op: caller frees with stepd_wait. INVALID_ARGUMENT, FAILED_PRECONDITION and
 * RESOURCE_EXHAUSTED that need no answer from the server are returned at once, and then there is no
 * operation; all other failures are stepd_wait's. Any thread.
 */
STEPD_EXPORT enum stepd_status stepd_push_start(struct stepd_client *client,
                                                const struct stepd_array *arrays, size_t count,
                                                const struct stepd_step_options *options,
                                                struct stepd_op **ret_op,
                                                struct stepd_error *reterr) STEPD_MUST_CHECK;
STEPD_EXPORT enum stepd_status stepd_pull_start(struct stepd_client *client,
                                                const struct stepd_array *arrays, size_t count,
                                                const struct stepd_step_options *options,
                                                struct stepd_op **ret_op,
                                                struct stepd_error *reterr) STEPD_MUST_CHECK;
STEPD_EXPORT enum stepd_status stepd_step_start(struct stepd_client *client,
                                                const struct stepd_array *arrays, size_t count,
                                                const struct stepd_step_options *options,
                                                struct stepd_op **ret_op,
                                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Has the operation completed? Never waits; it is for stepd_wait to free it. Any thread. */
STEPD_EXPORT bool stepd_done(const struct stepd_op *op);

/* Waits until the operation has completed, at most timeout_ms, and frees nothing. OK: it has, and
 * stepd_wait returns at once. DEADLINE_EXCEEDED: not yet. CANCELLED: options.interrupted said so;
 * the operation goes on. Any thread. */
STEPD_EXPORT enum stepd_status stepd_wait_for(struct stepd_op *op,
                                              uint32_t timeout_ms) STEPD_MUST_CHECK;

/* Waits until the operation has completed, frees it, and says how it ended: OK, or as push, pull
 * and step fail. ret_counts may be NULL. Any thread, once for each operation. */
STEPD_EXPORT enum stepd_status stepd_wait(struct stepd_op *op,
                                          struct stepd_outcome_counts *ret_counts,
                                          struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Lends arrays of a tensor, of all its elements and 0 at first: *ret_grad to be written by the
 * caller, *ret_weights only to be read. They are the library's, good until stepd_close and the same
 * at each call of one definition, and may stand in operations on this tensor as any others. Where
 * the server is on this host (address "unix:...") they are memory that it shares, as far as can be:
 * then gradients are read by the server where the caller has written them, and weights by the
 * caller where the server has. Weights that an operation has brought there stand until a push or
 * step of the tensor is started, or this worker is no member any more. Copied nevertheless are
 * tensors that travel together with others; weights in async and bounded mode, and with backup or
 * close_examples, because they could not stand for as long as they are read; gradients while
 * another push of the tensor is under way, and after a connection was made again; all of a job of
 * very many tiny slices; and what is beyond some 16,000 slices. Weights that are shared cannot be
 * written: who does is ended by the system. The arrays of earlier definitions stay, too.
 * OUT_OF_RANGE: there is no such tensor. FAILED_PRECONDITION: none is defined. RESOURCE_EXHAUSTED:
 * no memory for two arrays of its length. Any thread.
 */
STEPD_EXPORT enum stepd_status stepd_lend(struct stepd_client *client, size_t tensor,
                                          float **ret_grad, float **ret_weights,
                                          struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Tells the server the loss of this worker's newest step (its number, from 1), the mean over so
 * many examples, for status and people; waits until it knows. PERMISSION_DENIED: an observer.
 * FAILED_PRECONDITION: the worker has left. Any thread. */
STEPD_EXPORT enum stepd_status stepd_report(struct stepd_client *client, uint64_t step, double loss,
                                            uint64_t examples,
                                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/* What is to change about groups of a job that runs. */
struct stepd_change_options {
    size_t size;     /* sizeof(struct stepd_change_options) */
    const char *job; /* NULL: the client's */
    /* name says which group, NULL: all; match, ndim and frozen are empty. What it says goes over
     * what the group has: params over those of its optimizer, an optimizer in the place of its own
     * (with its lr), a schedule in the place of its own; phases, where it has some, in the place of
     * those to come. */
    struct stepd_param_group group;
    uint64_t at;          /* version that the first step with it starts from; 0: the earliest */
    bool drop_phases;     /* none of the phases to come stays, and no change at a later version */
    bool dry_run;         /* say what would change, and change nothing */
    uint32_t deadline_ms; /* 0: the server's longest */
};

/* Always start from it. */
#define STEPD_CHANGE_OPTIONS_INIT                                                                  \
    {                                                                                              \
        sizeof(struct stepd_change_options), NULL, STEPD_PARAM_GROUP_INIT, 0, false, false, 0      \
    }

/* What came of it. */
struct stepd_change_result {
    uint64_t number;  /* of the change; 0: everything was so already */
    uint64_t groups;  /* that are other than before */
    uint64_t version; /* that the first step with it starts from; 0 in async and bounded mode, where
                       * each slice changes with its next step */
};

/*
 * Changes groups of a job that runs, on all shards from one version on, and waits until that
 * version is known. options: borrowed until return. ret_result may be NULL. An observer may call
 * it. INVALID_ARGUMENT, NOT_FOUND: there is no such group or setting, or the job cannot go on with
 * it; the text says why. FAILED_PRECONDITION: the job is not open, has finished, or is beyond `at`.
 * DEADLINE_EXCEEDED: a shard does not answer. Any thread.
 */
STEPD_EXPORT enum stepd_status stepd_change(struct stepd_client *client,
                                            const struct stepd_change_options *options,
                                            struct stepd_change_result *ret_result,
                                            struct stepd_error *reterr) STEPD_MUST_CHECK;

/* What came of stepd_checkpoint. */
struct stepd_checkpoint_result {
    char name[STEPD_CHECKPOINT_NAME_BYTES]; /* of its folder among those of the job */
    uint64_t step;  /* version of its slices; in async and bounded mode the highest of them */
    uint64_t bytes; /* of all its files */
};

/*
 * Asks for a checkpoint of a job now (NULL: the client's), beside those that the server takes by
 * itself, and waits until all of its bytes are on the disk; training goes on meanwhile.
 * deadline_ms: how long to wait at most; 0, or above the server's longest: that. ret_result may be
 * NULL. An observer may call it. Over a lost connection another one is asked for.
 *
 * NOT_FOUND: no such job. FAILED_PRECONDITION: the server keeps no checkpoints, or the job has not
 * started or has failed. UNAVAILABLE: it could not be written; the last good one stays, and a later
 * call tries anew. DEADLINE_EXCEEDED: the text says what it waits for; it is written all the same.
 * Any thread.
 */
STEPD_EXPORT enum stepd_status stepd_checkpoint(struct stepd_client *client, const char *job,
                                                uint32_t deadline_ms,
                                                struct stepd_checkpoint_result *ret_result,
                                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Waits until all members of the job have come to the barrier of this name, which has 1 to
 * STEPD_BARRIER_NAME_MAX_BYTES letters, digits and any of - _ . : / (borrowed until return). A
 * worker that has left or was given up is not waited for, nor one that joins and is no member yet;
 * whoever takes over a rank must come itself. A job that has not started is waited for. The next
 * call with the same name is another barrier. deadline_ms: 0, or above the server's longest: that.
 * Over lost connections it goes on where it was.
 *
 * DEADLINE_EXCEEDED: the text names the ranks that have not come and how long each was silent; this
 * worker waits no more, and may call again. ROLLED_BACK: see the top. FAILED_PRECONDITION: the
 * tensors are not defined yet, the job has failed, or this worker has left or was given up.
 * INVALID_ARGUMENT: no good name. PERMISSION_DENIED: an observer. RESOURCE_EXHAUSTED: another
 * thread of this worker waits at a barrier. CANCELLED: see options.interrupted; the next call with
 * this name goes on where it was. Any thread.
 */
STEPD_EXPORT enum stepd_status stepd_barrier(struct stepd_client *client, const char *name,
                                             uint32_t deadline_ms,
                                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Asks what goes on in a job (NULL: in all), members, versions, the newest checkpoint: the JSON
 * text of `stepctl status --json`. timeout_ms: then UNAVAILABLE; 0: as long as it takes. *ret_json:
 * caller frees with free(). NOT_FOUND: no such job. UNAVAILABLE, too: nobody knows yet, as the
 * server waits for others of its daemons. Any thread. */
STEPD_EXPORT enum stepd_status stepd_get_status(struct stepd_client *client, const char *job,
                                                uint32_t timeout_ms, char **ret_json,
                                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The worker pushes no more: rounds after its last push close without it. Waits until the server
 * knows, over lost connections too; to be called when all pushes have completed. Again is fine. OK
 * also where the server does not know this worker any more. ROLLED_BACK: the job went back, before
 * pushes that had completed, and nobody has left: see the top. PERMISSION_DENIED: an observer. Any
 * thread. */
STEPD_EXPORT enum stepd_status stepd_leave(struct stepd_client *client,
                                           struct stepd_error *reterr) STEPD_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
