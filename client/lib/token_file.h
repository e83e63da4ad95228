/* SPDX-License-Identifier: Apache-2.0
 *
 * A file that holds a token: it is shown in no list of processes and in no environment.
 */
#ifndef CLIENT_LIB_TOKEN_FILE_H
#define CLIENT_LIB_TOKEN_FILE_H

#include <stepd/status.h>

#define STEPD_TOKEN_MAX_BYTES 512u

/*
 * Reads the file's only line. INVALID_ARGUMENT: it cannot be read, or holds something else than one
 * word of printable characters; the text names the file and shows nothing of what is in it.
 * RESOURCE_EXHAUSTED: no memory. *ret_token: caller frees with free(). Any thread.
 */
enum stepd_status stepd_token_file_read(const char *path, char **ret_token,
                                        struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
