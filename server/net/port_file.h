/* SPDX-License-Identifier: Apache-2.0
 *
 * A file that tells scripts which port was picked.
 */
#ifndef NET_PORT_FILE_H
#define NET_PORT_FILE_H

#include <stdint.h>

#include <stepd/status.h>

/*
 * Writes the port and a newline, so that whoever sees the file sees all of it. FAILED_PRECONDITION:
 * what stands there is no file. UNAVAILABLE: it cannot be written. The text names it. Any thread.
 */
enum stepd_status port_file_write(const char *path, uint16_t port,
                                  struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
