/* SPDX-License-Identifier: Apache-2.0
 *
 * Layouts in pages, and layouts that a server must not send.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "client/lib/core/layout.h"
#include "tests/unit/client/rig.h"

static struct stepd_layout_table table;
static struct stepd_error error;

static int setup(void **state)
{
    (void)state;
    stepd_layout_init(&table);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stepd_layout_deinit(&table);
    return 0;
}

static enum stepd_status add_and_seal(const struct stepd_layout *page)
{
    const enum stepd_status status = stepd_layout_add(&table, page, &error);
    return status == STEPD_OK ? stepd_layout_seal(&table, RIG_SHARDS, &error) : status;
}

static void layout__in_one_page__is_understood(void **state)
{
    (void)state;
    assert_int_equal(add_and_seal(rig_page()), STEPD_OK);
    assert_int_equal(table.tensors, 3);
    assert_int_equal(table.tensor[0].elements, 6);
    assert_int_equal(table.tensor[2].elements, 1);
    assert_int_equal(table.slices, 3);
    assert_int_equal(table.slice[2].elements, 3);
    assert_int_equal(table.tensor[0].parts, 2);
    assert_int_equal(table.by_tensor[table.tensor[2].first_part]->slice, 2);
    assert_true(stepd_layout_uses(&table, 2));
    assert_false(stepd_layout_uses(&table, 3));
}

static void layout__one_item_to_a_page__is_the_same(void **state)
{
    const struct stepd_layout *const whole = rig_page();
    (void)state;
    for (size_t i = 0; i < whole->tensors; i++) {
        const struct stepd_layout page = {.tensors = 1, .tensor = &whole->tensor[i]};
        assert_int_equal(stepd_layout_add(&table, &page, &error), STEPD_OK);
    }
    for (size_t i = 0, part = 0; i < whole->slice_shards.count; i++) {
        const uint32_t parts = whole->slice_parts.at[i];
        const struct stepd_layout page = {
            .slice_shards = {1, &whole->slice_shards.at[i]},
            .slice_parts = {1, &whole->slice_parts.at[i]},
            .part_tensors = {parts, &whole->part_tensors.at[part]},
            .part_offsets = {parts, &whole->part_offsets.at[part]},
            .part_elements = {parts, &whole->part_elements.at[part]},
        };
        assert_int_equal(stepd_layout_add(&table, &page, &error), STEPD_OK);
        part += parts;
    }
    assert_int_equal(stepd_layout_seal(&table, RIG_SHARDS, &error), STEPD_OK);
    assert_int_equal(table.parts, 4);
    assert_int_equal(table.slice[2].first_part, 2);
}

static void find__by_name__gives_the_tensor(void **state)
{
    (void)state;
    assert_int_equal(add_and_seal(rig_page()), STEPD_OK);
    assert_ptr_equal(stepd_layout_find(&table, "b"), &table.tensor[2]);
    assert_ptr_equal(stepd_layout_find(&table, "big"), &table.tensor[0]);
    assert_null(stepd_layout_find(&table, "c"));
    assert_null(stepd_layout_find(&table, ""));
}

static void layout__extras__belong_to_their_slices(void **state)
{
    static const uint32_t extras[] = {0, 0, 9};
    struct stepd_layout page = *rig_page();
    (void)state;
    page.slice_extras = (struct stepd_u32s){.count = 3, .at = extras};
    assert_int_equal(add_and_seal(&page), STEPD_OK);
    assert_int_equal(table.slice[0].extra, 0);
    assert_int_equal(table.slice[2].extra, 9);
    assert_int_equal(table.slice[2].elements, 3);
}

static void layout__too_few_extras__is_refused(void **state)
{
    static const uint32_t extras[] = {0, 9};
    struct stepd_layout page = *rig_page();
    (void)state;
    page.slice_extras = (struct stepd_u32s){.count = 2, .at = extras};
    assert_int_equal(add_and_seal(&page), STEPD_INTERNAL);
}

static void layout__extra_that_is_no_hessian__is_refused(void **state)
{
    static const uint32_t wrong[][3] = {{0, 0, 8}, {0, 0, 10}, {16, 4, 1}, {0, 0, UINT32_MAX}};
    struct stepd_layout page = *rig_page();
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        page.slice_extras = (struct stepd_u32s){.count = 3, .at = wrong[i]};
        assert_int_equal(add_and_seal(&page), STEPD_INTERNAL);
        assert_non_null(strstr(error.text, "its Hessian"));
        stepd_layout_deinit(&table);
    }
}

static void layout__hessian_whose_size_wraps__is_refused(void **state)
{
    static const uint64_t shape[] = {65537};
    static const uint32_t one[] = {1}, none[] = {0}, elements[] = {65537};
    static const uint64_t offset[] = {0};
    static const uint32_t extra[] = {131073}; /* 65537 x 65537, cut to 32 bits */
    const struct stepd_tensor_def tensor = {.name = "w", .dims = 1, .shape = shape};
    const struct stepd_layout page = {
        .tensors = 1,
        .tensor = &tensor,
        .slice_shards = {1, one},
        .slice_parts = {1, one},
        .part_tensors = {1, none},
        .part_offsets = {1, offset},
        .part_elements = {1, elements},
        .slice_extras = {1, extra},
    };
    (void)state;
    assert_int_equal(add_and_seal(&page), STEPD_INTERNAL);
    assert_non_null(strstr(error.text, "its Hessian"));
}

static void layout__unknown_shard__is_refused(void **state)
{
    static const uint32_t shards[] = {1, 2, 3};
    struct stepd_layout page = *rig_page();
    (void)state;
    page.slice_shards.at = shards;
    assert_int_equal(add_and_seal(&page), STEPD_INTERNAL);
}

static void layout__gap_between_slices__is_refused(void **state)
{
    static const uint64_t offsets[] = {0, 5, 0, 0};
    struct stepd_layout page = *rig_page();
    (void)state;
    page.part_offsets.at = offsets;
    assert_int_equal(add_and_seal(&page), STEPD_INTERNAL);
}

static void layout__slice_beyond_its_tensor__is_refused(void **state)
{
    static const uint32_t elements[] = {4, 3, 2, 1};
    struct stepd_layout page = *rig_page();
    (void)state;
    page.part_elements.at = elements;
    assert_int_equal(add_and_seal(&page), STEPD_INTERNAL);
}

static void layout__part_of_no_tensor__is_refused(void **state)
{
    static const uint32_t tensors[] = {0, 0, 1, 3};
    struct stepd_layout page = *rig_page();
    (void)state;
    page.part_tensors.at = tensors;
    assert_int_equal(add_and_seal(&page), STEPD_INTERNAL);
}

static void layout__more_parts_than_listed__is_refused(void **state)
{
    static const uint32_t parts[] = {1, 1, 3};
    struct stepd_layout page = *rig_page();
    (void)state;
    page.slice_parts.at = parts;
    assert_int_equal(add_and_seal(&page), STEPD_INTERNAL);
}

static void layout__parts_without_a_slice__is_refused(void **state)
{
    static const uint32_t parts[] = {1, 1, 1};
    struct stepd_layout page = *rig_page();
    (void)state;
    page.slice_parts.at = parts;
    assert_int_equal(add_and_seal(&page), STEPD_INTERNAL);
}

static void layout__slice_without_parts__is_refused(void **state)
{
    static const uint32_t parts[] = {1, 0, 2};
    struct stepd_layout page = *rig_page();
    (void)state;
    page.slice_parts.at = parts;
    assert_int_equal(add_and_seal(&page), STEPD_INTERNAL);
}

static void layout__lists_of_different_length__is_refused(void **state)
{
    struct stepd_layout page = *rig_page();
    (void)state;
    page.part_offsets.count = 3;
    assert_int_equal(add_and_seal(&page), STEPD_INTERNAL);
}

static void layout__shape_beyond_memory__is_refused(void **state)
{
    static const uint64_t shape[] = {UINT64_MAX, 2};
    const struct stepd_tensor_def tensor = {.name = "huge", .dims = 2, .shape = shape};
    const struct stepd_layout page = {.tensors = 1, .tensor = &tensor};
    (void)state;
    assert_int_equal(add_and_seal(&page), STEPD_INTERNAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(layout__in_one_page__is_understood),
        TEST(layout__one_item_to_a_page__is_the_same),
        TEST(find__by_name__gives_the_tensor),
        TEST(layout__extras__belong_to_their_slices),
        TEST(layout__too_few_extras__is_refused),
        TEST(layout__extra_that_is_no_hessian__is_refused),
        TEST(layout__hessian_whose_size_wraps__is_refused),
        TEST(layout__unknown_shard__is_refused),
        TEST(layout__gap_between_slices__is_refused),
        TEST(layout__slice_beyond_its_tensor__is_refused),
        TEST(layout__part_of_no_tensor__is_refused),
        TEST(layout__more_parts_than_listed__is_refused),
        TEST(layout__parts_without_a_slice__is_refused),
        TEST(layout__slice_without_parts__is_refused),
        TEST(layout__lists_of_different_length__is_refused),
        TEST(layout__shape_beyond_memory__is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
