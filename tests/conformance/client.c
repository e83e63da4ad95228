/* SPDX-License-Identifier: Apache-2.0
 *
 * The client of the exchange `training`, by libstepd: conformance_client ADDRESS
 */
#include <stdio.h>
#include <stdlib.h>

#include <stepd/client.h>

static int fail(const char *what, const struct stepd_error *error)
{
    (void)printf("%s: %s\n", what, error->text);
    return EXIT_FAILURE;
}

static int train(struct stepd_client *client, struct stepd_error *error)
{
    const struct stepd_param lr = {.name = "lr", .value = 0.5};
    const struct stepd_param_group group = {
        .name = "all", .match = "*", .optimizer = "sgd", .params = &lr, .params_count = 1};
    const uint64_t shape_w[] = {2}, shape_b[] = {1};
    const struct stepd_tensor tensors[] = {{.name = "w", .shape = shape_w, .dims = 1, .a = 1},
                                           {.name = "b", .shape = shape_b, .dims = 1}};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.groups = &group;
    job.groups_count = 1;
    if (stepd_define(client, &job, tensors, 2, error) != STEPD_OK)
        return fail("define", error);

    float w[3];
    const float first[] = {1, -2.5F, 0.5F}, second[] = {0, 0, 0.25F};
    struct stepd_array arrays[] = {{.tensor = 0, .weights = w}, {.tensor = 1, .weights = w + 2}};
    struct stepd_step_options step = STEPD_STEP_OPTIONS_INIT;
    if (stepd_pull(client, arrays, 2, NULL, error) != STEPD_OK)
        return fail("pull", error);
    arrays[0].grad = first;
    arrays[1].grad = first + 2;
    if (stepd_step(client, arrays, 2, &step, error) != STEPD_OK)
        return fail("first step", error);
    arrays[0].grad = second;
    arrays[1].grad = second + 2;
    step.examples = 32;
    if (stepd_step(client, arrays, 2, &step, error) != STEPD_OK)
        return fail("second step", error);
    if (w[0] != 0.5F || w[1] != 2.25F || w[2] != -0.375F) {
        (void)printf("the weights are (%g, %g, %g)\n", (double)w[0], (double)w[1], (double)w[2]);
        return EXIT_FAILURE;
    }
    return stepd_leave(client, error) == STEPD_OK ? EXIT_SUCCESS : fail("leave", error);
}

int main(int argc, char **argv)
{
    struct stepd_options options = STEPD_OPTIONS_INIT;
    struct stepd_client *client;
    struct stepd_error error;
    if (argc != 2)
        return printf("usage: conformance_client ADDRESS\n") < 0 ? EXIT_FAILURE : 2;
    options.address = argv[1];
    options.job = "training";
    options.rank = 0;
    if (stepd_connect(&options, &client, &error) != STEPD_OK)
        return fail("connect", &error);
    const int result = train(client, &error);
    (void)stepd_close(client);
    return result;
}
