/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker or observer that does not read: its replies pile up, nothing more is taken of it or sent
 * to it meanwhile, and where it gives way the core may have it closed.
 */
#include "tests/sim/link_internal.h"

enum { UNSENT_MAX_BYTES = 3000 };

static size_t unsent(const struct link *link)
{
    size_t bytes = 0;
    for (const struct run *run = link->runs; run != NULL; run = run->next)
        bytes += run->count;
    return bytes;
}

void link_note_reply(struct link *link)
{
    if (link->choked || unsent(link) <= UNSENT_MAX_BYTES)
        return;
    link->choked = true;
    coverage_count(link->host->plan->coverage, COVERAGE_CHOKED, 1);
}

void link_note_taken(struct link *link)
{
    if (!link->choked || unsent(link) >= UNSENT_MAX_BYTES / 4)
        return;
    link->choked = false;
    if (link->conn != NULL)
        host_taken(link->host, link->conn);
}

bool link_takes(const struct link *link)
{
    return !link->choked;
}

void link_give_way(struct link *link)
{
    link->gives_way = true;
}

size_t link_in_the_way(const struct link *link, const struct weights *weights)
{
    size_t held = 0;
    for (const struct run *run = link->runs; run != NULL; run = run->next)
        held += run->weights == weights;
    return link->gives_way || link->conn == NULL ? held : 0;
}

bool link_cut(struct link *link)
{
    const bool first = !link->cut && !link->closing;
    link->cut = link->cut || first;
    return first;
}

bool links_close_cut(struct link *links)
{
    bool any = false;
    for (struct link *link = links; link != NULL; link = link->next) {
        any = any || link->cut || link->closing;
        if (!link->cut)
            continue;
        link->cut = false;
        link_break_shard(link);
    }
    return any;
}

struct link *link_next(const struct link *link)
{
    return link->next;
}
