/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the files of vectors: words between blanks and line ends, in the order that generate.py
 * wrote them. Whatever is not as expected fails the test with the file's name.
 */
#ifndef TESTS_GOLDEN_READER_H
#define TESTS_GOLDEN_READER_H

#include <stdbool.h>
#include <stddef.h>

struct reader {
    const char *path; /* borrowed as long as the reader */
    char *text;       /* owned */
    char *next;       /* where the next word, or the blanks before it, begin */
};

/* Reads the whole file. Ends with reader_deinit. */
void reader_init(struct reader *reader, const char *path);

void reader_deinit(struct reader *reader);

/* Is there another word? */
bool reader_more(struct reader *reader);

/* The next word, NUL-terminated; lives as long as the reader. */
const char *reader_word(struct reader *reader);

/* The next word must be this one. */
void reader_expect(struct reader *reader, const char *word);

/* A decimal number; not more than most. */
size_t reader_count(struct reader *reader, size_t most);

/* A double as C's %a writes it. */
double reader_double(struct reader *reader);

/* n floats as the hexadecimal digits of their bits. */
void reader_floats(struct reader *reader, size_t n, float *ret_x);

#endif
