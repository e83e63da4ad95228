/* SPDX-License-Identifier: Apache-2.0
 *
 * A server that takes pages away would end this process where it touches them, so the size must be
 * sealed. All pages are mapped at once: a training step is no time for page faults.
 */
#include "client/lib/net/mapping.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"

struct stepd_mapping {
    struct stepd_shared shared;
    int fd[2]; /* owned; by enum stepd_show */
};

static enum stepd_status check(int fd, uint64_t bytes, struct stepd_error *reterr)
{
    struct stat file;
    const int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd, &file) != 0 || bytes == 0 ||
        bytes > SIZE_MAX || (uint64_t)file.st_size < bytes)
        return stepd_fail(reterr, STEPD_INTERNAL,
                          "the memory that the server shares is not as large as it says, or not "
                          "sealed");
    return STEPD_OK;
}

static void *map(int fd, uint64_t bytes, int protection)
{
    void *const at =
        mmap(NULL, (size_t)bytes, protection, MAP_SHARED | MAP_POPULATE, fd, /* offset= */ 0);
    return at == MAP_FAILED ? NULL : at;
}

static enum stepd_status map_both(const int fd[2], struct stepd_shared *shared,
                                  struct stepd_error *reterr)
{
    enum stepd_status status = check(fd[0], shared->weights_bytes, reterr);
    if (status == STEPD_OK)
        status = check(fd[1], shared->gradients_bytes, reterr);
    if (status != STEPD_OK)
        return status;
    shared->weights = map(fd[0], shared->weights_bytes, PROT_READ);
    shared->gradients = map(fd[1], shared->gradients_bytes, PROT_READ | PROT_WRITE);
    if (shared->weights == NULL || shared->gradients == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                          "no room to map the %" PRIu64 " MiB of memory that the server shares; "
                          "raise the limit (ulimit -v)",
                          (shared->weights_bytes + shared->gradients_bytes) >> 20);
    return STEPD_OK;
}

static bool show(void *owner, enum stepd_show what, uint64_t at, uint64_t bytes, void *pages)
{
    const struct stepd_mapping *const mapping = owner;
    const int protection = what == STEPD_SHOW_GRADIENTS ? PROT_READ | PROT_WRITE : PROT_READ;
    return mmap(pages, (size_t)bytes, protection, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
                mapping->fd[what], (off_t)at) != MAP_FAILED;
}

enum stepd_status stepd_mapping_create(const int fd[2], uint64_t weights_bytes,
                                       uint64_t gradients_bytes, struct stepd_mapping **ret_mapping,
                                       struct stepd_shared *ret_shared, struct stepd_error *reterr)
{
    struct stepd_mapping *const mapping = calloc(1, sizeof *mapping);
    enum stepd_status status = STEPD_OK;
    if (mapping == NULL) {
        status = stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for a connection");
    } else {
        mapping->fd[STEPD_SHOW_WEIGHTS] = fd[STEPD_SHOW_WEIGHTS];
        mapping->fd[STEPD_SHOW_GRADIENTS] = fd[STEPD_SHOW_GRADIENTS];
        mapping->shared.owner = mapping;
        mapping->shared.show = show;
        mapping->shared.weights_bytes = weights_bytes;
        mapping->shared.gradients_bytes = gradients_bytes;
        status = map_both(fd, &mapping->shared, reterr);
    }
    if (mapping == NULL) {
        (void)close(fd[0]);
        (void)close(fd[1]);
        return status;
    }
    if (status != STEPD_OK) {
        (void)stepd_mapping_destroy(mapping);
        return status;
    }
    *ret_mapping = mapping;
    *ret_shared = mapping->shared;
    return STEPD_OK;
}

void *stepd_mapping_take(uint64_t bytes)
{
    void *const pages = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, /* fd= */ -1, /* offset= */ 0);
    return pages == MAP_FAILED ? NULL : pages;
}

void stepd_mapping_return(void *pages, uint64_t bytes)
{
    if (pages != NULL)
        (void)munmap(pages, (size_t)bytes);
}

/* In one move, so that whoever reads meanwhile finds one or the other. Where there is no memory for
 * that, what was in them is lost: the weights that make this necessary come next. */
void stepd_mapping_hide(void *pages, uint64_t bytes)
{
    void *const copy = stepd_mapping_take(bytes);
    if (copy != NULL) {
        memcpy(copy, pages, (size_t)bytes);
        if (mremap(copy, (size_t)bytes, (size_t)bytes, MREMAP_MAYMOVE | MREMAP_FIXED, pages) !=
            MAP_FAILED)
            return;
        stepd_mapping_return(copy, bytes);
    }
    (void)mmap(pages, (size_t)bytes, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, /* fd= */ -1, /* offset= */ 0);
}

struct stepd_mapping *stepd_mapping_destroy(struct stepd_mapping *mapping)
{
    if (mapping == NULL)
        return NULL;
    const struct stepd_shared *const shared = &mapping->shared;
    if (shared->weights != NULL)
        (void)munmap((void *)(uintptr_t)shared->weights, (size_t)shared->weights_bytes);
    if (shared->gradients != NULL)
        (void)munmap(shared->gradients, (size_t)shared->gradients_bytes);
    (void)close(mapping->fd[0]);
    (void)close(mapping->fd[1]);
    free(mapping);
    return NULL;
}
