/* SPDX-License-Identifier: Apache-2.0
 *
 * One published version of a slice's weights: immutable while anybody but the slice holds a
 * reference. A reply is sent straight from it, so a pull is never torn; its 16-bit encodings are
 * made once, for all who ask. Belongs to one shard's thread: the count is not atomic.
 */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>
#include <stepd/types.h>

#include "server/optim/kernels.h"

struct weights {
    void *slice; /* whose version this is */
    uint32_t refs;
    uint64_t version;
    size_t elements;
    float *values;       /* borrowed from the slice's memory */
    uint8_t *encoded[3]; /* owned; by enum stepd_dtype; made on demand, NULL for f32 */
    bool encoded_valid[3];
};

void weights_init(struct weights *weights, void *slice, float *values, size_t elements);
void weights_deinit(struct weights *weights);

/* The values changed: drops the encodings (keeps their memory) and sets the version. */
void weights_published(struct weights *weights, uint64_t version);

struct weights *weights_ref(struct weights *weights);
void weights_unref(struct weights *weights);

/* The bytes of this version in a dtype, elements * stepd_dtype_bytes of them, borrowed while a
 * reference is held; made with these kernels where nobody has asked for them before. NULL: no
 * memory for the encoding. */
const uint8_t *weights_encoded(struct weights *weights, enum stepd_dtype dtype,
                               const struct reduce_kernels *kernels);

#endif
