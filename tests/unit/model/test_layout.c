/* SPDX-License-Identifier: Apache-2.0
 *
 * The layout: what is cut, what is packed, and who gets it. The rules that must hold for any list
 * of tensors are tested with random lists.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/model/layout.h"
#include "tests/lib/random.h"

enum { MOST = 6400, SMALL = MOST / LAYOUT_PACK_DIVISOR, TENSORS_MOST = 60, SEEDS = 300 };

static struct layout lay_out(const struct layout_tensor *tensor, size_t tensors, uint32_t shards)
{
    struct layout layout;
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(layout_init(tensor, tensors, MOST, shards, &layout, &error), STEPD_OK);
    return layout;
}

static const struct part *part_of(const struct layout *layout, size_t slice, size_t index)
{
    assert_true(index < layout->slice[slice].parts);
    return &layout->part[layout->slice[slice].first_part + index];
}

/* ---- Cutting --------------------------------------------------------------------------------- */

static void layout__of_a_large_tensor__is_few_slices_of_equal_size(void **state)
{
    (void)state;
    const struct layout_tensor tensor = {.elements = 2 * MOST + 1};
    struct layout layout = lay_out(&tensor, 1, 1);
    assert_int_equal(layout.slices, 3);
    uint64_t at = 0;
    for (size_t i = 0; i < layout.slices; i++) {
        const struct part *part = part_of(&layout, i, 0);
        assert_int_equal(layout.slice[i].parts, 1);
        assert_int_equal(part->offset, at);
        assert_in_range(part->elements, (2 * MOST + 1) / 3, (2 * MOST + 1) / 3 + 1);
        at += part->elements;
    }
    assert_int_equal(at, tensor.elements);
    layout_deinit(&layout);
}

static void layout__of_a_tensor_that_just_fits__is_one_slice(void **state)
{
    (void)state;
    const struct layout_tensor tensor = {.elements = MOST};
    struct layout layout = lay_out(&tensor, 1, 1);
    assert_int_equal(layout.slices, 1);
    assert_int_equal(layout.slice[0].elements, MOST);
    layout_deinit(&layout);
}

static void layout__of_too_many_slices__is_refused_with_the_remedy(void **state)
{
    (void)state;
    const struct layout_tensor tensor = {.elements = (uint64_t)LAYOUT_SLICES_MAX * MOST + 1};
    struct layout layout = {.slices = 7};
    struct stepd_error error = {.code = STEPD_OK};
    assert_int_equal(layout_init(&tensor, 1, MOST, 1, &layout, &error), STEPD_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.text, "raise slice_elements (now 6400)"));
    assert_int_equal(layout.slices, 7); /* untouched */
}

/* ---- Packing --------------------------------------------------------------------------------- */

static void layout__of_small_tensors__packs_them_whole_and_in_order(void **state)
{
    (void)state;
    const struct layout_tensor tensor[] = {{.elements = 3}, {.elements = SMALL}, {.elements = 1}};
    struct layout layout = lay_out(tensor, 3, 1);
    assert_int_equal(layout.slices, 1);
    assert_int_equal(layout.slice[0].elements, SMALL + 4);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(part_of(&layout, 0, i)->tensor, i);
        assert_int_equal(part_of(&layout, 0, i)->offset, 0);
        assert_int_equal(part_of(&layout, 0, i)->elements, tensor[i].elements);
    }
    layout_deinit(&layout);
}

static void layout__of_a_tensor_above_the_small_size__gives_it_a_slice_of_its_own(void **state)
{
    (void)state;
    const struct layout_tensor tensor[] = {{.elements = 3}, {.elements = SMALL + 1}};
    struct layout layout = lay_out(tensor, 2, 1);
    assert_int_equal(layout.slices, 2);
    layout_deinit(&layout);
}

static void layout__of_small_tensors_around_a_large_one__packs_across_it(void **state)
{
    (void)state;
    const struct layout_tensor tensor[] = {{.elements = 3}, {.elements = 1000}, {.elements = 4}};
    struct layout layout = lay_out(tensor, 3, 1);
    assert_int_equal(layout.slices, 2);
    assert_int_equal(part_of(&layout, 0, 0)->tensor, 0);
    assert_int_equal(part_of(&layout, 0, 1)->tensor, 2);
    assert_int_equal(part_of(&layout, 1, 0)->tensor, 1);
    layout_deinit(&layout);
}

static void layout__of_more_small_tensors_than_fit__opens_the_next_slice(void **state)
{
    (void)state;
    struct layout_tensor tensor[LAYOUT_PACK_DIVISOR + 1];
    for (size_t i = 0; i <= LAYOUT_PACK_DIVISOR; i++)
        tensor[i] = (struct layout_tensor){.elements = SMALL};
    struct layout layout = lay_out(tensor, LAYOUT_PACK_DIVISOR + 1, 1);
    assert_int_equal(layout.slices, 2);
    assert_int_equal(layout.slice[0].elements, MOST);
    assert_int_equal(layout.slice[1].parts, 1);
    layout_deinit(&layout);
}

static void layout__of_more_scalars_than_one_pack_takes__opens_the_next_slice(void **state)
{
    (void)state;
    static struct layout_tensor tensor[LAYOUT_PACK_PARTS_MAX + 1];
    for (size_t i = 0; i <= LAYOUT_PACK_PARTS_MAX; i++)
        tensor[i] = (struct layout_tensor){.elements = 1};
    struct layout layout = lay_out(tensor, LAYOUT_PACK_PARTS_MAX + 1, 1);
    assert_int_equal(layout.slices, 2);
    assert_int_equal(layout.slice[0].parts, LAYOUT_PACK_PARTS_MAX);
    assert_int_equal(layout.slice[1].parts, 1);
    layout_deinit(&layout);
}

static void layout__of_small_tensors_of_two_groups__does_not_mix_them(void **state)
{
    (void)state;
    const struct layout_tensor tensor[] = {
        {.elements = 3, .group = 1}, {.elements = 3, .group = 0}, {.elements = 3, .group = 1}};
    struct layout layout = lay_out(tensor, 3, 1);
    assert_int_equal(layout.slices, 2);
    assert_int_equal(layout.slice[0].group, 1);
    assert_int_equal(layout.slice[0].parts, 2);
    assert_int_equal(layout.slice[1].group, 0);
    layout_deinit(&layout);
}

static void layout__of_assigned_and_computed_tensors__does_not_mix_them(void **state)
{
    (void)state;
    const struct layout_tensor tensor[] = {
        {.elements = 3}, {.elements = 3, .assigned = true}, {.elements = 3}};
    struct layout layout = lay_out(tensor, 3, 1);
    assert_int_equal(layout.slices, 2);
    assert_int_equal(layout.slice[0].parts, 2);
    assert_int_equal(part_of(&layout, 1, 0)->tensor, 1);
    layout_deinit(&layout);
}

/* ---- Scopes ---------------------------------------------------------------------------------- */

static void layout__of_a_large_tensor_that_is_never_cut__is_one_slice(void **state)
{
    (void)state;
    const struct layout_tensor tensor[] = {
        {.elements = 3 * MOST, .scope = OPTIM_SCOPE_TENSOR},
        {.elements = LAYOUT_SLICE_ELEMENTS_MOST, .scope = OPTIM_SCOPE_TENSOR}};
    struct layout layout = lay_out(tensor, 2, 1);
    assert_int_equal(layout.slices, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(layout.slice[i].elements, tensor[i].elements);
    layout_deinit(&layout);
}

static void layout__of_small_tensors_that_are_never_cut__packs_them(void **state)
{
    (void)state;
    const struct layout_tensor tensor[] = {{.elements = 3, .scope = OPTIM_SCOPE_TENSOR},
                                           {.elements = SMALL, .scope = OPTIM_SCOPE_TENSOR}};
    struct layout layout = lay_out(tensor, 2, 1);
    assert_int_equal(layout.slices, 1);
    assert_int_equal(layout.slice[0].parts, 2);
    layout_deinit(&layout);
}

static void layout__of_a_group_stepped_as_one__is_one_slice_beyond_the_usual_size(void **state)
{
    (void)state;
    const struct layout_tensor tensor[] = {
        {.elements = MOST, .scope = OPTIM_SCOPE_GROUP},
        {.elements = 5, .group = 1},
        {.elements = LAYOUT_SLICE_ELEMENTS_MOST - MOST - 3, .scope = OPTIM_SCOPE_GROUP},
        {.elements = 3, .scope = OPTIM_SCOPE_GROUP}};
    struct layout layout = lay_out(tensor, 4, 1);
    assert_int_equal(layout.slices, 2);
    assert_int_equal(layout.slice[0].elements, LAYOUT_SLICE_ELEMENTS_MOST);
    const uint32_t order[] = {0, 2, 3};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(part_of(&layout, 0, i)->tensor, order[i]);
    layout_deinit(&layout);
}

/* ---- Shards ---------------------------------------------------------------------------------- */

static void layout__over_more_shards_than_slices__leaves_some_empty(void **state)
{
    (void)state;
    const struct layout_tensor tensor[] = {{.elements = MOST}, {.elements = MOST}};
    struct layout layout = lay_out(tensor, 2, 5);
    assert_int_equal(layout.slice[0].shard, 0);
    assert_int_equal(layout.slice[1].shard, 1);
    layout_deinit(&layout);
}

static void layout__over_shards__goes_to_the_lightest(void **state)
{
    (void)state;
    const struct layout_tensor tensor[] = {
        {.elements = 5000}, {.elements = 2000}, {.elements = 2000}, {.elements = 1500}};
    struct layout layout = lay_out(tensor, 4, 2);
    const uint32_t expected[] = {0, 1, 1, 1};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(layout.slice[i].shard, expected[i]);
    layout_deinit(&layout);
}

/* ---- Any list -------------------------------------------------------------------------------- */

struct list {
    size_t tensors;
    struct layout_tensor tensor[TENSORS_MOST];
};

/* Three groups of element scope, one that is never cut, and one that is stepped as one. */
static struct list random_list(uint64_t seed)
{
    enum { TENSOR_GROUP = 3, WHOLE_GROUP = 4, GROUPS = 5 };

    struct random random = {.state = seed};
    struct list list = {.tensors = random_between(&random, 1, TENSORS_MOST)};
    for (size_t i = 0; i < list.tensors; i++) {
        const uint64_t most = random_once_in(&random, 3) ? 5 * MOST : 2 * SMALL;
        const uint32_t group = (uint32_t)random_below(&random, GROUPS);
        list.tensor[i] = (struct layout_tensor){
            .elements = random_between(&random, 1, most),
            .group = group,
            .assigned = group != WHOLE_GROUP && random_once_in(&random, 4),
            .scope = group == WHOLE_GROUP    ? OPTIM_SCOPE_GROUP
                     : group == TENSOR_GROUP ? OPTIM_SCOPE_TENSOR
                                             : OPTIM_SCOPE_ELEMENT,
        };
    }
    return list;
}

static bool is_whole(const struct list *list, const struct part *part)
{
    return part->elements == list->tensor[part->tensor].elements;
}

/* Does a slice hold as much as its scope lets it, and no less? */
static bool check_size(const struct list *list, const struct layout *layout, size_t index)
{
    const struct slice_plan *slice = &layout->slice[index];
    const struct part *first = part_of(layout, index, 0);
    uint64_t of_group = 0;
    for (size_t i = 0; i < list->tensors; i++)
        of_group += list->tensor[i].group == slice->group ? list->tensor[i].elements : 0;
    switch (list->tensor[first->tensor].scope) {
    case OPTIM_SCOPE_ELEMENT: return slice->elements <= MOST;
    case OPTIM_SCOPE_TENSOR:
        return is_whole(list, first) && (slice->parts == 1 || slice->elements <= MOST);
    case OPTIM_SCOPE_GROUP: return slice->elements == of_group;
    }
    return false;
}

/* Marks each element of each tensor, and says whether every part and slice keeps the rules. */
static bool check_slice(const struct list *list, const struct layout *layout, size_t index,
                        uint8_t *const *seen)
{
    const struct slice_plan *slice = &layout->slice[index];
    const struct layout_tensor *first = &list->tensor[part_of(layout, index, 0)->tensor];
    uint64_t elements = 0;
    for (size_t i = 0; i < slice->parts; i++) {
        const struct part *part = part_of(layout, index, i);
        const struct layout_tensor *tensor = &list->tensor[part->tensor];
        if (part->elements == 0 || part->offset + part->elements > tensor->elements)
            return false;
        if (tensor->group != slice->group || tensor->assigned != first->assigned)
            return false;
        if (slice->parts > 1 && !is_whole(list, part))
            return false; /* only whole tensors share a slice */
        if (i > 0 && part->tensor <= part_of(layout, index, i - 1)->tensor)
            return false; /* in the order of definition */
        for (uint64_t e = 0; e < part->elements; e++)
            seen[part->tensor][part->offset + e]++;
        elements += part->elements;
    }
    return elements == slice->elements && check_size(list, layout, index);
}

static bool each_element_once(const struct list *list, uint8_t *const *seen)
{
    for (size_t i = 0; i < list->tensors; i++) {
        for (uint64_t e = 0; e < list->tensor[i].elements; e++) {
            if (seen[i][e] != 1)
                return false;
        }
    }
    return true;
}

static void layout__of_any_tensors__holds_each_element_once_by_the_rules(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const struct list list = random_list(seed);
        struct layout layout = lay_out(list.tensor, list.tensors, 3);
        uint8_t *seen[TENSORS_MOST];
        for (size_t i = 0; i < list.tensors; i++)
            seen[i] = calloc(list.tensor[i].elements, 1);
        bool right = true;
        for (size_t i = 0; i < layout.slices; i++)
            right = right && check_slice(&list, &layout, i, seen);
        right = right && each_element_once(&list, seen);
        for (size_t i = 0; i < list.tensors; i++)
            free(seen[i]);
        layout_deinit(&layout);
        if (!right)
            fail_msg("seed %llu", (unsigned long long)seed);
    }
}

static void layout__over_any_number_of_shards__cuts_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const struct list list = random_list(seed);
        struct layout one = lay_out(list.tensor, list.tensors, 1);
        struct layout many = lay_out(list.tensor, list.tensors, 2 + (uint32_t)(seed % 6));
        bool same = one.slices == many.slices && one.parts == many.parts &&
                    memcmp(one.part, many.part, one.parts * sizeof *one.part) == 0;
        for (size_t i = 0; same && i < one.slices; i++) {
            many.slice[i].shard = one.slice[i].shard;
            same = memcmp(&one.slice[i], &many.slice[i], sizeof one.slice[i]) == 0;
        }
        layout_deinit(&one);
        layout_deinit(&many);
        if (!same)
            fail_msg("seed %llu", (unsigned long long)seed);
    }
}

static void layout__over_shards__differs_by_no_more_than_a_slice(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const struct list list = random_list(seed);
        const uint32_t shards = 2 + (uint32_t)(seed % 6);
        struct layout layout = lay_out(list.tensor, list.tensors, shards);
        uint64_t load[8] = {0};
        uint64_t largest = 0;
        for (size_t i = 0; i < layout.slices; i++) {
            const uint64_t elements = layout.slice[i].elements;
            assert_true(layout.slice[i].shard < shards);
            load[layout.slice[i].shard] += elements;
            largest = elements > largest ? elements : largest;
        }
        layout_deinit(&layout);
        uint64_t least = UINT64_MAX;
        uint64_t most = 0;
        for (uint32_t i = 0; i < shards; i++) {
            least = load[i] < least ? load[i] : least;
            most = load[i] > most ? load[i] : most;
        }
        if (most - least > largest)
            fail_msg("seed %llu", (unsigned long long)seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout__of_a_large_tensor__is_few_slices_of_equal_size),
        cmocka_unit_test(layout__of_a_tensor_that_just_fits__is_one_slice),
        cmocka_unit_test(layout__of_too_many_slices__is_refused_with_the_remedy),
        cmocka_unit_test(layout__of_small_tensors__packs_them_whole_and_in_order),
        cmocka_unit_test(layout__of_a_tensor_above_the_small_size__gives_it_a_slice_of_its_own),
        cmocka_unit_test(layout__of_small_tensors_around_a_large_one__packs_across_it),
        cmocka_unit_test(layout__of_more_small_tensors_than_fit__opens_the_next_slice),
        cmocka_unit_test(layout__of_more_scalars_than_one_pack_takes__opens_the_next_slice),
        cmocka_unit_test(layout__of_small_tensors_of_two_groups__does_not_mix_them),
        cmocka_unit_test(layout__of_assigned_and_computed_tensors__does_not_mix_them),
        cmocka_unit_test(layout__of_a_large_tensor_that_is_never_cut__is_one_slice),
        cmocka_unit_test(layout__of_small_tensors_that_are_never_cut__packs_them),
        cmocka_unit_test(layout__of_a_group_stepped_as_one__is_one_slice_beyond_the_usual_size),
        cmocka_unit_test(layout__over_more_shards_than_slices__leaves_some_empty),
        cmocka_unit_test(layout__over_shards__goes_to_the_lightest),
        cmocka_unit_test(layout__of_any_tensors__holds_each_element_once_by_the_rules),
        cmocka_unit_test(layout__over_any_number_of_shards__cuts_the_same),
        cmocka_unit_test(layout__over_shards__differs_by_no_more_than_a_slice),
    };
    return cmocka_run_group_tests_name("model/layout", tests, NULL, NULL);
}
