/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audio jobs with the real mast-av, on sound that ffmpeg made, judged by what ffmpeg decodes of it; and with a worker that
 * breaks every rule (mad_av.c).
 */
#include "../await.h"
#include "../media/fixture.h"

#include "base/mem.h"
#include "io/proc.h"
#include "media/fmp4.h"
#include "peer/av/av.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BASE_NS    (1000 * NS_PER_S) /* stamps begin here */
#define FRAMES_MAX 1024
#define RATE       48000
#define REFILL     24 /* frames that owners keep on their way */
#define TONE_HZ    1000
#define ONSET_S    1 /* the tone begins that long after the sound does */

#define REAL "src/av/mast-av"
#define MAD  "test/unit/peer/mad_av"

/* ---- sound ---- */

struct sound {
    struct track_params *params;
    unsigned n;
    struct buf *data[FRAMES_MAX];
    int64_t pts_ns[FRAMES_MAX];
    int64_t duration_ns[FRAMES_MAX];
};

static char folder[] = "/tmp/mast-test-av-XXXXXX";

static void sound_done(struct sound *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        buf_unref(&s->data[i]);
    }
    track_params_unref(&s->params);
    memset(s, 0, sizeof(*s));
}

static int run(const char *command)
{
    int status = system(command); /* NOLINT(cert-env33-c): a test, fixed commands */
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static size_t load(const char *name, uint8_t *into, size_t size)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    size_t n = fread(into, 1, size, in);
    fclose(in);
    return n;
}

/* ADTS (ISO/IEC 14496-3 1.A.2.2) as ffmpeg writes it, to what a publisher has. The encoder's first frame is its priming. */
static void load_adts(struct sound *s, const char *name)
{
    static uint8_t file[1 << 20];
    size_t n = load(name, file, sizeof(file));
    unsigned object = (file[2] >> 6) + 1u;
    unsigned rate_index = file[2] >> 2 & 15;
    unsigned channels = (file[2] & 1u) << 2 | file[3] >> 6;
    uint8_t asc[2];
    put_u16be(asc, (uint16_t)(object << 11 | rate_index << 7 | channels << 3));
    assert_int_equal(track_params_new(CODEC_AAC, BYTES(asc, 2), &s->params, NULL), 0);
    int64_t rate = s->params->sample_rate;
    for (size_t at = 0; at + 7 <= n && s->n < FRAMES_MAX;) {
        size_t len = (file[at + 3] & 3u) << 11 | file[at + 4] << 3 | file[at + 5] >> 5;
        assert_true(len > 7 && at + len <= n);
        s->data[s->n] = buf_copy(BYTES(file + at + 7, len - 7));
        s->pts_ns[s->n] = BASE_NS + ((int64_t)s->n - 1) * 1024 * NS_PER_S / rate;
        s->duration_ns[s->n++] = 1024 * NS_PER_S / rate;
        at += len;
    }
}

/* Silence, and from one second on a tone. */
static void make_aac(struct sound *s, unsigned seconds, unsigned rate, unsigned channels)
{
    char command[512];
    snprintf(command, sizeof(command),
             "ffmpeg -v error -y -f lavfi -i \"aevalsrc=if(gte(t\\,%d)\\,0.5*sin(2*PI*%d*t)\\,0):"
             "s=%u:d=%u\" -ac %u -c:a aac -b:a 128k -f adts %s/in.aac",
             ONSET_S, TONE_HZ, rate, seconds, channels, folder);
    assert_int_equal(run(command), 0);
    load_adts(s, "in.aac");
}

/* What ffmpeg decodes of it: mono samples at 48 kHz. Returns how many. */
static size_t decode(const struct sound *s, int16_t *pcm, size_t max)
{
    char path[128];
    char command[512];
    const struct track_params *params[] = {s->params};
    snprintf(path, sizeof(path), "%s/out.mp4", folder);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    struct buf *init = fmp4_init_make(params, 1);
    fwrite(init->data, 1, init->len, out);
    buf_unref(&init);
    for (unsigned i = 0; i < s->n; i++) {
        struct buf *payload = buf_ref(s->data[i]);
        struct sample *sample =
            sample_new(0, s->params, &payload, s->pts_ns[i], s->pts_ns[i], SAMPLE_KEY, 0);
        sample->duration_ns = s->duration_ns[i];
        struct buf *chunk = fmp4_chunk_make(sample);
        fwrite(chunk->data, 1, chunk->len, out);
        buf_unref(&chunk);
        sample_unref(&sample);
    }
    fclose(out);
    snprintf(command, sizeof(command),
             "ffmpeg -v error -y -i %s/out.mp4 -f s16le -ac 1 -ar %d %s/out.raw", folder, RATE,
             folder);
    assert_int_equal(run(command), 0);
    return load("out.raw", (uint8_t *)pcm, max * sizeof(*pcm)) / sizeof(*pcm);
}

/* The share of a tone in n samples, 0 to 1 (Goertzel against the whole power). */
static double tone_share(const int16_t *pcm, size_t n, double hz)
{
    double re = 0;
    double im = 0;
    double power = 1e-9;
    for (size_t i = 0; i < n; i++) {
        double phase = 2 * M_PI * hz * (double)i / RATE;
        re += pcm[i] * cos(phase);
        im += pcm[i] * sin(phase);
        power += (double)pcm[i] * pcm[i];
    }
    return 2 * (re * re + im * im) / ((double)n * power);
}

/* The first sample that is loud. */
static size_t onset(const int16_t *pcm, size_t n)
{
    size_t i = 0;
    while (i < n && abs(pcm[i]) < 4000) {
        i++;
    }
    return i;
}

/* ---- jobs ---- */

struct bench {
    struct loop *loop;
    struct av_pool *pool;
};

struct job {
    struct bench *bench;
    struct av_job *job;
    struct sound out;
    bool keep_nothing;
    unsigned n_out;
    int64_t last_ns;
    unsigned gaps;
    unsigned failures;
    unsigned params;
    struct error err;
};

static void on_params(void *user, struct track_params *params)
{
    struct job *j = user;
    assert_non_null(j->job);
    track_params_unref(&j->out.params);
    j->out.params = track_params_ref(params);
    j->params++;
}

static void on_frame(void *user, struct av_frame *f)
{
    struct job *j = user;
    assert_non_null(j->job);
    assert_non_null(j->out.params);
    assert_true(j->n_out == 0 || f->pts_ns > j->last_ns);
    j->last_ns = f->pts_ns;
    j->n_out++;
    if (j->keep_nothing) {
        buf_unref(&f->data);
        return;
    }
    assert_true(j->out.n < FRAMES_MAX);
    j->out.pts_ns[j->out.n] = f->pts_ns;
    j->out.duration_ns[j->out.n] = f->duration_ns;
    j->out.data[j->out.n++] = f->data;
}

static void on_gap(void *user)
{
    ((struct job *)user)->gaps++;
}

static void on_failed(void *user, const struct error *err)
{
    struct job *j = user;
    assert_int_equal(j->failures, 0);
    j->failures++;
    j->err = *err;
}

static const struct av_job_ops job_ops = {
    .on_params = on_params, .on_frame = on_frame, .on_gap = on_gap, .on_failed = on_failed};

static void job_open(struct bench *b, struct job *j, struct track_params *from, enum codec to)
{
    struct av_job_spec spec = {.kind = AV_TRANSCODE_AUDIO, .from = from, .to = to};
    j->bench = b;
    j->job = av_job_open(b->pool, b->loop, &spec, &job_ops, j);
}

static void job_done(struct job *j)
{
    j->job = av_job_close(j->job);
    sound_done(&j->out);
}

/* All frames from first to end, waiting for the worker so that nothing is dropped. */
static void feed(struct job *j, const struct sound *s, unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++) {
        av_job_push(j->job, s->data[i], s->pts_ns[i]);
        if (i % 16 == 15) {
            RUN_UNTIL(j->bench->loop, j->failures || j->last_ns > s->pts_ns[i] - 150 * NS_PER_MS);
        }
    }
    RUN_UNTIL(j->bench->loop, j->failures || j->last_ns > s->pts_ns[end - 1] - 90 * NS_PER_MS);
}

static unsigned count_fds(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d)) {
        n++;
    }
    closedir(d);
    return n;
}

static unsigned fds_before;

static void open_pool(struct bench *b, const char *program, unsigned workers, unsigned jobs_max)
{
    struct av_pool_config config = {.workers = workers, .jobs_max = jobs_max};
    char path[512];
    const char *libexec = getenv("MAST_LIBEXEC_DIR");
    assert_non_null(libexec);
    snprintf(path, sizeof(path), "%s/../../%s", libexec, program);
    if (access(path, X_OK) < 0) {
        assert_string_equal(program, REAL);
        skip(); /* built without libav */
    }
    fds_before = count_fds();
    config.program = path;
    b->loop = loop_new("control", LOOP_CONTROL);
    b->pool = av_pool_new(b->loop, &config);
}

static void close_pool(struct bench *b)
{
    struct av_gauges g;
    for (int i = 0; i < 3; i++) {
        loop_run_once(b->loop, 0);
    }
    av_pool_gauges(b->pool, &g);
    assert_int_equal(g.jobs, 0);
    av_pool_free(b->pool);
    RUN_UNTIL(b->loop, proc_live() == 0);
    loop_free(b->loop);
    assert_int_equal(count_fds(), fds_before);
    assert_int_equal(buf_live_count(), 0);
    assert_int_equal(track_params_live_count(), 0);
}

/* ---- the real worker ---- */

static int16_t pcm[30 * RATE];

/* Frequency, length and place in time of what came out. skipped: samples that ffmpeg leaves out at the beginning. */
static void check_sound(const struct sound *out, unsigned seconds, size_t skipped)
{
    size_t n = decode(out, pcm, ARRAY_LEN(pcm));
    assert_in_range(n + skipped, (size_t)RATE * seconds - RATE / 20,
                    (size_t)RATE * seconds + RATE / 20);
    size_t at = onset(pcm, n);
    int64_t onset_ns = out->pts_ns[0] + (int64_t)(at + skipped) * NS_PER_S / RATE;
    int64_t off = onset_ns - (BASE_NS + ONSET_S * NS_PER_S);
    if (llabs(off) > 3 * NS_PER_MS) {
        fail_msg("the tone begins %lld us off", (long long)(off / NS_PER_US));
    }
    assert_true(tone_share(pcm + at + 4800, n - at - 9600, TONE_HZ) > 0.99);
}

static void check_steps(const struct sound *out, int64_t step_ns)
{
    for (unsigned i = 1; i < out->n; i++) {
        assert_in_range(out->pts_ns[i] - out->pts_ns[i - 1], step_ns - 1, step_ns + 1);
        assert_in_range(out->duration_ns[i], step_ns - 1, step_ns + 1);
    }
}

static void aac_becomes_opus_and_aac_again(void **state)
{
    struct bench b;
    struct sound in = {0};
    struct job to_opus = {0};
    struct job to_aac = {0};
    open_pool(&b, REAL, 1, 0);
    make_aac(&in, 5, 48000, 2);
    job_open(&b, &to_opus, in.params, CODEC_OPUS);
    feed(&to_opus, &in, 0, in.n);
    assert_int_equal(to_opus.failures, 0);
    assert_int_equal(to_opus.out.params->codec, CODEC_OPUS);
    assert_int_equal(to_opus.out.params->channels, 2);
    check_steps(&to_opus.out, 20 * NS_PER_MS);
    check_sound(&to_opus.out, 5, to_opus.out.params->preroll_samples);
    int64_t end = to_opus.last_ns + 20 * NS_PER_MS;
    int64_t in_end = in.pts_ns[in.n - 1] + in.duration_ns[in.n - 1];
    assert_in_range(in_end - end, 0, 45 * NS_PER_MS); /* what the encoder still holds */

    job_open(&b, &to_aac, to_opus.out.params, CODEC_AAC);
    feed(&to_aac, &to_opus.out, 0, to_opus.out.n);
    assert_int_equal(to_aac.failures, 0);
    assert_int_equal(to_aac.out.params->codec, CODEC_AAC);
    assert_int_equal(to_aac.out.params->sample_rate, 48000);
    check_steps(&to_aac.out, 1024 * NS_PER_S / RATE);
    check_sound(&to_aac.out, 5, 0);
    assert_int_equal(to_opus.params + to_aac.params, 2);
    assert_int_equal(to_opus.gaps + to_aac.gaps, 0);
    job_done(&to_opus);
    job_done(&to_aac);
    sound_done(&in);
    close_pool(&b);
}

static void other_rates_are_resampled(void **state)
{
    struct bench b;
    struct sound in = {0};
    struct job j = {0};
    open_pool(&b, REAL, 1, 0);
    make_aac(&in, 4, 44100, 1);
    job_open(&b, &j, in.params, CODEC_OPUS);
    feed(&j, &in, 0, in.n);
    assert_int_equal(j.failures, 0);
    assert_int_equal(j.out.params->channels, 1);
    check_steps(&j.out, 20 * NS_PER_MS);
    check_sound(&j.out, 4, j.out.params->preroll_samples);
    job_done(&j);
    sound_done(&in);
    close_pool(&b);
}

/* Opus and MP3 as ffmpeg's encoders make them: a tone of 440 Hz. */
static void opus_and_mp3_files_become_aac(void **state)
{
    static const struct {
        const char *file;
        enum codec codec;
    } files[] = {{"av1_opus.mp4", CODEC_OPUS}, {"vp9_mp3.mp4", CODEC_MP3}};
    for (unsigned k = 0; k < ARRAY_LEN(files); k++) {
        struct bench b;
        struct sound in = {0};
        struct job j = {0};
        open_pool(&b, REAL, 1, 0);
        struct fixture *f = fixture_open(files[k].file);
        struct fixture_track *t = &f->tracks[1];
        assert_int_equal(t->codec, files[k].codec);
        assert_int_equal(track_params_new(t->codec, t->config, &in.params, NULL), 0);
        for (; in.n < t->n; in.n++) {
            in.data[in.n] = buf_copy(t->samples[in.n].data);
            in.pts_ns[in.n] = BASE_NS + t->samples[in.n].pts * NS_PER_S / t->timescale;
        }
        job_open(&b, &j, in.params, CODEC_AAC);
        feed(&j, &in, 0, in.n);
        assert_int_equal(j.failures + j.gaps, 0);
        check_steps(&j.out, 1024 * NS_PER_S / RATE);
        size_t n = decode(&j.out, pcm, ARRAY_LEN(pcm));
        assert_true(n > RATE);
        assert_true(tone_share(pcm + RATE / 5, RATE / 2, 440) > 0.98);
        job_done(&j);
        sound_done(&in);
        fixture_close(f);
        close_pool(&b);
    }
}

/* A sender whose clock is 1 in 500 slow: after ten seconds it would be 20 ms off. */
static void another_clock_does_not_make_it_drift(void **state)
{
    struct bench b;
    struct sound in = {0};
    struct job j = {0};
    open_pool(&b, REAL, 1, 0);
    make_aac(&in, 10, 48000, 2);
    for (unsigned i = 0; i < in.n; i++) {
        in.pts_ns[i] += (in.pts_ns[i] - BASE_NS) / 500;
    }
    job_open(&b, &j, in.params, CODEC_OPUS);
    feed(&j, &in, 0, in.n);
    check_steps(&j.out, 20 * NS_PER_MS);
    size_t n = decode(&j.out, pcm, ARRAY_LEN(pcm));
    /* 20 ms more of it than without, within 5. */
    int64_t span = j.last_ns + 20 * NS_PER_MS - j.out.pts_ns[0];
    int64_t in_span = in.pts_ns[in.n - 1] + in.duration_ns[in.n - 1] - in.pts_ns[0];
    assert_in_range(in_span - span, 0, 45 * NS_PER_MS);
    /* Stretched, not patched: still the one tone, a little lower. */
    assert_true(tone_share(pcm + 8 * RATE, RATE / 2, TONE_HZ * 500.0 / 501) > 0.99);
    assert_true(n > 9 * RATE);
    job_done(&j);
    sound_done(&in);
    close_pool(&b);
}

static void short_gaps_are_silence_and_long_ones_holes(void **state)
{
    struct bench b;
    struct sound in = {0};
    struct job j = {0};
    open_pool(&b, REAL, 1, 0);
    make_aac(&in, 4, 48000, 2);
    job_open(&b, &j, in.params, CODEC_OPUS);
    /* Ten frames are lost (213 ms): the stamps go on step by step. */
    feed(&j, &in, 0, 80);
    feed(&j, &in, 90, 120);
    check_steps(&j.out, 20 * NS_PER_MS);
    /* Then five seconds pass. */
    unsigned before = j.out.n;
    for (unsigned i = 120; i < in.n; i++) {
        in.pts_ns[i] += 5 * NS_PER_S;
    }
    feed(&j, &in, 120, in.n);
    unsigned holes = 0;
    for (unsigned i = 1; i < j.out.n; i++) {
        int64_t step = j.out.pts_ns[i] - j.out.pts_ns[i - 1];
        if (step != 20 * NS_PER_MS) {
            holes++;
            assert_true(i >= before);
            /* The new line begins where the sound does, 312 samples of priming earlier. */
            assert_in_range(j.out.pts_ns[i] + 6500000, in.pts_ns[120] - 1, in.pts_ns[120] + 1);
        }
    }
    assert_int_equal(holes, 1);
    job_done(&j);
    sound_done(&in);
    close_pool(&b);
}

static void a_killed_worker_costs_a_gap_only(void **state)
{
    struct bench b;
    struct sound in = {0};
    struct job j = {0};
    struct av_gauges g;
    open_pool(&b, REAL, 1, 0);
    make_aac(&in, 4, 48000, 2);
    job_open(&b, &j, in.params, CODEC_OPUS);
    feed(&j, &in, 0, 80);
    pid_t old = av_pool_worker_pid(b.pool, 0);
    assert_true(old > 0);
    assert_int_equal(kill(old, SIGKILL), 0);
    RUN_UNTIL(b.loop, j.gaps == 1);
    feed(&j, &in, 80, in.n);
    assert_int_equal(j.failures, 0);
    assert_int_equal(j.gaps, 1);
    assert_int_equal(j.params, 1); /* the same as before */
    assert_true(av_pool_worker_pid(b.pool, 0) != old);
    av_pool_gauges(b.pool, &g);
    assert_int_equal(g.restarts_total, 1);
    assert_int_equal(g.workers, 1);
    assert_int_equal(g.jobs, 1);
    /* What came after the gap lies where it lay in what went in. */
    assert_in_range(in.pts_ns[in.n - 1] + in.duration_ns[in.n - 1] - j.last_ns, 0, 70 * NS_PER_MS);
    job_done(&j);
    sound_done(&in);
    close_pool(&b);
}

static void garbage_ends_its_own_job_only(void **state)
{
    struct bench b;
    struct sound in = {0};
    struct job good = {0};
    struct job bad = {0};
    uint8_t noise[300];
    open_pool(&b, REAL, 1, 0);
    make_aac(&in, 3, 48000, 2);
    job_open(&b, &good, in.params, CODEC_OPUS);
    job_open(&b, &bad, in.params, CODEC_OPUS);
    /* Channel elements that the configuration does not know: no decoder can do anything with it. */
    memset(noise, 0xff, sizeof(noise));
    for (unsigned i = 0; i < 50; i++) {
        struct buf *frame = buf_copy(BYTES(noise, sizeof(noise)));
        av_job_push(bad.job, frame, BASE_NS + i * 20 * NS_PER_MS);
        buf_unref(&frame);
    }
    feed(&good, &in, 0, in.n);
    RUN_UNTIL(b.loop, bad.failures);
    assert_non_null(strstr(bad.err.text, "decoder refuses"));
    assert_int_equal(bad.n_out, 0);
    assert_int_equal(good.failures + good.gaps, 0);
    check_sound(&good.out, 3, good.out.params->preroll_samples);
    job_done(&good);
    job_done(&bad);
    sound_done(&in);
    close_pool(&b);
}

static void what_cannot_be_done_is_refused(void **state)
{
    struct bench b;
    struct job jobs[3] = {{0}};
    struct track_params *video = NULL;
    struct track_params *opus = NULL;
    open_pool(&b, REAL, 1, 1);
    static const uint8_t vpcc[] = {0, 10, 0x82, 2, 2, 2, 0, 0};
    static const uint8_t dops[] = {0, 2, 1, 56, 0, 0, 0xbb, 0x80, 0, 0, 0};
    assert_int_equal(track_params_new(CODEC_VP9, BYTES(vpcc, sizeof(vpcc)), &video, NULL), 0);
    assert_int_equal(track_params_new(CODEC_OPUS, BYTES(dops, sizeof(dops)), &opus, NULL), 0);
    job_open(&b, &jobs[0], video, CODEC_OPUS);
    job_open(&b, &jobs[1], opus, CODEC_MP3);
    RUN_UNTIL(b.loop, jobs[0].failures && jobs[1].failures);
    assert_int_equal(jobs[0].err.code, -ENOTSUP);
    assert_int_equal(jobs[1].err.code, -ENOTSUP);
    job_done(&jobs[0]);
    job_done(&jobs[1]);
    /* One is all this worker takes. */
    struct job full[2] = {{0}};
    job_open(&b, &full[0], opus, CODEC_AAC);
    job_open(&b, &full[1], opus, CODEC_AAC);
    RUN_UNTIL(b.loop, full[1].failures && full[0].params);
    assert_int_equal(full[1].err.code, -EAGAIN);
    assert_int_equal(full[0].failures, 0);
    job_done(&full[0]);
    job_done(&full[1]);
    track_params_unref(&video);
    track_params_unref(&opus);
    close_pool(&b);
}

static void a_missing_worker_is_said(void **state)
{
    struct bench b = {0};
    struct job j = {0};
    struct track_params *opus = NULL;
    static const uint8_t dops[] = {0, 2, 1, 56, 0, 0, 0xbb, 0x80, 0, 0, 0};
    open_pool(&b, REAL, 1, 0);
    av_pool_free(b.pool);
    /* MAST_LIBEXEC_DIR of the tests holds mast-spawn only. */
    b.pool = av_pool_new(b.loop, &(struct av_pool_config){0});
    assert_int_equal(track_params_new(CODEC_OPUS, BYTES(dops, sizeof(dops)), &opus, NULL), 0);
    job_open(&b, &j, opus, CODEC_AAC);
    RUN_UNTIL(b.loop, j.failures);
    assert_int_equal(j.err.code, -ENOENT);
    assert_non_null(strstr(j.err.text, "not found"));
    job_done(&j);
    track_params_unref(&opus);
    close_pool(&b);
}

#define MANY 100

static void a_hundred_jobs_at_once(void **state)
{
    struct bench b;
    struct sound in = {0};
    static struct job jobs[MANY];
    struct av_gauges g;
    open_pool(&b, REAL, 2, 0);
    make_aac(&in, 2, 48000, 2);
    memset(jobs, 0, sizeof(jobs));
    for (unsigned i = 0; i < MANY; i++) {
        jobs[i].keep_nothing = true;
        job_open(&b, &jobs[i], in.params, CODEC_OPUS);
    }
    unsigned done = 0;
    for (unsigned k = 0; k < in.n; k++) {
        for (unsigned i = 0; i < MANY; i++) {
            av_job_push(jobs[i].job, in.data[k], in.pts_ns[k]);
        }
        if (k % 16 == 15 || k == in.n - 1) {
            for (done = 0; done < MANY; done++) {
                RUN_UNTIL(b.loop, jobs[done].last_ns > in.pts_ns[k] - 150 * NS_PER_MS);
            }
        }
    }
    av_pool_gauges(b.pool, &g);
    assert_int_equal(g.jobs, MANY);
    assert_int_equal(g.workers, 2);
    assert_true(g.frames_out_total >= MANY * 95);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(jobs[i].gaps + jobs[i].failures, 0);
        job_done(&jobs[i]);
    }
    sound_done(&in);
    close_pool(&b);
}

static void jobs_close_with_everything_under_way(void **state)
{
    struct bench b;
    struct sound in = {0};
    open_pool(&b, REAL, 1, 0);
    make_aac(&in, 2, 48000, 2);
    for (unsigned events = 0; events < 30; events++) {
        struct job j = {.keep_nothing = true};
        job_open(&b, &j, in.params, CODEC_OPUS);
        for (unsigned i = 0; i < 40; i++) {
            av_job_push(j.job, in.data[i], in.pts_ns[i]);
        }
        for (unsigned i = 0; i < events; i++) {
            loop_run_once(b.loop, 1);
        }
        job_done(&j);
    }
    sound_done(&in);
    close_pool(&b);
}

/* ---- owners on threads of their own ---- */

#define OWNERS 2

struct owner {
    struct loop *loop;
    struct av_pool *pool;
    const struct sound *in;
    struct av_job *job;
    unsigned pushed;
    atomic_uint n_out;
    atomic_uint gaps;
};

static void owner_push(struct owner *o, unsigned n)
{
    for (; n > 0 && o->pushed < o->in->n; n--, o->pushed++) {
        av_job_push(o->job, o->in->data[o->pushed], o->in->pts_ns[o->pushed]);
    }
}

static void owner_on_params(void *user, struct track_params *params)
{
    assert_true(loop_is_current(((struct owner *)user)->loop));
}

static void owner_on_frame(void *user, struct av_frame *f)
{
    struct owner *o = user;
    assert_true(loop_is_current(o->loop));
    buf_unref(&f->data);
    atomic_fetch_add(&o->n_out, 1);
    owner_push(o, 1);
}

static void owner_on_gap(void *user)
{
    struct owner *o = user;
    atomic_fetch_add(&o->gaps, 1);
    owner_push(o, REFILL);
}

static void owner_on_failed(void *user, const struct error *err)
{
    fail_msg("%s", err->text);
}

static void owner_open(struct loop *l, void *arg)
{
    static const struct av_job_ops ops = {.on_params = owner_on_params,
                                          .on_frame = owner_on_frame,
                                          .on_gap = owner_on_gap,
                                          .on_failed = owner_on_failed};
    struct owner *o = arg;
    struct av_job_spec spec = {.from = o->in->params, .to = CODEC_OPUS};
    o->job = av_job_open(o->pool, l, &spec, &ops, o);
    owner_push(o, REFILL);
}

static void owner_close(struct loop *l, void *arg)
{
    struct owner *o = arg;
    o->job = av_job_close(o->job);
}

/* They open, push and close on their own threads, while the worker is killed under them. */
static void owners_have_loops_of_their_own(void **state)
{
    struct bench b;
    struct sound in = {0};
    struct owner owners[OWNERS] = {{0}};
    open_pool(&b, REAL, 1, 0);
    make_aac(&in, 8, 48000, 2);
    for (unsigned i = 0; i < OWNERS; i++) {
        owners[i].loop = loop_new("media", (int)i);
        owners[i].pool = b.pool;
        owners[i].in = &in;
        assert_int_equal(loop_start(owners[i].loop), 0);
        loop_call(owners[i].loop, owner_open, &owners[i]);
    }
    RUN_UNTIL(b.loop, atomic_load(&owners[0].n_out) > 50 && atomic_load(&owners[1].n_out) > 50);
    assert_int_equal(kill(av_pool_worker_pid(b.pool, 0), SIGKILL), 0);
    RUN_UNTIL(b.loop, atomic_load(&owners[0].gaps) > 0 && atomic_load(&owners[1].gaps) > 0);
    unsigned before[OWNERS] = {atomic_load(&owners[0].n_out), atomic_load(&owners[1].n_out)};
    RUN_UNTIL(b.loop, atomic_load(&owners[0].n_out) > before[0] + 20 &&
                          atomic_load(&owners[1].n_out) > before[1] + 20);
    for (unsigned i = 0; i < OWNERS; i++) {
        loop_call_wait(owners[i].loop, owner_close, &owners[i]);
    }
    struct av_gauges g = {.jobs = 1};
    while (g.jobs > 0) {
        loop_run_once(b.loop, 20);
        av_pool_gauges(b.pool, &g);
    }
    for (unsigned i = 0; i < OWNERS; i++) {
        loop_stop(owners[i].loop);
        loop_free(owners[i].loop);
    }
    sound_done(&in);
    close_pool(&b);
}

/* ---- the mad worker ---- */

static void push_text(struct job *j, const char *text, unsigned n)
{
    struct buf *b = buf_from_str(text);
    av_job_push(j->job, b, BASE_NS + n * 20 * NS_PER_MS);
    buf_unref(&b);
}

static struct track_params *opus_params(void)
{
    struct track_params *p = NULL;
    static const uint8_t dops[] = {0, 2, 1, 56, 0, 0, 0xbb, 0x80, 0, 0, 0};
    assert_int_equal(track_params_new(CODEC_OPUS, BYTES(dops, sizeof(dops)), &p, NULL), 0);
    return p;
}

static void who_kills_it_twice_is_refused(void **state)
{
    struct bench b;
    struct job good = {0};
    struct job bad = {0};
    struct track_params *opus = opus_params();
    open_pool(&b, MAD, 1, 0);
    job_open(&b, &good, opus, CODEC_OPUS);
    job_open(&b, &bad, opus, CODEC_OPUS);
    push_text(&good, "fine", 0);
    RUN_UNTIL(b.loop, good.n_out == 1);
    push_text(&bad, "die", 0);
    RUN_UNTIL(b.loop, bad.gaps == 1);
    assert_int_equal(bad.failures, 0);
    push_text(&good, "fine", 1);
    RUN_UNTIL(b.loop, good.n_out == 2);
    push_text(&bad, "die", 1);
    RUN_UNTIL(b.loop, bad.failures);
    assert_non_null(strstr(bad.err.text, "twice"));
    push_text(&good, "fine", 2);
    RUN_UNTIL(b.loop, good.n_out == 3);
    assert_int_equal(good.failures, 0);
    assert_int_equal(good.gaps, 2);
    job_done(&good);
    job_done(&bad);
    track_params_unref(&opus);
    close_pool(&b);
}

static void who_breaks_the_rules_is_replaced(void **state)
{
    static const char *const sins[] = {"junk", "cheat", "twice"};
    struct bench b;
    struct job j = {0};
    struct av_gauges g;
    struct track_params *opus = opus_params();
    open_pool(&b, MAD, 1, 0);
    job_open(&b, &j, opus, CODEC_OPUS);
    for (unsigned i = 0; i < ARRAY_LEN(sins); i++) {
        push_text(&j, sins[i], 10 * i);
        RUN_UNTIL(b.loop, j.gaps == i + 1);
        unsigned before = j.n_out;
        push_text(&j, "fine", 10 * i + 5);
        RUN_UNTIL(b.loop, j.n_out > before);
    }
    av_pool_gauges(b.pool, &g);
    assert_int_equal(g.restarts_total, ARRAY_LEN(sins));
    assert_int_equal(j.failures, 0);
    job_done(&j);
    track_params_unref(&opus);
    close_pool(&b);
}

static void who_hangs_or_hangs_up_is_replaced(void **state)
{
    static const char *const sins[] = {"hang", "deaf"};
    struct bench b;
    struct job j[2] = {{0}};
    struct track_params *opus = opus_params();
    open_pool(&b, MAD, 1, 0);
    for (unsigned i = 0; i < ARRAY_LEN(sins); i++) {
        job_open(&b, &j[i], opus, CODEC_OPUS);
        push_text(&j[i], sins[i], 0);
        RUN_UNTIL(b.loop, j[i].gaps == 1);
        push_text(&j[i], "fine", 1);
        RUN_UNTIL(b.loop, j[i].n_out == 1);
        job_done(&j[i]);
        for (int k = 0; k < 3; k++) {
            loop_run_once(b.loop, 0);
        }
    }
    track_params_unref(&opus);
    close_pool(&b);
}

static void strangers_and_refusals_touch_nobody_else(void **state)
{
    struct bench b;
    struct job good = {0};
    struct job bad = {0};
    struct track_params *opus = opus_params();
    open_pool(&b, MAD, 1, 0);
    job_open(&b, &good, opus, CODEC_OPUS);
    job_open(&b, &bad, opus, CODEC_OPUS);
    push_text(&good, "stranger", 0);
    push_text(&bad, "refuse", 0);
    RUN_UNTIL(b.loop, bad.failures && good.n_out == 1);
    assert_string_equal(bad.err.text, "not?this");
    assert_int_equal(bad.n_out, 0);
    push_text(&bad, "die", 1); /* passed over: it is told no more */
    push_text(&good, "fine", 1);
    RUN_UNTIL(b.loop, good.n_out == 2);
    assert_int_equal(good.gaps, 0);
    job_done(&good);
    job_done(&bad);
    track_params_unref(&opus);
    close_pool(&b);
}

static void too_many_frames_drop_the_oldest(void **state)
{
    struct bench b;
    struct job j = {0};
    struct track_params *opus = opus_params();
    open_pool(&b, MAD, 1, 0);
    job_open(&b, &j, opus, CODEC_OPUS);
    /* The worker does not run yet: 64 fit between the loops, all wait in the job; then 36 more push the oldest out. */
    for (unsigned i = 0; i < 64; i++) {
        push_text(&j, "fine", i);
    }
    loop_run_once(b.loop, 0);
    for (unsigned i = 64; i < 100; i++) {
        push_text(&j, "fine", i);
    }
    RUN_UNTIL(b.loop, j.last_ns == BASE_NS + 99 * 20 * NS_PER_MS);
    assert_int_equal(j.gaps, 1);
    assert_int_equal(j.n_out, 64);
    assert_int_equal(j.out.pts_ns[0], BASE_NS + 36 * 20 * NS_PER_MS);
    job_done(&j);
    track_params_unref(&opus);
    close_pool(&b);
}

static int make_folder(void **state)
{
    /* The first loop of a process opens descriptors of libuv's that stay. */
    loop_free(loop_new("first", LOOP_CONTROL));
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"in.aac", "out.mp4", "out.raw"};
    char path[128];
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aac_becomes_opus_and_aac_again),
        cmocka_unit_test(other_rates_are_resampled),
        cmocka_unit_test(opus_and_mp3_files_become_aac),
        cmocka_unit_test(another_clock_does_not_make_it_drift),
        cmocka_unit_test(short_gaps_are_silence_and_long_ones_holes),
        cmocka_unit_test(a_killed_worker_costs_a_gap_only),
        cmocka_unit_test(garbage_ends_its_own_job_only),
        cmocka_unit_test(what_cannot_be_done_is_refused),
        cmocka_unit_test(a_missing_worker_is_said),
        cmocka_unit_test(a_hundred_jobs_at_once),
        cmocka_unit_test(jobs_close_with_everything_under_way),
        cmocka_unit_test(owners_have_loops_of_their_own),
        cmocka_unit_test(who_kills_it_twice_is_refused),
        cmocka_unit_test(who_breaks_the_rules_is_replaced),
        cmocka_unit_test(who_hangs_or_hangs_up_is_replaced),
        cmocka_unit_test(strangers_and_refusals_touch_nobody_else),
        cmocka_unit_test(too_many_frames_drop_the_oldest),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
