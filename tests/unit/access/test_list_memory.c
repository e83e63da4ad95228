/* SPDX-License-Identifier: Apache-2.0
 *
 * Where there is no memory for a list, it is not read, and nothing is left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "server/access/list.h"
#include "tests/lib/scarcity.h"

static void list__without_memory__is_not_read(void **state)
{
    enum { LINES = 2000, LINE_BYTES = 100 };

    static char text[LINES * LINE_BYTES];
    size_t n = 0;
    (void)state;
    for (unsigned i = 0; i < LINES; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "w%u work * never sha256:%064x\n", i, i);
    struct access_list *list = NULL;
    enum stepd_status status = STEPD_RESOURCE_EXHAUSTED;
    size_t allowed = 0;
    for (; status == STEPD_RESOURCE_EXHAUSTED; allowed++) {
        struct stepd_error error = {.code = STEPD_OK};
        scarcity_after(allowed);
        status = access_list_read(text, n, &list, &error);
        scarcity_after(SCARCITY_NEVER);
        assert_int_equal(error.code, status);
    }
    assert_int_equal(status, STEPD_OK);
    assert_true(allowed > 2);
    assert_int_equal(access_list_count(list), LINES);
    access_list_destroy(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list__without_memory__is_not_read),
    };
    return cmocka_run_group_tests_name("access_list_memory", tests, NULL, NULL);
}
