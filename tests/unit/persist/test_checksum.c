/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes have the checksum that xxh128sum prints, in whatever pieces they come.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/persist/checksum.h"

static void checksum__of_bytes_in_pieces__is_that_of_all_of_them(void **state)
{
    (void)state;
    struct checksum *checksum = checksum_create();
    assert_non_null(checksum);
    char text[CHECKSUM_TEXT_BYTES];
    checksum_text(checksum, text);
    assert_string_equal(text, "99aa06d3014798d86001c324468d497f"); /* of no bytes */
    checksum_add(checksum, "st", 2);
    checksum_add(checksum, "epd", 3);
    char pieces[CHECKSUM_TEXT_BYTES];
    checksum_text(checksum, pieces);
    checksum_clear(checksum);
    checksum_add(checksum, "stepd", 5);
    checksum_text(checksum, text);
    assert_string_equal(pieces, text);
    assert_string_equal(text, "c62af065280cc8bcfab68344fa8b0d5a");
    (void)checksum_destroy(checksum);
}

static void checksum__of_bytes_with_one_bit_turned__is_another(void **state)
{
    (void)state;
    struct checksum *checksum = checksum_create();
    assert_non_null(checksum);
    uint8_t bytes[3000] = {0};
    char before[CHECKSUM_TEXT_BYTES];
    checksum_add(checksum, bytes, sizeof bytes);
    checksum_text(checksum, before);
    bytes[2345] ^= 1;
    checksum_clear(checksum);
    checksum_add(checksum, bytes, sizeof bytes);
    char after[CHECKSUM_TEXT_BYTES];
    checksum_text(checksum, after);
    assert_string_not_equal(before, after);
    (void)checksum_destroy(checksum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksum__of_bytes_in_pieces__is_that_of_all_of_them),
        cmocka_unit_test(checksum__of_bytes_with_one_bit_turned__is_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
