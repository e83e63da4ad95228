/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens as text, and their hashes, against what other programs make of the same bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/access/token.h"

static void token__of_known_bytes__is_their_base64(void **state)
{
    uint8_t bytes[TOKEN_RANDOM_BYTES];
    char token[TOKEN_TEXT_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(255 - 7 * i);
    token_write(bytes, token);
    /* base64.urlsafe_b64encode(bytes(255 - 7 * i for i in range(32))) of Python */
    assert_string_equal(token, "stepd___jx6uPc1c7HwLmyq6Sdlo-IgXpzbGVeV1BJQjs0LSY");
}

static void token__of_each_bit__differs(void **state)
{
    char seen[TOKEN_RANDOM_BYTES * 8][TOKEN_TEXT_BYTES];
    (void)state;
    for (size_t bit = 0; bit < TOKEN_RANDOM_BYTES * 8; bit++) {
        uint8_t bytes[TOKEN_RANDOM_BYTES] = {0};
        bytes[bit / 8] = (uint8_t)(1u << bit % 8);
        token_write(bytes, seen[bit]);
        for (size_t other = 0; other < bit; other++)
            assert_string_not_equal(seen[bit], seen[other]);
    }
}

static void hash__of_a_text__is_sha256(void **state)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    char key[TOKEN_KEY_TEXT_BYTES];
    (void)state;
    assert_true(token_hash((const uint8_t *)"abc", 3, hash)); /* FIPS 180-2, appendix B.1 */
    token_key_write(hash, key);
    assert_string_equal(key, "sha256:ba7816bf8f01cfea414140de5dae2223"
                             "b00361a396177a9cb410ff61f20015ad");
}

static void hash__with_one_bit_changed__is_not_equal(void **state)
{
    uint8_t a[TOKEN_HASH_BYTES] = {0};
    (void)state;
    for (size_t bit = 0; bit < TOKEN_HASH_BYTES * 8; bit++) {
        uint8_t b[TOKEN_HASH_BYTES] = {0};
        assert_true(token_hash_equal(a, b));
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(token_hash_equal(a, b));
    }
}

static void key__written__is_read_back(void **state)
{
    uint8_t hash[TOKEN_HASH_BYTES];
    uint8_t read[TOKEN_HASH_BYTES];
    char key[TOKEN_KEY_TEXT_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof hash; i++)
        hash[i] = (uint8_t)(i * 9 + 1);
    token_key_write(hash, key);
    assert_true(token_key_read(key, read));
    assert_memory_equal(read, hash, sizeof hash);
}

static void key__that_is_none__is_not_read(void **state)
{
    uint8_t hash[TOKEN_HASH_BYTES] = {0};
    char key[TOKEN_KEY_TEXT_BYTES];
    (void)state;
    token_key_write(hash, key);
    key[TOKEN_KEY_TEXT_BYTES - 2] = 'g';
    assert_false(token_key_read(key, hash));
    key[TOKEN_KEY_TEXT_BYTES - 2] = '\0';
    assert_false(token_key_read(key, hash));
    assert_false(token_key_read("", hash));
    token_key_write(hash, key);
    key[3] = '5';
    assert_false(token_key_read(key, hash));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token__of_known_bytes__is_their_base64),
        cmocka_unit_test(token__of_each_bit__differs),
        cmocka_unit_test(hash__of_a_text__is_sha256),
        cmocka_unit_test(hash__with_one_bit_changed__is_not_equal),
        cmocka_unit_test(key__written__is_read_back),
        cmocka_unit_test(key__that_is_none__is_not_read),
    };
    return cmocka_run_group_tests_name("access_token", tests, NULL, NULL);
}
