/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker in C that makes one step for each byte that it reads: the lane that torch_step.py is
 * compared with.
 *
 *     step_lane ADDRESS JOB ELEMENTS...      a tensor of each length
 *
 * Where it is ready, and after each step, it writes a line with the step's nanoseconds.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <stepd/client.h>

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct lane {
    size_t count;
    struct stepd_tensor *tensor; /* owned */
    struct stepd_array *array;   /* owned, and what its rows point to */
    uint64_t *length;            /* owned */
    char (*name)[24];            /* owned */
};

static float *filled(uint64_t elements, float value)
{
    float *const made = malloc(elements * sizeof *made);
    for (uint64_t i = 0; made != NULL && i < elements; i++)
        made[i] = value;
    return made;
}

static bool lane_init(struct lane *lane, size_t count, char **lengths)
{
    *lane = (struct lane){
        .count = count,
        .tensor = calloc(count, sizeof *lane->tensor),
        .array = calloc(count, sizeof *lane->array),
        .length = calloc(count, sizeof *lane->length),
        .name = calloc(count, sizeof *lane->name),
    };
    bool fine =
        lane->tensor != NULL && lane->array != NULL && lane->length != NULL && lane->name != NULL;
    for (size_t i = 0; fine && i < count; i++) {
        lane->length[i] = strtoull(lengths[i], NULL, 10);
        (void)snprintf(lane->name[i], sizeof lane->name[i], "w%zu", i);
        lane->tensor[i] =
            (struct stepd_tensor){.name = lane->name[i], .shape = &lane->length[i], .dims = 1};
        lane->array[i] = (struct stepd_array){.tensor = i,
                                              .grad = filled(lane->length[i], 0.01f),
                                              .weights = filled(lane->length[i], 0.0f)};
        fine = lane->array[i].grad != NULL && lane->array[i].weights != NULL;
    }
    return fine;
}

static void lane_deinit(struct lane *lane)
{
    for (size_t i = 0; lane->array != NULL && i < lane->count; i++) {
        free((void *)(uintptr_t)lane->array[i].grad);
        free(lane->array[i].weights);
    }
    free(lane->array);
    free(lane->tensor);
    free(lane->length);
    free(lane->name);
}

static bool report(uint64_t ns)
{
    return printf("%" PRIu64 "\n", ns) > 0 && fflush(stdout) == 0;
}

static enum stepd_status serve(struct stepd_client *client, const struct lane *lane,
                               struct stepd_error *error)
{
    const struct stepd_param lr = {.name = "lr", .value = 1e-3};
    const struct stepd_param_group group = {
        .match = "*", .optimizer = "adamw", .params = &lr, .params_count = 1};
    struct stepd_job_options job = STEPD_JOB_OPTIONS_INIT;
    job.groups = &group;
    job.groups_count = 1;
    enum stepd_status status = stepd_define(client, &job, lane->tensor, lane->count, error);
    if (status == STEPD_OK)
        status = stepd_pull(client, lane->array, lane->count, NULL, error);
    uint64_t ns = 0;
    while (status == STEPD_OK && report(ns) && getchar() != EOF) {
        const uint64_t began = now_ns();
        status = stepd_step(client, lane->array, lane->count, NULL, error);
        ns = now_ns() - began;
    }
    return status;
}

int main(int argc, char **argv)
{
    struct stepd_options options = STEPD_OPTIONS_INIT;
    struct stepd_client *client = NULL;
    struct stepd_error error = {.text = "usage: step_lane ADDRESS JOB ELEMENTS..."};
    struct lane lane = {.count = 0};
    int code = 1;
    if (argc < 4)
        goto done;
    options.address = argv[1];
    options.job = argv[2];
    (void)snprintf(error.text, sizeof error.text, "no memory");
    if (!lane_init(&lane, (size_t)argc - 3, argv + 3) ||
        stepd_connect(&options, &client, &error) != STEPD_OK ||
        serve(client, &lane, &error) != STEPD_OK)
        goto done;
    code = 0;

done:
    if (code != 0)
        (void)fprintf(stderr, "step_lane: %s\n", error.text);
    stepd_close(client);
    lane_deinit(&lane);
    return code;
}
