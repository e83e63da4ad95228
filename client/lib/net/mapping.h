/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that a server on this host has sent the descriptors of, mapped.
 */
#ifndef CLIENT_LIB_NET_MAPPING_H
#define CLIENT_LIB_NET_MAPPING_H

#include <stdint.h>

#include <stepd/status.h>

#include "client/lib/core/shared.h"

struct stepd_mapping;

/*
 * Maps the first descriptor to be read and the second to be written. Takes ownership of both,
 * whatever comes of it. *ret_mapping: caller frees with stepd_mapping_destroy, and *ret_shared is
 * borrowed from it. INTERNAL: they are not as large as the server says, or could be made smaller
 * under our hands. RESOURCE_EXHAUSTED: the system gives no room.
 */
enum stepd_status stepd_mapping_create(const int fd[2], uint64_t weights_bytes,
                                       uint64_t gradients_bytes, struct stepd_mapping **ret_mapping,
                                       struct stepd_shared *ret_shared,
                                       struct stepd_error *reterr) STEPD_MUST_CHECK;

/* As stepd_loan.hide. */
void stepd_mapping_hide(void *pages, uint64_t bytes);

/* Pages of zeros, to be given back with stepd_mapping_return. NULL: the system has none. */
void *stepd_mapping_take(uint64_t bytes);
void stepd_mapping_return(void *pages, uint64_t bytes);

/* NULL is fine. Returns NULL. */
struct stepd_mapping *stepd_mapping_destroy(struct stepd_mapping *mapping);

#endif
