/* SPDX-License-Identifier: Apache-2.0
 *
 * A shard's share of a snapshot for a control in another process: all that a manifest says of its
 * slices, as text in the manifest's own words, and none of their floats, which the shard's daemon
 * writes itself.
 */
#ifndef PERSIST_SHARE_H
#define PERSIST_SHARE_H

#include <stddef.h>

#include <stepd/status.h>

#include "server/model/job_state.h"

/* In sync mode a slice takes some 20 bytes; where each has records of its own, some 250 for each
 * rank. */
#define SHARE_MAX_BYTES ((size_t)256 << 20)

/*
 * Packs the slices that a share has taken. It is borrowed until return. *ret_text: caller frees
 * with free(). RESOURCE_EXHAUSTED: no memory, or more than SHARE_MAX_BYTES; the text says the
 * remedy. Any thread, while nobody writes the share.
 */
enum stepd_status share_pack(const struct job_state *share, char **ret_text, size_t *ret_bytes,
                             struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Unpacks what this shard of the job (0 first, of all its shards) has taken: exactly the slices
 * that are laid out to it. The state has what manifest_encode asks for and no array that may be
 * read: views that were made are not NULL and lead nowhere. It is the caller's own, may be used on
 * any thread, and is freed with job_state_unref; job is referred to. The text is a peer's:
 * INVALID_ARGUMENT where it is none of the kind or does not fit the job; the text names the slice
 * and the key. RESOURCE_EXHAUSTED: no memory, more than SHARE_MAX_BYTES, or than
 * MANIFEST_RECORDS_MAX records.
 */
enum stepd_status share_unpack(const char *text, size_t bytes, struct job *job, uint32_t shard,
                               struct job_state **ret_share,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
