/* SPDX-License-Identifier: Apache-2.0
 *
 * Taking an address apart. Names are not looked up here: that is dialling (net/dial.h).
 */
#include "client/lib/core/address.h"

#include <stddef.h>
#include <string.h>

#include "proto/error.h"

#define UNIX_PREFIX "unix:"
#define TLS_PREFIX  "tls:"

static enum stepd_status malformed(const char *text, const char *what, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "address '%s': %s (host:port, [v6]:port, tls:host:port or unix:/path)", text,
                      what);
}

static enum stepd_status parse_path(const char *text, struct stepd_address *ret_address,
                                    struct stepd_error *reterr)
{
    const char *const path = text + strlen(UNIX_PREFIX);
    const size_t bytes = strlen(path);
    if (bytes == 0)
        return malformed(text, "the path is empty", reterr);
    if (bytes > STEPD_PATH_MAX_BYTES)
        return malformed(text, "the path is longer than 107 bytes", reterr);
    *ret_address = (struct stepd_address){.local = true};
    memcpy(ret_address->path, path, bytes);
    return STEPD_OK;
}

static bool is_port(const char *digits)
{
    unsigned long port = 0;
    size_t n = 0;
    for (; digits[n] >= '0' && digits[n] <= '9' && n < 5; n++)
        port = port * 10 + (unsigned long)(digits[n] - '0');
    return n > 0 && digits[n] == '\0' && port >= 1 && port <= 65535;
}

bool stepd_address_stays_here(const struct stepd_address *address)
{
    const char *const host = address->host;
    const bool is_number = strspn(host, "0123456789.") == strlen(host);
    return address->local || strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           (is_number && strncmp(host, "127.", 4) == 0);
}

bool stepd_address_is_local(const char *text)
{
    return strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0;
}

enum stepd_status stepd_address_parse(const char *text, struct stepd_address *ret_address,
                                      struct stepd_error *reterr)
{
    if (stepd_address_is_local(text))
        return parse_path(text, ret_address, reterr);
    const bool tls = strncmp(text, TLS_PREFIX, strlen(TLS_PREFIX)) == 0;
    const char *host = tls ? text + strlen(TLS_PREFIX) : text;
    const char *const colon = strrchr(host, ':');
    if (colon == NULL)
        return malformed(text, "the port is missing", reterr);
    if (!is_port(colon + 1))
        return malformed(text, "the port is not a number from 1 to 65535", reterr);
    size_t bytes = (size_t)(colon - host);
    if (bytes >= 2 && host[0] == '[' && host[bytes - 1] == ']') {
        host++;
        bytes -= 2;
    } else if (memchr(host, ':', bytes) != NULL) {
        return malformed(text, "an IPv6 address goes in brackets", reterr);
    }
    if (bytes == 0)
        return malformed(text, "the host is empty", reterr);
    if (bytes > STEPD_HOST_MAX_BYTES)
        return malformed(text, "the host is longer than 255 bytes", reterr);
    *ret_address = (struct stepd_address){.tls = tls};
    memcpy(ret_address->host, host, bytes);
    memcpy(ret_address->port, colon + 1, strlen(colon + 1));
    return STEPD_OK;
}
