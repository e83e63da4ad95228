/* SPDX-License-Identifier: Apache-2.0
 *
 * What may stand in a name or a text that came over the wire: valid UTF-8 that can be printed.
 */
#ifndef PROTO_UTF8_H
#define PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Are the n bytes (borrowed until return) valid UTF-8 (no overlong form, no surrogate, nothing
 * above U+10FFFF) without control characters (U+0000 to U+001F, U+007F to U+009F)? Pure.
 */
bool stepd_utf8_printable(const uint8_t *bytes, size_t n);

#endif
