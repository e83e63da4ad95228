/* SPDX-License-Identifier: Apache-2.0
 *
 * After the job went back: is its layout still the one that the client works with? It is asked for
 * with nobody waiting. Where it is the same but for the incarnation, training can go on with the
 * next pull; where there is none, or another one, the tensors must be defined again.
 */
#include <stdlib.h>

#include "client/lib/core/brain.h"
#include "client/lib/core/question.h"
#include "proto/error.h"

struct look {
    struct stepd_question question; /* first */
    uint64_t moves;                 /* of the brain: it compares with the home that it had then */
    struct stepd_layout_table table;
};

static const struct stepd_message get_layout = {
    .kind = STEPD_MESSAGE_GET_LAYOUT,
    .body.get_layout = {.deadline_ms = 1}, /* only if it is there */
};

static enum stepd_status on_reply(void *user, const struct stepd_message *reply,
                                  struct stepd_error *reterr)
{
    struct look *const look = user;
    return stepd_layout_add(&look->table, &reply->body.layout, reterr);
}

static void on_again(void *user)
{
    struct look *const look = user;
    stepd_layout_deinit(&look->table);
    stepd_layout_init(&look->table);
}

static enum stepd_status compare(struct look *look, struct stepd_error *reterr)
{
    const enum stepd_status status =
        stepd_layout_seal(&look->table, look->question.brain->self.shards, reterr);
    if (status != STEPD_OK)
        return status;
    if (stepd_layout_same(&look->table, &look->question.brain->home->table))
        return STEPD_OK;
    return stepd_fail(reterr, STEPD_FAILED_PRECONDITION,
                      "the job's tensors lie otherwise than before: call stepd_define again and "
                      "pull the weights");
}

static void tell_links(const struct look *look, const struct stepd_error *error)
{
    struct stepd_brain *const brain = look->question.brain;
    if (error != NULL) {
        stepd_links_laid_out(brain->links, 0, error);
        return;
    }
    brain->home->exchange.incarnation = look->table.incarnation;
    stepd_links_laid_out(brain->links, look->table.incarnation, NULL);
}

static void on_done(struct stepd_question *question)
{
    struct look *const look = (struct look *)question;
    struct stepd_error lost;
    struct stepd_error different;
    /* else the tensors were defined again meanwhile, or could not be, and that home may be gone */
    const bool holds = look->moves == question->brain->moves;
    if (holds && question->error.code != STEPD_OK) {
        (void)stepd_fail(&lost, STEPD_FAILED_PRECONDITION,
                         "the server has not got the job's tensors (%.400s): call stepd_define "
                         "again and pull the weights",
                         question->error.text);
        tell_links(look, &lost);
    } else if (holds) {
        tell_links(look, compare(look, &different) == STEPD_OK ? NULL : &different);
    }
    stepd_layout_deinit(&look->table);
    free(look);
}

void stepd_brain_look_again(struct stepd_brain *brain)
{
    struct look *const look = calloc(1, sizeof *look);
    if (look == NULL) {
        const struct stepd_error error = {.code = STEPD_RESOURCE_EXHAUSTED,
                                          .text =
                                              "no memory for the layout: call stepd_define again"};
        stepd_links_laid_out(brain->links, 0, &error);
        return;
    }
    look->question = (struct stepd_question){
        .brain = brain,
        .message = &get_layout,
        .on_reply = on_reply,
        .on_again = on_again,
        .user = look,
        .on_done = on_done,
    };
    look->moves = brain->moves;
    stepd_layout_init(&look->table);
    stepd_question_ask(&look->question);
}
