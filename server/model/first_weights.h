/* SPDX-License-Identifier: Apache-2.0
 *
 * First weights of a job's tensors that come from elsewhere than its definition: of all of them, or
 * of some. They are made once, then never written again, and shared by reference count between
 * control and shards until the slices stand.
 */
#ifndef MODEL_FIRST_WEIGHTS_H
#define MODEL_FIRST_WEIGHTS_H

#include <stddef.h>

#include <stepd/status.h>

#define FIRST_WEIGHTS_TEXT_BYTES 400u
#define FIRST_WEIGHTS_SUM_BYTES  33u

struct first_weights {
    size_t tensors;
    float **values; /* owned, as are they; by tensor: its elements, or NULL: as it is defined */
    char text[FIRST_WEIGHTS_TEXT_BYTES]; /* how much of the job they are, for people */
    char sum[FIRST_WEIGHTS_SUM_BYTES];   /* XXH3 of the values, in the tensors' order */
    unsigned refs;                       /* atomic */
};

/* Of so many tensors, none of which has any yet. NULL: no memory. The caller gives it back with
 * first_weights_unref. */
struct first_weights *first_weights_create(size_t tensors);

/* Any thread. */
struct first_weights *first_weights_ref(struct first_weights *first);
/* NULL is fine. Returns NULL. Any thread. */
struct first_weights *first_weights_unref(struct first_weights *first);

#endif
