/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings of groups, phases and schedules as a person would write them down:
 *
 *     def.settings = settings_of("lr=0.1 betas=0.8,0.95 eps_mode=inside");
 *
 * A value that begins like a number is numbers, every other one a word.
 */
#ifndef TESTS_LIB_SETTINGS_H
#define TESTS_LIB_SETTINGS_H

#include "proto/message.h"

/* Lists that live at a time: the call after so many takes the place of the first. */
#define SETTINGS_LISTS 64u

/* "": none. Fails the test where the text is too long. */
struct stepd_settings settings_of(const char *text);

/* A group of these settings, with the name "g", that takes every tensor. */
struct stepd_group settings_group(const char *optimizer, const char *text);

/* A phase of them. */
struct stepd_phase settings_phase(uint64_t from, const char *optimizer, const char *text);

#endif
