/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engine itself costs per reader and sample: one stream, N readers that look at each sample and its form and write
 * nothing. Prints CPU ns per reader and sample and per reader and pass. usage: engine-fanout [samples-a-pass]
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/stream.h"

#include <stdio.h>
#include <time.h>

static uint64_t taken;
static uint64_t passes;

/* CPU time: the machine may have other things to do. */
static int64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void on_open(void *user)
{
}

static void on_publisher_close(void *user, int r, const char *why)
{
}

static void on_state(void *user, enum reader_state state, const char *reason)
{
}

static void on_samples(void *user)
{
    struct reader *r = *(struct reader **)user;
    struct sample *s;
    unsigned k = 0;
    uint64_t bytes = 0;
    for (; (s = reader_peek(r, k)); k++) {
        struct buf *form = sample_form(s, FORM_RTMP);
        bytes += form ? form->len : 0;
    }
    reader_advance(r, k);
    reader_count_sent(r, bytes);
    taken += k;
    passes++;
}

static void on_reader_close(void *user, int r, const char *why)
{
}

static struct buf *make_form(const struct sample *s)
{
    return buf_ref(s->payload);
}

static void write_sample(struct publisher *p, struct track_params *params, int i)
{
    struct buf *payload = buf_new(2500); /* 600 kb/s at 30 a second */
    int64_t dts = i * NS_PER_S / 30;
    struct sample *s = sample_new(0, params, &payload, dts, dts, i % 60 == 0 ? SAMPLE_KEY : 0, 0);
    publisher_write(p, &s);
}

static void run(unsigned n_readers, int a_pass)
{
    static const struct publisher_ops pops = {on_open, on_publisher_close, NULL};
    static const struct reader_ops rops = {on_state, on_samples, on_reader_close};
    static const uint8_t vpcc[] = {0, 10, 0x82, 1, 1, 1, 0, 0};
    struct loop *l = loop_new("bench", 0);
    struct engine *e = engine_new(NULL, l, &l, 1);
    struct track_params *params;
    if (track_params_new(CODEC_VP9, BYTES(vpcc, sizeof(vpcc)), &params, NULL) < 0) {
        fprintf(stderr, "no parameters\n");
        exit(1);
    }
    const struct publisher_info info = {.path = "bench"};
    struct publisher *p = publisher_open(e, l, &info, &pops, NULL);
    publisher_tracks(p, &(struct publisher_track){CODEC_VP9, params}, 1);
    struct reader **readers = mem_new_array(struct reader *, n_readers);
    const struct reader_info rinfo = {.path = "bench", .forms = FORM_BIT(FORM_RTMP), .wait = true};
    for (unsigned i = 0; i < n_readers; i++) {
        readers[i] = reader_open(e, l, &rinfo, &rops, &readers[i]);
    }
    loop_run_once(l, 0);
    int64_t begun = 0;
    int total = (int)(20000000 / n_readers) / a_pass * a_pass;
    total = MIN(total, 20000);
    for (int i = 0; i < total + 100; i++) {
        write_sample(p, params, i);
        if (i % a_pass == a_pass - 1) {
            loop_run_once(l, 0);
        }
        if (i == 99) {
            begun = cpu_ns();
            taken = passes = 0;
        }
    }
    int64_t took = cpu_ns() - begun;
    printf("%6u readers  %7.1f ns per reader and sample  %7.1f ns per reader and pass\n", n_readers,
           (double)took / (double)taken, (double)took / (double)passes);
    for (unsigned i = 0; i < n_readers; i++) {
        reader_close(readers[i]);
    }
    free(readers);
    publisher_close(p);
    track_params_unref(&params);
    engine_free(e);
    loop_free(l);
}

int main(int argc, char **argv)
{
    static const unsigned sizes[] = {1, 10, 100, 1000, 5000, 20000};
    int a_pass = argc > 1 ? MAX(atoi(argv[1]), 1) : 1;
    log_configure("error", false);
    form_register(FORM_RTMP, make_form);
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        run(sizes[i], a_pass);
    }
    return 0;
}
