/* SPDX-License-Identifier: Apache-2.0
 *
 * Ctrl-C, or a launcher's SIGTERM: the worker ends where it waits next, and closes its client,
 * which frees its rank. A second one ends the process as it would have without this.
 */
#ifndef TRAIN_INTERRUPT_H
#define TRAIN_INTERRUPT_H

#include <stdbool.h>

/* Catches both from now on, once. */
void interrupt_catch(void);

/* Has one come? For stepd_options.interrupted; user is not looked at. Any thread. */
bool interrupt_came(void *user);

/* Ends the process by the signal that came, so that its parent sees why. */
void interrupt_end(void);

#endif
