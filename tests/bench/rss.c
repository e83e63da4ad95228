/* SPDX-License-Identifier: Apache-2.0
 *
 * From /proc/<pid>/statm, whose second number counts pages, and from /proc/<pid>/status, where the
 * peak stands.
 */
#include "tests/bench/rss.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/error.h"

enum stepd_status rss_read(pid_t pid, int64_t *ret_bytes, struct stepd_error *reterr)
{
    char path[64];
    int64_t pages = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
    FILE *const in = fopen(path, "r");
    const int found = in == NULL ? 0 : fscanf(in, "%*d %" SCNd64, &pages);
    if (in != NULL)
        (void)fclose(in);
    if (found != 1)
        return stepd_fail(reterr, STEPD_UNAVAILABLE,
                          "cannot read %s: has stepd ended, or is /proc not mounted?", path);
    *ret_bytes = pages * sysconf(_SC_PAGESIZE);
    return STEPD_OK;
}

enum stepd_status rss_read_peak(pid_t pid, int64_t *ret_bytes, struct stepd_error *reterr)
{
    char path[64];
    char line[128];
    int64_t kibibytes = -1;
    (void)snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    FILE *const in = fopen(path, "r");
    while (in != NULL && kibibytes < 0 && fgets(line, sizeof line, in) != NULL)
        (void)sscanf(line, "VmHWM: %" SCNd64, &kibibytes);
    if (in != NULL)
        (void)fclose(in);
    if (kibibytes < 0)
        return rss_read(pid, ret_bytes, reterr);
    *ret_bytes = kibibytes * 1024;
    return STEPD_OK;
}
