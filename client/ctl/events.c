/* SPDX-License-Identifier: Apache-2.0
 *
 * One walk over the steps with a window of five learning rates, and in it three questions:
 *
 *     jump    is this difference far larger than those beside it?
 *     bend    is this difference of differences far larger than those beside it?
 *     flat    is there a difference at all, here and for some time?
 *
 * and beside the window the last extreme, from which the rate must have come away before it is one.
 * Where the questions compare with neighbours, a smooth curve gives "no" whatever its scale. Where
 * nothing but roundings is left of a curve, they must not be taken for one: hence the thresholds.
 */
#include "client/ctl/events.h"

#include <math.h>
#include <stdbool.h>

/* So many times larger than its neighbours is "far larger". */
#define FAR 8.0

/* Changes below this share of the largest learning rate so far may be roundings. */
#define NOISE 1e-12

/* A difference of a few roundings of the learning rate itself is none. */
#define ROUNDINGS 1e-15

/* A constant stretch has at least this share of all steps, and three steps in any case. */
#define FLAT_SHARE 100u
#define FLAT_STEPS 3u

enum { WINDOW = 5, HERE = 2 };

struct walk {
    const struct course *course;
    struct events *events;
    uint64_t flat_least; /* steps of a constant stretch */
    uint64_t step;
    double lr[WINDOW];  /* of step - HERE ..; the first one again where there is none before it */
    uint64_t flat_from; /* this step and all since that one have the same learning rate */
    double most;        /* the largest learning rate so far */
    double extreme;     /* the farthest so far in the present direction */
    uint64_t extreme_step;
    uint64_t left_out; /* the step of the last event that had no room */
    int direction;     /* 1: it rises; -1: it falls; 0: neither yet */
};

const char *event_text(enum event_kind kind)
{
#define X(name, text) [EVENT_##name] = (text),
    static const char *const texts[] = {EVENT_MAP(X)};
#undef X
    return texts[kind];
}

/* Puts an event where it belongs by its step. Of two at one step the more telling one counts. */
static void add(struct walk *walk, uint64_t step, enum event_kind kind)
{
    struct events *const events = walk->events;
    size_t at = events->count;
    while (at > 0 && events->at[at - 1].step > step)
        at--;
    if (at > 0 && events->at[at - 1].step == step) {
        if (kind < events->at[at - 1].kind)
            events->at[at - 1].kind = kind;
        return;
    }
    if (events->count == EVENTS_MAX) {
        events->more += walk->left_out != step;
        walk->left_out = step;
        return;
    }
    for (size_t i = events->count++; i > at; i--)
        events->at[i] = events->at[i - 1];
    events->at[at] = (struct event){.step = step, .kind = kind};
}

/* The difference that leads to the step so many behind the present one. */
static double difference(const struct walk *walk, int later)
{
    return walk->lr[HERE + later] - walk->lr[HERE + later - 1];
}

static bool is_jump(const struct walk *walk, int later)
{
    const double here = fabs(difference(walk, later));
    const double beside =
        fmax(fabs(difference(walk, later - 1)), fabs(difference(walk, later + 1)));
    return here > FAR * beside && here > NOISE * walk->most;
}

static bool is_bend(const struct walk *walk)
{
    const double in = difference(walk, 0);
    const double out = difference(walk, 1);
    const double here = fabs(out - in);
    const double beside = fmax(fabs(in - difference(walk, -1)), fabs(difference(walk, 2) - out));
    return here > FAR * beside && here > NOISE * walk->most;
}

/* A constant stretch is known as one when it is long enough, and its end at once. A jump at either
 * side is all there is to say. */
static void look_for_flat(struct walk *walk)
{
    const uint64_t length = walk->step - walk->flat_from + 1;
    const bool ends = fabs(difference(walk, 1)) > ROUNDINGS * fabs(walk->lr[HERE]);
    if (length == walk->flat_least && walk->flat_from > 0)
        add(walk, walk->flat_from, EVENT_FLAT);
    if (length >= walk->flat_least && ends && !is_jump(walk, 1))
        add(walk, walk->step, EVENT_LEAVE);
    if (ends)
        walk->flat_from = walk->step + 1;
}

static void look_for_extreme(struct walk *walk)
{
    const double lr = walk->lr[HERE];
    const double away = lr - walk->extreme;
    const bool farther = walk->direction > 0 ? away > 0 : walk->direction < 0 && away < 0;
    if (farther) {
        walk->extreme = lr;
        walk->extreme_step = walk->step;
    } else if (fabs(away) > NOISE * walk->most) {
        if (walk->direction != 0)
            add(walk, walk->extreme_step, walk->direction > 0 ? EVENT_TOP : EVENT_BOTTOM);
        walk->direction = away > 0 ? 1 : -1;
        walk->extreme = lr;
        walk->extreme_step = walk->step;
    }
}

static void look(struct walk *walk)
{
    walk->most = fmax(walk->most, fabs(walk->lr[HERE]));
    look_for_flat(walk);
    look_for_extreme(walk);
    if (walk->step == 0)
        return;
    if (is_jump(walk, 0))
        add(walk, walk->step, EVENT_JUMP);
    else if (is_bend(walk))
        add(walk, walk->step, EVENT_BEND);
}

static void advance(struct walk *walk)
{
    for (int i = 0; i + 1 < WINDOW; i++)
        walk->lr[i] = walk->lr[i + 1];
    walk->step++;
    walk->lr[WINDOW - 1] = course_at(walk->course, walk->step + WINDOW - HERE - 1).lr;
}

void events_find(const struct course *course, uint64_t steps, struct events *ret_events)
{
    const uint64_t share = steps / FLAT_SHARE;
    struct walk walk = {
        .course = course,
        .events = ret_events,
        .flat_least = share > FLAT_STEPS ? share : FLAT_STEPS,
        .extreme = course_at(course, 0).lr,
    };
    *ret_events = (struct events){.count = 0};
    for (int i = 0; i < WINDOW; i++)
        walk.lr[i] = course_at(course, i < HERE ? 0 : (uint64_t)(i - HERE)).lr;
    for (size_t i = 1; i < course->phases; i++) {
        if (course->phase[i].from < steps)
            add(&walk, course->phase[i].from, EVENT_PHASE);
    }
    for (; walk.step < steps; advance(&walk))
        look(&walk);
}
