/* SPDX-License-Identifier: Apache-2.0 */
#include "server/persist/checksum.h"

#include <stdio.h>
#include <stdlib.h>

#include <xxhash.h>

struct checksum {
    XXH3_state_t *state; /* owned */
};

struct checksum *checksum_create(void)
{
    struct checksum *checksum = malloc(sizeof *checksum);
    if (checksum == NULL)
        return NULL;
    checksum->state = XXH3_createState();
    if (checksum->state == NULL)
        return checksum_destroy(checksum);
    checksum_clear(checksum);
    return checksum;
}

struct checksum *checksum_destroy(struct checksum *checksum)
{
    if (checksum == NULL)
        return NULL;
    XXH3_freeState(checksum->state);
    free(checksum);
    return NULL;
}

void checksum_clear(struct checksum *checksum)
{
    (void)XXH3_128bits_reset(checksum->state);
}

void checksum_add(struct checksum *checksum, const void *bytes, size_t n)
{
    (void)XXH3_128bits_update(checksum->state, bytes, n);
}

static void print(XXH128_hash_t hash, char ret_text[CHECKSUM_TEXT_BYTES])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    for (size_t i = 0; i < sizeof canonical.digest; i++)
        (void)snprintf(&ret_text[2 * i], 3, "%02x", canonical.digest[i]);
}

void checksum_text(const struct checksum *checksum, char ret_text[CHECKSUM_TEXT_BYTES])
{
    print(XXH3_128bits_digest(checksum->state), ret_text);
}

void checksum_of(const void *bytes, size_t n, char ret_text[CHECKSUM_TEXT_BYTES])
{
    print(XXH3_128bits(bytes, n), ret_text);
}
