/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading one IDX file, the format of MNIST and its look-alikes, plain or gzipped. An IDX file of
 * bytes is a magic number 0x000008DD with DD dimensions, DD sizes as big-endian 32-bit numbers, and
 * the elements, the last dimension running fastest.
 */
#ifndef TRAIN_IDX_H
#define TRAIN_IDX_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#define IDX_DIMS_MAX 3u
#define IDX_BYTES_MAX                                                                              \
    (1u << 30) /* elements of one file; Fashion-MNIST's largest has 47 million                     \
                */

struct idx {
    size_t dims;
    size_t shape[IDX_DIMS_MAX]; /* elements per dimension */
    size_t bytes;               /* product of the shape; one byte per element */
    uint8_t *elements;          /* owned */
};

/*
 * Reads a whole file that must have exactly dims (1 to IDX_DIMS_MAX) dimensions.
 * *ret_idx: caller frees with idx_deinit.
 * NOT_FOUND: no such file. DATA_LOSS: it is cut short, goes on after its end, or its compression is
 * damaged. INVALID_ARGUMENT: not an IDX file of bytes with so many dimensions, or one has size 0.
 * RESOURCE_EXHAUSTED: more than IDX_BYTES_MAX elements, or no memory.
 */
enum stepd_status idx_read(const char *path, size_t dims, struct idx *ret_idx,
                           struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Frees what idx_read made. A zeroed struct is fine. */
void idx_deinit(struct idx *idx);

#endif
