/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker's questions and the answers to them share.
 */
#ifndef TESTS_SIM_WORKER_INTERNAL_H
#define TESTS_SIM_WORKER_INTERNAL_H

#include "tests/sim/worker.h"

struct question {
    struct question *next;
    uint64_t id;
    uint32_t shard;
    enum stepd_message_kind kind;
    enum stepd_view view; /* of a pull or step */
    bool curious;         /* a pull that serves no purpose, and holds nothing up */
    enum worker_phase phase;
    uint64_t clock;
    size_t slices;
    uint32_t slice[WORKER_SLICES_MAX];
};

/* What a slice needs next, or ERROR for nothing. */
enum stepd_message_kind worker_need(const struct worker *worker, uint32_t slice);

/* It is answered, or never will be. */
void question_forget(struct worker *worker, struct question *question);

#endif
