/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables as text: what is in them, and nothing that a reader would have to guess.
 */
#include "tests/torch/driver_list.h"

#include "server/optim/optimizer.h"
#include "server/schedule/schedule.h"

static void list_hyper(FILE *stream, const struct optim_hyper_spec *spec)
{
    (void)fprintf(stream, "hyper %s", spec->name);
    if (spec->word != NULL) {
        (void)fprintf(stream, " %s", spec->word[(size_t)spec->fallback]);
        for (size_t value = (size_t)spec->least; value <= (size_t)spec->most; value++)
            (void)fprintf(stream, " %s", spec->word[value]);
    }
    (void)fprintf(stream, "\n");
}

bool driver_list(FILE *stream)
{
    static const char *const scopes[] = {
        [OPTIM_SCOPE_ELEMENT] = "element",
        [OPTIM_SCOPE_TENSOR] = "tensor",
        [OPTIM_SCOPE_GROUP] = "group",
    };
    for (size_t i = 0; i < optimizer_count(); i++) {
        const struct optimizer *const optimizer = optimizer_at(i);
        (void)fprintf(stream, "optimizer %s %s\n", optimizer->name, scopes[optimizer->scope]);
        for (size_t k = 0; k < optimizer->hypers; k++)
            list_hyper(stream, &optimizer->hyper[k]);
    }
    for (size_t i = 0; i < schedule_kind_count(); i++)
        (void)fprintf(stream, "schedule %s\n", schedule_kind_at(i)->name);
    return fflush(stream) == 0 && ferror(stream) == 0;
}
