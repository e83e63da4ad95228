/* SPDX-License-Identifier: Apache-2.0
 *
 * Losses of rounds, read from a file: one number a line.
 */
#ifndef CLIENT_CTL_LOSSES_H
#define CLIENT_CTL_LOSSES_H

#include <stddef.h>
#include <stdio.h>

#include <stepd/status.h>

struct losses {
    size_t count;
    double *at; /* owned */
};

/*
 * Reads the file at `path`; "-" is stdin. Empty lines are none; "nan" is a round without a loss.
 * FAILED_PRECONDITION: it cannot be read, or a line (the text names it) is no number.
 * INVALID_ARGUMENT: more than COURSE_STEPS_MAX. RESOURCE_EXHAUSTED.
 * *ret_losses: caller frees with losses_deinit.
 */
enum stepd_status losses_read(const char *path, struct losses *ret_losses,
                              struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A zeroed struct is fine. */
void losses_deinit(struct losses *losses);

#endif
