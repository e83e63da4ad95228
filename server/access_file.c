/* SPDX-License-Identifier: Apache-2.0
 *
 * Whoever may write to the file can let in whom they like, so one that is open to others is
 * refused. That others may read it does no harm: nobody finds a token by its hash.
 */
#include "server/access_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/error.h"
#include "server/access/list.h"

/* Reads what is there, and one byte more than may be. */
static enum stepd_status read_text(FILE *file, char *text, size_t room, size_t *ret_n,
                                   struct stepd_error *reterr)
{
    struct stat about;
    if (fstat(fileno(file), &about) != 0)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s", strerror(errno));
    if ((about.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "others than its owner may write to it; chmod go-w");
    errno = 0;
    *ret_n = fread(text, 1, room, file);
    if (ferror(file) != 0)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s", strerror(errno));
    return STEPD_OK;
}

static enum stepd_status read_list(const char *path, struct access_list **ret_list,
                                   struct stepd_error *reterr)
{
    const size_t room = ACCESS_TEXT_MAX_BYTES + 1;
    size_t n = 0;
    FILE *const file = fopen(path, "re");
    if (file == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s", strerror(errno));
    char *const text = malloc(room);
    enum stepd_status status =
        text == NULL ? stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read it")
                     : read_text(file, text, room, &n, reterr);
    if (status == STEPD_OK)
        status = access_list_read(text, n, ret_list, reterr);
    free(text);
    (void)fclose(file);
    return status == STEPD_INVALID_ARGUMENT ? STEPD_FAILED_PRECONDITION : status;
}

enum stepd_status access_file_read(const char *path, struct access_list **ret_list,
                                   struct stepd_error *reterr)
{
    const enum stepd_status status = read_list(path, ret_list, reterr);
    return status == STEPD_OK ? status : stepd_fail_in(reterr, status, "access_file: %.200s", path);
}
