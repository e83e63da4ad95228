/* SPDX-License-Identifier: Apache-2.0 */
#include "server/peering.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/error.h"
#include "server/own_place.h"

bool peering_is_alone(const struct peering *peering)
{
    return peering->list.count < 2;
}

bool peering_is_member(const struct peering *peering)
{
    return !peering_is_alone(peering) && peering->place > 0;
}

/* The file's first line. */
static enum stepd_status read_token(const char *path, char token[PEERING_TOKEN_BYTES],
                                    struct stepd_error *reterr)
{
    FILE *const file = fopen(path, "re");
    if (file == NULL)
        return stepd_fail(reterr, STEPD_FAILED_PRECONDITION, "peer_token_file: %.160s: %s", path,
                          strerror(errno));
    const bool read = fgets(token, (int)PEERING_TOKEN_BYTES, file) != NULL;
    (void)fclose(file);
    token[read ? strcspn(token, " \t\r\n") : 0] = '\0';
    return token[0] != '\0'
               ? STEPD_OK
               : stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                            "peer_token_file: %.160s: its first line has no token", path);
}

static enum stepd_status find_place(const struct config *config, struct peering *peering,
                                    struct stepd_error *reterr)
{
    enum stepd_status status = own_place_find(config, &peering->list, &peering->place, reterr);
    if (status != STEPD_OK)
        return status;
    const char *const address =
        config->advertise[0] != '\0' ? config->advertise : peering->list.address[peering->place];
    status = peers_complete(address, config->listen, peering->advertise, reterr);
    return status == STEPD_OK ? STEPD_OK : stepd_fail_in(reterr, status, "advertise");
}

/* A place in no list would be forgotten without a word, and the daemon serve alone. */
static enum stepd_status check_place(const struct config *config, const struct peers *list,
                                     struct stepd_error *reterr)
{
    if (config->peer == CONFIG_PEER_AUTO || list->count > 0)
        return STEPD_OK;
    return stepd_fail(
        reterr, STEPD_FAILED_PRECONDITION,
        "peer is %u, and peers names no daemons: give the list that all of them have "
        "(--peers HOST,HOST), or leave peer out (--peer auto) where this one is alone",
        (unsigned)config->peer);
}

enum stepd_status peering_find(const struct config *config, struct peering *peering,
                               struct stepd_error *reterr)
{
    *peering = (struct peering){.place = 0};
    enum stepd_status status = peers_read(config, &peering->list, reterr);
    for (size_t i = 0; i < peering->list.count; i++)
        peering->address[i] = peering->list.address[i];
    if (status == STEPD_OK)
        status = check_place(config, &peering->list, reterr);
    if (status == STEPD_OK && !peering_is_alone(peering) && config->action == CONFIG_RUN)
        status = find_place(config, peering, reterr);
    if (status == STEPD_OK && config->peer_token_file[0] != '\0')
        status = read_token(config->peer_token_file, peering->token, reterr);
    return status;
}

bool peering_reload_token(struct peering *peering, const char *path, const struct log *log,
                          bool *ret_changed)
{
    char token[PEERING_TOKEN_BYTES];
    struct stepd_error error;
    *ret_changed = false;
    if (path[0] == '\0')
        return true;
    if (read_token(path, token, &error) != STEPD_OK) {
        log_event(log, LOG_ERROR, "reload_failed", "reason=%s", error.text);
        return false;
    }
    *ret_changed = strcmp(token, peering->token) != 0;
    if (*ret_changed)
        log_event(log, LOG_INFO, "peer_token_read", NULL);
    memcpy(peering->token, token, sizeof token);
    return true;
}
