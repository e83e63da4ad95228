/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the shard's fixture share.
 */
#ifndef TESTS_LIB_SHARD_INTERNAL_H
#define TESTS_LIB_SHARD_INTERNAL_H

#include "tests/lib/shard.h"

/* What the core calls: everything is kept in the fixture. */
struct core_io shard_io(struct shard *shard);

/* Adds the calls about shared memory to it. */
void shard_share(struct core_io *io);
/* What was lent to a peer is gone with its connection. */
void shard_unlend(struct shard_peer *peer);

/* Gives back what the core has sent, after an entry into it has returned. */
void shard_settle(struct shard *shard);

#endif
