/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/client/keeper_bench.h"

struct keeper_rig rig;

int keeper_begin(void **state)
{
    (void)state;
    keeper_setup(&rig);
    return 0;
}

int keeper_begin_standing(void **state)
{
    (void)keeper_begin(state);
    keeper_stand(&rig);
    return 0;
}

int keeper_begin_observing(void **state)
{
    (void)keeper_begin(state);
    rig.keeper.observer = true;
    keeper_stand(&rig);
    return 0;
}

int keeper_end(void **state)
{
    (void)state;
    keeper_teardown(&rig);
    return 0;
}
