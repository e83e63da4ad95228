/* SPDX-License-Identifier: Apache-2.0
 *
 * How a caller waits that may be interrupted: in slices, and between them options.interrupted is
 * asked. It is asked while the caller does not run the loop, so that it may take its time.
 */
#ifndef CLIENT_LIB_WAIT_H
#define CLIENT_LIB_WAIT_H

#include <stdatomic.h>
#include <stdint.h>

#include "client/lib/client.h"
#include "client/lib/net/mailbox.h"

enum stepd_wait_end {
    STEPD_WAIT_OVER,        /* the flag was raised */
    STEPD_WAIT_LATE,        /* the time is over */
    STEPD_WAIT_INTERRUPTED, /* somebody interrupts the caller */
};

/* Posts a letter (NULL: it was posted) and waits for the flag that it leads to, until until_ms
 * (stepd_clock_ms) at most, or for ever (0). The flag may not be let go of unless it is over. */
enum stepd_wait_end stepd_wait_while(struct stepd_client *client, struct stepd_mail *letter,
                                     const atomic_bool *flag, uint64_t until_ms);

#endif
