/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses as people write them: "host:port", "[v6]:port", "tls:" in front of one of these, or
 * "unix:/path".
 */
#ifndef CLIENT_LIB_CORE_ADDRESS_H
#define CLIENT_LIB_CORE_ADDRESS_H

#include <stdbool.h>

#include <stepd/status.h>

#define STEPD_HOST_MAX_BYTES 255u
#define STEPD_PATH_MAX_BYTES 107u /* of a Unix socket: sockaddr_un takes no more */

struct stepd_address {
    bool tls;                            /* to host and port */
    bool local;                          /* a Unix socket: path; otherwise host and port */
    char path[STEPD_PATH_MAX_BYTES + 1]; /* NUL-terminated */
    char host[STEPD_HOST_MAX_BYTES + 1]; /* without brackets */
    char port[6];                        /* 1..65535 */
};

/* INVALID_ARGUMENT: it is none of these forms; the text says what is wrong with it. Pure. */
enum stepd_status stepd_address_parse(const char *text, struct stepd_address *ret_address,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Does what is sent there stay on this host, whatever names are looked up to: is it a Unix
 * socket's, "localhost", or an address of the loopback interface? Pure. */
bool stepd_address_stays_here(const struct stepd_address *address);

/* Is it a Unix socket's, of this host? Pure. */
bool stepd_address_is_local(const char *text);

#endif
