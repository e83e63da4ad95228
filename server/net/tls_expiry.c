/* SPDX-License-Identifier: Apache-2.0 */
#include "server/net/tls_expiry.h"

#define DAY_S     INT64_C(86400)
#define WARN_DAYS 14

static const char remedy[] = "put another one in its place (stepctl certs makes some), and send "
                             "SIGHUP, or restart it where systemd has the key as a credential";

static void tell(const struct tls_life *life, const struct log *log)
{
    const long long left = (long long)life->ends_s;
    if (left <= 0)
        log_event(log, LOG_ERROR, "certificate_expired",
                  "ended=%s days_ago=%lld consequence=%s remedy=%s", life->end,
                  -left / (long long)DAY_S, "whoever dials this daemon by TLS refuses it", remedy);
    else if (life->begins_s > 0)
        log_event(log, LOG_ERROR, "certificate_not_valid_yet", "begins=%s consequence=%s remedy=%s",
                  life->begin, "whoever dials this daemon by TLS refuses it until then",
                  "look at the clocks of this machine and of the one that made it");
    else if (left <= WARN_DAYS * DAY_S)
        log_event(log, LOG_WARN, "certificate_expires", "ends=%s days_left=%lld remedy=%s",
                  life->end, left / (long long)DAY_S, remedy);
}

void tls_expiry_look(struct tls_expiry *expiry, const struct tls_server *server,
                     const struct log *log, uint64_t now_ms)
{
    struct tls_life life;
    if (server == NULL || now_ms < expiry->next_ms)
        return;
    expiry->next_ms = now_ms + (uint64_t)DAY_S * 1000;
    if (!tls_server_life(server, &life))
        return;
    tell(&life, log);
    const bool ends_today = life.ends_s > 0 && life.ends_s < DAY_S;
    if (ends_today)
        expiry->next_ms = now_ms + ((uint64_t)life.ends_s + 1) * 1000;
}
