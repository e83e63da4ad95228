/* SPDX-License-Identifier: Apache-2.0
 *
 * What a job is made of, as a worker defines it with stepd_define (client.h) and changes it with
 * stepd_change: its groups with their optimizers, schedules and settings, its mode, its tensors.
 */
#ifndef STEPD_DEFINE_H
#define STEPD_DEFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whatever a definition points to is borrowed until stepd_define returns. */

/* A setting of a group, an optimizer or a schedule by name: {"lr", 0.001}, {.name = "eps_mode",
 * .word = "inside"}, {.name = "betas", .list = betas, .count = 2}. */
struct stepd_param {
    const char *name;
    double value;
    const char *word;   /* where it is not NULL, instead of the value */
    const double *list; /* where it is not NULL, `count` numbers instead of the value */
    size_t count;
};

/* A schedule that "sequential" or "chained" is made of. */
struct stepd_schedule_item {
    const char *kind;
    const struct stepd_param *params;
    size_t params_count;
};

/* What a group does from a step on: "Adam first, SGD later". */
struct stepd_param_phase {
    uint64_t from; /* steps that come before it; rises from phase to phase */
    const char *optimizer;
    const struct stepd_param *params; /* over the group's own */
    size_t params_count;
};

/* A param group: tensors whose names match the glob share optimizer and schedule. Whatever is left
 * 0 or NULL is the job's default's. */
struct stepd_param_group {
    const char *name;      /* for people; NULL: the glob */
    const char *match;     /* glob on tensor names, `*` matches dots; the first match wins */
    const char *optimizer; /* a name that the README lists, such as "adamw" */
    const struct stepd_param *params;
    size_t params_count;
    const char *schedule; /* NULL: constant */
    const struct stepd_param *schedule_params;
    size_t schedule_params_count;
    const struct stepd_schedule_item *schedule_items;
    size_t schedule_items_count;
    const uint32_t *ndim;                   /* numbers of dimensions that it takes */
    size_t ndim_count;                      /* 0: any */
    bool frozen;                            /* never updated */
    const struct stepd_param_phase *phases; /* what comes after `optimizer` */
    size_t phases_count;
};

#define STEPD_PARAM_GROUP_INIT                                                                     \
    {                                                                                              \
        NULL, NULL, NULL, NULL, 0, NULL, NULL, 0, NULL, 0, NULL, 0, false, NULL, 0                 \
    }

struct stepd_job_options {
    size_t size; /* sizeof(struct stepd_job_options) */
    enum stepd_mode mode;
    uint32_t workers; /* at most so many at a time; at least 1. No round closes before all have
                       * joined, or as many as the setting workers_min says */
    const struct stepd_param_group *groups;
    size_t groups_count;
    bool strict;                              /* a group that matches no tensor is an error */
    const struct stepd_param_group *defaults; /* what every group starts from; NULL: nothing */
    const struct stepd_param *params;         /* beside the mode: backup, staleness, ... */
    size_t params_count;
};

/* Always start from it. */
#define STEPD_JOB_OPTIONS_INIT                                                                     \
    {                                                                                              \
        sizeof(struct stepd_job_options), STEPD_SYNC, 1, NULL, 0, false, NULL, NULL, 0             \
    }

/* How the server makes the first weights of a tensor. */
enum stepd_tensor_init {
    STEPD_TENSOR_CONSTANT = 0, /* a everywhere */
    STEPD_TENSOR_UNIFORM = 1,  /* in [a, b) */
    STEPD_TENSOR_NORMAL = 2,   /* mean a, standard deviation b */
    STEPD_TENSOR_VALUES = 3,   /* from `values` of rank 0 */
};

struct stepd_tensor {
    const char *name;      /* of its own within the job */
    const uint64_t *shape; /* dims numbers; a scalar has none */
    size_t dims;
    enum stepd_tensor_init init;
    double a, b;         /* see init */
    uint64_t seed;       /* of the random ones */
    const float *values; /* all elements; rank 0 with STEPD_TENSOR_VALUES, otherwise not read */
};

#ifdef __cplusplus
}
#endif

#endif
