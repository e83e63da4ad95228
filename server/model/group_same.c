/* SPDX-License-Identifier: Apache-2.0
 *
 * Do two groups say the same? Every worker of a job defines it, and what differs is named: two
 * optimizers, a rate, the step at which a phase begins. Compared is what settings came to, so that
 * betas and beta1 with beta2 are the same, and a default that is written out is a default.
 */
#include <inttypes.h>
#include <string.h>

#include "proto/error.h"
#include "server/model/differs.h"
#include "server/model/group.h"

enum stepd_status group_same_tensors(const struct group *a, const struct group *b,
                                     struct stepd_error *reterr)
{
    if (strcmp(a->name, b->name) != 0)
        return differs_text(reterr, "name", a->name, b->name);
    if (strcmp(a->match, b->match) != 0)
        return differs_text(reterr, "match", a->match, b->match);
    if (a->ndims != b->ndims || memcmp(a->ndim, b->ndim, a->ndims * sizeof a->ndim[0]) != 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "ndim is defined with other numbers, or in another order");
    if (a->frozen != b->frozen)
        return differs_text(reterr, "frozen", a->frozen ? "true" : "false",
                            b->frozen ? "true" : "false");
    return STEPD_OK;
}

static enum stepd_status same_phase(const struct phase *a, const struct phase *b,
                                    struct stepd_error *reterr)
{
    if (a->from != b->from)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "from is defined as %" PRIu64 ", not %" PRIu64, a->from, b->from);
    if (a->optimizer != b->optimizer)
        return differs_text(reterr, "optimizer", a->optimizer->name, b->optimizer->name);
    for (size_t i = 0; i < a->optimizer->hypers; i++) {
        const struct optim_hyper_spec *const spec = &a->optimizer->hyper[i];
        const double defined = optimizer_hyper_get(spec, &a->hyper);
        const double wanted = optimizer_hyper_get(spec, &b->hyper);
        if (defined == wanted)
            continue;
        return spec->word == NULL ? differs_number(reterr, spec->name, defined, wanted)
                                  : differs_text(reterr, spec->name, spec->word[(size_t)defined],
                                                 spec->word[(size_t)wanted]);
    }
    return STEPD_OK;
}

static enum stepd_status same_phases(const struct group *a, const struct group *b,
                                     struct stepd_error *reterr)
{
    if (a->phases != b->phases)
        return differs_number(reterr, "the number of phases", (double)(a->phases - 1),
                              (double)(b->phases - 1));
    for (size_t i = 0; i < a->phases; i++) {
        const enum stepd_status status = same_phase(&a->phase[i], &b->phase[i], reterr);
        if (status != STEPD_OK)
            return i == 0 ? status : stepd_fail_in(reterr, status, "phase %zu", i);
    }
    return STEPD_OK;
}

static enum stepd_status same_treatment(const struct treatment *a, const struct treatment *b,
                                        struct stepd_error *reterr)
{
    const struct {
        const char *name;
        double defined;
        double wanted;
    } pairs[] = {
        {"maximize", a->maximize, b->maximize},
        {"clip_norm", a->clip_norm, b->clip_norm},
        {"clip_value", a->clip_value, b->clip_value},
        {"ema_decay", a->ema_decay, b->ema_decay},
        {"swa", a->swa, b->swa},
        {"swa_start", (double)a->swa_start, (double)b->swa_start},
        {"swa_every", (double)a->swa_every, (double)b->swa_every},
    };

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (pairs[i].defined != pairs[i].wanted)
            return differs_number(reterr, pairs[i].name, pairs[i].defined, pairs[i].wanted);
    }
    return STEPD_OK;
}

enum stepd_status group_same(const struct group *a, const struct group *b,
                             struct stepd_error *reterr)
{
    enum stepd_status status = group_same_tensors(a, b, reterr);
    if (status == STEPD_OK)
        status = same_phases(a, b, reterr);
    if (status == STEPD_OK)
        status = schedule_same(&a->schedule, &b->schedule, reterr);
    return status != STEPD_OK ? status : same_treatment(&a->treatment, &b->treatment, reterr);
}
