/* SPDX-License-Identifier: Apache-2.0
 *
 * All pages are there from the start: one that could not be had later would end whoever touches it
 * first. The seal on writing comes after our own mapping, which it spares. What this process writes
 * it touches at once, in huge pages where the system has them for shared memory, so that no step
 * meets a page fault.
 */
#include "server/net/shared_memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static bool make_file(struct shared_memory *memory)
{
    memory->fd = memfd_create("stepd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return memory->fd >= 0 && posix_fallocate(memory->fd, 0, (off_t)memory->memory.bytes) == 0;
}

static bool map(struct shared_memory *memory, int protection)
{
    void *const at =
        mmap(NULL, memory->memory.bytes, protection, MAP_SHARED, memory->fd, /* offset= */ 0);
    memory->memory.at = at == MAP_FAILED ? NULL : at;
    return at != MAP_FAILED;
}

static void touch(const struct shared_memory *memory)
{
    (void)madvise(memory->memory.at, memory->memory.bytes, MADV_HUGEPAGE);
    memset(memory->memory.at, 0, memory->memory.bytes);
}

static bool take_from(struct shared_budget *budget, uint64_t bytes)
{
    uint64_t used = atomic_load(&budget->used);
    do {
        if (bytes > budget->most || used > budget->most - bytes)
            return false;
    } while (!atomic_compare_exchange_weak(&budget->used, &used, used + bytes));
    return true;
}

struct shared_memory *shared_memory_create(size_t bytes, struct shared_budget *budget)
{
    const bool ours = budget == NULL;
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    struct shared_memory *const memory = malloc(sizeof *memory);
    if (memory == NULL)
        return NULL;
    *memory = (struct shared_memory){.memory = {.bytes = bytes}, .fd = -1};
    if (!ours && !take_from(budget, bytes))
        return shared_memory_destroy(memory);
    memory->budget = budget;
    if (make_file(memory) && map(memory, ours ? PROT_READ | PROT_WRITE : PROT_READ) &&
        fcntl(memory->fd, F_ADD_SEALS, ours ? seals | F_SEAL_FUTURE_WRITE : seals) == 0) {
        if (ours)
            touch(memory);
        return memory;
    }
    return shared_memory_destroy(memory);
}

struct shared_memory *shared_memory_destroy(struct shared_memory *memory)
{
    if (memory == NULL)
        return NULL;
    if (memory->memory.at != NULL)
        (void)munmap(memory->memory.at, memory->memory.bytes);
    if (memory->fd >= 0)
        (void)close(memory->fd);
    if (memory->budget != NULL)
        (void)atomic_fetch_sub(&memory->budget->used, memory->memory.bytes);
    free(memory);
    return NULL;
}
