/* SPDX-License-Identifier: Apache-2.0
 *
 * stepd-train: the reference worker. Options, a home for the weights, the training, and the result
 * on stdout; `stepd-train compare` does so several times. Exit codes: 0 trained, 1 failed, 2 used
 * wrongly.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "client/train/compare.h"
#include "client/train/compare_options.h"
#include "client/train/home.h"
#include "client/train/interrupt.h"
#include "client/train/options.h"
#include "client/train/train.h"
#include "proto/error.h"

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILED = 1,
    EXIT_CODE_USAGE = 2,
};

static void print_result(const struct train_result *result)
{
    printf("trained %llu steps in %.1f s, %.0f examples/s\n", (unsigned long long)result->steps,
           result->seconds, (double)result->examples_all / fmax(result->seconds, 1e-9));
    if (result->steps > 0)
        printf("a step took %.2f ms: %.2f computing, %.2f waiting for weights\n",
               1e3 * result->seconds / (double)result->steps,
               1e3 * result->computing / (double)result->steps,
               1e3 * result->waiting / (double)result->steps);
    if (result->tested)
        printf("test loss %.4f\ntest accuracy %.4f\n", result->test_loss, result->test_accuracy);
}

/* JSON has no NAN: what was not measured is null. */
static void print_json_number(const char *name, double value)
{
    if (isfinite(value))
        printf(", \"%s\": %.9g", name, value);
    else
        printf(", \"%s\": null", name);
}

static void print_json(const struct train_options *options, const struct train_result *result)
{
    printf("{\"rank\": %u, \"world\": %u, \"parameters\": %llu, \"steps\": %llu, "
           "\"examples\": %llu",
           result->rank, options->world, (unsigned long long)result->parameters,
           (unsigned long long)result->steps, (unsigned long long)result->examples);
    print_json_number("diverged_at", result->diverged_at == 0 ? NAN : (double)result->diverged_at);
    print_json_number("seconds", result->seconds);
    print_json_number("computing_seconds", result->computing);
    print_json_number("waiting_seconds", result->waiting);
    print_json_number("computing_cpu_seconds", result->computing_cpu);
    print_json_number("cpu_seconds", result->cpu);
    print_json_number("train_loss", result->train_loss);
    print_json_number("test_loss", result->tested ? result->test_loss : NAN);
    print_json_number("test_accuracy", result->tested ? result->test_accuracy : NAN);
    printf("}\n");
}

/* *rank: as it was asked for, and then as the server gave it. */
static enum stepd_status run(const struct train_options *options, int *rank,
                             struct stepd_error *reterr)
{
    struct home *home;
    enum stepd_status status = options->local ? home_local_create(&home, reterr)
                                              : home_remote_create(options, &home, reterr);
    if (status != STEPD_OK)
        return stepd_fail_in(reterr, status, "connect");
    *rank = (int)home_rank(home);
    struct train_data data;
    status = train_data_load(options->data, *rank == 0, &data, reterr);
    if (status != STEPD_OK) {
        home_destroy(home);
        return stepd_fail_in(reterr, status, "data");
    }
    struct train_result result;
    status = train_run(
        &(struct train_task){.options = options, .data = &data, .home = home, .title = ""}, &result,
        reterr);
    train_data_deinit(&data);
    if (status != STEPD_OK)
        return status;
    curve_close(&result.curve);
    if (options->json)
        print_json(options, &result);
    else if (result.rank == 0)
        print_result(&result);
    if (result.diverged_at == 0)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_OUT_OF_RANGE,
                      "training has diverged: the loss or a gradient of step %llu is NaN or "
                      "infinite; a lower learning rate, a warm-up or clip_value may help",
                      (unsigned long long)result.diverged_at);
}

static int train_main(int argc, char **argv, char **environment)
{
    static struct train_options options; /* 40 KiB: numbers for each rank */
    struct stepd_error error;
    if (options_parse(argc, argv, environment, &options, &error) != STEPD_OK) {
        (void)fprintf(stderr, "stepd-train: %s\n", error.text);
        return EXIT_CODE_USAGE;
    }
    if (options.help) {
        options_print_help(stdout);
        return EXIT_CODE_OK;
    }
    int rank = options.rank;
    if (!options.local)
        interrupt_catch();
    if (run(&options, &rank, &error) == STEPD_OK)
        return EXIT_CODE_OK;
    if (interrupt_came(NULL)) {
        (void)fprintf(
            stderr, "stepd-train: interrupted; its rank is free, and the same command goes on with "
                    "the weights that the server has\n");
        interrupt_end();
    }
    if (rank == TRAIN_RANK_ANY)
        (void)fprintf(stderr, "stepd-train: %s\n", error.text);
    else
        (void)fprintf(stderr, "stepd-train: rank %d: %s\n", rank, error.text);
    return EXIT_CODE_FAILED;
}

/* argv[0] is the command's name. A run that cannot be is a mistake of whoever asked for it. */
static int compare_main(int argc, char **argv, char **environment)
{
    static struct compare_options options; /* 200 KiB */
    struct stepd_error error;
    enum stepd_status status = compare_options_parse(argc, argv, environment, &options, &error);
    if (status == STEPD_OK && options.base.help) {
        compare_options_print_help(stdout);
        return EXIT_CODE_OK;
    }
    if (status == STEPD_OK)
        status = compare_run(&options, stdout, &error);
    if (status == STEPD_OK)
        return EXIT_CODE_OK;
    (void)fprintf(stderr, "stepd-train compare: %s\n", error.text);
    return status == STEPD_INVALID_ARGUMENT ? EXIT_CODE_USAGE : EXIT_CODE_FAILED;
}

int main(int argc, char **argv)
{
    extern char **environ;
    /* Workers are the parallelism: several of them on one machine share its cores. */
    if (getenv("OPENBLAS_NUM_THREADS") == NULL)
        openblas_set_num_threads(1);
    if (argc > 1 && strcmp(argv[1], "compare") == 0)
        return compare_main(argc - 1, argv + 1, environ);
    return train_main(argc, argv, environ);
}
