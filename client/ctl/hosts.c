/* SPDX-License-Identifier: Apache-2.0
 *
 * A name goes to the ssh program as an argument of its own, so no character of it can become
 * anything but a part of it; what begins with '-' would be an option, and is refused.
 */
#include "client/ctl/hosts.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stepd/types.h>

#include "proto/error.h"

#define LINE_BYTES 512u

static bool read_slots(const char *text, size_t length, unsigned *ret_slots)
{
    unsigned slots = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9' || slots > STEPD_WORKERS_MAX)
            return false;
        slots = 10 * slots + (unsigned)(text[i] - '0');
    }
    *ret_slots = slots;
    return slots >= 1 && slots <= STEPD_WORKERS_MAX;
}

static bool is_name(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && strchr("@._-:%", text[i]) == NULL)
            return false;
    return length > 0 && text[0] != '-';
}

/* Where a colon begins the slots; `length`: there are none. A name with several colons is an
 * address of IPv6 without brackets, which has none. */
static size_t find_slots(const char *text, size_t length)
{
    const char *const colon = memchr(text, ':', length);
    const size_t at = colon == NULL ? length : (size_t)(colon - text);
    return at < length && memchr(colon + 1, ':', length - at - 1) != NULL ? length : at;
}

/* "[fd00::1]" or "me@[fd00::1]": the brackets are for us. Returns the name, or NULL without memory.
 */
static char *copy_name(const char *text, size_t length)
{
    char *const name = strndup(text, length);
    char *const open = name == NULL ? NULL : strchr(name, '[');
    if (open != NULL && length > 0 && name[length - 1] == ']' &&
        (open == name || open[-1] == '@')) {
        name[length - 1] = '\0';
        memmove(open, open + 1, strlen(open));
    }
    return name;
}

static enum stepd_status append(struct hosts *hosts, char *name, unsigned slots,
                                struct stepd_error *reterr)
{
    for (size_t i = 0; i < hosts->count; i++)
        if (strcmp(hosts->host[i].name, name) == 0)
            return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                              "host %.80s stands twice: say %.80s:%u, if it is to take %u workers",
                              name, name, hosts->host[i].slots + slots,
                              hosts->host[i].slots + slots);
    struct host *const grown = realloc(hosts->host, (hosts->count + 1) * sizeof *grown);
    if (grown == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the hosts");
    hosts->host = grown;
    hosts->host[hosts->count++] = (struct host){.name = name, .slots = slots};
    hosts->slots += slots;
    return STEPD_OK;
}

/* NAME or NAME:SLOTS. */
static enum stepd_status add(struct hosts *hosts, const char *text, size_t length,
                             struct stepd_error *reterr)
{
    const char *const bracket = memchr(text, ']', length);
    const size_t inside = bracket == NULL ? 0 : (size_t)(bracket - text) + 1;
    const size_t at = inside + find_slots(text + inside, length - inside);
    unsigned slots = 1;
    if (at < length && !read_slots(text + at + 1, length - at - 1, &slots))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "host '%.*s': behind the colon stands how many workers it takes, 1 to %u",
                          (int)length, text, STEPD_WORKERS_MAX);
    char *const name = copy_name(text, at);
    if (name == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory for the hosts");
    enum stepd_status status = STEPD_OK;
    if (!is_name(name, strlen(name)))
        status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                            "'%.*s' is not the name or address of a host", (int)length, text);
    if (status == STEPD_OK)
        status = append(hosts, name, slots, reterr);
    if (status != STEPD_OK)
        free(name);
    return status;
}

enum stepd_status hosts_add(struct hosts *hosts, const char *list, struct stepd_error *reterr)
{
    enum stepd_status status = STEPD_OK;
    while (status == STEPD_OK) {
        const size_t length = strcspn(list, ",");
        status = add(hosts, list, length, reterr);
        if (list[length] == '\0')
            break;
        list += length + 1;
    }
    return status;
}

/* "NAME[:SLOTS]" or "NAME slots=SLOTS"; nothing is fine. The line is changed. */
static enum stepd_status add_line(struct hosts *hosts, char *line, struct stepd_error *reterr)
{
    static const char slots[] = "slots=";
    char text[LINE_BYTES];
    char *state = NULL;
    line[strcspn(line, "#")] = '\0';
    const char *const name = strtok_r(line, " \t\r\n", &state);
    const char *const more = name == NULL ? NULL : strtok_r(NULL, " \t\r\n", &state);
    if (name == NULL)
        return STEPD_OK;
    if (more == NULL)
        return add(hosts, name, strlen(name), reterr);
    if (strncmp(more, slots, sizeof slots - 1) != 0 || strtok_r(NULL, " \t\r\n", &state) != NULL)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "a line is a host, or a host and slots=N; there is '%.80s'", more);
    unsigned workers;
    const char *const number = more + sizeof slots - 1;
    if (!read_slots(number, strlen(number), &workers))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "host '%.80s': behind slots= stands how many workers it takes, 1 to %u",
                          name, STEPD_WORKERS_MAX);
    (void)snprintf(text, sizeof text, "%s:%u", name, workers);
    return add(hosts, text, strlen(text), reterr);
}

enum stepd_status hosts_read(struct hosts *hosts, const char *path, struct stepd_error *reterr)
{
    char line[LINE_BYTES - 8];
    const size_t before = hosts->count;
    enum stepd_status status = STEPD_OK;
    FILE *const file = fopen(path, "re");
    if (file == NULL)
        return stepd_fail(reterr, STEPD_NOT_FOUND, "%.200s: %s", path, strerror(errno));
    for (unsigned number = 1; status == STEPD_OK && fgets(line, sizeof line, file) != NULL;
         number++) {
        if (strlen(line) + 1 == sizeof line)
            status = stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "a line is too long");
        else
            status = add_line(hosts, line, reterr);
        if (status != STEPD_OK)
            (void)stepd_fail_in(reterr, status, "%.200s:%u", path, number);
    }
    (void)fclose(file);
    if (status == STEPD_OK && hosts->count == before)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%.200s names no host", path);
    return status;
}

enum stepd_status hosts_deal(struct hosts *hosts, unsigned workers, unsigned *ret_workers,
                             struct stepd_error *reterr)
{
    const unsigned wanted = workers == 0 ? hosts->slots : workers;
    unsigned dealt = 0;
    size_t count = 0;
    if (hosts->slots == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "no host is named");
    if (wanted > hosts->slots)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "-n %u: the hosts take %u workers; say HOST:SLOTS where one takes more",
                          wanted, hosts->slots);
    if (wanted > STEPD_WORKERS_MAX)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "%u workers are more than %u", wanted,
                          STEPD_WORKERS_MAX);
    for (; count < hosts->count && dealt < wanted; count++) {
        struct host *const host = &hosts->host[count];
        host->first = dealt;
        host->workers = host->slots < wanted - dealt ? host->slots : wanted - dealt;
        dealt += host->workers;
    }
    for (size_t i = count; i < hosts->count; i++)
        free(hosts->host[i].name);
    hosts->count = count;
    *ret_workers = wanted;
    return STEPD_OK;
}

void hosts_deinit(struct hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++)
        free(hosts->host[i].name);
    free(hosts->host);
    *hosts = (struct hosts){.count = 0};
}
