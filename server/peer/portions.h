/* SPDX-License-Identifier: Apache-2.0
 *
 * What control asks a member daemon for when a checkpoint is written, as bytes of a note
 * (PEER_NOTE_WRITE; its text is the job's name). The answer needs no bytes but the packed sums.
 */
#ifndef PEER_PORTIONS_H
#define PEER_PORTIONS_H

#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#include "server/persist/portion.h"

#define PEER_REQUEST_BYTES (24u + PORTION_SHELF_BYTES + PORTION_FOLDER_BYTES)

void peer_request_pack(const struct portion_request *request, uint8_t bytes[PEER_REQUEST_BYTES]);

/* INVALID_ARGUMENT: these are no such bytes. Whether the names are good is for who opens them. */
enum stepd_status peer_request_unpack(const uint8_t *bytes, size_t n,
                                      struct portion_request *ret_request,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
