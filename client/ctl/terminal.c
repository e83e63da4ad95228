/* SPDX-License-Identifier: Apache-2.0
 *
 * COLUMNS comes first, because who exports it means it; shells set it without exporting it.
 */
#include "client/ctl/terminal.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/ctl/number.h"

static unsigned within_bounds(uint64_t columns)
{
    if (columns < TERMINAL_COLUMNS_LEAST)
        return TERMINAL_COLUMNS_LEAST;
    return columns > TERMINAL_COLUMNS_MOST ? TERMINAL_COLUMNS_MOST : (unsigned)columns;
}

unsigned terminal_columns(unsigned otherwise)
{
    const char *const stated = getenv("COLUMNS");
    struct winsize size = {.ws_col = 0};
    uint64_t columns = 0;
    if (stated != NULL && number_parse_whole(stated, 1, UINT32_MAX, &columns))
        return within_bounds(columns);
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return within_bounds(size.ws_col);
    return otherwise;
}

bool terminal_is_utf8(void)
{
    (void)setlocale(LC_CTYPE, ""); /* a locale that is not installed leaves "C" */
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

bool terminal_has_colours(void)
{
    const char *const forbidden = getenv("NO_COLOR");
    const char *const kind = getenv("TERM");
    return isatty(STDOUT_FILENO) == 1 && (forbidden == NULL || forbidden[0] == '\0') &&
           kind != NULL && strcmp(kind, "dumb") != 0;
}
