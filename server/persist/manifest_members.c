/* SPDX-License-Identifier: Apache-2.0
 *
 * Members, one a line, each with its session: whoever comes back with it is known again.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/control/sessions.h"
#include "server/persist/manifest_internal.h"

/* ---- Writing --------------------------------------------------------------------------------- */

static json_t *of_former(const struct control_former *former)
{
    return former->known ? json_pack("{s:o, s:o}", "session",
                                     manifest_of_bytes(former->session, sizeof former->session),
                                     "why", manifest_of_error(&former->why))
                         : json_null();
}

static json_t *of_member(const struct member_snapshot *member)
{
    return json_pack(
        "{s:I, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o}", "rank",
        (json_int_t)member->rank, "worker", member->worker, "left", (int)member->left, "given_up",
        manifest_of_error(&member->given_up), "until", manifest_of_u64_or_none(member->until),
        "from", manifest_of_u64_or_none(member->from), "from_clock",
        manifest_of_u64(member->from_clock), "last_clock",
        manifest_of_u64_or_none(member->last_clock), "reported_clock",
        manifest_of_u64_or_none(member->reported_clock), "loss", manifest_of_double(member->loss),
        "examples", manifest_of_u64_or_none(member->examples), "session",
        manifest_of_bytes(member->session, sizeof member->session), "epoch",
        manifest_of_u64(member->epoch), "lease_ms", (json_int_t)member->lease_ms, "client",
        member->has_client ? manifest_of_bytes(member->client, sizeof member->client) : json_null(),
        "former", of_former(&member->former));
}

void manifest_write_members(struct manifest_text *text, const struct job_snapshot *snapshot)
{
    manifest_text_open(text, "members", '[');
    for (size_t i = 0; i < snapshot->members; i++)
        manifest_text_value(text, /* key= */ NULL, of_member(&snapshot->member[i]));
    manifest_text_close(text, ']');
}

/* ---- Reading --------------------------------------------------------------------------------- */

static enum stepd_status read_former(const json_t *json, struct control_former *former,
                                     struct stepd_error *reterr)
{
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    former->known = true;
    manifest_take_bytes(&object, "session", former->session, sizeof former->session);
    manifest_take_error(&object, "why", &former->why);
    return manifest_object_end(&object);
}

static void take_former(struct manifest_object *object, struct control_former *former)
{
    const json_t *const json = manifest_take(object, "former");
    if (json == NULL || json_is_null(json))
        return;
    object->status = read_former(json, former, object->reterr);
    if (object->status != STEPD_OK)
        (void)stepd_fail_in(object->reterr, object->status, "former");
}

static void take_session(struct manifest_object *object, struct member_snapshot *member)
{
    manifest_take_bytes(object, "session", member->session, sizeof member->session);
    member->epoch = manifest_take_u64(object, "epoch");
    member->lease_ms = (uint32_t)manifest_take_between(object, "lease_ms", CONTROL_LEASE_LEAST_MS,
                                                       CONTROL_LEASE_MOST_MS);
    const json_t *const client = manifest_take(object, "client");
    member->has_client = client != NULL && !json_is_null(client);
    if (member->has_client)
        manifest_take_bytes(object, "client", member->client, sizeof member->client);
}

static enum stepd_status read_member(const json_t *json, struct member_snapshot *member,
                                     struct stepd_error *reterr)
{
    struct manifest_object object;
    manifest_object_begin(&object, json, reterr);
    member->rank = (uint32_t)manifest_take_between(&object, "rank", 0, STEPD_WORKERS_MAX - 1);
    const char *const worker = manifest_take_text(&object, "worker", STEPD_NAME_MAX_BYTES);
    member->left = manifest_take_bool(&object, "left");
    manifest_take_error(&object, "given_up", &member->given_up);
    member->until = manifest_take_u64_or_none(&object, "until");
    member->from = manifest_take_u64_or_none(&object, "from");
    member->from_clock = manifest_take_u64(&object, "from_clock");
    member->last_clock = manifest_take_u64_or_none(&object, "last_clock");
    member->reported_clock = manifest_take_u64_or_none(&object, "reported_clock");
    member->loss = manifest_take_double(&object, "loss");
    member->examples = manifest_take_u64_or_none(&object, "examples");
    take_session(&object, member);
    take_former(&object, &member->former);
    if (object.status == STEPD_OK && member->left && member->given_up.code != STEPD_OK)
        manifest_object_fail(&object, "given_up", "must be null of a member that has left");
    member->worker = worker != NULL ? strdup(worker) : NULL;
    if (member->worker == NULL)
        manifest_object_no_memory(&object);
    return manifest_object_end(&object);
}

enum stepd_status manifest_read_members(const json_t *list, struct job_snapshot *snapshot,
                                        struct stepd_error *reterr)
{
    const size_t count = json_array_size(list);
    enum stepd_status status = STEPD_OK;
    snapshot->member = calloc(count + 1, sizeof *snapshot->member);
    if (snapshot->member == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to read %zu members", count);
    while (snapshot->members < count && status == STEPD_OK) {
        const size_t i = snapshot->members++;
        status = read_member(json_array_get(list, i), &snapshot->member[i], reterr);
        if (status != STEPD_OK)
            (void)stepd_fail_in(reterr, status, "members[%zu]", i);
    }
    return status;
}
