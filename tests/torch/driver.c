/* SPDX-License-Identifier: Apache-2.0
 *
 * stepd's side of the comparison with PyTorch: a job of a config file, run in this process on
 * gradients that come from standard input. It goes the way of the daemon (the file as the daemon
 * reads it, groups, layout, slices, treatment, schedules, kernels) and leaves out the wire alone.
 *
 *     torch_driver CONFIG.yaml JOB VIEW...    trains JOB; VIEW: training, evaluation, ema or swa
 *     torch_driver --row OPTIMIZER NAME=VALUE...    one optimizer by itself; see driver_row.h
 *     torch_driver --list                     the tables of optimizers and schedules
 *
 * Input is lines first, one for each tensor and an empty one to end them:
 *
 *     NAME EXTRA DIMENSION...       EXTRA: floats that follow this tensor's gradient (a Hessian)
 *
 * then numbers in the machine's own form and order: the first values of all tensors as floats, and
 * for each step two doubles (the loss, NaN for none; the loss scale, 0 for none) and as floats, for
 * each tensor in turn, its gradient and its extra. After each step the views that were asked for
 * are written in the order of the command line, each the floats of all tensors. Nothing has a
 * length in front, because both sides know the shapes. The end of the input between two steps ends
 * the run with status 0; what stepd refuses ends it with status 1 and the reason on stderr.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/config/config.h"
#include "server/core/local.h"
#include "tests/torch/driver_list.h"
#include "tests/torch/driver_row.h"
#include "tests/torch/driver_tensors.h"

extern char **environ;

struct run {
    struct config config;
    bool configured; /* config is to be released */
    struct local *local;
    struct driver_tensors tensors;
    size_t views;
    enum stepd_view view[STEPD_VIEWS];
};

static bool parse_view(const char *word, enum stepd_view *ret_view)
{
    static const char *const words[STEPD_VIEWS] = {
        [STEPD_TRAINING] = "training",
        [STEPD_EVALUATION] = "evaluation",
        [STEPD_EMA] = "ema",
        [STEPD_SWA] = "swa",
    };
    for (int i = 0; i < STEPD_VIEWS; i++) {
        if (strcmp(words[i], word) == 0) {
            *ret_view = (enum stepd_view)i;
            return true;
        }
    }
    return driver_complain(word, "no such view");
}

/* ---- The job --------------------------------------------------------------------------------- */

static bool load_config(struct run *run, char *file)
{
    char name[] = "torch_driver", flag[] = "--config";
    char *const argv[] = {name, flag, file, NULL};
    struct stepd_error error = {0};
    if (config_load(3, argv, environ, &run->config, &error) != STEPD_OK)
        return driver_complain("config", error.text);
    run->configured = true;
    return true;
}

static const struct stepd_define_job *find_job(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->jobs; i++) {
        if (strcmp(config->job[i].name, name) == 0)
            return &config->job[i].definition;
    }
    return NULL;
}

static bool create_job(struct run *run, const char *name)
{
    const struct stepd_define_job *const def = find_job(&run->config, name);
    if (def == NULL)
        return driver_complain(name, "no such job in the config file");
    const struct stepd_define_tensors tensors = {
        .tensors = run->tensors.count,
        .tensor = run->tensors.def,
        .last = true,
    };
    struct stepd_error error = {0};
    if (local_create(def, &tensors, kernels_choose(), &run->local, &error) != STEPD_OK)
        return driver_complain(name, error.text);
    return true;
}

static bool assign(struct run *run)
{
    if (!driver_read_weights(stdin, &run->tensors))
        return false;
    struct stepd_error error = {0};
    return local_assign(run->local, (const float *const *)run->tensors.weights, &error) ==
               STEPD_OK ||
           driver_complain("assign", error.text);
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static bool write_views(struct run *run)
{
    const struct driver_tensors *const tensors = &run->tensors;
    struct stepd_error error = {0};
    for (size_t v = 0; v < run->views; v++) {
        if (local_pull(run->local, run->view[v], tensors->weights, &error) != STEPD_OK)
            return driver_complain("pull", error.text);
        for (size_t t = 0; t < tensors->count; t++) {
            if (!driver_write(stdout, tensors->weights[t], sizeof(float), tensors->elements[t]))
                return false;
        }
    }
    /* A caller that computes the next gradients from these weights waits for them. */
    return fflush(stdout) == 0;
}

static bool step(struct run *run, double loss, double loss_scale)
{
    const struct local_push push = {
        .grad = (const float *const *)run->tensors.grad,
        .extra = (const float *const *)run->tensors.extra,
        .examples = 1,
        .has_loss = !isnan(loss),
        .loss = isnan(loss) ? 0.0 : loss,
        .loss_scale = loss_scale,
    };
    struct stepd_error error = {0};
    if (local_step(run->local, &push, run->tensors.weights, &error) != STEPD_OK)
        return driver_complain("step", error.text);
    return write_views(run);
}

static bool take_steps(struct run *run)
{
    double head[2]; /* loss, loss scale */
    size_t got = 0;
    while ((got = fread(head, sizeof head[0], 2, stdin)) == 2) {
        if (!driver_read_gradients(stdin, &run->tensors) || !step(run, head[0], head[1]))
            return false;
    }
    return got == 0 || driver_complain("input", "it ends within a step");
}

/* CONFIG JOB VIEW... */
static bool train(size_t arguments, char *const argument[])
{
    struct run *const run = calloc(1, sizeof *run);
    if (run == NULL)
        return driver_complain(argument[1], "no memory");
    bool fine = true;
    for (size_t i = 2; i < arguments && fine; i++)
        fine = parse_view(argument[i], &run->view[run->views++]);
    fine = fine && load_config(run, argument[0]) && driver_read_tensors(stdin, &run->tensors) &&
           create_job(run, argument[1]) && assign(run) && take_steps(run);
    (void)local_destroy(run->local);
    driver_release_tensors(&run->tensors);
    if (run->configured)
        config_deinit(&run->config);
    free(run);
    return fine;
}

int main(int argc, char *argv[])
{
    bool fine = false;
    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        fine = driver_list(stdout);
    else if (argc >= 3 && strcmp(argv[1], "--row") == 0)
        fine = driver_row((size_t)argc - 2, argv + 2);
    else if (argc >= 4 && argc - 3 <= STEPD_VIEWS)
        fine = train((size_t)argc - 1, argv + 1);
    else
        (void)driver_complain("usage", "torch_driver CONFIG.yaml JOB VIEW... | "
                                       "--row OPTIMIZER NAME=VALUE... | --list");
    return fine ? EXIT_SUCCESS : EXIT_FAILURE;
}
