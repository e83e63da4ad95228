/* SPDX-License-Identifier: Apache-2.0
 *
 * Learning-rate schedules: pure functions from a step to a learning rate, in closed form, with a
 * linear warm-up in front of any. Computed in double from +, -, *, / and sqrt alone, so that every
 * machine gets the same bits; nothing of libm's transcendental functions reaches a weight.
 *
 * A schedule is a row of a table (kind) and its parameters. Steps count finished updates: the
 * first step is 0, as in PyTorch's closed forms.
 *
 * The warm-up of N steps climbs from lr * f in N equal parts and has climbed one of them in its
 * first step already, so that with f = 0 no step is wasted on a learning rate of 0:
 *
 *     lr(step) = lr * (f + (1 - f) * (step + 1) / N)     for step < N
 *
 * Its last step is at lr, and the kind's own step 0 follows. In PyTorch's terms this is
 * LinearLR(start_factor = f + (1 - f) / N, total_iters = N - 1) up to the milestone N. In front of
 * a schedule that begins at a learning rate of its own, lr is that one.
 *
 * Kinds and parameters have PyTorch's names, and upper case is lower case: T_max is t_max. No
 * learning rate is ever infinite or NaN. The files: schedule.c is the table and what holds for all
 * kinds, settings.c sets and checks parameters, kinds_*.c and plateau.c are the kinds.
 */
#ifndef SCHEDULE_SCHEDULE_H
#define SCHEDULE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stepd/status.h>

#define SCHEDULE_LIST_MAX  256u /* numbers of a list, such as milestones */
#define SCHEDULE_PARTS_MAX 16u

/* The parameters of one take at most so many bytes, lists aside. */
#define SCHEDULE_PARAMS_BYTES 640u

struct schedule_kind;

/* A list of numbers. */
struct schedule_list {
    size_t count;
    double *at; /* owned */
};

/*
 * A schedule: a row, its parameters, and for sequential and chained the schedules that it is made
 * of (which have none themselves). Immutable when it is made.
 */
struct schedule {
    const struct schedule_kind *kind; /* static */
    struct schedule_params *params;   /* owned */
    size_t parts;
    struct schedule *part; /* owned */
};

/* What plateau remembers between rounds; all others need none. Zeroed: nothing seen yet. */
struct schedule_state {
    bool seen;        /* best is of meaning */
    double best;      /* best mean loss of a window so far */
    double sum;       /* of the losses of the open window */
    uint64_t rounds;  /* in it */
    uint64_t bad;     /* windows without improvement in a row */
    uint64_t cooling; /* windows to go before bad ones count again */
    uint64_t drops;   /* so often the learning rate was reduced */
};

/* What a schedule starts from, and what it gives. */
struct schedule_value {
    double lr;
    double momentum; /* momentum, or beta1: of no meaning in what is given unless cycled */
    bool cycled;     /* the momentum is the schedule's */
};

/* How a parameter is written. */
enum schedule_param_type {
    SCHEDULE_NUMBER,
    SCHEDULE_WHOLE,
    SCHEDULE_WORD,
    SCHEDULE_LIST,
};

/* One parameter of a kind: where it lies in struct schedule_params (schedule's own), its default,
 * its range. */
struct schedule_param_spec {
    const char *name;
    enum schedule_param_type type;
    size_t offset;   /* of a double, or of a struct schedule_list */
    double fallback; /* NAN: it must be given */
    double least;
    double most;
    const char *const *word; /* WORD: by value, least to most */
};

struct schedule_kind {
    const char *name;
    const char *source; /* PyTorch class or paper */
    size_t params;
    const struct schedule_param_spec *param;
    bool takes_parts; /* made of other schedules */
    bool sets_lr;     /* takes no notice of the group's learning rate */
    bool wants_loss;  /* needs the loss of each round */
    /* What check asks for, in words; NULL: it is NULL too. */
    const char *rules;
    /* Rules between parameters (lengths of lists, their order); NULL: none. */
    enum stepd_status (*check)(const struct schedule *schedule, struct stepd_error *reterr);
    /* The value at a step, warm-up aside. */
    struct schedule_value (*at)(const struct schedule *schedule, struct schedule_value base,
                                uint64_t step, const struct schedule_state *state);
};

/* Must the number, or each of the list, be whole? */
bool schedule_param_is_whole(const struct schedule_param_spec *spec);

/* The rows. Static; any thread. */
const struct schedule_kind *schedule_kind_at(size_t index);
size_t schedule_kind_count(void);

/* NOT_FOUND names the nearest known kind. "" is "constant". Parameters are at their defaults.
 * RESOURCE_EXHAUSTED: no memory. *ret_schedule: caller frees with schedule_deinit. */
enum stepd_status schedule_init(const char *kind, struct schedule *ret_schedule,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* A zeroed schedule is fine. */
void schedule_deinit(struct schedule *schedule);

/* Sets one parameter by name: one number, or a list. INVALID_ARGUMENT: no such parameter of this
 * kind (names the nearest), not so many numbers, or out of its range. RESOURCE_EXHAUSTED. */
enum stepd_status schedule_set(struct schedule *schedule, const char *name, size_t values,
                               const double *value, struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The same by one of its words; true and false are words of a parameter that takes 0 and 1. */
enum stepd_status schedule_set_word(struct schedule *schedule, const char *name, const char *word,
                                    struct stepd_error *reterr) STEPD_MUST_CHECK;

/* Does a parameter take a list? True as well of one that there is not, for schedule_set to refuse.
 */
bool schedule_takes_list(const struct schedule *schedule, const char *name);

/* What a parameter is: *ret_values numbers, one unless it is a list; of a word, its value. NULL: it
 * must be given, and was not, or it is an empty list. Borrowed as long as the schedule lives. */
const double *schedule_get(const struct schedule *schedule, const struct schedule_param_spec *spec,
                           size_t *ret_values);

/* Adds a part; takes ownership of it, on failure too. INVALID_ARGUMENT: this kind is not made of
 * others, the part is, or it wants the loss; RESOURCE_EXHAUSTED: too many, or no memory. Whether it
 * is complete is for schedule_check. */
enum stepd_status schedule_add(struct schedule *schedule, struct schedule *part,
                               struct stepd_error *reterr) STEPD_MUST_CHECK;

/* INVALID_ARGUMENT: a parameter that must be given was not (names it), or two do not go together.
 */
enum stepd_status schedule_check(const struct schedule *schedule,
                                 struct stepd_error *reterr) STEPD_MUST_CHECK;

/*
 * The value at a step (0 first) of a schedule that schedule_check has passed, from the group's own
 * learning rate and momentum. state: of this slice; NULL: as before the first round. Pure; any
 * thread.
 */
struct schedule_value schedule_at(const struct schedule *schedule, struct schedule_value base,
                                  uint64_t step, const struct schedule_state *state);

/* schedule_at()'s learning rate, for who needs no momentum and has no state. */
double schedule_lr(const struct schedule *schedule, double lr, uint64_t step);

/* Does it cycle the momentum, at any step? */
bool schedule_cycles_momentum(const struct schedule *schedule);

/* Does it need the loss of every round? */
bool schedule_wants_loss(const struct schedule *schedule);

/* A round has closed with this loss, the mean over its examples. Once for each. */
void schedule_observe(const struct schedule *schedule, struct schedule_state *state, double loss);

/* Do two schedules say the same? INVALID_ARGUMENT names the first difference. */
enum stepd_status schedule_same(const struct schedule *a, const struct schedule *b,
                                struct stepd_error *reterr) STEPD_MUST_CHECK;

/* The shortest text that is read back as the same number, or nearly: "0.1". */
#define SCHEDULE_NUMBER_BYTES 32u
void schedule_number_text(double number, char ret_text[SCHEDULE_NUMBER_BYTES]);

/* Writes the kind, and each parameter that is not at its default: "cosine t_max=100". Lists that
 * are long, and what does not fit, are cut. */
void schedule_text(const struct schedule *schedule, char *text, size_t size);

/* A copy of its own. RESOURCE_EXHAUSTED: no memory. */
enum stepd_status schedule_copy(const struct schedule *schedule,
                                struct schedule *ret_copy) STEPD_MUST_CHECK;

#endif
