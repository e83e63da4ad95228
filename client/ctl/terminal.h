/* SPDX-License-Identifier: Apache-2.0
 *
 * What stdout can show: how wide it is, which characters, and whether in colours.
 */
#ifndef CLIENT_CTL_TERMINAL_H
#define CLIENT_CTL_TERMINAL_H

#include <stdbool.h>

/* Between these, whatever a terminal or a variable says. */
#define TERMINAL_COLUMNS_LEAST 40u
#define TERMINAL_COLUMNS_MOST  400u

/* What COLUMNS says, or else the terminal on stdout; `otherwise` where neither says anything. */
unsigned terminal_columns(unsigned otherwise);

/* Is the locale's character set UTF-8? Sets the process's LC_CTYPE. */
bool terminal_is_utf8(void);

/* Is stdout a terminal, one with colours, and does NO_COLOR not forbid them? */
bool terminal_has_colours(void);

#endif
