/* SPDX-License-Identifier: Apache-2.0
 *
 * A token: 256 random bits behind a word by which people, and tools that look for secrets, know it:
 * "stepd_" and 43 characters. The daemon keeps its SHA-256 alone. A slow hash would be for secrets
 * that can be guessed; nobody guesses 256 random bits, and one that is fast cannot be used to keep
 * the daemon busy.
 */
#ifndef ACCESS_TOKEN_H
#define ACCESS_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_PREFIX       "stepd_"
#define TOKEN_RANDOM_BYTES 32u
#define TOKEN_TEXT_BYTES   50u /* of a token, NUL-terminated */
#define TOKEN_HASH_BYTES   32u

/* The form of a hash in a list of those who are known. */
#define TOKEN_KEY_PREFIX     "sha256:"
#define TOKEN_KEY_TEXT_BYTES (sizeof TOKEN_KEY_PREFIX + (size_t)2 * TOKEN_HASH_BYTES)

/* The token of so many random bytes. Pure; any thread. */
void token_write(const uint8_t random[TOKEN_RANDOM_BYTES], char ret_token[TOKEN_TEXT_BYTES]);

/* The hash of a token, or of whatever somebody says is one. False: libcrypto has no memory. Any
 * thread. */
bool token_hash(const uint8_t *token, size_t n, uint8_t ret_hash[TOKEN_HASH_BYTES]);

/* Do two hashes agree? Takes the same time whatever they have in common. Any thread. */
bool token_hash_equal(const uint8_t a[TOKEN_HASH_BYTES], const uint8_t b[TOKEN_HASH_BYTES]);

/* "sha256:" and 64 hexadecimal digits, written and read. False: it is no such text. Any thread. */
void token_key_write(const uint8_t hash[TOKEN_HASH_BYTES], char ret_key[TOKEN_KEY_TEXT_BYTES]);
bool token_key_read(const char *key, uint8_t ret_hash[TOKEN_HASH_BYTES]);

#endif
