/* SPDX-License-Identifier: Apache-2.0
 *
 * Dates as people write them, in UTC: "2027-01-31", which is its first second, and
 * "2027-01-31T12:00:00Z". Pure arithmetic in the Gregorian calendar, without leap seconds, as
 * time() counts; any thread.
 */
#ifndef ACCESS_DATE_H
#define ACCESS_DATE_H

#include <stdbool.h>
#include <stdint.h>

#define DATE_TEXT_BYTES sizeof "2027-01-31T12:00:00Z"

/* Reads a date of the years 1970 to 9999. *ret_unix_s: seconds since 1970. False: it is none. */
bool date_read(const char *text, int64_t *ret_unix_s);

/* Writes one of these years in the longer form. */
void date_write(int64_t unix_s, char ret_text[DATE_TEXT_BYTES]);

#endif
