/* SPDX-License-Identifier: Apache-2.0 */
#include "server/peer/portions.h"

#include <string.h>

#include "proto/error.h"

static void put(uint8_t **at, uint64_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        *(*at)++ = (uint8_t)(number >> 8 * i);
}

static uint64_t take(const uint8_t **at, size_t bytes)
{
    uint64_t number = 0;
    for (size_t i = 0; i < bytes; i++)
        number |= (uint64_t) * (*at)++ << 8 * i;
    return number;
}

void peer_request_pack(const struct portion_request *request, uint8_t bytes[PEER_REQUEST_BYTES])
{
    uint8_t *at = bytes;
    put(&at, request->number, 8);
    put(&at, request->step, 8);
    put(&at, request->index, 4);
    put(&at, request->portions, 4);
    memcpy(at, request->place.shelf, PORTION_SHELF_BYTES);
    memcpy(at + PORTION_SHELF_BYTES, request->place.folder, PORTION_FOLDER_BYTES);
}

enum stepd_status peer_request_unpack(const uint8_t *bytes, size_t n,
                                      struct portion_request *ret_request,
                                      struct stepd_error *reterr)
{
    const uint8_t *at = bytes;
    if (n != PEER_REQUEST_BYTES)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a request for a portion has %zu bytes, and must have %u", n,
                          PEER_REQUEST_BYTES);
    struct portion_request request = {.number = take(&at, 8)};
    request.step = take(&at, 8);
    request.index = (uint32_t)take(&at, 4);
    request.portions = (uint32_t)take(&at, 4);
    memcpy(request.place.shelf, at, PORTION_SHELF_BYTES);
    memcpy(request.place.folder, at + PORTION_SHELF_BYTES, PORTION_FOLDER_BYTES);
    if (request.place.shelf[PORTION_SHELF_BYTES - 1] != '\0' ||
        request.place.folder[PORTION_FOLDER_BYTES - 1] != '\0')
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a request for a portion has a name without an end");
    *ret_request = request;
    return STEPD_OK;
}
