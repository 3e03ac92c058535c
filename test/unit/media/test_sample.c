/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "media/sample.h"

#include <pthread.h>

/* mp4a.40.2, 48 kHz, stereo */
static const uint8_t aac_lc[] = {0x11, 0x90};

static atomic_int made;

static struct buf *make_reversed(const struct sample *s)
{
    atomic_fetch_add(&made, 1);
    struct buf *b = buf_new(s->payload->len);
    for (uint32_t i = 0; i < b->len; i++) {
        b->data[i] = s->payload->data[b->len - 1 - i];
    }
    return b;
}

static struct buf *make_none(const struct sample *s)
{
    atomic_fetch_add(&made, 1);
    return NULL;
}

static struct sample *sample_of(const char *text)
{
    struct track_params *p;
    assert_int_equal(track_params_new(CODEC_AAC, BYTES(aac_lc, 2), &p, NULL), 0);
    struct buf *payload = buf_copy(BYTES_STR(text));
    struct sample *s = sample_new(1, p, &payload, 10, 20, SAMPLE_KEY, 30);
    assert_null(payload);
    track_params_unref(&p);
    return s;
}

static void assert_nothing_lives(void)
{
    assert_int_equal(sample_live_count(), 0);
    assert_int_equal(track_params_live_count(), 0);
    assert_int_equal(buf_live_count(), 0);
    assert_int_equal(buf_live_bytes(), 0);
}

static void test_last_unref_frees_payload_params_and_forms(void **state)
{
    form_register(FORM_RTMP, make_reversed);
    struct sample *s = sample_of("abc");
    assert_int_equal(s->track, 1);
    assert_int_equal(s->dts_ns, 10);
    assert_int_equal(s->pts_ns, 20);
    assert_int_equal(s->arrival_ns, 30);
    assert_int_equal(s->params->sample_rate, 48000);
    assert_non_null(sample_form(s, FORM_RTMP));
    struct sample *other = sample_ref(s);
    sample_unref(&s);
    assert_null(s);
    assert_int_equal(sample_live_count(), 1);
    assert_true(bytes_equal_str(buf_view(other->payload), "abc"));
    sample_unref(&other);
    sample_unref(&other);
    assert_nothing_lives();
}

static void test_a_form_is_made_once(void **state)
{
    form_register(FORM_RTMP, make_reversed);
    struct sample *s = sample_of("abc");
    atomic_store(&made, 0);
    struct buf *first = sample_form(s, FORM_RTMP);
    assert_true(bytes_equal_str(buf_view(first), "cba"));
    assert_ptr_equal(sample_form(s, FORM_RTMP), first);
    assert_int_equal(atomic_load(&made), 1);
    sample_unref(&s);
    assert_nothing_lives();
}

static void test_no_form_is_remembered(void **state)
{
    form_register(FORM_CMAF, make_none);
    struct sample *s = sample_of("abc");
    atomic_store(&made, 0);
    assert_null(sample_form(s, FORM_CMAF));
    assert_null(sample_form(s, FORM_CMAF));
    assert_int_equal(atomic_load(&made), 1);
    sample_unref(&s);
    assert_nothing_lives();
}

#define RACE_SAMPLES 2000

struct racer {
    struct sample **samples;
    pthread_barrier_t *start;
    struct buf *got[RACE_SAMPLES];
};

static void *race(void *arg)
{
    struct racer *r = arg;
    pthread_barrier_wait(r->start);
    for (int i = 0; i < RACE_SAMPLES; i++) {
        r->got[i] = sample_form(r->samples[i], FORM_RTMP);
        /* Reading what the other thread may have made must be ordered after its making. */
        if (!bytes_equal_str(buf_view(r->got[i]), "cba")) {
            r->got[i] = NULL;
        }
    }
    return NULL;
}

static void *drop(void *arg)
{
    struct racer *r = arg;
    pthread_barrier_wait(r->start);
    for (int i = 0; i < RACE_SAMPLES; i++) {
        struct sample *mine = r->samples[i];
        sample_unref(&mine);
    }
    return NULL;
}

static void run_two(void *(*fn)(void *), struct racer *a, struct racer *b)
{
    pthread_barrier_t start;
    pthread_t thread;
    pthread_barrier_init(&start, NULL, 2);
    a->start = &start;
    b->start = &start;
    assert_int_equal(pthread_create(&thread, NULL, fn, a), 0);
    fn(b);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&start);
}

static void test_two_threads_race_for_a_form_and_for_the_last_reference(void **state)
{
    static struct sample *samples[RACE_SAMPLES];
    static struct racer a;
    static struct racer b;
    form_register(FORM_RTMP, make_reversed);
    for (int i = 0; i < RACE_SAMPLES; i++) {
        samples[i] = sample_of("abc");
        sample_ref(samples[i]);
    }
    a.samples = samples;
    b.samples = samples;
    run_two(race, &a, &b);
    for (int i = 0; i < RACE_SAMPLES; i++) {
        assert_non_null(a.got[i]);
        assert_ptr_equal(a.got[i], b.got[i]);
    }
    run_two(drop, &a, &b);
    assert_nothing_lives();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_unref_frees_payload_params_and_forms),
        cmocka_unit_test(test_a_form_is_made_once),
        cmocka_unit_test(test_no_form_is_remembered),
        cmocka_unit_test(test_two_threads_race_for_a_form_and_for_the_last_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
