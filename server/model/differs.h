/* SPDX-License-Identifier: Apache-2.0
 *
 * How two definitions are said to differ.
 */
#ifndef MODEL_DIFFERS_H
#define MODEL_DIFFERS_H

#include <stepd/status.h>

/* INVALID_ARGUMENT: "what is defined as 0.1, not 0.2". Numbers that differ do not look the same,
 * however close they are. */
enum stepd_status differs_number(struct stepd_error *reterr, const char *what, double defined,
                                 double wanted);

/* INVALID_ARGUMENT: "what is defined as 'a', not 'b'". */
enum stepd_status differs_text(struct stepd_error *reterr, const char *what, const char *defined,
                               const char *wanted);

#endif
