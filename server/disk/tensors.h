/* SPDX-License-Identifier: Apache-2.0
 *
 * A safetensors file that somebody else has written, to be read tensor by tensor.
 */
#ifndef DISK_TENSORS_H
#define DISK_TENSORS_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/persist/safetensors.h"

struct tensors {
    int file; /* owned */
    struct safetensors head;
};

/*
 * Opens a regular file in a folder (AT_FDCWD: anywhere) and reads its head. NOT_FOUND: there is
 * none. INVALID_ARGUMENT: it breaks a rule of the format, or is a link. UNAVAILABLE: it cannot be
 * read. RESOURCE_EXHAUSTED: no memory. The text begins with `shown`. The caller ends with
 * tensors_close.
 */
enum stepd_status tensors_open(int folder, const char *name, const char *shown,
                               struct tensors *ret_tensors,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same of a file that is open; takes ownership of it, in every case. */
enum stepd_status tensors_take(int file, const char *shown, struct tensors *ret_tensors,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A zeroed one is not fine: its file is 0. */
void tensors_close(struct tensors *tensors);

/* Reads n bytes of a tensor from its byte `first` on. UNAVAILABLE: the disk refuses. */
enum stepd_status tensors_read(const struct tensors *tensors,
                               const struct safetensors_tensor *tensor, uint64_t first, size_t n,
                               uint8_t *bytes, struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
