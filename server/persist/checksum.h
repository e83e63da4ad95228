/* SPDX-License-Identifier: Apache-2.0
 *
 * What tells that bytes are those that were written: XXH3 with 128 bits, of a tensor's bytes or of
 * a whole file's. It finds what disks and mistakes do, and is no defence against somebody who means
 * it: who can write a checkpoint can write its checksums.
 */
#ifndef PERSIST_CHECKSUM_H
#define PERSIST_CHECKSUM_H

#include <stddef.h>

/* "9f4c...", 32 hexadecimal digits in XXH3's canonical order, as `xxh128sum` prints them. */
#define CHECKSUM_TEXT_BYTES 33u

struct checksum;

/* Of no bytes yet. NULL: no memory. The caller frees with checksum_destroy. */
struct checksum *checksum_create(void);
/* NULL is fine. Returns NULL. */
struct checksum *checksum_destroy(struct checksum *checksum);

/* Forgets all bytes. */
void checksum_clear(struct checksum *checksum);

void checksum_add(struct checksum *checksum, const void *bytes, size_t n);

/* That of all bytes so far; more may follow. */
void checksum_text(const struct checksum *checksum, char ret_text[CHECKSUM_TEXT_BYTES]);

/* That of these bytes alone. */
void checksum_of(const void *bytes, size_t n, char ret_text[CHECKSUM_TEXT_BYTES]);

#endif
