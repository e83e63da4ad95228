/* SPDX-License-Identifier: Apache-2.0
 *
 * A job as a client would define it, drawn at random: tensors of every kind, in groups with
 * optimizers out of the whole table, phases, schedules and treatments, over defaults. What the
 * daemon makes of it is for the daemon to find out, and what it must be for reading.h.
 */
#ifndef TESTS_SIM_DEFINITION_H
#define TESTS_SIM_DEFINITION_H

#include "tests/sim/settings.h"

enum {
    DEFINITION_TENSORS_MAX = 10,
    DEFINITION_GROUPS_MAX = 4,
    DEFINITION_PHASES_MAX = 2, /* beside the first */
    DEFINITION_SLICE_ELEMENTS = 256,
    /* Floats of a slice, or of what a push carries for it, where nothing may be cut. */
    DEFINITION_FLOATS_MAX = 768,
};

struct definition {
    struct stepd_define_job job;
    struct stepd_define_tensors page; /* all tensors */
};

/* Everything lives in the drawing's arena. */
struct definition definition_draw(struct drawing *drawing, enum stepd_mode mode, uint32_t workers);

/* Does anything in the definition ask for losses? */
bool definition_names_losses(const struct stepd_define_job *job);

#endif
