/* SPDX-License-Identifier: Apache-2.0
 *
 * Do two configs say the same? Numbers are compared to the bit, origins and lines not at all.
 */
#include "tests/unit/config/same.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/config/schema.h"

/* One value of a config as YAML. The caller frees it with free(). */
static char *value_of(const struct config *config, size_t key)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *const stream = open_memstream(&text, &bytes);
    assert_non_null(stream);
    schema_write(schema_row_at(key), config, stream);
    assert_int_equal(fclose(stream), 0);
    return text;
}

void same_assert_values(const struct config *a, const struct config *b)
{
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        char *const in_a = value_of(a, i);
        char *const in_b = value_of(b, i);
        assert_string_equal(in_a, in_b);
        free(in_a);
        free(in_b);
    }
}

static void assert_same_settings(const struct stepd_settings *a, const struct stepd_settings *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const size_t values = a->at[i].values;
        assert_string_equal(a->at[i].name, b->at[i].name);
        assert_int_equal(values, b->at[i].values);
        assert_string_equal(a->at[i].word, b->at[i].word);
        if (values > 0)
            assert_memory_equal(a->at[i].value, b->at[i].value, values * sizeof(double));
    }
}

static void assert_same_group(const struct stepd_group *a, const struct stepd_group *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->match, b->match);
    assert_string_equal(a->optimizer, b->optimizer);
    assert_string_equal(a->schedule, b->schedule);
    assert_same_settings(&a->settings, &b->settings);
    assert_same_settings(&a->schedule_settings, &b->schedule_settings);
    assert_int_equal(a->ndim.count, b->ndim.count);
    for (size_t i = 0; i < a->ndim.count; i++)
        assert_int_equal(a->ndim.at[i], b->ndim.at[i]);
    assert_int_equal(a->frozen, b->frozen);
    assert_int_equal(a->phases, b->phases);
    for (size_t i = 0; i < a->phases; i++) {
        assert_int_equal(a->phase[i].from, b->phase[i].from);
        assert_string_equal(a->phase[i].optimizer, b->phase[i].optimizer);
        assert_same_settings(&a->phase[i].settings, &b->phase[i].settings);
    }
    assert_int_equal(a->schedule_parts, b->schedule_parts);
    for (size_t i = 0; i < a->schedule_parts; i++) {
        assert_string_equal(a->schedule_part[i].kind, b->schedule_part[i].kind);
        assert_same_settings(&a->schedule_part[i].settings, &b->schedule_part[i].settings);
    }
}

static void assert_same_globs(const struct naming_globs *a, const struct naming_globs *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        assert_string_equal(a->at[i], b->at[i]);
}

static void assert_same_init_from(const struct config_init_from *a,
                                  const struct config_init_from *b)
{
    assert_string_equal(a->file, b->file);
    assert_same_globs(&a->naming.match, &b->naming.match);
    assert_same_globs(&a->naming.except, &b->naming.except);
    assert_string_equal(a->naming.remove_prefix, b->naming.remove_prefix);
    assert_string_equal(a->naming.add_prefix, b->naming.add_prefix);
}

void same_assert_job(const struct config_job *a, const struct config_job *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->definition.mode, b->definition.mode);
    assert_int_equal(a->definition.workers, b->definition.workers);
    assert_int_equal(a->definition.strict, b->definition.strict);
    assert_int_equal(a->definition.slice_elements, b->definition.slice_elements);
    assert_same_settings(&a->definition.settings, &b->definition.settings);
    assert_same_group(&a->definition.defaults, &b->definition.defaults);
    assert_int_equal(a->definition.groups, b->definition.groups);
    for (size_t i = 0; i < a->definition.groups; i++)
        assert_same_group(&a->definition.group[i], &b->definition.group[i]);
    assert_same_init_from(&a->init_from, &b->init_from);
}
