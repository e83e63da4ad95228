/* SPDX-License-Identifier: Apache-2.0
 *
 * A block of floats for arrays that live as long as a job: allocated once, zero, and touched, so
 * that no step meets a page fault. A large one asks for huge pages.
 */
#ifndef MODEL_BLOCK_H
#define MODEL_BLOCK_H

#include <stdint.h>

#include <stepd/status.h>

struct block {
    float *floats; /* owned; on a cache line, a large one on a huge page; NULL: of none */
};

/* RESOURCE_EXHAUSTED: no memory. The caller frees with block_deinit. */
enum stepd_status block_init(struct block *block, uint64_t floats) STEPD_MUST_CHECK;

/* A zeroed block is fine. */
void block_deinit(struct block *block);

#endif
