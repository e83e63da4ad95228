/* SPDX-License-Identifier: Apache-2.0 */
#include "server/disk/probe.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/error.h"
#include "server/disk/file.h"

#define PREFIX ".probe-"
#define DIGITS 32u

static_assert(sizeof PREFIX + DIGITS <= PROBE_NAME_BYTES, "a probe's name fits");

static bool is_name(const char *name)
{
    const size_t prefix = strlen(PREFIX);
    return strncmp(name, PREFIX, prefix) == 0 &&
           strspn(name + prefix, "0123456789abcdef") == DIGITS && name[prefix + DIGITS] == '\0';
}

/* ---- Writing --------------------------------------------------------------------------------- */

static bool remove_old(void *owner, const char *name)
{
    const int *const folder = owner;
    if (is_name(name))
        (void)unlinkat(*folder, name, 0); /* a folder of this name is none of ours */
    return true;
}

/* A file of a name that nobody can guess. */
static bool make(int folder, char name[PROBE_NAME_BYTES])
{
    (void)snprintf(name, PROBE_NAME_BYTES, "%s", PREFIX);
    if (!file_random_digits(name + strlen(PREFIX), DIGITS))
        return false;
    const int file = file_create(folder, name);
    return file >= 0 && file_finish(file);
}

enum stepd_status probe_write(const struct store *store, char ret_name[PROBE_NAME_BYTES],
                              struct stepd_error *reterr)
{
    int folder = store_folder(store);
    (void)file_walk(folder, remove_old, &folder);
    if (make(folder, ret_name) && file_sync_folder(folder))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_UNAVAILABLE,
                      "cannot write a file into the checkpoint folder by which other daemons would "
                      "see that it is theirs: %s",
                      strerror(errno));
}

void probe_remove(const struct store *store, const char *name)
{
    if (is_name(name))
        (void)unlinkat(store_folder(store), name, 0);
}

/* ---- Looking --------------------------------------------------------------------------------- */

static enum stepd_status see(int folder, const char *name, struct stepd_error *reterr)
{
    uint64_t bytes = 0;
    char own[PROBE_NAME_BYTES];
    const int file = file_open(folder, name, &bytes);
    if (file < 0 && errno == ENOENT)
        return stepd_fail(reterr, STEPD_NOT_FOUND, "control's file is not in it");
    if (file < 0)
        return stepd_fail(reterr, STEPD_PERMISSION_DENIED,
                          "control's file in it cannot be read: %s", strerror(errno));
    file_close(file);
    if (!make(folder, own))
        return stepd_fail(reterr, STEPD_PERMISSION_DENIED, "no file can be made in it: %s",
                          strerror(errno));
    (void)unlinkat(folder, own, 0);
    return STEPD_OK;
}

enum stepd_status probe_see(const char *path, const char *name, struct stepd_error *reterr)
{
    struct store *store = NULL;
    struct stepd_error error;
    if (!is_name(name))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "what control names is no probe");
    enum stepd_status status = store_open_to_read(path, &store, &error);
    if (status != STEPD_OK)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "%s",
                          status == STEPD_NOT_FOUND ? "there is none" : "it cannot be opened");
    status = see(store_folder(store), name, reterr);
    (void)store_close(store);
    return status;
}
