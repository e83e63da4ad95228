/* SPDX-License-Identifier: Apache-2.0
 *
 * Globs: each form by itself, against fnmatch() on random ones, and those that are meant to be
 * slow.
 */
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/base/glob.h"
#include "tests/lib/random.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct row {
    const char *glob;
    const char *name;
    bool match;
};

static void assert_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (glob_matches(rows[i].glob, rows[i].name) != rows[i].match)
            fail_msg("'%s' and '%s'", rows[i].glob, rows[i].name);
    }
}

static void glob__plain__matches_itself_alone(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", "", true},
        {"", "a", false},
        {"fc1.bias", "fc1.bias", true},
        {"fc1.bias", "fc1.biases", false},
        {"fc1.bias", "fc1.bia", false},
        {"fc1.bias", "fc1_bias", false},
        {"A", "a", false},
        {"!a-^]", "!a-^]", true},
    };
    assert_rows(rows, COUNT(rows));
}

static void glob__star__is_any_characters(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"*", "", true},
        {"*", ".hidden/and.dots", true},
        {"***", "a", true},
        {"*.bias", "layer.1.bias", true},
        {"*.bias", ".bias", true},
        {"*.bias", "layer.bias.x", false},
        {"layer.*", "layer.", true},
        {"layer.*", "layer", false},
        {"*a*b*", "xbxaxbx", true},
        {"*a*b*", "xbxa", false},
        {"a*ab", "aab", true},
        {"a*ab", "ab", false},
        {"*aab", "aaaab", true},
        {"*abab*c", "ababxababc", true},
    };
    assert_rows(rows, COUNT(rows));
}

static void glob__question_mark__is_one_character(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"?", "", false},
        {"?", "a", true},
        {"?", ".", true},
        {"?", "ab", false},
        {"fc?.bias", "fc2.bias", true},
        {"fc?.bias", "fc10.bias", false},
        {"?", "\xC3\xA4", true},
        {"?", "\xF0\x9F\x98\x80", true},
        {"??", "\xC3\xA4", false},
        {"*?*", "\xE2\x82\xAC", true},
        {"*??", "\xE2\x82\xAC", false},
    };
    assert_rows(rows, COUNT(rows));
}

static void glob__set__is_one_of_its_characters(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"[ab]", "a", true},
        {"[ab]", "c", false},
        {"[ab]", "ab", false},
        {"[ab]", "", false},
        {"[0-9]", "5", true},
        {"[0-9]", "a", false},
        {"[9-0]", "5", false},
        {"[-a]", "-", true},
        {"[a-]", "-", true},
        {"[a-]", "b", false},
        {"[+--]", ",", true},
        {"[]a]", "]", true},
        {"[]-a]", "^", true},
        {"[!ab]", "c", true},
        {"[!ab]", "a", false},
        {"[!ab]", "", false},
        {"[^ab]", "a", false},
        {"[!]a]", "]", false},
        {"[a!]", "!", true},
        {"[\xC3\xA4\xE2\x82\xAC]", "\xE2\x82\xAC", true},
        {"[\xC3\xA0-\xC3\xBF]", "\xC3\xA4", true},
        {"[\xC3\xA4]", "\xC3", false},
        {"*[!\xC3\xA4]", "\xC3\xA4", false},
        {"[*?]", "*", true},
        {"[*?]", "a", false},
        {"x[ab]*[!c]", "xaqq", true},
    };
    assert_rows(rows, COUNT(rows));
}

static void glob__set_without_its_end__is_plain(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"[", "[", true},     {"[a", "[a", true},   {"[a", "a", false},     {"[]", "[]", true},
        {"[!]", "[!]", true}, {"[[a]", "[", true},  {"a[", "a[", true},     {"[a\\]", "[a]", true},
        {"[[", "[[", true},   {"*[[", "a[[", true}, {"[a-\\]", "a", false}, {"[\\", "[", false},
    };
    assert_rows(rows, COUNT(rows));
}

static void glob__backslash__takes_the_next_as_it_is(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"\\*", "*", true},     {"\\*", "a", false},     {"\\?", "?", true},
        {"\\[a]", "[a]", true}, {"\\a", "a", true},      {"\\\\", "\\", true},
        {"[\\]]", "]", true},   {"[a\\-c]", "b", false}, {"[a\\-c]", "-", true},
        {"[\\!a]", "!", true},  {"[a-\\c]", "b", true},  {"\\", "\\", false},
        {"a\\", "a", false},    {"*\\", "\\", false},
    };
    assert_rows(rows, COUNT(rows));
}

/* None of the daemon's names is so: they are checked on the way in. */
static void glob__no_utf_8__is_read_byte_by_byte(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"?", "\xFF", true},      {"??", "\xC3", false},       {"?", "\xE2\x82", false},
        {"??", "\xE2\x82", true}, {"\xE2\x82", "\xE2", false}, {"\xFF", "\xFF", true},
        {"\xFF", "\xFE", false},  {"\xE4", "\xC3\xA4", false}, {"[\xE2\x82", "[\xE2\x82", true},
        {"\\\xF0", "\xF0", true},
    };
    assert_rows(rows, COUNT(rows));
}

/* A character, and a byte that stands for it where fnmatch() reads bytes; in the same order. The
 * last is in no name: fnmatch() takes some sets without their end for no match at all. */
static const struct {
    const char *text;
    char byte;
} alphabet[] = {
    {"a", 'a'},
    {"b", 'b'},
    {"c", 'c'},
    {"\xC3\xA4", 'x'},
    {"\xE2\x82\xAC", 'y'},
    {"*", '*'},
    {"?", '?'},
    {"!", '!'},
    {"^", '^'},
    {"-", '-'},
    {"]", ']'},
    {"\\", '\\'},
    {"\xF0\x9F\x98\x80", 'z'},
    {"[", '['},
};

#define TEXT_LETTERS_MAX 12u
#define TEXT_BYTES       (4 * TEXT_LETTERS_MAX + 1)

/* Writes so many letters of the first ones of the alphabet, both ways. */
static void write_random(struct random *random, size_t letters, size_t among, char *text,
                         char *bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < letters; i++) {
        const size_t letter = random_below(random, among);
        const size_t length = strlen(alphabet[letter].text);
        memcpy(text + used, alphabet[letter].text, length);
        used += length;
        bytes[i] = alphabet[letter].byte;
    }
    text[used] = '\0';
    bytes[letters] = '\0';
}

static void glob__random__is_judged_as_by_fnmatch(void **state)
{
    (void)state;
    struct random random = {.state = 7};
    size_t matches = 0;
    for (size_t i = 0; i < 300000; i++) {
        const uint64_t seed = random.state;
        char glob[TEXT_BYTES];
        char name[TEXT_BYTES];
        char glob_bytes[TEXT_BYTES];
        char name_bytes[TEXT_BYTES];
        write_random(&random, random_below(&random, TEXT_LETTERS_MAX + 1), COUNT(alphabet), glob,
                     glob_bytes);
        write_random(&random, random_below(&random, 6),
                     random_once_in(&random, 2) ? 4 : COUNT(alphabet) - 1, name, name_bytes);
        const bool match = fnmatch(glob_bytes, name_bytes, 0) == 0;
        if (glob_matches(glob, name) != match)
            fail_msg("'%s' and '%s' (seed %llu)", glob, name, (unsigned long long)seed);
        matches += match;
    }
    assert_in_range(matches, 3000, 297000);
}

/* Fills a text of so many bytes with what repeats as often as it fits before the end. */
static void write_repeated(const char *repeated, const char *end, size_t bytes, char *ret_text)
{
    const size_t length = strlen(repeated);
    size_t used = 0;
    for (; used + length + strlen(end) <= bytes; used += length)
        (void)stpcpy(ret_text + used, repeated);
    (void)stpcpy(ret_text + used, end);
}

/* Where every star is tried at every place, each of these takes longer than anybody lives. */
static void glob__many_stars__are_not_tried_in_all_their_ways(void **state)
{
    (void)state;
    static const char *const hostile[] = {"*a", "*?", "*[a]", "*[!b]", "*a?", "a*", "*a[a-z]?\\a"};
    char name[201];
    write_repeated("a", "", 200, name);
    for (size_t i = 0; i < COUNT(hostile); i++) {
        char glob[201];
        write_repeated(hostile[i], "b", 200, glob);
        assert_false(glob_matches(glob, name));
    }
}

/* Where each search for the end of a set begins anew, these take hours. */
static void glob__many_sets_without_their_end__are_searched_once(void **state)
{
    (void)state;

    enum { BYTES = 1 << 20 };

    static const char *const hostile[] = {"*[", "[", "*[\\]"};
    static char glob[BYTES + 1];
    static char name[BYTES + 1];
    for (size_t i = 0; i < COUNT(hostile); i++) {
        write_repeated(hostile[i], "b", BYTES, glob);
        write_repeated(i == 1 ? "[" : "a", "", BYTES, name);
        assert_false(glob_matches(glob, name));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(glob__plain__matches_itself_alone),
        cmocka_unit_test(glob__star__is_any_characters),
        cmocka_unit_test(glob__question_mark__is_one_character),
        cmocka_unit_test(glob__set__is_one_of_its_characters),
        cmocka_unit_test(glob__set_without_its_end__is_plain),
        cmocka_unit_test(glob__backslash__takes_the_next_as_it_is),
        cmocka_unit_test(glob__no_utf_8__is_read_byte_by_byte),
        cmocka_unit_test(glob__random__is_judged_as_by_fnmatch),
        cmocka_unit_test(glob__many_stars__are_not_tried_in_all_their_ways),
        cmocka_unit_test(glob__many_sets_without_their_end__are_searched_once),
    };
    return cmocka_run_group_tests_name("base_glob", tests, NULL, NULL);
}
