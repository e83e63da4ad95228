/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading goes flag by flag, in the order of the command line; a flag that is given twice counts
 * as its reader has it, which for those below is the last time.
 */
#include "client/train/flags.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/launcher.h"
#include "proto/error.h"

void *flag_field(const struct flag *flag, void *target)
{
    return (char *)target + flag->offset;
}

enum stepd_status flag_fail(const struct flag *flag, const char *value, const char *expected,
                            struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s '%s': expected %s", flag->name, value,
                      expected);
}

enum stepd_status flag_read_switch(const struct flag *flag, const char *value, void *target,
                                   struct stepd_error *reterr)
{
    (void)value;
    (void)reterr;
    *(bool *)flag_field(flag, target) = true;
    return STEPD_OK;
}

enum stepd_status flag_read_text(const struct flag *flag, const char *value, void *target,
                                 struct stepd_error *reterr)
{
    if (*value == '\0')
        return flag_fail(flag, value, flag->argument, reterr);
    *(const char **)flag_field(flag, target) = value;
    return STEPD_OK;
}

enum stepd_status flag_read_number(const struct flag *flag, const char *value, void *target,
                                   struct stepd_error *reterr)
{
    uint64_t number;
    if (!stepd_launcher_number(value, flag->most, &number) || number < flag->least)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "%s '%s': expected a whole number from %llu to %llu", flag->name, value,
                          (unsigned long long)flag->least, (unsigned long long)flag->most);
    *(uint64_t *)flag_field(flag, target) = number;
    return STEPD_OK;
}

enum stepd_status flag_list(const struct flag *flag, const char *value, size_t most,
                            uint32_t *numbers, size_t *ret_count, struct stepd_error *reterr)
{
    size_t count = 0;
    *ret_count = 0;
    for (const char *at = value;; at++) {
        char *end;
        const unsigned long number = strtoul(at, &end, 10);
        if (*at < '0' || *at > '9' || number < flag->least || number > flag->most ||
            (*end != '\0' && *end != ','))
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "%s '%s': expected whole numbers from %llu to %llu, with ',' between "
                              "them",
                              flag->name, value, (unsigned long long)flag->least,
                              (unsigned long long)flag->most);
        if (count == most)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s: more than %zu numbers",
                              flag->name, most);
        numbers[count++] = (uint32_t)number;
        at = end;
        if (*at == '\0')
            break;
    }
    *ret_count = count;
    return STEPD_OK;
}

static bool is_offered(const struct flag_table *table, const struct flag *flag)
{
    return table->marks == 0 || (flag->marks & table->marks) != 0;
}

/* The flag of this name and its table, or NULL. */
static const struct flag *find_flag(const struct flag_table *tables, size_t count, const char *text,
                                    size_t length, const struct flag_table **ret_table)
{
    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; i < tables[t].count; i++) {
            const struct flag *const flag = &tables[t].flag[i];
            if (!is_offered(&tables[t], flag) || strlen(flag->name) != length ||
                strncmp(flag->name, text, length) != 0)
                continue;
            *ret_table = &tables[t];
            return flag;
        }
    return NULL;
}

/* Finds the value of the flag at argv[at]. *ret_used: how many words both take, 1 or 2. */
static enum stepd_status take_value(const struct flag *flag, char *const *argv, int at,
                                    const char **ret_value, int *ret_used,
                                    struct stepd_error *reterr)
{
    const char *const word = argv[at];
    const size_t length = strlen(flag->name);
    const bool joined = word[length] == '=';
    if (flag->argument == NULL && joined)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s takes no value", flag->name);
    const bool separate = flag->argument != NULL && !joined;
    const char *const value = joined ? word + length + 1 : argv[at + 1];
    if (separate && value == NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%s needs a value: %s", flag->name,
                          flag->argument);
    *ret_value = value;
    *ret_used = separate ? 2 : 1;
    return STEPD_OK;
}

enum stepd_status flags_read(const struct flag_table *tables, size_t count,
                             const struct flag_line *line, const struct flag **ret_noted,
                             struct stepd_error *reterr)
{
    const struct flag *noted = NULL;
    for (int at = 1, used = 0; at < line->argc; at += used) {
        const char *const word = line->argv[at];
        const size_t length = strcspn(word, "=");
        const struct flag_table *table = NULL;
        const struct flag *const flag = find_flag(tables, count, word, length, &table);
        if (flag == NULL)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "unknown flag '%.*s' (try --help)",
                              (int)length, word);
        const char *value = NULL;
        enum stepd_status status = take_value(flag, line->argv, at, &value, &used, reterr);
        if (status == STEPD_OK)
            status = flag->read(flag, value, table->target, reterr);
        if (status != STEPD_OK)
            return status;
        if (noted == NULL && (flag->marks & line->note) != 0)
            noted = flag;
    }
    *ret_noted = noted;
    return STEPD_OK;
}

void flags_print(FILE *out, const struct flag_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct flag *const flag = &table->flag[i];
        if (!is_offered(table, flag))
            continue;
        const char *const argument = flag->argument == NULL ? "" : flag->argument;
        (void)fprintf(out, "  %s%s%s\n        %s\n", flag->name, *argument == '\0' ? "" : " ",
                      argument, flag->help);
    }
}
