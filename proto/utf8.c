/* SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8 by the table of well-formed byte sequences (Unicode 15, table 3-7): the lead byte fixes the
 * length and the range of the second byte, and all further bytes are 80..BF. Checking the second
 * byte's range is what shuts out overlong forms, surrogates, and what lies above U+10FFFF. Control
 * characters would let a name write lines into logs and colours onto terminals.
 */
#include "proto/utf8.h"

struct sequence {
    uint8_t lead_from;
    uint8_t lead_to;
    uint8_t second_from;
    uint8_t second_to;
    size_t length;
};

static const struct sequence sequences[] = {
    {.lead_from = 0x20, .lead_to = 0x7E, .length = 1},
    /* C2 80..9F would be U+0080..U+009F, which are controls. */
    {.lead_from = 0xC2, .lead_to = 0xC2, .second_from = 0xA0, .second_to = 0xBF, .length = 2},
    {.lead_from = 0xC3, .lead_to = 0xDF, .second_from = 0x80, .second_to = 0xBF, .length = 2},
    {.lead_from = 0xE0, .lead_to = 0xE0, .second_from = 0xA0, .second_to = 0xBF, .length = 3},
    {.lead_from = 0xE1, .lead_to = 0xEC, .second_from = 0x80, .second_to = 0xBF, .length = 3},
    {.lead_from = 0xED, .lead_to = 0xED, .second_from = 0x80, .second_to = 0x9F, .length = 3},
    {.lead_from = 0xEE, .lead_to = 0xEF, .second_from = 0x80, .second_to = 0xBF, .length = 3},
    {.lead_from = 0xF0, .lead_to = 0xF0, .second_from = 0x90, .second_to = 0xBF, .length = 4},
    {.lead_from = 0xF1, .lead_to = 0xF3, .second_from = 0x80, .second_to = 0xBF, .length = 4},
    {.lead_from = 0xF4, .lead_to = 0xF4, .second_from = 0x80, .second_to = 0x8F, .length = 4},
};

/* Length of the character that the n > 0 bytes begin with; 0 if there is none that may stand. */
static size_t character_bytes(const uint8_t *bytes, size_t n)
{
    const struct sequence *s = sequences;
    const struct sequence *const end = sequences + sizeof sequences / sizeof sequences[0];
    while (s < end && (bytes[0] < s->lead_from || bytes[0] > s->lead_to))
        s++;
    if (s == end || s->length > n)
        return 0;
    if (s->length > 1 && (bytes[1] < s->second_from || bytes[1] > s->second_to))
        return 0;
    for (size_t i = 2; i < s->length; i++) {
        if ((bytes[i] & 0xC0u) != 0x80u)
            return 0;
    }
    return s->length;
}

bool stepd_utf8_printable(const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        const size_t length = character_bytes(bytes, n);
        if (length == 0)
            return false;
        bytes += length;
        n -= length;
    }
    return true;
}
