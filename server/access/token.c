/* SPDX-License-Identifier: Apache-2.0
 *
 * The 43 characters are base64 in the alphabet that needs no quotes in a shell or an address
 * (RFC 4648, section 5), without padding.
 */
#include "server/access/token.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

_Static_assert(TOKEN_HASH_BYTES == SHA256_DIGEST_LENGTH, "a hash is a SHA-256");

static const char prefix[] = TOKEN_PREFIX;

_Static_assert(TOKEN_TEXT_BYTES == sizeof prefix + (TOKEN_RANDOM_BYTES * 8 + 5) / 6,
               "a character for each 6 bits");

void token_write(const uint8_t random[TOKEN_RANDOM_BYTES], char ret_token[TOKEN_TEXT_BYTES])
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *at = ret_token;
    memcpy(at, prefix, sizeof prefix - 1);
    at += sizeof prefix - 1;
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < TOKEN_RANDOM_BYTES; i++) {
        bits = bits << 8 | random[i];
        for (held += 8; held >= 6; held -= 6)
            *at++ = alphabet[bits >> (held - 6) & 63];
    }
    *at++ = alphabet[bits << (6 - held) & 63];
    *at = '\0';
}

bool token_hash(const uint8_t *token, size_t n, uint8_t ret_hash[TOKEN_HASH_BYTES])
{
    return SHA256(token, n, ret_hash) != NULL;
}

bool token_hash_equal(const uint8_t a[TOKEN_HASH_BYTES], const uint8_t b[TOKEN_HASH_BYTES])
{
    return CRYPTO_memcmp(a, b, TOKEN_HASH_BYTES) == 0;
}

void token_key_write(const uint8_t hash[TOKEN_HASH_BYTES], char ret_key[TOKEN_KEY_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    const size_t begin = sizeof TOKEN_KEY_PREFIX - 1;
    memcpy(ret_key, TOKEN_KEY_PREFIX, begin);
    for (size_t i = 0; i < TOKEN_HASH_BYTES; i++) {
        ret_key[begin + 2 * i] = digits[hash[i] >> 4];
        ret_key[begin + 2 * i + 1] = digits[hash[i] & 15];
    }
    ret_key[TOKEN_KEY_TEXT_BYTES - 1] = '\0';
}

/* -1: it is no hexadecimal digit. */
static int value_of(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

bool token_key_read(const char *key, uint8_t ret_hash[TOKEN_HASH_BYTES])
{
    const size_t begin = sizeof TOKEN_KEY_PREFIX - 1;
    if (strlen(key) != TOKEN_KEY_TEXT_BYTES - 1 || strncmp(key, TOKEN_KEY_PREFIX, begin) != 0)
        return false;
    uint8_t hash[TOKEN_HASH_BYTES];
    for (size_t i = 0; i < TOKEN_HASH_BYTES; i++) {
        const int high = value_of(key[begin + 2 * i]);
        const int low = value_of(key[begin + 2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        hash[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(ret_hash, hash, sizeof hash);
    return true;
}
