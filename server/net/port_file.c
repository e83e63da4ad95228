/* SPDX-License-Identifier: Apache-2.0
 *
 * Written beside its place and renamed, because a script that waits for the file reads it the
 * moment it exists. It is no promise to survive a crash, so nothing is synced.
 */
#include "server/net/port_file.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/error.h"

static enum stepd_status refuse(const char *path, struct stepd_error *reterr)
{
    return stepd_fail(reterr, STEPD_UNAVAILABLE, "cannot write the port file %s: %s", path,
                      strerror(errno));
}

/* A device, a pipe or a link would be gone for whoever else uses it. */
static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode) ? "a folder" : S_ISLNK(mode) ? "a symbolic link" : "a device or a pipe";
}

static bool write_number(const char *path, uint16_t port)
{
    FILE *const file = fopen(path, "we");
    if (file == NULL)
        return false;
    const bool written = fprintf(file, "%u\n", (unsigned)port) > 0;
    return fclose(file) == 0 && written;
}

enum stepd_status port_file_write(const char *path, uint16_t port, struct stepd_error *reterr)
{
    struct stat old;
    if (lstat(path, &old) == 0 && !S_ISREG(old.st_mode))
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                          "cannot write the port file %s: it is %s, and only a file is replaced",
                          path, kind_of(old.st_mode));
    char beside[PATH_MAX];
    const int length = snprintf(beside, sizeof beside, "%s.tmp", path);
    if (length < 0 || (size_t)length >= sizeof beside) {
        errno = ENAMETOOLONG;
        return refuse(path, reterr);
    }
    if (!write_number(beside, port) || rename(beside, path) != 0) {
        const enum stepd_status status = refuse(path, reterr);
        (void)unlink(beside);
        return status;
    }
    return STEPD_OK;
}
