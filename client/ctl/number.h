/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers on the command line, in files and in what is printed.
 */
#ifndef CLIENT_CTL_NUMBER_H
#define CLIENT_CTL_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#define NUMBER_BYTES 32u

/* A finite decimal number and nothing else. False: it is none. */
bool number_parse(const char *text, double *ret_number);

/* The same, or inf, infinity or nan, whose letters may be large: what programs print for a loss. */
bool number_parse_any(const char *text, double *ret_number);

/* A whole number from least to most in decimal digits, and nothing else. */
bool number_parse_whole(const char *text, uint64_t least, uint64_t most, uint64_t *ret_number);

/* The shortest text that is read back as the same number: "0.1". Valid JSON where it is finite. */
void number_shortest(double number, char ret_text[NUMBER_BYTES]);

#endif
