/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole worker: linear regression on made-up data, y = 3 x0 - 2 x1 + 1; weights and optimizer
 * are on the server. cc linear.c $(pkg-config --cflags --libs stepd) -o linear, and then
 *     ./linear 127.0.0.1:7070 0 2 & ./linear 127.0.0.1:7070 1 2
 */
#include <stdio.h>
#include <stdlib.h>

#include <stepd/client.h>

enum { BATCH = 32, STEPS = 200 };

/* w = {w0, w1, b}. The gradient of the mean squared error over one batch; returns the loss. */
static float gradient(const float *w, unsigned *seed, float *grad)
{
    float loss = grad[0] = grad[1] = grad[2] = 0;
    for (int i = 0; i < BATCH; i++) {
        const float x0 = (float)rand_r(seed) / (float)RAND_MAX - 0.5F;
        const float x1 = (float)rand_r(seed) / (float)RAND_MAX - 0.5F;
        const float miss = w[0] * x0 + w[1] * x1 + w[2] - (3 * x0 - 2 * x1 + 1);
        grad[0] += 2 * miss * x0 / BATCH;
        grad[1] += 2 * miss * x1 / BATCH;
        grad[2] += 2 * miss / BATCH;
        loss += miss * miss / BATCH;
    }
    return loss;
}

static int fail(const char *what, const struct stepd_error *error)
{
    (void)fprintf(stderr, "linear: %s: %s\n", what, error->text);
    return EXIT_FAILURE;
}

static int train(struct stepd_client *client, int workers, struct stepd_error *error)
{
    const struct stepd_param lr = {.name = "lr", .value = 0.1};
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "adamw", .params = &lr, .params_count = 1};
    const uint64_t shape[] = {2};
    const struct stepd_tensor tensors[] = {{.name = "w", .shape = shape, .dims = 1}, {.name = "b"}};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.workers = (uint32_t)workers;
    job.groups = &group;
    job.groups_count = 1;
    if (stepd_define(client, &job, tensors, 2, error) != STEPD_OK)
        return fail("define", error);

    float w[3], grad[3], loss = 0;
    const struct stepd_array arrays[] = {{.tensor = 0, .grad = grad, .weights = w},
                                         {.tensor = 1, .grad = grad + 2, .weights = w + 2}};
    unsigned seed = 1 + stepd_rank(client);
    if (stepd_pull(client, arrays, 2, NULL, error) != STEPD_OK)
        return fail("pull", error);
    for (int i = 0; i < STEPS; i++) {
        loss = gradient(w, &seed, grad);
        if (stepd_step(client, arrays, 2, NULL, error) != STEPD_OK)
            return fail("step", error);
    }
    (void)printf("w = %.3f %.3f, b = %.3f, loss %.2e\n", w[0], w[1], w[2], (double)loss);
    return stepd_leave(client, error) == STEPD_OK ? EXIT_SUCCESS : fail("leave", error);
}

int main(int argc, char **argv)
{
    struct stepd_options options = STEPD_OPTIONS_INIT;
    struct stepd_client *client;
    struct stepd_error error;
    if (argc != 4)
        return fprintf(stderr, "usage: linear ADDRESS RANK WORKERS\n") < 0 ? EXIT_FAILURE : 2;
    options.address = argv[1];
    options.job = "linear";
    options.rank = atoi(argv[2]);
    if (stepd_connect(&options, &client, &error) != STEPD_OK)
        return fail("connect", &error);
    const int result = train(client, atoi(argv[3]), &error);
    (void)stepd_close(client);
    return result;
}
