/* SPDX-License-Identifier: Apache-2.0
 *
 * The choice of an instruction set. The processor is asked through the compiler's
 * __builtin_cpu_supports, which also knows whether the kernel of the operating system saves the
 * wide registers. The features asked for are those of the levels that the compilers' loops use and
 * that both gcc 12 and clang 14 can ask for; no processor has them without the rest of its level.
 */
#include "server/optim/kernels.h"

#include <assert.h>
#include <string.h>

#include "proto/error.h"
#include "server/base/nearest.h"
#include "server/optim/isa.h"

static const char *const isa_name[] = {
#define X(name) [OPTIM_ISA_##name] = #name,
    OPTIM_ISA_MAP(X)
#undef X
};

static_assert(sizeof isa_name / sizeof isa_name[0] == OPTIM_ISA_COUNT, "one name for each");

#ifdef OPTIM_X86_LEVELS
static const struct reduce_kernels *const reduce[OPTIM_ISA_COUNT] = {
    [OPTIM_ISA_base] = &reduce_kernels_base,
    [OPTIM_ISA_v3] = &reduce_kernels_v3,
    [OPTIM_ISA_v4] = &reduce_kernels_v4,
};

static bool has_v3(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

static bool has_v4(void)
{
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#else
static const struct reduce_kernels *const reduce[OPTIM_ISA_COUNT] = {
    [OPTIM_ISA_base] = &reduce_kernels_base,
};

static bool has_v3(void)
{
    return false;
}

static bool has_v4(void)
{
    return false;
}
#endif

bool kernels_available(enum optim_isa isa)
{
    switch (isa) {
    case OPTIM_ISA_base: return true;
    case OPTIM_ISA_v3: return has_v3();
    case OPTIM_ISA_v4: return has_v4();
    case OPTIM_ISA_COUNT: break;
    }
    return false;
}

enum optim_isa kernels_choose(void)
{
    if (has_v4())
        return OPTIM_ISA_v4;
    return has_v3() ? OPTIM_ISA_v3 : OPTIM_ISA_base;
}

const char *kernels_isa_name(enum optim_isa isa)
{
    return isa_name[isa];
}

enum stepd_status kernels_find_isa(const char *name, enum optim_isa *ret_isa,
                                   struct stepd_error *reterr)
{
    struct nearest nearest;
    nearest_init(&nearest, name);
    for (unsigned int i = 0; i < OPTIM_ISA_COUNT; i++) {
        nearest_offer(&nearest, isa_name[i]);
        if (strcmp(name, isa_name[i]) != 0)
            continue;
        const enum optim_isa isa = (enum optim_isa)i;
        if (!kernels_available(isa))
            return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                              "this machine cannot run the kernels of instruction set '%s'; "
                              "its best is '%s'",
                              name, isa_name[kernels_choose()]);
        *ret_isa = isa;
        return STEPD_OK;
    }
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT, "unknown instruction set '%s': %s", name,
                      nearest_hint(&nearest));
}

const struct reduce_kernels *kernels_reduce(enum optim_isa isa)
{
    return reduce[isa];
}
