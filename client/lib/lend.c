/* SPDX-License-Identifier: Apache-2.0
 *
 * Lending arrays. They are made and looked up in the thread that runs the loop, to which the
 * exchange belongs, and live as long as the client: whoever holds one may go on to read it when
 * connections, and definitions of the job, have come and gone.
 */
#include <stdlib.h>

#include "client/lib/client.h"
#include "client/lib/net/mapping.h"
#include "proto/error.h"
#include "proto/place.h"

struct stepd_rooms {
    struct stepd_rooms *next;
    void *pages; /* owned */
    uint64_t bytes;
};

struct stepd_rooms *stepd_rooms_destroy(struct stepd_rooms *rooms)
{
    while (rooms != NULL) {
        struct stepd_rooms *const next = rooms->next;
        stepd_mapping_return(rooms->pages, rooms->bytes);
        free(rooms);
        rooms = next;
    }
    return NULL;
}

/* On the stack of the one who waits. */
struct lend {
    struct stepd_mail letter; /* first */
    struct stepd_client *client;
    size_t tensor;
    struct stepd_loan loan;
    enum stepd_status status;
    atomic_bool done;
};

/* Whole pages of zeros for all elements of a tensor. NULL: there is no memory. */
static float *make_room(struct stepd_client *client, uint64_t elements)
{
    const uint64_t bytes = stepd_place_bytes(elements);
    struct stepd_rooms *const room = malloc(sizeof *room);
    void *const pages = room == NULL ? NULL : stepd_mapping_take(bytes);
    if (pages == NULL) {
        free(room);
        return NULL;
    }
    *room = (struct stepd_rooms){.next = client->rooms, .pages = pages, .bytes = bytes};
    client->rooms = room;
    return pages;
}

static enum stepd_status make_loan(struct stepd_client *client, struct stepd_exchange *exchange,
                                   size_t tensor)
{
    const uint64_t elements = exchange->layout->tensor[tensor].elements;
    const struct stepd_loan loan = {
        .grad = make_room(client, elements),
        .weights = make_room(client, elements),
        .hide = stepd_mapping_hide,
    };
    if (loan.grad == NULL || loan.weights == NULL)
        return STEPD_RESOURCE_EXHAUSTED; /* what was made goes with the client */
    stepd_shared_lend(exchange, tensor, &loan);
    return STEPD_OK;
}

static enum stepd_status take_loan(struct lend *lend, struct stepd_exchange *exchange)
{
    if (exchange == NULL)
        return STEPD_FAILED_PRECONDITION;
    if (lend->tensor >= exchange->layout->tensors)
        return STEPD_OUT_OF_RANGE;
    const struct stepd_loan *const loan = &exchange->loan[lend->tensor];
    enum stepd_status status = STEPD_OK;
    if (loan->grad == NULL)
        status = make_loan(lend->client, exchange, lend->tensor);
    if (status == STEPD_OK)
        lend->loan = *loan;
    return status;
}

static void deliver(struct stepd_loop *loop, struct stepd_mail *letter)
{
    struct lend *const lend = (struct lend *)letter;
    lend->status = take_loan(lend, stepd_links_exchange(stepd_loop_brain(loop)->links));
    stepd_mailbox_raise(stepd_loop_mailbox(loop), &lend->done);
}

enum stepd_status stepd_lend(struct stepd_client *client, size_t tensor, float **ret_grad,
                             float **ret_weights, struct stepd_error *reterr)
{
    struct lend lend = {.letter = {.deliver = deliver}, .client = client, .tensor = tensor};
    (void)stepd_loop_ask(client->loop, &lend.letter, &lend.done, 0);
    switch (lend.status) {
    case STEPD_OK: break;
    case STEPD_FAILED_PRECONDITION:
        return stepd_fail(reterr, lend.status,
                          "the job's tensors are not defined yet; call stepd_define before you "
                          "borrow arrays");
    case STEPD_OUT_OF_RANGE:
        return stepd_fail(reterr, lend.status, "there is no tensor %zu; the job has %zu", tensor,
                          stepd_tensor_count(client));
    default: return stepd_fail(reterr, lend.status, "no memory to lend tensor %zu", tensor);
    }
    *ret_grad = lend.loan.grad;
    *ret_weights = lend.loan.weights;
    return STEPD_OK;
}
