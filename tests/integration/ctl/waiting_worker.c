/* SPDX-License-Identifier: Apache-2.0
 *
 * Rank 0 of a job of two: defines it, reports, says so, steps, and waits at a barrier for a rank 1
 * that never comes. For tests of what is shown of such a job.
 */
#include <stdio.h>

#include <stepd/client.h>

static const uint64_t shape[] = {2, 3};
static const struct stepd_tensor tensors[] = {
    {.name = "fc.weight", .shape = shape, .dims = 2},
    {.name = "fc.bias"},
};
static const struct stepd_param lr = {.name = "lr", .value = 0.5};
static const struct stepd_param_group groups[] = {
    {.name = "biases", .match = "*.bias", .optimizer = "sgd"},
    {.name = "rest", .match = "*", .optimizer = "adamw", .params = &lr, .params_count = 1},
};

static enum stepd_status run(const char *address, struct stepd_error *reterr)
{
    struct stepd_options options = STEPD_OPTIONS_INIT;
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    static float weight[6], bias[1];
    const struct stepd_array arrays[] = {{.tensor = 0, .grad = weight, .weights = weight},
                                         {.tensor = 1, .grad = bias, .weights = bias}};
    struct stepd_client *client;
    struct stepd_op *op = NULL;
    options.address = address;
    options.job = "waiting";
    options.rank = 0;
    job.workers = 2;
    job.groups = groups;
    job.groups_count = 2;
    enum stepd_status status = stepd_connect(&options, &client, reterr);
    if (status != STEPD_OK)
        return status;
    status = stepd_define(client, &job, tensors, 2, reterr);
    if (status == STEPD_OK)
        status = stepd_pull(client, arrays, 2, NULL, reterr);
    if (status == STEPD_OK)
        status = stepd_report(client, 1, 0.25, 64, reterr);
    if (status == STEPD_OK) {
        (void)puts("waiting");
        (void)fflush(stdout);
        status = stepd_step_start(client, arrays, 2, NULL, &op, reterr);
    }
    if (status == STEPD_OK)
        status = stepd_barrier(client, "evaluation", 0, reterr);
    if (op != NULL && status == STEPD_OK)
        status = stepd_wait(op, NULL, reterr);
    (void)stepd_close(client);
    return status;
}

int main(int argc, char **argv)
{
    struct stepd_error error = {.text = "usage: waiting_worker ADDRESS"};
    if (argc == 2 && run(argv[1], &error) == STEPD_OK)
        return 0;
    (void)fprintf(stderr, "waiting_worker: %s\n", error.text);
    return 1;
}
