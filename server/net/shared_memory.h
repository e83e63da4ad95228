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

/* What workers may be given to write, over all shards. */
struct shared_budget {
    uint64_t most;         /* bytes */
    _Atomic uint64_t used; /* of them */
};

struct shared_memory {
    struct core_memory memory; /* first: the core knows it by this; mapped here */
    int fd;
    struct shared_budget *budget; /* borrowed; that it was taken from; NULL: this process writes */
};

/*
 * Memory of zeros; at least 1 byte. budget NULL: this process writes it and others read, and it is
 * accounted for elsewhere. Else (borrowed as long as the memory lives) others write it, and this
 * process only reads. Caller frees with shared_memory_destroy. NULL: the budget does not allow it,
 * or the system has no memory, descriptors or mappings to give. Any thread.
 */
struct shared_memory *shared_memory_create(size_t bytes, struct shared_budget *budget);

/* Who has the descriptor keeps the memory. NULL is fine. Returns NULL. */
struct shared_memory *shared_memory_destroy(struct shared_memory *memory);

#endif
