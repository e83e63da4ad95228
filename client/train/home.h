/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the weights live: behind a server (home_remote.c, over libstepd), or in this process
 * (home_local.c, the server's own code without a network, as a baseline for what distribution
 * costs). The training loop knows this table only.
 *
 *     home_remote_create / home_local_create
 *     home_define                    what the job is; the same in every worker
 *     home_pull                      the first weights
 *     for each step:
 *         home_step_start            once per part, as soon as its gradients are computed
 *         home_step_wait             once per part, before its weights are read again
 *     home_leave, home_destroy
 *
 * A part is what the loop starts and waits for together: one layer of the model, or several. Parts
 * are numbered in the order in which their weights are needed. Functions are called by one
 * thread; errors are those of <stepd/client.h>, with texts for people.
 */
#ifndef TRAIN_HOME_H
#define TRAIN_HOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/client.h>

#include "client/train/options.h"

#define HOME_PARTS_MAX 32u

struct home;

/* What a worker says of its step, the same for all parts of it. */
struct home_step {
    uint64_t examples; /* behind the gradients; 0: present, with nothing to add */
    bool has_loss;     /* there is one wherever there are examples */
    double loss;       /* mean over them: schedules and optimizers may go by it */
};

struct home_kind {
    uint32_t (*rank)(const struct home *home);
    enum stepd_mode (*mode)(const struct home *home);
    bool (*packed)(const struct home *home, size_t tensor);
    enum stepd_status (*define)(struct home *home, const struct stepd_job_options *job,
                                const struct stepd_tensor *tensors, size_t count,
                                struct stepd_error *reterr);
    uint64_t (*clock)(const struct home *home);
    enum stepd_status (*pull)(struct home *home, enum stepd_view view,
                              const struct stepd_array *arrays, size_t count, uint64_t *ret_version,
                              struct stepd_error *reterr);
    enum stepd_status (*step_start)(struct home *home, size_t part,
                                    const struct stepd_array *arrays, size_t count,
                                    const struct home_step *step, struct stepd_error *reterr);
    enum stepd_status (*step_wait)(struct home *home, size_t part, uint64_t *ret_version,
                                   struct stepd_error *reterr);
    enum stepd_status (*report)(struct home *home, uint64_t step, double loss, uint64_t examples,
                                struct stepd_error *reterr);
    enum stepd_status (*leave)(struct home *home, struct stepd_error *reterr);
    struct home *(*destroy)(struct home *home);
};

/* The first member of every home. */
struct home {
    const struct home_kind *kind; /* static */
};

/* Connects and joins the job. *ret_home: caller frees with home_destroy. As stepd_connect. */
enum stepd_status home_remote_create(const struct train_options *options, struct home **ret_home,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A home in this process, for one worker of rank 0. *ret_home: caller frees with home_destroy.
 * RESOURCE_EXHAUSTED: no memory. */
enum stepd_status home_local_create(struct home **ret_home,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The rank that this worker has. */
static inline uint32_t home_rank(const struct home *home)
{
    return home->kind->rank(home);
}

/* The mode that the job has; once it is defined. */
static inline enum stepd_mode home_mode(const struct home *home)
{
    return home->kind->mode(home);
}

/* Does a tensor travel together with others, so that its gradient leaves when the last of theirs is
 * there? Once the job is defined. */
static inline bool home_packed(const struct home *home, size_t tensor)
{
    return home->kind->packed(home, tensor);
}

/* As stepd_define; tensors are known by their index from then on. */
static inline STEPD_MUST_CHECK enum stepd_status
home_define(struct home *home, const struct stepd_job_options *job,
            const struct stepd_tensor *tensors, size_t count, struct stepd_error *reterr)
{
    return home->kind->define(home, job, tensors, count, reterr);
}

/* Fetches a view of the newest weights into arrays[i].weights. *ret_version: the least of theirs.
 * INVALID_ARGUMENT: the job keeps no such view. */
static inline STEPD_MUST_CHECK enum stepd_status home_pull(struct home *home, enum stepd_view view,
                                                           const struct stepd_array *arrays,
                                                           size_t count, uint64_t *ret_version,
                                                           struct stepd_error *reterr)
{
    return home->kind->pull(home, view, arrays, count, ret_version, reterr);
}

/* How many steps of this worker's had counted when the newest home_pull was done. */
static inline uint64_t home_clock(const struct home *home)
{
    return home->kind->clock(home);
}

/*
 * Sends the gradients of a part (below HOME_PARTS_MAX), the mean over the step's examples, and has
 * the weights to train with that come of them put into arrays[i].weights. Both are borrowed, the
 * list `arrays` too, until home_step_wait of that part has returned; `step` until return.
 */
static inline STEPD_MUST_CHECK enum stepd_status
home_step_start(struct home *home, size_t part, const struct stepd_array *arrays, size_t count,
                const struct home_step *step, struct stepd_error *reterr)
{
    return home->kind->step_start(home, part, arrays, count, step, reterr);
}

/* Waits for the weights of a part that was started. *ret_version: the newest of theirs. */
static inline STEPD_MUST_CHECK enum stepd_status
home_step_wait(struct home *home, size_t part, uint64_t *ret_version, struct stepd_error *reterr)
{
    return home->kind->step_wait(home, part, ret_version, reterr);
}

/* As stepd_report. */
static inline STEPD_MUST_CHECK enum stepd_status home_report(struct home *home, uint64_t step,
                                                             double loss, uint64_t examples,
                                                             struct stepd_error *reterr)
{
    return home->kind->report(home, step, loss, examples, reterr);
}

/* As stepd_leave: no rounds wait for this worker any more. Parts that are under way are given up
 * with home_destroy; whether they counted is not known. */
static inline STEPD_MUST_CHECK enum stepd_status home_leave(struct home *home,
                                                            struct stepd_error *reterr)
{
    return home->kind->leave(home, reterr);
}

/* Frees the home; parts under way are given up. NULL is fine. Returns NULL. */
static inline struct home *home_destroy(struct home *home)
{
    return home == NULL ? NULL : home->kind->destroy(home);
}

#endif
