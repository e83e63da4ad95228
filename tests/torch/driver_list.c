/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables as text: what is in them, and nothing that a reader would have to guess.
 */
#include "tests/torch/driver_list.h"

#include <math.h>

#include "server/optim/optimizer.h"
#include "server/schedule/schedule.h"

static void list_words(FILE *stream, const char *const *word, double least, double most)
{
    for (size_t value = (size_t)least; value <= (size_t)most; value++)
        (void)fprintf(stream, " %s", word[value]);
}

static void list_hyper(FILE *stream, const struct optim_hyper_spec *spec)
{
    (void)fprintf(stream, "hyper %s", spec->name);
    if (spec->word != NULL) {
        (void)fprintf(stream, " %s", spec->word[(size_t)spec->fallback]);
        list_words(stream, spec->word, spec->least, spec->most);
    } else {
        (void)fprintf(stream, " %.17g %c%.17g %.17g%c", spec->fallback,
                      spec->least_open ? '(' : '[', spec->least, spec->most,
                      spec->most_open ? ')' : ']');
    }
    (void)fprintf(stream, "\n");
}

static void list_optimizer(FILE *stream, const struct optimizer *optimizer)
{
    static const char *const scopes[] = {
        [OPTIM_SCOPE_ELEMENT] = "element",
        [OPTIM_SCOPE_TENSOR] = "tensor",
        [OPTIM_SCOPE_GROUP] = "group",
    };
    (void)fprintf(stream, "optimizer %s %s\n", optimizer->name, scopes[optimizer->scope]);
    for (size_t k = 0; k < optimizer->hypers; k++)
        list_hyper(stream, &optimizer->hyper[k]);
}

static void list_param(FILE *stream, const struct schedule_param_spec *spec)
{
    (void)fprintf(stream, "param %s", spec->name);
    if (spec->type == SCHEDULE_WORD) {
        (void)fprintf(stream, " %s", spec->word[(size_t)spec->fallback]);
        list_words(stream, spec->word, spec->least, spec->most);
    } else {
        if (isnan(spec->fallback))
            (void)fprintf(stream, " needed");
        else
            (void)fprintf(stream, " %.17g", spec->fallback);
        (void)fprintf(stream, " [%.17g %.17g]", spec->least, spec->most);
    }
    (void)fprintf(stream, "\n");
}

static void list_schedule(FILE *stream, const struct schedule_kind *kind)
{
    (void)fprintf(stream, "schedule %s\n", kind->name);
    for (size_t k = 0; k < kind->params; k++)
        list_param(stream, &kind->param[k]);
}

bool driver_list(FILE *stream)
{
    for (size_t i = 0; i < optimizer_count(); i++)
        list_optimizer(stream, optimizer_at(i));
    for (size_t i = 0; i < schedule_kind_count(); i++)
        list_schedule(stream, schedule_kind_at(i));
    return fflush(stream) == 0 && ferror(stream) == 0;
}
