/* SPDX-License-Identifier: Apache-2.0
 *
 * The lists lie in static memory, so that a test need not own them.
 */
#include "tests/lib/settings.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT_BYTES = 512, SETTINGS = 40, NUMBERS = 64 };

static struct list {
    char text[TEXT_BYTES];
    struct stepd_setting setting[SETTINGS];
    double number[NUMBERS];
    size_t settings;
    size_t numbers;
} lists[SETTINGS_LISTS];

static size_t calls;

static bool is_number(const char *value)
{
    return isdigit((unsigned char)value[0]) || value[0] == '-' || value[0] == '.' ||
           strcmp(value, "inf") == 0 || strcmp(value, "nan") == 0;
}

static void add_numbers(struct list *list, char *value, struct stepd_setting *setting)
{
    setting->value = &list->number[list->numbers];
    for (char *at = value; *at != '\0'; at += *at == ',') {
        assert_true(list->numbers < NUMBERS);
        list->number[list->numbers++] = strtod(at, &at);
        setting->values++;
        assert_true(*at == ',' || *at == '\0');
    }
}

static void add(struct list *list, char *field)
{
    char *const value = strchr(field, '=');
    assert_non_null(value);
    assert_true(list->settings < SETTINGS);
    *value = '\0';
    struct stepd_setting *const setting = &list->setting[list->settings++];
    *setting = (struct stepd_setting){.name = field, .word = ""};
    if (is_number(value + 1))
        add_numbers(list, value + 1, setting);
    else
        setting->word = value + 1;
}

struct stepd_settings settings_of(const char *text)
{
    struct list *const list = &lists[calls++ % SETTINGS_LISTS];
    assert_true(strlen(text) < sizeof list->text);
    list->settings = 0;
    list->numbers = 0;
    memcpy(list->text, text, strlen(text) + 1);
    char *rest = NULL;
    for (char *field = strtok_r(list->text, " ", &rest); field != NULL;
         field = strtok_r(NULL, " ", &rest))
        add(list, field);
    return (struct stepd_settings){.count = list->settings, .at = list->setting};
}

struct stepd_group settings_group(const char *optimizer, const char *text)
{
    return (struct stepd_group){.name = "g",
                                .match = "*",
                                .optimizer = optimizer,
                                .settings = settings_of(text),
                                .schedule = ""};
}

struct stepd_phase settings_phase(uint64_t from, const char *optimizer, const char *text)
{
    return (struct stepd_phase){
        .from = from, .optimizer = optimizer, .settings = settings_of(text)};
}
