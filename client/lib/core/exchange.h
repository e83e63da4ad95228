/* SPDX-License-Identifier: Apache-2.0
 *
 * The exchange of gradients and weights: a worker's brain. It takes operations (operation.h), keeps
 * of every slice the clock and the version, and sends transfers (transfer.h) through its port.
 *
 *     operation --> parts --> parcels --> transfers --> port.send
 *                                                         |
 *     operation.on_done <-- settled parcels <-- replies --+
 *
 * A parcel is what one slice carries in one exchange: for each of its parts, where the gradient
 * lies and where the weights go. A slice of a large tensor has one part, so its parcel is full at
 * once. A slice that packs several tensors is pushed only whole: its parcel gathers until each
 * tensor has been given, by one operation or by several, and belongs to all of them. Gathering
 * parcels of one slice stand in a queue, oldest first, and fill in that order.
 *
 * No socket, clock or thread; all calls come from the loop's thread. Times are milliseconds.
 */
#ifndef CLIENT_LIB_CORE_EXCHANGE_H
#define CLIENT_LIB_CORE_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/lib/core/layout.h"
#include "client/lib/core/operation.h"
#include "client/lib/core/outgoing.h"
#include "client/lib/core/pending.h"
#include "client/lib/core/shared.h"
#include "proto/arena.h"

struct stepd_transfer;

/* What one part of a parcel carries. */
struct stepd_parcel_part {
    struct stepd_operation *operation; /* NULL: not given (push), not wanted (pull) */
    const float *grad;
    float *weights; /* NULL: not wanted */
};

/* So long a push waits for another tensor before somebody is told. */
#define STEPD_GATHERING_TOLD_MS UINT64_C(5000)

struct stepd_parcel {
    struct stepd_parcel *next; /* in the queue, or in the list of those that are ready */
    uint32_t slice;
    uint32_t parts;
    uint32_t given;
    bool pushes, pulls;
    uint64_t examples;
    uint64_t min_version;
    uint32_t deadline_ms;
    enum stepd_view view; /* where it pulls */
    bool has_loss;
    double loss;
    double loss_scale;
    int32_t priority;   /* the highest of its operations' */
    const float *extra; /* what the slice takes behind its gradients; NULL: nothing */
    uint64_t since_ms;  /* when it began to gather */
    bool told;          /* ... and that it does so for long */
    bool awaited;       /* it stands in the reply frame that is arriving */
    bool answered;      /* outcome and version are known */
    enum stepd_outcome outcome;
    uint64_t version;
    uint64_t durable_version;
    struct stepd_parcel_part part[];
};

struct stepd_slice_state {
    uint64_t clock;   /* of the newest push; 0: none */
    uint64_t sent;    /* the same, as long as its operation is not done; else 0 */
    uint64_t again;   /* that the next push repeats, because its operation failed; 0: none */
    uint32_t pushing; /* pushes under way */
    uint32_t ending;  /* parts of it in the operation that is being looked at; else 0 */
    uint64_t version; /* that was fetched last */
    bool fetched;
    uint64_t gradient_at; /* byte where its gradient begins in memory that is shared */
    struct stepd_lent lent;
    struct stepd_parcel *gathering; /* owned queue, oldest first */
    struct stepd_parcel *pulling;   /* of the operation that is being started */
};

/* The way out. */
struct stepd_port {
    void *self;
    /* Takes ownership of outgoing on success. */
    enum stepd_status (*send)(void *self, uint32_t shard, struct stepd_outgoing *outgoing,
                              struct stepd_error *reterr);
    /* Is the link down and being made again, so that what is for it waits? NULL: never. */
    bool (*holds)(void *self, uint32_t shard);
    /* A request was told ROLLED_BACK: see stepd_exchange_roll_back. NULL: of no interest. */
    void (*rolled_back)(void *self);
    /* A push has waited for long for another tensor: why, for people. NULL: of no interest. */
    void (*waits)(void *self, const char *text);
};

struct stepd_exchange {
    const struct stepd_layout_table *layout; /* borrowed, sealed */
    struct stepd_pending *pending;           /* borrowed */
    struct stepd_port port;
    enum stepd_dtype push_dtype, pull_dtype;
    uint64_t incarnation;            /* of the job, as every request states it */
    uint64_t now_ms;                 /* as it was told last */
    uint32_t wait_max_ms;            /* the server's longest */
    size_t frame_max_bytes;          /* the smallest of the shards' */
    struct stepd_slice_state *slice; /* owned; as many as the layout has */
    struct stepd_transfer **open;    /* owned; by shard - 1: being filled, or NULL */
    size_t shards;
    struct stepd_shared *shared; /* owned; by shard - 1 */
    uint64_t shares;             /* that there have been: the newest one's serial */
    uint32_t shown;              /* pieces of loans */
    struct stepd_loan *loan;     /* owned; by tensor; its arrays are the client's */
    uint64_t clock;   /* the highest that has been sent, or that the server has told of */
    uint64_t resumed; /* the lowest that a shard has told of before the first push; 0: none has */
    bool pushed;      /* has an operation pushed yet? */
    bool rolled_back; /* weights that were fetched before are of another incarnation */
    bool rolling_back;
    size_t gathering; /* parcels that wait for tensors */
    struct stepd_arena arena;
};

/* Elements of the parcel's slice. */
static inline uint64_t stepd_exchange_elements(const struct stepd_exchange *exchange,
                                               const struct stepd_parcel *parcel)
{
    return exchange->layout->slice[parcel->slice].elements;
}

/* Elements that the parcel takes of a frame's payload, on its way there or back. */
static inline uint64_t stepd_exchange_payload(const struct stepd_exchange *exchange,
                                              const struct stepd_parcel *parcel)
{
    const uint64_t extra = parcel->pushes ? exchange->layout->slice[parcel->slice].extra : 0;
    return stepd_exchange_elements(exchange, parcel) + extra;
}

/*
 * The clock of a slice's next push. In sync mode a rank contributes to each version once, so the
 * clock is never behind the version that the gradient was computed at. A worker that takes over a
 * rank in the middle of a step thus repeats what its predecessor had sent of it, and is told so,
 * instead of leaving gaps in the slices that had not been sent. So does a worker of whose step a
 * part has failed: it makes the step again as a whole.
 */
static inline uint64_t stepd_exchange_next_clock(const struct stepd_exchange *exchange,
                                                 uint32_t slice)
{
    const struct stepd_slice_state *state = &exchange->slice[slice];
    if (state->again != 0)
        return state->again;
    const bool behind = exchange->layout->mode == STEPD_SYNC && state->clock < state->version;
    return (behind ? state->version : state->clock) + 1;
}

/* shards: number of shards of the job. RESOURCE_EXHAUSTED: no memory; deinit is fine then. */
enum stepd_status stepd_exchange_init(struct stepd_exchange *exchange,
                                      const struct stepd_layout_table *layout, size_t shards,
                                      struct stepd_pending *pending) STEPD_MUST_CHECK;

/* What a shard's new link shares (copied); weights NULL: nothing. INTERNAL: it is too small for the
 * gradients of the shard's slices. */
enum stepd_status stepd_exchange_share(struct stepd_exchange *exchange, uint32_t shard,
                                       const struct stepd_shared *shared,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Nothing may be under way: see stepd_exchange_lose. */
void stepd_exchange_deinit(struct stepd_exchange *exchange);

/*
 * The rank was here before: clock is the lowest that the shard has counted, over the slices that
 * the rank has pushed; 0: it has pushed none there. In async mode all slices of the shard go on
 * from there, and before the first push those of all shards from the lowest of theirs: a step that
 * some have counted is taken again for the others. One that is ahead answers DUPLICATE until its
 * own clock is reached, and one that was never pushed takes any first clock. In sync mode the
 * versions of the weights say more: see stepd_exchange_next_clock.
 */
void stepd_exchange_resume(struct stepd_exchange *exchange, uint32_t shard, uint64_t clock);

/* Works off an operation; its failures end in on_done, which may be called before this returns. */
void stepd_exchange_start(struct stepd_exchange *exchange, struct stepd_operation *operation,
                          uint64_t now_ms);

/* Time has passed: operations that have gathered for too long fail. What is held of them is looked
 * after by the port's owner: see stepd_pending_expired. */
void stepd_exchange_tick(struct stepd_exchange *exchange, uint64_t now_ms);

/* The link to a shard is gone for good: fails what was to go over it and what waits for it. (Where
 * it will be made again: stepd_pending_suspend, and stepd_exchange_resend when it stands.) */
void stepd_exchange_lose(struct stepd_exchange *exchange, uint32_t shard,
                         const struct stepd_error *error);

/* The link to a shard stands again: sends what was held for it, with what is left of its time. */
void stepd_exchange_resend(struct stepd_exchange *exchange, uint32_t shard, uint64_t now_ms);

/*
 * The job has another incarnation, or the server has forgotten this worker: fails everything with
 * `error`, and forgets clocks and versions. From then on a tensor is pushed only when its weights
 * have been pulled; until then pushes of it fail with ROLLED_BACK too. What is started meanwhile
 * states the old incarnation unless the port holds it.
 */
void stepd_exchange_roll_back(struct stepd_exchange *exchange, const struct stepd_error *error);

/* One part fewer that an operation waits for: see stepd_operation_release. */
void stepd_exchange_release(struct stepd_exchange *exchange, struct stepd_operation *operation);

/* Has the job gone back, and are there weights that have not been pulled since? */
bool stepd_exchange_is_behind(const struct stepd_exchange *exchange);

/* A parcel is over: answered (error NULL) or failed. Tells its operations and frees it. */
void stepd_exchange_settle(struct stepd_exchange *exchange, struct stepd_parcel *parcel,
                           const struct stepd_error *error);

#endif
