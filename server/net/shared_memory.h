/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that processes on this host share: a file without a name, whose descriptor goes over a
 * Unix socket. Its size is sealed, so that nobody can take pages away from under who reads it; so
 * is, where this process alone is to write it, that any later mapping can only be read.
 */
#ifndef NET_SHARED_MEMORY_H
#define NET_SHARED_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "server/core/io.h"

struct shared_memory {
    struct core_memory memory; /* first: the core knows it by this; mapped here */
    int fd;
};

enum shared_memory_writer {
    SHARED_MEMORY_OURS,   /* this process writes, others read */
    SHARED_MEMORY_THEIRS, /* this process only reads */
};

/* Memory of zeros; at least 1 byte. Caller frees with shared_memory_destroy. NULL: the system has
 * no memory, descriptors or mappings to give. Any thread. */
struct shared_memory *shared_memory_create(size_t bytes, enum shared_memory_writer writer);

/* Who has the descriptor keeps the memory. NULL is fine. Returns NULL. */
struct shared_memory *shared_memory_destroy(struct shared_memory *memory);

#endif
