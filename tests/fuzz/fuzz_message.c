/* SPDX-License-Identifier: Apache-2.0
 *
 * One encoded header, without a frame around it: what remains when the frame codec has done its
 * part. The properties are in fuzz.c.
 */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    fuzz_message(bytes, n);
    return 0;
}
