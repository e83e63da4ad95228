/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of schedule/ share: the parameters of all kinds in one struct, the macros that
 * describe a parameter in one line, and the rows themselves, which schedule.c puts into the table.
 *
 * A kind is a row, a list of parameters and a function `at`, in the file of its family. Its
 * parameters are in range and complete when `at` runs: schedule_set and schedule_check saw to it.
 */
#ifndef SCHEDULE_SCHEDULE_INTERNAL_H
#define SCHEDULE_SCHEDULE_INTERNAL_H

#include <math.h>

#include "server/schedule/schedule.h"

/* Whole numbers up to here are exact in a double: a bound for counts of steps. */
#define STEPS_MOST 9007199254740992.0
/* A learning rate that grows ends here, so that no step ever sees an infinite one. */
#define LR_MOST 1e9
/* 1 would freeze a moving average, and divide by 0 where its bias is corrected. */
#define MOMENTUM_MOST 0.999999

/* Parameters of the same name and meaning share a field; whole numbers, words and booleans are
 * doubles too, so that one function sets them all. */
struct schedule_params {
    double warmup;
    double warmup_factor;
    double factor;
    double total_iters;
    double step_size;
    double gamma;
    double start_factor;
    double end_factor;
    double power;
    double timescale;
    double d_model;
    double warmup_steps;
    double interpolate;
    double t_max;
    double eta_min;
    double periodic;
    double t_0;
    double t_mult;
    double max_lr;
    double base_lr;
    double total_steps;
    double pct_start;
    double anneal_strategy;
    double cycle_momentum;
    double base_momentum;
    double max_momentum;
    double div_factor;
    double final_div_factor;
    double three_phase;
    double step_size_up;
    double step_size_down;
    double mode;
    double patience;
    double threshold;
    double threshold_mode;
    double cooldown;
    double min_lr;
    double eps;
    double window;
    struct schedule_list milestones;
    struct schedule_list steps;
    struct schedule_list factors;
};

/* fallback of a parameter that must be given */
#define NEEDED NAN

#define SPEC(field, is, otherwise, low, high)                                                      \
    .name = #field, .type = (is), .offset = offsetof(struct schedule_params, field),               \
    .fallback = (otherwise), .least = (low), .most = (high)

#define NUMBER(field, otherwise, low, high)                                                        \
    {                                                                                              \
        SPEC(field, SCHEDULE_NUMBER, otherwise, low, high)                                         \
    }
#define WHOLE(field, otherwise, low)                                                               \
    {                                                                                              \
        SPEC(field, SCHEDULE_WHOLE, otherwise, low, STEPS_MOST)                                    \
    }
#define BOOLEAN(field, otherwise)                                                                  \
    {                                                                                              \
        SPEC(field, SCHEDULE_WHOLE, otherwise, 0.0, 1.0)                                           \
    }
#define LIST(field, otherwise, low, high)                                                          \
    {                                                                                              \
        SPEC(field, SCHEDULE_LIST, otherwise, low, high)                                           \
    }
/* last: the greatest value that a word stands for */
#define WORD(field, otherwise, last, words)                                                        \
    {                                                                                              \
        SPEC(field, SCHEDULE_WORD, otherwise, 0.0, last), .word = (words)                          \
    }
/* Every kind may have a warm-up in front. */
#define WARMUP WHOLE(warmup, 0.0, 0.0), NUMBER(warmup_factor, 0.0, 0.0, 1.0)

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

extern const struct schedule_kind schedule_constant;
extern const struct schedule_kind schedule_step;
extern const struct schedule_kind schedule_multistep;
extern const struct schedule_kind schedule_exponential;
extern const struct schedule_kind schedule_linear;
extern const struct schedule_kind schedule_polynomial;
extern const struct schedule_kind schedule_inverse_sqrt;
extern const struct schedule_kind schedule_noam;
extern const struct schedule_kind schedule_lambda;
extern const struct schedule_kind schedule_cosine;
extern const struct schedule_kind schedule_cosine_restarts;
extern const struct schedule_kind schedule_one_cycle;
extern const struct schedule_kind schedule_cyclic;
extern const struct schedule_kind schedule_sequential;
extern const struct schedule_kind schedule_chained;
extern const struct schedule_kind schedule_plateau;

/* This learning rate, and the momentum left alone. */
static inline struct schedule_value schedule_rate(double lr, struct schedule_value base)
{
    return (struct schedule_value){.lr = lr, .momentum = base.momentum};
}

/* How many numbers of a list that does not fall are at most x. */
size_t schedule_list_rank(const struct schedule_list *list, uint64_t x);

/* INVALID_ARGUMENT: the list falls somewhere, or (strictly) has a number twice. */
enum stepd_status schedule_list_rises(const struct schedule *schedule, const char *name,
                                      const struct schedule_list *list, bool strictly,
                                      struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
