/* SPDX-License-Identifier: Apache-2.0
 *
 * The file with the list of those who are known (server/access/list.h), which is read at the start
 * and on SIGHUP.
 */
#ifndef ACCESS_FILE_H
#define ACCESS_FILE_H

#include <stepd/status.h>

struct access_list;

/*
 * Reads the file. FAILED_PRECONDITION: it cannot be read, somebody but its owner may write to it,
 * or a line of it is wrong; the text names the file, and the line. RESOURCE_EXHAUSTED: no memory,
 * or it is too long. *ret_list: caller frees with access_list_destroy.
 */
enum stepd_status access_file_read(const char *path, struct access_list **ret_list,
                                   struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
