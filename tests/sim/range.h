/* SPDX-License-Identifier: Apache-2.0
 *
 * Which seeds a program of the simulation is to run: by its arguments PART PARTS SEEDS, and by
 * STEPD_SIM_SEED, or STEPD_SIM_FIRST and STEPD_SIM_SEEDS, of the environment.
 */
#ifndef TESTS_SIM_RANGE_H
#define TESTS_SIM_RANGE_H

#include <stdint.h>
#include <stdlib.h>

struct range {
    uint64_t first;
    uint64_t end;
};

static inline uint64_t range_number(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

/* seeds: of a whole run, where nobody says otherwise. */
static inline struct range range_from(int argc, char **argv, uint64_t seeds)
{
    const uint64_t only = range_number("STEPD_SIM_SEED", 0);
    if (only != 0)
        return (struct range){.first = only, .end = only + 1};
    const uint64_t part = argc == 4 ? strtoull(argv[1], NULL, 10) : 0;
    const uint64_t parts = argc == 4 ? strtoull(argv[2], NULL, 10) : 1;
    const uint64_t all =
        range_number("STEPD_SIM_SEEDS", argc == 4 ? strtoull(argv[3], NULL, 10) : seeds);
    const uint64_t first = range_number("STEPD_SIM_FIRST", 1);
    return (struct range){.first = first + all * part / parts,
                          .end = first + all * (part + 1) / parts};
}

#endif
