/* SPDX-License-Identifier: Apache-2.0
 *
 * First weights of a job from a safetensors file that somebody else has written. The file is read
 * once, when the job begins, and what it has is believed no more than what a client sends.
 */
#ifndef DISK_INIT_READ_H
#define DISK_INIT_READ_H

#include <stdatomic.h>

#include <stepd/status.h>

#include "server/base/log.h"
#include "server/base/naming.h"
#include "server/model/first_weights.h"
#include "server/model/job.h"

/* All borrowed until return. */
struct init_read {
    const char *file;
    const struct naming *naming; /* which tensors, and what they are called there */
    const atomic_bool *stop;     /* set: gives up */
    const struct log *log;       /* what was matched, or why not; may be NULL */
};

/* Could the file be read: is it one of safetensors? Errors as tensors_open; the text names it. */
enum stepd_status init_read_check(const char *file, struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * Reads what a job begins with, as floats, and logs how much of the job and of the file that is.
 * FAILED_PRECONDITION: there is no such file, it breaks a rule of the format, it is not what the
 * naming says (init_match.h), or a weight is not finite. RESOURCE_EXHAUSTED: no memory, or globs
 * that take too long. UNAVAILABLE: the disk refuses, or it was stopped. The text names the job and
 * not the file, since it goes to clients. *ret_first has one reference; the caller gives it back.
 * Any thread.
 */
enum stepd_status init_read(const struct init_read *reading, const struct job *job,
                            struct first_weights **ret_first,
                            struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
