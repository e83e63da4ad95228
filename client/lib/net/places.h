/* SPDX-License-Identifier: Apache-2.0
 *
 * The body of the links (core/links.h): for each shard a place, with a dial, or the connection that
 * has come of it; and the timer that wakes the links. In the loop's thread.
 */
#ifndef CLIENT_LIB_NET_PLACES_H
#define CLIENT_LIB_NET_PLACES_H

#include <uv.h>

#include <stepd/status.h>

#include "client/lib/core/links.h"

struct stepd_places;
struct stepd_trust;

/* Makes links that have their connections in this loop: options->io is filled in here. *ret_places:
 * caller frees with stepd_places_destroy. RESOURCE_EXHAUSTED. */
enum stepd_status stepd_places_create(uv_loop_t *uv, const struct stepd_links_options *options,
                                      struct stepd_places **ret_places) STEPD_MUST_CHECK;

/* Whom connections by TLS trust (borrowed as long as the places). Before the first is made. */
void stepd_places_trust(struct stepd_places *places, const struct stepd_trust *trust);

struct stepd_links *stepd_places_links(const struct stepd_places *places);

/* Stops the links. The handles of the loop close behind it. */
void stepd_places_stop(struct stepd_places *places, const struct stepd_error *error);

/* After the loop has ended. NULL is fine. Returns NULL. */
struct stepd_places *stepd_places_destroy(struct stepd_places *places);

#endif
