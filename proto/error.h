/* SPDX-License-Identifier: Apache-2.0
 *
 * Filling in a struct stepd_error and returning its code in one expression:
 *
 *     return stepd_fail(reterr, STEPD_NOT_FOUND, "job '%s' is not defined", name);
 *
 * A text names the cause and the remedy (the tensor, the key, the rank, the limit), and never an
 * address or a path of the server: it is sent to clients as it is.
 */
#ifndef PROTO_ERROR_H
#define PROTO_ERROR_H

#include <stddef.h>

#include <stepd/status.h>

/*
 * Writes code and text into *reterr (borrowed until return; may be NULL) and returns code.
 * A text longer than STEPD_ERROR_TEXT_BYTES is cut at a character's boundary. Any thread.
 */
enum stepd_status stepd_fail(struct stepd_error *reterr, enum stepd_status code, const char *fmt,
                             ...) STEPD_PRINTF(3, 4);

/*
 * snprintf for texts that go into an error: what does not fit is cut at a character's boundary.
 * Returns the length of the text that stands there. size is at least 1. Any thread.
 */
size_t stepd_format(char *text, size_t size, const char *fmt, ...) STEPD_PRINTF(3, 4);

/* Puts "prefix: " before the text of an error that is on its way up. reterr may be NULL. */
enum stepd_status stepd_fail_in(struct stepd_error *reterr, enum stepd_status code,
                                const char *prefix_fmt, ...) STEPD_PRINTF(3, 4);

#endif
