/* SPDX-License-Identifier: Apache-2.0
 *
 * A signal's handler has nothing to hang its state from: the one global of this program.
 */
#include "client/train/interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t came;

static void on_signal(int number)
{
    came = number;
}

void interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool interrupt_came(void *user)
{
    (void)user;
    return came != 0;
}

void interrupt_end(void)
{
    (void)signal(came, SIG_DFL);
    (void)raise(came);
}
