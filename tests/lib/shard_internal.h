/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the shard's fixture share.
 */
#ifndef TESTS_LIB_SHARD_INTERNAL_H
#define TESTS_LIB_SHARD_INTERNAL_H

#include "tests/lib/shard.h"

/* What the core calls: everything is kept in the fixture. */
struct core_io shard_io(struct shard *shard);

/* Gives back what the core has sent, after an entry into it has returned. */
void shard_settle(struct shard *shard);

#endif
