/* SPDX-License-Identifier: Apache-2.0
 *
 * One buffer for the whole file, cut into words in place.
 */
#include "tests/golden/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILE_MOST_BYTES ((size_t)1024 * 1024)

static const char blanks[] = " \r\n";

void reader_init(struct reader *reader, const char *path)
{
    FILE *const file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s cannot be opened", path);
    char *const text = malloc(FILE_MOST_BYTES);
    assert_non_null(text);
    const size_t bytes = fread(text, 1, FILE_MOST_BYTES, file);
    (void)fclose(file);
    if (bytes == 0 || bytes == FILE_MOST_BYTES)
        fail_msg("%s is empty or too large", path);
    text[bytes] = '\0';
    *reader = (struct reader){.path = path, .text = text, .next = text};
}

void reader_deinit(struct reader *reader)
{
    free(reader->text);
    reader->text = NULL;
}

bool reader_more(struct reader *reader)
{
    reader->next += strspn(reader->next, blanks);
    return *reader->next != '\0';
}

const char *reader_word(struct reader *reader)
{
    if (!reader_more(reader))
        fail_msg("%s ends too early", reader->path);
    char *const word = reader->next;
    char *const end = word + strcspn(word, blanks);
    reader->next = *end == '\0' ? end : end + 1;
    *end = '\0';
    return word;
}

void reader_expect(struct reader *reader, const char *word)
{
    const char *const found = reader_word(reader);
    if (strcmp(found, word) != 0)
        fail_msg("%s: '%s' where '%s' belongs", reader->path, found, word);
}

size_t reader_count(struct reader *reader, size_t most)
{
    const char *const word = reader_word(reader);
    char *end;
    const unsigned long count = strtoul(word, &end, 10);
    if (*end != '\0' || count > most)
        fail_msg("%s: '%s' is no number up to %zu", reader->path, word, most);
    return count;
}

double reader_double(struct reader *reader)
{
    const char *const word = reader_word(reader);
    char *end;
    const double x = strtod(word, &end);
    if (*end != '\0')
        fail_msg("%s: '%s' is no number", reader->path, word);
    return x;
}

void reader_floats(struct reader *reader, size_t n, float *ret_x)
{
    for (size_t i = 0; i < n; i++) {
        const char *const word = reader_word(reader);
        char *end;
        const uint32_t bits = (uint32_t)strtoul(word, &end, 16);
        if (end != word + 8)
            fail_msg("%s: '%s' is no float", reader->path, word);
        memcpy(&ret_x[i], &bits, sizeof bits);
    }
}
