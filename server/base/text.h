/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts that came from somebody else, on their way to a person: quoted so that they can neither
 * break a line of the log nor drive a terminal.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>

/* A buffer for text_quote() that cuts nothing: every byte as \xNN, two quotes and a NUL. */
#define TEXT_QUOTED_BYTES(n) (4 * (n) + 3)

/* The least buffer that text_quote() takes: "..." in quotes and a NUL. */
#define TEXT_QUOTED_LEAST_BYTES 6u

/*
 * Writes the n bytes of text (borrowed until return) into ret_quoted in double quotes and
 * NUL-terminated: " and \ behind a \, line feed and tab as \n and \t, and each byte of what is
 * no printable UTF-8 as \xNN. That is valid in logfmt, and YAML where the text is printable.
 * What does not fit is cut at a character's boundary and ends in ... before the closing quote.
 * capacity is that of ret_quoted in bytes, at least TEXT_QUOTED_LEAST_BYTES. Returns the length
 * without the NUL. Any thread.
 */
size_t text_quote(const char *text, size_t n, char *ret_quoted, size_t capacity);

#endif
