/* SPDX-License-Identifier: Apache-2.0
 *
 * Of TLS the environment says what no flag has said; it may be there for servers of another kind,
 * and means nothing where the address begins neither with "tls:" nor with "unix:", behind which
 * there may be daemons that are dialled by TLS.
 */
#include <string.h>

#include "client/lib/launcher.h"
#include "client/train/options.h"

static void take(char *const *environment, const char *name, const char **value)
{
    if (*value == NULL)
        *value = stepd_launcher_variable(environment, name);
}

void options_settle_tls(char *const *environment, struct train_options *options)
{
    if (options->server == NULL ||
        (strncmp(options->server, "tls:", 4) != 0 && strncmp(options->server, "unix:", 5) != 0))
        return;
    take(environment, "STEPD_CA", &options->tls_ca);
    take(environment, "STEPD_CLIENT_CERT", &options->tls_cert);
    take(environment, "STEPD_CLIENT_KEY", &options->tls_key);
    take(environment, "STEPD_SERVER_NAME", &options->tls_name);
}
