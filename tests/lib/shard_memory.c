/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared memory of the fixture: plain memory, which is freed as early as the core is told that it
 * may be, so that a sanitizer sees who looks at it later.
 */
#include "tests/lib/shard_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE_BYTES 4096u

static uint8_t *make_pages(size_t bytes)
{
    uint8_t *const pages = aligned_alloc(PAGE_BYTES, bytes);
    assert_int_equal(bytes % PAGE_BYTES, 0);
    assert_non_null(pages);
    memset(pages, 0, bytes);
    return pages;
}

static struct core_memory *on_share(void *owner, size_t bytes)
{
    struct shard *const shard = owner;
    assert_null(shard->memory.at);
    if (shard->lacks_memory)
        return NULL;
    shard->memory = (struct core_memory){.at = make_pages(bytes), .bytes = bytes};
    return &shard->memory;
}

static void on_unshare(void *owner, struct core_memory *memory)
{
    struct shard *const shard = owner;
    assert_ptr_equal(memory, &shard->memory);
    assert_non_null(shard->memory.at);
    free(shard->memory.at);
    shard->memory.at = NULL;
}

static const uint8_t *on_lend(void *owner, void *peer, struct core_memory *weights,
                              size_t gradients_bytes)
{
    struct shard *const shard = owner;
    struct shard_peer *const to = peer;
    assert_ptr_equal(weights, &shard->memory);
    assert_null(to->gradients);
    if (shard->lends_nothing)
        return NULL;
    to->gradients = make_pages(gradients_bytes);
    return to->gradients;
}

void shard_share(struct core_io *io)
{
    io->share = on_share;
    io->unshare = on_unshare;
    io->lend = on_lend;
}

void shard_unlend(struct shard_peer *peer)
{
    free(peer->gradients);
    peer->gradients = NULL;
}

float *shard_gradient(const struct shard *shard, size_t peer, uint32_t slice)
{
    const struct layout *const layout = &shard->job->layout;
    size_t at = 0;
    assert_non_null(shard->peer[peer].gradients);
    for (uint32_t i = 0; i < slice; i++) {
        if (layout->slice[i].shard == shard->index)
            at += (layout->slice[i].elements * sizeof(float) + PAGE_BYTES - 1) / PAGE_BYTES;
    }
    return (float *)(shard->peer[peer].gradients + at * PAGE_BYTES);
}

const float *shard_placed(const struct shard *shard, const struct shard_reply *reply, size_t i)
{
    assert_true(i < reply->places);
    assert_int_equal(reply->bytes, 0);
    assert_int_equal(reply->place[i] % PAGE_BYTES, 0);
    assert_true(reply->place[i] < shard->memory.bytes);
    return (const float *)(shard->memory.at + reply->place[i]);
}
