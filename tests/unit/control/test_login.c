/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is let in where there is a list of those who are known, what they may ask for, and what those
 * are told who may not: the same, whatever the reason is, which the log has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "brain_fixture.h"
#include "server/access/list.h"

#define NOW_S   INT64_C(1800000000) /* 2027-01-15T08:00:00Z */
#define UNKNOWN "this server lets in whom it knows"
#define NOT_FOR "the token that was shown is not for this"

/* Each has its name as its token. */
struct known {
    const char *who, *role, *jobs, *until;
};

static const struct known everybody[] = {
    {"looker", "observe", "j,k", "never"}, {"worker", "work", "j,k", "2027-01-15T08:00:10Z"},
    {"boss", "admin", "j*", "never"},      {"late", "admin", "*", "2027-01-15T08:00:00Z"},
    {"other", "admin", "m", "never"},
};

#define COUNT (sizeof everybody / sizeof everybody[0])

/* A list of those who are not NULL, in the place of the one before. */
static void admit(struct brain *brain, const struct known *known, size_t count)
{
    char text[4096] = "";
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t hash[TOKEN_HASH_BYTES];
        char key[TOKEN_KEY_TEXT_BYTES];
        assert_true(token_hash((const uint8_t *)known[i].who, strlen(known[i].who), hash));
        token_key_write(hash, key);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s %s %s %s %s\n", known[i].who,
                              known[i].role, known[i].jobs, known[i].until, key);
    }
    struct access_list *list = NULL;
    assert_int_equal(access_list_read(text, n, &list, NULL), STEPD_OK);
    control_admit(brain->control, list);
}

static int setup(void **state)
{
    (void)brain_setup(state);
    struct brain *const brain = *state;
    brain->unix_s = NOW_S;
    admit(brain, everybody, COUNT);
    return 0;
}

static struct stepd_message with(struct stepd_message hello, const char *token)
{
    hello.body.hello.token =
        (struct stepd_bytes){.count = strlen(token), .at = (const uint8_t *)token};
    return hello;
}

static void assert_logged(const struct brain *brain, const char *line)
{
    if (strstr(brain->log, line) == NULL)
        fail_msg("'%s' is not in the log:\n%s", line, brain->log);
}

/* A job of one worker that is open, so that there is something to ask about. */
static struct peer *train(struct brain *brain, const char *job, const char *token)
{
    struct peer *peer = peer_join(brain, with(hello_worker(job, 0), token));
    peer_define(peer, job, STEPD_SYNC, 1);
    return peer;
}

/* ---- Hello ----------------------------------------------------------------------------------- */

static void hello__of_strangers__is_told_one_thing_and_the_log_another(void **state)
{
    static const struct {
        const char *token, *says;
    } cases[] = {
        {"", "reason=\"it has shown no token, and no certificate of a CA of ours\""},
        {"nobody", "reason=\"its token is not on the list\""},
        {"worke", "reason=\"its token is not on the list\""},
        {"workers", "reason=\"its token is not on the list\""},
        {"late", "who=\"late\" what=observer job=\"j\" reason=\"its line was good until "
                 "2027-01-15T08:00:00Z only\""},
    };
    struct brain *brain = *state;
    char first[STEPD_ERROR_TEXT_BYTES] = "";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer *peer = peer_open(brain);
        struct stepd_error error = {.text = ""};
        brain->log[0] = '\0';
        assert_int_equal(peer_send(peer, with(hello_observer("j"), cases[i].token), &error),
                         STEPD_UNAUTHENTICATED);
        assert_logged(brain, "warn: login_refused peer=\"192.0.2.7:4711\" ");
        assert_logged(brain, cases[i].says);
        if (i == 0)
            memcpy(first, error.text, sizeof first);
        assert_string_equal(error.text, first);
    }
}

static void hello__for_what_a_token_is_not_for__is_told_one_thing_and_the_log_another(void **state)
{
    struct brain *brain = *state;
    (void)train(brain, "j", "worker");

    static const struct {
        const char *token, *job, *says;
        bool works;
    } cases[] = {
        {"looker", "j", "reason=\"its role is observe, and this takes work\"", true},
        {"looker", "m", "reason=\"its line is not for this job\"", false},
        {"worker", "m", "reason=\"its line is not for this job\"", true},
        {"other", "j", "reason=\"its line is not for this job\"", false},
        {"other", "k", "reason=\"its line is not for this job\"", false}, /* there is no k */
    };

    char first[STEPD_ERROR_TEXT_BYTES] = "";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct peer *peer = peer_open(brain);
        struct stepd_error error = {.text = ""};
        brain->log[0] = '\0';
        const struct stepd_message hello =
            cases[i].works ? hello_worker(cases[i].job, 1) : hello_observer(cases[i].job);
        assert_int_equal(peer_send(peer, with(hello, cases[i].token), &error),
                         STEPD_PERMISSION_DENIED);
        assert_logged(brain, cases[i].says);
        if (i == 0)
            memcpy(first, error.text, sizeof first);
        assert_string_equal(error.text, first);
    }
}

static void hello__for_what_a_token_is_for__is_welcomed(void **state)
{
    struct brain *brain = *state;
    (void)train(brain, "j", "worker");
    (void)peer_join(brain, with(hello_observer("j"), "looker"));
    (void)peer_join(brain, with(hello_observer(""), "looker"));
    (void)peer_join(brain, with(hello_observer("j"), "worker"));
    (void)peer_join(brain, with(hello_observer("j"), "boss"));
    (void)peer_join(brain, with(hello_worker("j2", 0), "boss"));
    assert_null(strstr(brain->log, "login_refused"));
}

static void hello__with_a_certificate__is_known_by_its_name_unless_it_shows_a_token(void **state)
{
    static const char text[] = "seven work j never certificate:node7\n";
    struct brain *brain = *state;
    struct access_list *list = NULL;
    assert_int_equal(access_list_read(text, sizeof text - 1, &list, NULL), STEPD_OK);
    control_admit(brain->control, list);
    brain->certificate = "node7";
    struct peer *peer = peer_join(brain, hello_worker("j", 0));
    brain_assert_refused(brain, hello_worker("m", 0), STEPD_PERMISSION_DENIED,
                         "the certificate that was shown is not for this");
    brain_assert_refused(brain, with(hello_observer("j"), "nobody"), STEPD_UNAUTHENTICATED,
                         UNKNOWN);
    brain->certificate = "node8";
    brain_assert_refused(brain, hello_observer("j"), STEPD_UNAUTHENTICATED,
                         "have the name in the certificate that was shown put on its list");
    assert_logged(brain, "reason=\"its certificate's name, node8, is not on the list\"");
    admit(brain, everybody, COUNT);
    brain_wait(brain, 100);
    assert_true(peer->hung_up);
}

static void hello__without_a_list__needs_no_token(void **state)
{
    struct brain *brain = *state;
    control_admit(brain->control, NULL);
    (void)peer_join(brain, hello_worker("j", 0));
    (void)peer_join(brain, with(hello_observer("j"), "nobody"));
}

static void hello__that_resumes__needs_a_token_for_the_session_s_job(void **state)
{
    struct brain *brain = *state;
    struct peer *peer = train(brain, "j", "worker");
    peer_close(peer);
    brain_assert_refused(brain, hello_resume(peer), STEPD_UNAUTHENTICATED, UNKNOWN);
    brain_assert_refused(brain, with(hello_resume(peer), "other"), STEPD_PERMISSION_DENIED,
                         NOT_FOR);
    brain_assert_refused(brain, with(hello_resume(peer), "looker"), STEPD_PERMISSION_DENIED,
                         NOT_FOR);
    const struct peer *again = peer_join(brain, with(hello_resume(peer), "boss"));
    assert_int_equal(peer_answer(again, STEPD_MESSAGE_WELCOME)->body.welcome.epoch, 2);
}

/* ---- Requests -------------------------------------------------------------------------------- */

static struct stepd_message change_of(const char *job)
{
    return (struct stepd_message){
        .kind = STEPD_MESSAGE_CHANGE_JOB,
        .body.change_job = {.job = job,
                            .group = {.name = "", .match = "", .optimizer = "", .schedule = ""}}};
}

static struct stepd_message checkpoint_of(const char *job)
{
    return (struct stepd_message){.kind = STEPD_MESSAGE_CHECKPOINT, .body.checkpoint = {job, 0}};
}

static void request__above_the_role__is_refused(void **state)
{
    struct brain *brain = *state;
    struct peer *worker = train(brain, "j", "worker");
    struct peer *looker = peer_join(brain, with(hello_observer("j"), "looker"));
    struct peer *const peers[] = {worker, looker};
    for (size_t i = 0; i < 2; i++) {
        peer_request(peers[i], change_of("j"));
        peer_assert_error(peers[i], STEPD_PERMISSION_DENIED, NOT_FOR);
        peer_request(peers[i], checkpoint_of("j"));
        peer_assert_error(peers[i], STEPD_PERMISSION_DENIED, NOT_FOR);
    }
    assert_logged(brain, "who=\"worker\" what=change_job job=\"\" reason=\"its role is work, and "
                         "this takes admin\"");
    peer_request(looker, define_job(STEPD_SYNC, 1));
    peer_assert_error(looker, STEPD_PERMISSION_DENIED, NOT_FOR);
}

static void request__of_an_admin__is_heard(void **state)
{
    struct brain *brain = *state;
    (void)train(brain, "j", "worker");
    struct peer *boss = peer_join(brain, with(hello_observer(""), "boss"));
    peer_request(boss, change_of("j"));
    peer_assert_error(boss, STEPD_INVALID_ARGUMENT, "nothing is said to change");
    peer_request(boss, checkpoint_of("j"));
    peer_assert_error(boss, STEPD_FAILED_PRECONDITION, "");
}

static void request__about_a_job_of_others__is_refused_as_if_there_were_none(void **state)
{
    struct brain *brain = *state;
    (void)train(brain, "j", "worker");
    struct peer *other = peer_join(brain, with(hello_observer(""), "other"));
    const char *const jobs[] = {"j", "k"};
    for (size_t i = 0; i < 2; i++) {
        const struct stepd_message requests[] = {
            get_status(jobs[i]),
            change_of(jobs[i]),
            checkpoint_of(jobs[i]),
            {.kind = STEPD_MESSAGE_GET_GROUPS, .body.get_groups = {jobs[i]}},
            {.kind = STEPD_MESSAGE_GET_CHANGES, .body.get_changes = {jobs[i]}},
        };
        for (size_t r = 0; r < sizeof requests / sizeof requests[0]; r++) {
            peer_request(other, requests[r]);
            peer_assert_error(other, STEPD_PERMISSION_DENIED, NOT_FOR);
        }
    }
}

static void status__of_all_jobs__has_those_of_the_token(void **state)
{
    struct brain *brain = *state;
    (void)train(brain, "j", "worker");
    (void)peer_join(brain, with(hello_worker("m", 0), "other"));
    struct peer *other = peer_join(brain, with(hello_observer(""), "other"));
    peer_request(other, get_status(""));
    for (uint32_t shard = 0; shard < BRAIN_SHARDS; shard++)
        brain_answer(brain, shard, 0, 0, UINT32_MAX);
    const struct stepd_server_status *status =
        &peer_answer(other, STEPD_MESSAGE_STATUS)->body.status;
    assert_int_equal(status->jobs, 1);
    assert_string_equal(status->job[0].name, "m");
}

/* ---- The list changes, and time passes ------------------------------------------------------- */

static void token__off_the_list__ends_its_session_everywhere(void **state)
{
    struct brain *brain = *state;
    struct peer *worker = train(brain, "j", "worker");
    struct peer *looker = peer_join(brain, with(hello_observer("j"), "looker"));
    admit(brain, everybody + 1, 1); /* the worker stays */
    brain_wait(brain, 100);
    assert_false(worker->hung_up);
    assert_true(looker->hung_up);
    assert_int_equal(brain_count(brain, 0, ORDER_SESSION_GONE), 2); /* told why, then forgotten */
    admit(brain, everybody, 1);
    brain_wait(brain, 100);
    assert_true(worker->hung_up);
    const struct order *gone = brain_newest(brain, 1, ORDER_SESSION_GONE);
    assert_memory_equal(gone->session, worker->session, STEPD_SESSION_BYTES);
    assert_int_equal(gone->error.code, STEPD_UNAUTHENTICATED);
    assert_logged(brain, "warn: login_ended worker=\"w0\" job=\"j\" reason=\"it is not on the "
                         "list any more\"");
    brain_forget_orders(brain);
    brain_wait(brain, 100);
    assert_int_equal(brain_count(brain, 0, ORDER_SESSION_GONE), 0); /* once */
}

static void token__whose_time_is_over__ends_its_session(void **state)
{
    struct brain *brain = *state;
    struct peer *worker = train(brain, "j", "worker");
    brain->unix_s = NOW_S + 9;
    brain_wait(brain, 100);
    assert_false(worker->hung_up);
    brain->unix_s = NOW_S + 10;
    peer_request(worker, plain(STEPD_MESSAGE_HEARTBEAT)); /* between two ticks */
    peer_assert_error(worker, STEPD_UNAUTHENTICATED, UNKNOWN);
    brain_wait(brain, 100);
    assert_true(worker->hung_up);
    assert_logged(brain, "reason=\"its line was good until 2027-01-15T08:00:10Z only\"");
}

static void token__that_is_worth_less_now__ends_a_worker_s_session(void **state)
{
    static const struct known less = {"worker", "observe", "j", "never"};
    static const struct known elsewhere = {"looker", "observe", "k", "never"};
    struct brain *brain = *state;
    struct peer *worker = train(brain, "j", "worker");
    struct peer *looker = peer_join(brain, with(hello_observer("j"), "looker"));
    const struct known both[] = {less, elsewhere};
    admit(brain, both, 2);
    brain_wait(brain, 100);
    assert_true(worker->hung_up);
    assert_true(looker->hung_up);
}

static void token__back_on_the_list__resumes_its_session(void **state)
{
    struct brain *brain = *state;
    struct peer *worker = train(brain, "j", "worker");
    admit(brain, everybody, 1);
    brain_wait(brain, 100);
    admit(brain, everybody, COUNT);
    brain_forget_orders(brain);
    const struct peer *again = peer_join(brain, with(hello_resume(worker), "worker"));
    assert_int_equal(peer_answer(again, STEPD_MESSAGE_WELCOME)->body.welcome.epoch, 2);
    assert_int_equal(brain_count(brain, 0, ORDER_SESSION), 1); /* the shards know it again */
}

/* ---- Daemons --------------------------------------------------------------------------------- */

static const struct known fellow = {"fellow", "peer", "*", "2027-01-15T08:00:10Z"};

/* It joins by its token, or not. */
static enum stepd_status come(struct brain *brain, const char *token)
{
    const struct control_caller caller = {.address = "192.0.2.8:1"};
    const struct access_grant *grant = NULL;
    const struct stepd_join join = {
        .token = {.count = strlen(token), .at = (const uint8_t *)token}};
    struct stepd_error error;
    const enum stepd_status status =
        control_admits_daemon(brain->control, &caller, &join, &grant, &error);
    if (status == STEPD_OK)
        control_daemon_came(brain->control, 1, grant);
    return status;
}

static enum stepd_status keeps(const struct brain *brain)
{
    struct stepd_error error;
    return control_keeps_daemon(brain->control, 1, &error);
}

static void daemon__off_the_list__is_not_kept(void **state)
{
    struct brain *brain = *state;
    admit(brain, &fellow, 1);
    assert_int_equal(come(brain, "fellow"), STEPD_OK);
    assert_int_equal(keeps(brain), STEPD_OK);
    admit(brain, &fellow, 1);
    assert_int_equal(keeps(brain), STEPD_OK);
    brain_wait(brain, 100); /* the log is told nothing before time has been */
    admit(brain, everybody, COUNT);
    assert_int_equal(keeps(brain), STEPD_UNAUTHENTICATED);
    assert_logged(brain, "warn: login_ended daemon=1 reason=\"it is not on the list any more\"");
    assert_int_equal(come(brain, "fellow"), STEPD_UNAUTHENTICATED);
}

static void daemon__whose_time_is_over__is_not_kept(void **state)
{
    struct brain *brain = *state;
    admit(brain, &fellow, 1);
    assert_int_equal(come(brain, "fellow"), STEPD_OK);
    brain->unix_s = NOW_S + 9;
    assert_int_equal(keeps(brain), STEPD_OK);
    brain->unix_s = NOW_S + 10;
    assert_int_equal(keeps(brain), STEPD_UNAUTHENTICATED);
}

static void daemon__whose_role_is_less_now__is_not_kept(void **state)
{
    static const struct known less = {"fellow", "admin", "*", "never"};
    struct brain *brain = *state;
    admit(brain, &fellow, 1);
    assert_int_equal(come(brain, "fellow"), STEPD_OK);
    admit(brain, &less, 1);
    assert_int_equal(keeps(brain), STEPD_PERMISSION_DENIED);
}

static void daemon__without_a_list__is_kept(void **state)
{
    struct brain *brain = *state;
    control_admit(brain->control, NULL);
    assert_int_equal(come(brain, ""), STEPD_OK);
    assert_int_equal(keeps(brain), STEPD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, brain_teardown)
        TEST(hello__of_strangers__is_told_one_thing_and_the_log_another),
        TEST(hello__for_what_a_token_is_not_for__is_told_one_thing_and_the_log_another),
        TEST(hello__for_what_a_token_is_for__is_welcomed),
        TEST(hello__with_a_certificate__is_known_by_its_name_unless_it_shows_a_token),
        TEST(hello__without_a_list__needs_no_token),
        TEST(hello__that_resumes__needs_a_token_for_the_session_s_job),
        TEST(request__above_the_role__is_refused),
        TEST(request__of_an_admin__is_heard),
        TEST(request__about_a_job_of_others__is_refused_as_if_there_were_none),
        TEST(status__of_all_jobs__has_those_of_the_token),
        TEST(token__off_the_list__ends_its_session_everywhere),
        TEST(token__whose_time_is_over__ends_its_session),
        TEST(token__that_is_worth_less_now__ends_a_worker_s_session),
        TEST(token__back_on_the_list__resumes_its_session),
        TEST(daemon__off_the_list__is_not_kept),
        TEST(daemon__whose_time_is_over__is_not_kept),
        TEST(daemon__whose_role_is_less_now__is_not_kept),
        TEST(daemon__without_a_list__is_kept),
    };
    return cmocka_run_group_tests_name("control_login", tests, NULL, NULL);
}
