/* SPDX-License-Identifier: Apache-2.0
 *
 * Softmax regression on Fashion-MNIST: the worker that those in python, go, node and java beside
 * this file agree with bit for bit. All of them may train one job together.
 *     cc -ffp-contract=off softmax.c $(pkg-config --cflags --libs stepd) -lz -o softmax
 *     ./softmax 127.0.0.1:7070 0 2 /usr/share/datasets/fashion-mnist weights-0 & ... 1 2 ...
 *
 * The same bits. Every language computes in double, in the order of the loops below, and rounds
 * each element of a gradient to float once, at the end. Only + - * / are used, which IEEE 754
 * rounds in one way everywhere. exp() of the math libraries differs in the last bit, so there is
 * an own one; and a * b + c must not become one fused operation (-ffp-contract=off).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stepd/client.h>
#include <zlib.h>

enum { PIXELS = 784, CLASSES = 10, WEIGHTS = CLASSES * PIXELS, ALL = WEIGHTS + CLASSES };

enum { BATCH = 16, STEPS = 50, TEST = 1000, IMAGES_AT = 16, LABELS_AT = 8 };

struct pictures {
    unsigned char (*images)[PIXELS];
    unsigned char *labels;
};

/* e^x for x <= 0: the series of e^(x/1024) up to x^12, squared ten times. */
static double exponential(double x)
{
    if (x < -700)
        return 0;
    double p = 1;
    for (int k = 12; k > 0; k--)
        p = 1 + x / 1024 * p / k;
    for (int i = 0; i < 10; i++)
        p = p * p;
    return p;
}

/* Scores of one picture, W x + b; w holds W row by row and then b. Returns the highest's class. */
static int score(const float *w, const unsigned char *image, double *ret_scores)
{
    int best = 0;
    for (int k = 0; k < CLASSES; k++) {
        double z = w[WEIGHTS + k];
        for (int j = 0; j < PIXELS; j++)
            z = z + w[k * PIXELS + j] * (image[j] / 255.0);
        ret_scores[k] = z;
        if (z > ret_scores[best])
            best = k;
    }
    return best;
}

/* The gradient of the mean cross entropy over the batch, laid out as w is. */
static void gradient(const float *w, struct pictures data, size_t first, float *ret_grad)
{
    static double sum[ALL];
    double z[CLASSES], e[CLASSES];
    memset(sum, 0, sizeof(sum));
    for (size_t i = first; i < first + BATCH; i++) {
        const double highest = z[score(w, data.images[i], z)];
        double total = 0;
        for (int k = 0; k < CLASSES; k++)
            total = total + (e[k] = exponential(z[k] - highest));
        for (int k = 0; k < CLASSES; k++) {
            const double miss = e[k] / total - (k == data.labels[i] ? 1 : 0);
            for (int j = 0; j < PIXELS; j++)
                sum[k * PIXELS + j] = sum[k * PIXELS + j] + miss * (data.images[i][j] / 255.0);
            sum[WEIGHTS + k] = sum[WEIGHTS + k] + miss;
        }
    }
    for (int i = 0; i < ALL; i++)
        ret_grad[i] = (float)(sum[i] / BATCH);
}

static void *read_file(const char *folder, const char *name, size_t header, size_t bytes)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/%s-ubyte.gz", folder, name);
    gzFile file = gzopen(path, "rb");
    unsigned char *content = malloc(header + bytes);
    if (file == NULL || content == NULL ||
        gzread(file, content, (unsigned)(header + bytes)) != (int)(header + bytes)) {
        (void)fprintf(stderr, "softmax: cannot read %zu bytes of %s\n", header + bytes, path);
        exit(EXIT_FAILURE);
    }
    (void)gzclose(file);
    return memmove(content, content + header, bytes);
}

/* The first `count` pictures. */
static struct pictures read_pictures(const char *folder, const char *set, size_t count)
{
    char name[32];
    struct pictures data;
    (void)snprintf(name, sizeof(name), "%s-images-idx3", set);
    data.images = read_file(folder, name, IMAGES_AT, count * PIXELS);
    (void)snprintf(name, sizeof(name), "%s-labels-idx1", set);
    data.labels = read_file(folder, name, LABELS_AT, count);
    return data;
}

static void fail(const char *what, enum stepd_status status, const struct stepd_error *error)
{
    (void)fprintf(stderr, "softmax: %s: %s\n", what, error->text);
    if (status == STEPD_ROLLED_BACK)
        (void)fprintf(stderr, "softmax: start it again: it goes on from the server's version\n");
    exit(EXIT_FAILURE);
}

static void define(struct stepd_client *client, uint32_t workers)
{
    const struct stepd_param lr = {.name = "lr", .value = 0.1};
    const struct stepd_param_group group = {
        .name = "all", .match = "*", .optimizer = "sgd", .params = &lr, .params_count = 1};
    const uint64_t shape[] = {CLASSES, PIXELS};
    const struct stepd_tensor tensors[] = {{.name = "w", .shape = shape, .dims = 2},
                                           {.name = "b", .shape = shape, .dims = 1}};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    struct stepd_error error;
    job.workers = workers;
    job.groups = &group;
    job.groups_count = 1;
    const enum stepd_status status = stepd_define(client, &job, tensors, 2, &error);
    if (status != STEPD_OK)
        fail("define", status, &error);
}

/* Returns the version that came: the number of steps that have been made. */
static uint64_t pull(struct stepd_client *client, const struct stepd_array *arrays)
{
    struct stepd_op *op;
    struct stepd_outcome_counts counts;
    struct stepd_error error;
    enum stepd_status status = stepd_pull_start(client, arrays, 2, NULL, &op, &error);
    if (status == STEPD_OK)
        status = stepd_wait(op, &counts, &error);
    if (status != STEPD_OK)
        fail("pull", status, &error);
    return counts.version_min;
}

static void train(struct stepd_client *client, uint32_t workers, const char *folder, float *w)
{
    static float grad[ALL];
    const struct pictures data = read_pictures(folder, "train", (size_t)STEPS * workers * BATCH);
    const struct stepd_array arrays[] = {
        {.tensor = 0, .grad = grad, .weights = w},
        {.tensor = 1, .grad = grad + WEIGHTS, .weights = w + WEIGHTS}};
    struct stepd_step_options step = STEPD_STEP_OPTIONS_INIT;
    struct stepd_error error;
    step.examples = BATCH;
    for (uint64_t version = pull(client, arrays); version < STEPS; version++) {
        gradient(w, data, (version * workers + stepd_rank(client)) * BATCH, grad);
        const enum stepd_status status = stepd_step(client, arrays, 2, &step, &error);
        if (status != STEPD_OK)
            fail("step", status, &error);
    }
    const enum stepd_status status = stepd_leave(client, &error);
    if (status != STEPD_OK)
        fail("leave", status, &error);
}

int main(int argc, char **argv)
{
    static float w[ALL];
    struct stepd_options options = STEPD_OPTIONS_INIT;
    struct stepd_client *client;
    struct stepd_error error;
    if (argc != 6)
        return fprintf(stderr, "usage: softmax ADDRESS RANK WORKERS DATA-FOLDER WEIGHTS-FILE\n"), 2;
    options.address = argv[1];
    options.job = "softmax";
    options.rank = (int)strtol(argv[2], NULL, 10);
    const uint32_t workers = (uint32_t)strtoul(argv[3], NULL, 10);
    const enum stepd_status status = stepd_connect(&options, &client, &error);
    if (status != STEPD_OK)
        fail("connect", status, &error);
    define(client, workers);
    train(client, workers, argv[4], w);
    (void)stepd_close(client);

    double scores[CLASSES];
    int right = 0;
    const struct pictures test = read_pictures(argv[4], "t10k", TEST);
    for (int i = 0; i < TEST; i++)
        right += score(w, test.images[i], scores) == test.labels[i];
    (void)printf("rank %s, C: %.1f %% of %d pictures right\n", argv[2], right * 100.0 / TEST, TEST);
    FILE *out = fopen(argv[5], "wb");
    const int whole = out != NULL && fwrite(w, sizeof(w), 1, out) == 1;
    return whole && fclose(out) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
