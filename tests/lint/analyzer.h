/* SPDX-License-Identifier: Apache-2.0
 *
 * What clang-tidy's analyzer cannot see by itself. tidy.py includes this in front of every source
 * but proto/error.c.
 *
 * The analyzer looks at one source at a time, where stepd_fail() might return anything, STEPD_OK
 * too. It would then follow paths on which a function has failed, its caller believes that it has
 * not, and uses the result that was never set. Here the code that was passed is what is returned.
 */
#include "proto/error.h"

#define stepd_fail(reterr, code, ...)    (stepd_fail(reterr, code, __VA_ARGS__), (code))
#define stepd_fail_in(reterr, code, ...) (stepd_fail_in(reterr, code, __VA_ARGS__), (code))
