/* SPDX-License-Identifier: Apache-2.0
 *
 * One pass over the job's tensors, each of which is looked up under the name that it has in the
 * file, and one over the file's, to see which nobody has asked for. What is wrong is collected, so
 * that one look at the error is enough.
 */
#include "server/persist/init_match.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/error.h"
#include "server/base/glob.h"
#include "server/base/text.h"

#define NAMES_SHOWN       3u
#define NAME_SHOWN_BYTES  36u
#define SHAPE_SHOWN_BYTES 40u

/* Comparisons of globs with names; a job of clients' making must not keep a thread for hours. */
#define STEPS_MAX (UINT64_C(1) << 32)

/* What does not fit. */
struct misfits {
    size_t wanted; /* tensors of the job that are to be taken */
    struct init_names missing;
    struct init_names shape;
    struct init_names dtype;
    char like[NAME_SHOWN_BYTES]; /* what seems to be in front of the missing ones' names, quoted */
    const char *key;             /* that says so; NULL: nothing seems so */
};

struct shown {
    char text[NAME_SHOWN_BYTES];
};

static struct shown show(const char *name, size_t n)
{
    struct shown shown;
    (void)text_quote(name, n, shown.text, sizeof shown.text);
    return shown;
}

static struct shown show_name(const char *name)
{
    return show(name, strlen(name));
}

static void add_text(struct init_names *names, const char *text)
{
    const size_t used = strlen(names->text);
    if (names->count < NAMES_SHOWN)
        (void)stepd_format(names->text + used, sizeof names->text - used, "%s%s",
                           names->count > 0 ? ", " : "", text);
    else if (names->count == NAMES_SHOWN)
        (void)stepd_format(names->text + used, sizeof names->text - used, ", ...");
    names->count++;
}

static void add_name(struct init_names *names, const char *name)
{
    add_text(names, show_name(name).text);
}

/* ---- One tensor ------------------------------------------------------------------------------ */

struct shape_text {
    char text[SHAPE_SHOWN_BYTES];
};

static struct shape_text show_shape(size_t dims, const uint64_t *shape)
{
    struct shape_text text = {.text = "["};
    size_t used = 1;
    for (size_t i = 0; i < dims; i++)
        used += stepd_format(text.text + used, sizeof text.text - used, "%s%" PRIu64,
                             i > 0 ? ", " : "", shape[i]);
    (void)stepd_format(text.text + used, sizeof text.text - used, "]");
    return text;
}

static bool same_shape(const struct tensor *ours, const struct safetensors_tensor *theirs)
{
    return ours->dims == theirs->dims &&
           (ours->dims == 0 ||
            memcmp(ours->shape, theirs->shape, ours->dims * sizeof *ours->shape) == 0);
}

/* The shapes of one say what is wrong with the others too. */
static void add_shape(struct misfits *misfits, const struct tensor *ours,
                      const struct safetensors_tensor *theirs)
{
    char text[INIT_NAMES_TEXT_BYTES];
    (void)stepd_format(text, sizeof text, "%s is %s, and %s there", show_name(ours->name).text,
                       show_shape(ours->dims, ours->shape).text,
                       show_shape(theirs->dims, theirs->shape).text);
    if (misfits->shape.count++ == 0)
        (void)stepd_format(misfits->shape.text, sizeof misfits->shape.text, "%s", text);
}

static void add_dtype(struct misfits *misfits, const struct safetensors_tensor *theirs)
{
    char text[INIT_NAMES_TEXT_BYTES];
    (void)stepd_format(text, sizeof text, "%s of %s", show_name(theirs->name).text,
                       safetensors_dtype_name(theirs->dtype));
    add_text(&misfits->dtype, text);
}

/* Does a name end in another one, behind something? */
static bool ends_in(const char *whole, const char *tail)
{
    const size_t length = strlen(whole), behind = strlen(tail);
    return length > behind && strcmp(whole + length - behind, tail) == 0;
}

/* A wrapper's prefix is seen at once by who looks at both names. */
static void guess_prefix(struct misfits *misfits, const char *name, const struct safetensors *file)
{
    for (size_t i = 0; i < file->tensors && misfits->key == NULL; i++) {
        const char *const theirs = file->tensor[i].name;
        const bool more = ends_in(theirs, name);
        const bool less = ends_in(name, theirs);
        if (!more && !less)
            continue;
        const char *const whole = more ? theirs : name;
        const size_t prefix = strlen(whole) - strlen(more ? name : theirs);
        misfits->key = more ? "remove_prefix" : "add_prefix";
        const struct shown shown = show(whole, prefix);
        memcpy(misfits->like, shown.text, sizeof misfits->like);
    }
}

/* ---- Globs that were meant for some ---------------------------------------------------------- */

/* The first of them that matches no tensor of the job; NULL: all match some. */
static const char *idle_glob(const struct job *job, const struct naming_globs *globs,
                             uint64_t *steps)
{
    for (size_t g = 0; g < globs->count; g++) {
        size_t i = 0;
        while (i < job->tensors && *steps <= STEPS_MAX &&
               !glob_matches(globs->at[g], job->tensor[i].name, steps))
            i++;
        if (i == job->tensors)
            return globs->at[g];
    }
    return NULL;
}

static enum stepd_status check_globs(const struct job *job, const struct naming *naming,
                                     struct stepd_error *reterr)
{
    uint64_t steps = 0;
    const char *const match = idle_glob(job, &naming->match, &steps);
    const char *const idle = match != NULL ? match : idle_glob(job, &naming->except, &steps);
    if (idle == NULL)
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "%s of init_from has %s, which matches none of the job's %zu tensors, whose "
                      "first is %s; correct it, or leave it out",
                      match != NULL ? "match" : "except", show_name(idle).text, job->tensors,
                      job->tensors > 0 ? show_name(job->tensor[0].name).text : "none");
}

/* ---- All of them ----------------------------------------------------------------------------- */

static void match_one(const struct tensor *ours, const struct naming *naming,
                      const struct safetensors *file, const struct safetensors_tensor **ret_from,
                      struct misfits *misfits)
{
    char there[SAFETENSORS_NAME_MAX_BYTES + 1];
    const struct safetensors_tensor *const theirs =
        naming_there(naming, ours->name, there, sizeof there) ? safetensors_find(file, there)
                                                              : NULL;
    misfits->wanted++;
    *ret_from = theirs;
    if (theirs == NULL) {
        if (misfits->missing.count == 0)
            guess_prefix(misfits, ours->name, file);
        add_name(&misfits->missing, ours->name);
    } else if (!same_shape(ours, theirs)) {
        add_shape(misfits, ours, theirs);
    } else if (!safetensors_is_real(theirs->dtype)) {
        add_dtype(misfits, theirs);
    }
}

static enum stepd_status match_all(const struct job *job, const struct naming *naming,
                                   const struct safetensors *file, struct init_match *match,
                                   struct misfits *misfits, struct stepd_error *reterr)
{
    uint64_t steps = 0;
    for (size_t i = 0; i < job->tensors; i++) {
        const struct tensor *const ours = &job->tensor[i];
        if (naming_takes(naming, ours->name, &steps))
            match_one(ours, naming, file, &match->from[i], misfits);
        else
            add_name(&match->kept, ours->name);
        if (steps > STEPS_MAX)
            return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED,
                              "the globs of match and except take too long with %zu tensors; give "
                              "them fewer '*' and more of the names' beginnings",
                              job->tensors);
        match->taken += match->from[i] != NULL;
    }
    return STEPD_OK;
}

static enum stepd_status find_left_over(const struct job *job, const struct safetensors *file,
                                        struct init_match *match, struct stepd_error *reterr)
{
    bool *const used = calloc(file->tensors + 1, sizeof *used);
    if (used == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to match its tensors");
    for (size_t i = 0; i < job->tensors; i++) {
        if (match->from[i] != NULL)
            used[match->from[i] - file->tensor] = true;
    }
    for (size_t i = 0; i < file->tensors; i++) {
        if (!used[i])
            add_name(&match->left_over, file->tensor[i].name);
    }
    free(used);
    return STEPD_OK;
}

/* ---- What is wrong --------------------------------------------------------------------------- */

static void say(char *text, size_t size, const struct init_names *names, const char *what)
{
    const size_t used = strlen(text);
    if (names->count > 0)
        (void)stepd_format(text + used, size - used, "%s%zu %s %s (%s)", used > 0 ? ", " : "",
                           names->count, names->count == 1 ? "is" : "are", what, names->text);
}

static enum stepd_status fail(const struct misfits *misfits, const struct init_names *left_over,
                              struct stepd_error *reterr)
{
    char text[STEPD_ERROR_TEXT_BYTES] = "";
    char remedy[2 * NAME_SHOWN_BYTES + 24] = "";
    say(text, sizeof text, &misfits->missing, "not in the file");
    say(text, sizeof text, &misfits->shape, "of another shape");
    say(text, sizeof text, &misfits->dtype, "no numbers that floats are made of");
    say(text, sizeof text, left_over, "in the file alone");
    if (misfits->key != NULL)
        (void)stepd_format(remedy, sizeof remedy, "%s: %s, or ", misfits->key, misfits->like);
    return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                      "of %zu tensors to be taken and those of the file %s; in init_from, say %s"
                      "which are taken (match, except) and what they are called there "
                      "(remove_prefix, add_prefix)",
                      misfits->wanted, text, remedy);
}

static enum stepd_status check(const struct init_match *match, const struct naming *naming,
                               const struct misfits *misfits, struct stepd_error *reterr)
{
    static const struct init_names none = {.count = 0};
    const bool all = naming->match.count == 0 && naming->except.count == 0;
    if (misfits->wanted == 0)
        return stepd_fail(reterr, STEPD_INVALID_ARGUMENT,
                          "match and except leave no tensor of the job to be taken (it has %s); "
                          "correct them, or leave init_from out",
                          match->kept.text);
    if (misfits->missing.count + misfits->shape.count + misfits->dtype.count == 0 &&
        (!all || match->left_over.count == 0))
        return STEPD_OK;
    return fail(misfits, all ? &match->left_over : &none, reterr);
}

enum stepd_status init_match_create(const struct job *job, const struct naming *naming,
                                    const struct safetensors *file, struct init_match *ret_match,
                                    struct stepd_error *reterr)
{
    struct misfits misfits = {.wanted = 0};
    struct init_match match = {.from = calloc(job->tensors + 1, sizeof *match.from)};
    if (match.from == NULL)
        return stepd_fail(reterr, STEPD_RESOURCE_EXHAUSTED, "no memory to match its tensors");
    enum stepd_status status = check_globs(job, naming, reterr);
    if (status == STEPD_OK)
        status = match_all(job, naming, file, &match, &misfits, reterr);
    if (status == STEPD_OK)
        status = find_left_over(job, file, &match, reterr);
    if (status == STEPD_OK)
        status = check(&match, naming, &misfits, reterr);
    if (status == STEPD_OK)
        *ret_match = match;
    else
        init_match_deinit(&match);
    return status;
}

void init_match_deinit(struct init_match *match)
{
    free(match->from);
    *match = (struct init_match){.from = NULL};
}
