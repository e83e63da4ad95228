/* SPDX-License-Identifier: Apache-2.0 */
#include "server/several.h"

#include "proto/error.h"

/* ---- What the server asks -------------------------------------------------------------------- */

static void on_begin(void *owner, uint32_t shards)
{
    struct several *const several = owner;
    several->defined = false;
    keeping_resume_begin(several->keeping, shards, several->shards, several->memory_bytes);
}

static void on_older(void *owner, const struct control_returning *failed)
{
    const struct several *const several = owner;
    keeping_resume_older(several->keeping, failed);
}

static void on_end(void *owner)
{
    const struct several *const several = owner;
    keeping_give_up(several->keeping);
}

static enum stepd_status on_sees(void *owner, const char *probe, struct stepd_error *reterr)
{
    const struct several *const several = owner;
    return keeping_see(several->keeping, probe, reterr);
}

static void on_answered(void *owner, struct portion_answer *answer)
{
    const struct several *const several = owner;
    keeping_answered(several->keeping, answer);
}

static void on_write_portion(void *owner, const struct portion_request *request,
                             const struct job_state *const *share, size_t shares, void *token)
{
    const struct several *const several = owner;
    keeping_write_portion(several->keeping, request, share, shares, token);
}

static void on_load(void *owner, struct job *job, const char *checkpoint, uint32_t first,
                    uint32_t count, void *token)
{
    const struct several *const several = owner;
    keeping_load(several->keeping, job, checkpoint,
                 (struct keeping_shards){.first = first, .count = count}, several->memory_bytes,
                 token);
}

void several_options(struct several *several, struct server_options *options)
{
    options->peers_owner = several;
    options->begin = on_begin;
    options->older = on_older;
    options->end = on_end;
    options->sees = on_sees;
    options->answered = on_answered;
    options->write_portion = on_write_portion;
    options->load = on_load;
}

/* ---- What the keeping asks ------------------------------------------------------------------- */

static void take_note(void *owner, void *what)
{
    const struct several *const several = owner;
    keeping_on_note(several->keeping, what);
}

static void drop_note(void *what)
{
    keeping_note_destroy(what);
}

static void post(void *owner, struct keeping_note *note)
{
    struct several *const several = owner;
    server_post(several->server, take_note, drop_note, several, note);
}

static void ask(void *owner, const char *job_name, const struct portion_request *request)
{
    const struct several *const several = owner;
    server_ask(several->server, job_name, request);
}

static void resumed(void *owner, const struct stepd_error *error)
{
    struct several *const several = owner;
    struct stepd_error why = *error;
    if (why.code == STEPD_OK && !several->defined) {
        several->defined = true;
        why.code = several->define(several->owner, &why);
    }
    server_reign(several->server, &why);
}

static void answer(void *owner, void *token, struct portion_answer *made)
{
    const struct several *const several = owner;
    server_answer(several->server, token, made);
}

static void loaded(void *owner, void *token, struct job_state *state,
                   const struct stepd_error *error)
{
    const struct several *const several = owner;
    server_loaded(several->server, token, state, error);
}

enum stepd_status several_open(struct several *several, const struct config *config,
                               const char **ret_probe, struct stepd_error *reterr)
{
    *ret_probe = "";
    if (peering_is_member(several->peering)) {
        keeping_open_as_guest(several->keeping, config, several->log);
        return STEPD_OK;
    }
    const enum stepd_status status = keeping_open(several->keeping, config, several->log, reterr);
    return status == STEPD_OK ? keeping_probe(several->keeping, ret_probe, reterr) : status;
}

enum stepd_status several_start(struct several *several, struct server *server,
                                struct stepd_error *reterr)
{
    const struct keeping_io io = {
        .owner = several,
        .post = post,
        .ask = ask,
        .resumed = resumed,
        .answer = answer,
        .loaded = loaded,
    };
    several->server = server;
    keeping_use(several->keeping, server, &io);
    return keeping_start(several->keeping, reterr);
}

void several_write(struct several *several, struct server_written *written, uint64_t step)
{
    keeping_write_portions(several->keeping, written, step, several->shards,
                           (uint32_t)several->peering->list.count);
}
