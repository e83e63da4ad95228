/* SPDX-License-Identifier: Apache-2.0
 *
 * Rank 0's first values, on their way to the shards.
 */
#ifndef CLIENT_LIB_ASSIGN_H
#define CLIENT_LIB_ASSIGN_H

#include <stepd/client.h>

#include "client/lib/core/layout.h"

/*
 * Sends the values of all tensors that begin with STEPD_TENSOR_VALUES (borrowed until return; as
 * many tensors as the layout has) and waits until the shards have them. Fails as the server says;
 * INTERNAL: the server packed tensors with values and tensors without into one slice.
 */
enum stepd_status stepd_assign(struct stepd_client *client, const struct stepd_layout_table *layout,
                               const struct stepd_tensor *tensors,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
