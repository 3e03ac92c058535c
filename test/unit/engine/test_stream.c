/* SPDX-License-Identifier: Apache-2.0 */
/* One loop: publisher, stream, reader. */
#include "rig.h"

struct fixture {
    struct loop *l;
    struct engine *e;
    struct source src;
    struct viewer v[3];
};

static struct fixture *begin(const struct engine_config *config)
{
    struct fixture *f = mem_new(struct fixture);
    f->l = loop_new("test", 0);
    f->e = engine_new(config, f->l, &f->l, 1);
    source_init(&f->src, CODEC_H264, true);
    return f;
}

static void end(struct fixture *f)
{
    source_done(&f->src);
    for (unsigned i = 0; i < ARRAY_LEN(f->v); i++) {
        f->v[i].r = reader_close(f->v[i].r);
    }
    engine_free(f->e);
    loop_free(f->l);
    free(f);
    assert_no_media_lives();
}

static void test_a_reader_gets_every_sample_from_the_key_frame(void **state)
{
    struct fixture *f = begin(NULL);
    source_open(&f->src, f->e, f->l, "live/a");
    settle(f->l);
    assert_int_equal(f->src.opens, 1);
    source_frames(&f->src, f->l, 15);
    viewer_open(&f->v[0], f->e, f->l, "live/a", REPLAY_EXACT);
    settle(f->l);
    /* The group of frame 10: five pictures and their audio. */
    assert_string_equal(f->v[0].states, "l");
    assert_int_equal(f->v[0].n, 10);
    assert_true(f->v[0].seen[0].flags & SAMPLE_KEY);
    source_frames(&f->src, f->l, 20);
    assert_int_equal(f->v[0].n, 50);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(f->v[0].seen[i].seq, f->v[0].seen[0].seq + i);
        assert_int_equal(f->v[0].seen[i].track, i % 2);
    }
    assert_int_equal(f->v[0].seen[20].group, f->v[0].seen[0].group + 1);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reader_gets_every_sample_from_the_key_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
