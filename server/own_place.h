/* SPDX-License-Identifier: Apache-2.0
 *
 * Which of the daemons in a list is this one? What the config says goes first, then its address as
 * others see it, what it listens on, the host's name, and at last the host's own addresses.
 */
#ifndef SERVER_OWN_PLACE_H
#define SERVER_OWN_PLACE_H

#include <stepd/status.h>

#include "server/config/peers.h"

/*
 * *ret_place: below peers->count, which is not 0. FAILED_PRECONDITION: it is none of them, or could
 * be several; the text names the remedy. May ask the resolver. One thread.
 */
enum stepd_status own_place_find(const struct config *config, const struct peers *peers,
                                 uint32_t *ret_place, struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
