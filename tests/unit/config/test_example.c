/* SPDX-License-Identifier: Apache-2.0
 *
 * The example file, deploy/stepd.yaml: it must say the same as the tables, leave out no key, and
 * show only jobs that can be had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/config/document.h"
#include "server/config/groups.h"
#include "server/config/init_from.h"
#include "server/config/jobs.h"
#include "server/config/schema.h"
#include "server/model/job.h"
#include "tests/unit/config/loading.h"
#include "tests/unit/config/same.h"

#define EXAMPLE_MAX_BYTES (64u << 10)
#define MAPS_MAX          16u

/* The example file, NUL-terminated. The caller frees it with free(). */
static char *read_example(void)
{
    char *const text = calloc(1, EXAMPLE_MAX_BYTES);
    FILE *const file = fopen(STEPD_EXAMPLE, "re");
    assert_non_null(text);
    assert_non_null(file);
    assert_in_range(fread(text, 1, EXAMPLE_MAX_BYTES - 1, file), 1, EXAMPLE_MAX_BYTES - 2);
    assert_int_equal(fclose(file), 0);
    return text;
}

/* The jobs of the example without the # that each of their lines begins with. The caller frees them
 * with free(). */
static char *read_jobs(void)
{
    char *const text = read_example();
    const char *const jobs = strstr(text, "\n#jobs:");
    assert_non_null(jobs);
    char *out = text;
    for (const char *line = jobs + 1; *line != '\0';) {
        const size_t length = strcspn(line, "\n") + 1;
        assert_int_equal(line[0], '#');
        memmove(out, line + 1, length - 1);
        out += length - 1;
        line += length;
    }
    *out = '\0';
    return text;
}

static void load_jobs(struct config *ret_config)
{
    char *const text = read_jobs();
    struct stepd_error error = {.code = STEPD_OK};
    if (loading_run_yaml(text, ret_config, &error) != STEPD_OK)
        fail_msg("%s", error.text);
    free(text);
}

static const struct stepd_define_job *find_job(const struct config *config, const char *name)
{
    size_t i = 0;
    while (i < config->jobs && strcmp(config->job[i].name, name) != 0)
        i++;
    assert_in_range(i, 0, config->jobs - 1);
    return &config->job[i].definition;
}

static void example__loaded__states_every_default_and_its_meaning(void **state)
{
    (void)state;
    struct config example;
    struct config defaults;
    struct stepd_error error = {.code = STEPD_OK};
    char *const text = read_example();
    assert_int_equal(loading_run_yaml(text, &example, &error), STEPD_OK);
    assert_int_equal(loading_run(&(struct loading){.yaml = NULL}, &defaults, &error), STEPD_OK);
    same_assert_values(&example, &defaults);
    assert_int_equal(example.jobs, 0);
    for (size_t i = 0; i < CONFIG_KEYS; i++) {
        char wanted[256];
        const struct schema_row *const row = schema_row_at(i);
        assert_int_equal(example.origin[i].source, CONFIG_FILE);
        (void)snprintf(wanted, sizeof wanted, "\n# %s\n%s: ", row->doc, row->key);
        loading_assert_holds(text, wanted);
    }
    free(text);
    config_deinit(&example);
    config_deinit(&defaults);
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

struct maps {
    size_t count;
    const struct document_node *at[MAPS_MAX];
};

static void add(struct maps *maps, const struct document_node *map)
{
    assert_in_range(maps->count, 0, MAPS_MAX - 1);
    maps->at[maps->count++] = map;
}

/* What stands in the maps under a key: maps, or lists of them. */
static struct maps maps_under(const struct maps *maps, const char *key)
{
    struct maps found = {.count = 0};
    for (size_t i = 0; i < maps->count; i++) {
        const struct document_node *const node = document_find(maps->at[i], key);
        if (node != NULL && node->kind == DOCUMENT_MAP)
            add(&found, node);
        for (const struct document_node *entry =
                 node != NULL && node->kind == DOCUMENT_LIST ? node->first : NULL;
             entry != NULL; entry = entry->next)
            add(&found, entry);
    }
    return found;
}

/* Each key stands in one of the maps. */
static void assert_stand(const struct maps *maps, const struct reader_keys *keys)
{
    assert_in_range(keys->count, 2, 100);
    for (size_t i = 0; i < keys->count; i++) {
        bool stands = false;
        for (size_t k = 0; k < maps->count; k++)
            stands = stands || document_find(maps->at[k], keys->at[i].name) != NULL;
        if (!stands)
            fail_msg("the example says nothing of %s", keys->at[i].name);
    }
}

static void example__first_job__has_every_key(void **state)
{
    (void)state;
    struct stepd_arena arena;
    const struct document_node *root = NULL;
    char *const text = read_jobs();
    stepd_arena_init(&arena, 1u << 20);
    assert_int_equal(document_parse("example", text, strlen(text), &arena, &root, NULL), STEPD_OK);
    const struct maps file = {.count = 1, .at = {root}};
    struct maps jobs = maps_under(&file, "jobs");
    jobs.count = 1;
    const struct maps init_froms = maps_under(&jobs, "init_from");
    const struct maps groups = maps_under(&jobs, "groups");
    const struct maps schedules = maps_under(&groups, "schedule");
    const struct maps phases = maps_under(&groups, "phases");
    assert_stand(&jobs, &jobs_keys);
    assert_stand(&init_froms, &init_from_keys);
    assert_stand(&groups, &groups_keys);
    assert_stand(&schedules, &groups_schedule_keys);
    assert_stand(&phases, &groups_phase_keys);
    stepd_arena_deinit(&arena);
    free(text);
}

static void example__first_job__states_defaults(void **state)
{
    (void)state;
    struct config config;
    struct config bare;
    struct stepd_error error = {.code = STEPD_OK};
    load_jobs(&config);
    assert_int_equal(loading_run_yaml("jobs: [{name: j, workers: 1, groups: [\n"
                                      "  {name: g, optimizer: sgd}]}]\n",
                                      &bare, &error),
                     STEPD_OK);
    const struct stepd_define_job *const stated = &config.job[0].definition;
    const struct stepd_define_job *const left_out = &bare.job[0].definition;
    assert_int_equal(stated->mode, left_out->mode);
    assert_int_equal(stated->strict, left_out->strict);
    assert_string_equal(stated->group[0].match, left_out->group[0].match);
    assert_int_equal(stated->group[0].frozen, left_out->group[0].frozen);
    assert_int_equal(stated->group[0].phases, left_out->group[0].phases);
    assert_string_equal(left_out->group[0].schedule, ""); /* which is constant */
    assert_string_equal(stated->group[0].schedule, "constant");
    config_deinit(&config);
    config_deinit(&bare);
}

static void example__every_job__can_be_defined(void **state)
{
    (void)state;
    struct config config;
    load_jobs(&config);
    assert_in_range(config.jobs, 6, 100);
    for (size_t i = 0; i < config.jobs; i++) {
        struct job_draft *draft = NULL;
        struct stepd_error error = {.code = STEPD_OK};
        if (job_draft_create(config.job[i].name, &config.job[i].definition, 1u << 18, &draft,
                             &error) != STEPD_OK)
            fail_msg("job %s: %s", config.job[i].name, error.text);
        (void)job_draft_destroy(draft);
    }
    config_deinit(&config);
}

/* As PyTorch's optim.SGD([base, {classifier, lr: 1e-3}], lr=1e-2, momentum=0.9). */
static void example__base_and_classifier__have_rates_of_their_own(void **state)
{
    (void)state;
    static const double rates[] = {1e-2, 1e-3};
    uint64_t steps = 0;
    struct config config;
    load_jobs(&config);
    const struct stepd_define_job *const job = find_job(&config, "base-and-classifier");
    assert_int_equal(job->groups, 2);
    for (size_t i = 0; i < job->groups; i++) {
        struct group group;
        assert_int_equal(group_init(&job->defaults, &job->group[i], &group, NULL), STEPD_OK);
        assert_true(group_matches(&group, i == 0 ? "base.0.weight" : "classifier.bias", 1, &steps));
        assert_false(
            group_matches(&group, i == 1 ? "base.0.weight" : "classifier.bias", 1, &steps));
        assert_true(group.phase[0].hyper.lr == rates[i]);
        assert_true(group.phase[0].hyper.momentum == 0.9);
        group_deinit(&group);
    }
    config_deinit(&config);
}

static void example__adam_then_sgd__decays_no_vectors_and_changes_at_4000(void **state)
{
    (void)state;
    uint64_t steps = 0;
    struct config config;
    load_jobs(&config);
    const struct stepd_define_job *const job = find_job(&config, "adam-then-sgd");
    for (size_t i = 0; i < job->groups; i++) {
        struct group group;
        assert_int_equal(group_init(&job->defaults, &job->group[i], &group, NULL), STEPD_OK);
        assert_int_equal(group_matches(&group, "fc.bias", 1, &steps), true);
        assert_int_equal(group_matches(&group, "fc.weight", 2, &steps), i == 1);
        assert_string_equal(group_phase(&group, 3999)->optimizer->name, "adam");
        assert_string_equal(group_phase(&group, 4000)->optimizer->name, "momentum");
        assert_true(group_phase(&group, 0)->hyper.weight_decay == (i == 0 ? 0.0 : 1e-4));
        assert_true(group_phase(&group, 4000)->hyper.weight_decay == (i == 0 ? 0.0 : 1e-4));
        group_deinit(&group);
    }
    config_deinit(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example__loaded__states_every_default_and_its_meaning),
        cmocka_unit_test(example__first_job__has_every_key),
        cmocka_unit_test(example__first_job__states_defaults),
        cmocka_unit_test(example__every_job__can_be_defined),
        cmocka_unit_test(example__base_and_classifier__have_rates_of_their_own),
        cmocka_unit_test(example__adam_then_sgd__decays_no_vectors_and_changes_at_4000),
    };
    return cmocka_run_group_tests_name("config_example", tests, NULL, NULL);
}
