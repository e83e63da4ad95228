/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that processes on this host share: a file without a name, whose descriptor goes over a
 * Unix socket. Its size is sealed, so that nobody can take pages away from under who reads it; so
 * is, where this process alone is to write it, that any later mapping can only be read.
 */
#ifndef NET_SHARED_MEMORY_H
#define NET_SHARED_MEMORY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "server/core/io.h"

/* What there is for it, over all shards. */
struct shared_budget {
    uint64_t bytes;       /* for others to write; what this process writes is accounted elsewhere */
    uint64_t descriptors; /* for what this process writes; for the rest they are closed soon */
    _Atomic uint64_t bytes_used;
    _Atomic uint64_t descriptors_used;
};

enum shared_memory_writer {
    SHARED_MEMORY_OURS,   /* this process writes, others read */
    SHARED_MEMORY_THEIRS, /* this process only reads */
};

struct shared_memory {
    struct core_memory memory; /* first: the core knows it by this; mapped here */
    int fd;                    /* -1: it is shared with all who ever will */
    enum shared_memory_writer writer;
    struct shared_budget *budget; /* borrowed; NULL: nothing was taken from it */
};

/* Memory of zeros; at least 1 byte. The budget is borrowed as long as it lives. Caller frees with
 * shared_memory_destroy. NULL: the budget does not allow it, or the system has no memory,
 * descriptors or mappings to give. Any thread. */
struct shared_memory *shared_memory_create(size_t bytes, enum shared_memory_writer writer,
                                           struct shared_budget *budget);

/* It is shared with all who ever will: the descriptor is not needed any more. */
void shared_memory_close_descriptor(struct shared_memory *memory);

/* Who has mapped the memory, or has its descriptor, keeps it. NULL is fine. Returns NULL. */
struct shared_memory *shared_memory_destroy(struct shared_memory *memory);

#endif
