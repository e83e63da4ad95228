/* SPDX-License-Identifier: Apache-2.0
 *
 * Is a layout still the one that the client works with?
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/client/rig.h"

static void seal(struct stepd_layout_table *table)
{
    struct stepd_error error;
    stepd_layout_init(table);
    assert_int_equal(stepd_layout_add(table, rig_page(), &error), STEPD_OK);
    assert_int_equal(stepd_layout_seal(table, RIG_SHARDS, &error), STEPD_OK);
}

static void layout__of_the_same_page__is_the_same(void **state)
{
    struct stepd_layout_table a, b;
    (void)state;
    seal(&a);
    seal(&b);
    b.incarnation++;
    assert_true(stepd_layout_same(&a, &b));
    stepd_layout_deinit(&a);
    stepd_layout_deinit(&b);
}

/* Each changes one thing of a table. */
static void change(struct stepd_layout_table *table, int what)
{
    switch (what) {
    case 0: table->mode = STEPD_ASYNC; break;
    case 1: table->tensors--; break;
    case 2: table->slices--; break;
    case 3: table->parts--; break;
    case 4: table->tensor[1].name[0] = 'c'; break;
    case 5: table->tensor[2].group[0] = 'x'; break;
    case 6: table->tensor[0].dims = 1; break;
    case 7: table->tensor[0].shape[1] = 4; break;
    case 8: table->slice[1].shard = 1; break;
    case 9: table->slice[2].parts = 1; break;
    case 10: table->slice[0].elements = 5; break;
    case 11: table->slice[0].extra = 16; break;
    case 12: table->part[3].tensor = 1; break;
    case 13: table->part[0].elements = 3; break;
    default: table->part[1].offset = 3; break;
    }
}

static void layout__with_one_thing_changed__is_another(void **state)
{
    (void)state;
    for (int what = 0; what < 15; what++) {
        struct stepd_layout_table a, b;
        seal(&a);
        seal(&b);
        const size_t tensors = b.tensors;
        change(&b, what);
        const bool same = stepd_layout_same(&a, &b);
        b.tensors = tensors;
        stepd_layout_deinit(&a);
        stepd_layout_deinit(&b);
        if (same)
            fail_msg("change %d is not seen", what);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout__of_the_same_page__is_the_same),
        cmocka_unit_test(layout__with_one_thing_changed__is_another),
    };
    return cmocka_run_group_tests_name("client_layout_same", tests, NULL, NULL);
}
