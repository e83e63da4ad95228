/* SPDX-License-Identifier: Apache-2.0
 *
 * What control and shards take for granted of each other, as long as both are in one process: that
 * ranks, slices and lists are those of the job. Of an order or notice that came in a letter it is
 * checked here, before anybody acts on it.
 */
#ifndef PEER_FITS_H
#define PEER_FITS_H

#include <stddef.h>

#include "server/model/job.h"
#include "server/model/order.h"

/* job: that the order is about, as it is open; NULL: none is. For JOB_OPEN its own. shard: that
 * obeys it. INVALID_ARGUMENT: the text names what does not fit. */
enum stepd_status peer_order_fits(const struct order *order, const struct job *job,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same of a notice whose sum has so many. It may come late, and be about an older job of that
 * name: one that does not fit is to be dropped, and no reason to end the link. */
enum stepd_status peer_notice_fits(const struct notice *notice, size_t sums, const struct job *job,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
