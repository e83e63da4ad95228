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

/* The system looks for more than it has until it ends processes, rather than refuse. */
static bool is_too_much(size_t bytes)
{
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long page_bytes = sysconf(_SC_PAGESIZE);
    return pages <= 0 || page_bytes <= 0 || bytes / (size_t)page_bytes >= (size_t)pages;
}

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

static bool take(uint64_t n, uint64_t most, _Atomic uint64_t *used)
{
    uint64_t before = atomic_load(used);
    do {
        if (n > most || before > most - n)
            return false;
    } while (!atomic_compare_exchange_weak(used, &before, before + n));
    return true;
}

static bool take_from_budget(struct shared_memory *memory, struct shared_budget *budget)
{
    const bool taken = memory->writer == SHARED_MEMORY_THEIRS
                           ? take(memory->memory.bytes, budget->bytes, &budget->bytes_used)
                           : take(1, budget->descriptors, &budget->descriptors_used);
    memory->budget = taken ? budget : NULL;
    return taken;
}

static void give_back_to_budget(const struct shared_memory *memory)
{
    if (memory->budget != NULL && memory->writer == SHARED_MEMORY_THEIRS)
        (void)atomic_fetch_sub(&memory->budget->bytes_used, memory->memory.bytes);
    else if (memory->budget != NULL)
        (void)atomic_fetch_sub(&memory->budget->descriptors_used, 1);
}

struct shared_memory *shared_memory_create(size_t bytes, enum shared_memory_writer writer,
                                           struct shared_budget *budget)
{
    const bool ours = writer == SHARED_MEMORY_OURS;
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    struct shared_memory *const memory = malloc(sizeof *memory);
    if (memory == NULL)
        return NULL;
    *memory = (struct shared_memory){.memory = {.bytes = bytes}, .fd = -1, .writer = writer};
    if (!is_too_much(bytes) && take_from_budget(memory, budget) && make_file(memory) &&
        map(memory, ours ? PROT_READ | PROT_WRITE : PROT_READ) &&
        fcntl(memory->fd, F_ADD_SEALS, ours ? seals | F_SEAL_FUTURE_WRITE : seals) == 0) {
        if (ours)
            touch(memory);
        return memory;
    }
    return shared_memory_destroy(memory);
}

void shared_memory_close_descriptor(struct shared_memory *memory)
{
    (void)close(memory->fd);
    memory->fd = -1;
}

struct shared_memory *shared_memory_destroy(struct shared_memory *memory)
{
    if (memory == NULL)
        return NULL;
    if (memory->memory.at != NULL)
        (void)munmap(memory->memory.at, memory->memory.bytes);
    if (memory->fd >= 0)
        (void)close(memory->fd);
    give_back_to_budget(memory);
    free(memory);
    return NULL;
}
