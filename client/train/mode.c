/* SPDX-License-Identifier: Apache-2.0
 *
 * Words with blanks between them, the first of which is the mode.
 */
#include "client/train/mode.h"

#include <string.h>

#include "proto/error.h"
#include "proto/mode.h"

#define NAME_BYTES 16u

/* How many of the bytes before `end` are no word. */
static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

static const char *skip_word(const char *at, const char *end)
{
    while (at < end && *at != ' ' && *at != '\t')
        at++;
    return at;
}

static bool find_mode(const char *word, size_t length, enum stepd_mode *ret_mode)
{
    char name[NAME_BYTES];
    if (length >= sizeof name)
        return false;
    memcpy(name, word, length);
    name[length] = '\0';
    return stepd_mode_find(name, ret_mode);
}

enum stepd_status train_mode_read(const char *text, size_t length, struct train_mode *mode,
                                  struct stepd_error *reterr)
{
    const char *const end = text + length;
    const char *word = skip_blanks(text, end);
    const char *after = skip_word(word, end);
    if (!find_mode(word, (size_t)(after - word), &mode->mode))
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "'%.*s' is not a mode: expected sync, async or bounded, and settings "
                          "behind it, as in 'bounded staleness=4'",
                          (int)(after - word), word);
    enum stepd_status status = STEPD_OK;
    for (;;) {
        word = skip_blanks(after, end);
        after = skip_word(word, end);
        if (word == end || status != STEPD_OK)
            return status;
        status = params_read(word, (size_t)(after - word), &mode->settings, reterr);
    }
}

void train_mode_format(const struct train_mode *mode, char *text, size_t size)
{
    char settings[TRAIN_MODE_TEXT_BYTES];
    params_format(&mode->settings, settings, sizeof settings);
    (void)stepd_format(text, size, "%s%s%s", stepd_mode_name(mode->mode),
                       settings[0] == '\0' ? "" : " ", settings);
}
