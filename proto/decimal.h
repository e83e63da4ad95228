/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers as command lines, config files and servers' texts have them: one rule for all.
 */
#ifndef PROTO_DECIMAL_H
#define PROTO_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Reads a finite decimal number, "-1.5e3", that takes all of the first length bytes of a text,
 * which is borrowed until return and ends with a NUL there or later. False: they are anything else,
 * such as a blank, a hexadecimal, inf or nan; *ret_number stays. Any thread.
 */
bool stepd_decimal_read(const char *text, size_t length, double *ret_number);

#endif
