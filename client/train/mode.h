/* SPDX-License-Identifier: Apache-2.0
 *
 * How a job's gradients become steps, in words: a mode and what stands beside it.
 *
 *     sync
 *     sync backup=1 late=apply
 *     bounded staleness=8
 */
#ifndef TRAIN_MODE_H
#define TRAIN_MODE_H

#include <stddef.h>

#include <stepd/status.h>
#include <stepd/types.h>

#include "client/train/params.h"

#define TRAIN_MODE_TEXT_BYTES 160u

struct train_mode {
    enum stepd_mode mode;
    struct train_params settings; /* whether there are such is the server's to say */
};

/*
 * Reads `length` bytes over what stands in *mode: settings that they do not name stay. text:
 * borrowed as long as *mode is used. INVALID_ARGUMENT: no such mode, or no setting.
 */
enum stepd_status train_mode_read(const char *text, size_t length, struct train_mode *mode,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Writes a mode as it is read, cut to `size` bytes with their NUL. */
void train_mode_format(const struct train_mode *mode, char *text, size_t size);

#endif
