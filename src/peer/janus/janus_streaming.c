/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/janus/janus_streaming.h"

#include "base/mem.h"
#include "peer/janus/janus_body.h"
#include "peer/janus/janus_private.h"
#include "peer/janus/janus_streaming_wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- checks: what Janus would take, cut, or leak on ---- */

static const char *const audio_codecs[] = {"opus",   "multiopus", "pcmu", "pcma",  "g722",
                                           "isac16", "isac32",    "l16",  "l16-48"};
static const char *const video_codecs[] = {"vp8", "vp9", "h264", "av1", "h265"};

static bool is_one_of(const char *s, const char *const *names, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(s, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int check_codec(const struct janus_track *t, bool for_create, struct error *err)
{
    if (!t->codec) {
        return for_create ? error_set(err, -EINVAL, "codec", "is needed") : 0;
    }
    bool known = t->type == JANUS_AUDIO
                     ? is_one_of(t->codec, audio_codecs, ARRAY_LEN(audio_codecs))
                     : is_one_of(t->codec, video_codecs, ARRAY_LEN(video_codecs));
    return known ? 0 : error_set(err, -EINVAL, "codec", "is none that Janus carries: %s", t->codec);
}

/* An IPv4 multicast group, or an IPv6 one; Janus takes anything and then hears nothing. */
static int check_mcast(const struct janus_track *t, struct error *err)
{
    int first = 0;
    bool v4 = t->mcast && sscanf(t->mcast, "%3d.", &first) == 1 && first >= 224 && first <= 239;
    bool v6 = t->mcast && (strncmp(t->mcast, "ff", 2) == 0 || strncmp(t->mcast, "FF", 2) == 0);
    return !t->mcast || v4 || v6 ? 0 : error_set(err, -EINVAL, "mcast", "is no multicast group");
}

static int check_data(const struct janus_track *t, struct error *err)
{
    bool known =
        !t->data_type || strcmp(t->data_type, "text") == 0 || strcmp(t->data_type, "binary") == 0;
    return known ? 0 : error_set(err, -EINVAL, "data_type", "must be text or binary");
}

static int check_track(struct janus_track *t, bool for_create, struct error *err)
{
    int r = body_check_extra(t->extra, "extra", err);
    if (r < 0) {
        return r;
    }
    if (t->type == JANUS_DATA) {
        return check_data(t, err);
    }
    if (for_create && !MODEL_HAS(&janus_track_model, t, pt)) {
        MODEL_SET(&janus_track_model, t, pt, t->type == JANUS_VIDEO ? 96 : 111);
    }
    r = check_codec(t, for_create, err);
    return r < 0 ? r : check_mcast(t, err);
}

static unsigned place_among_kind(const struct janus_mountpoint *m, size_t i)
{
    unsigned n = 0;
    for (size_t k = 0; k < i; k++) {
        n += m->media.items[k].type == m->media.items[i].type;
    }
    return n;
}

static bool mid_is_taken(const struct janus_mountpoint *m, size_t but, const char *mid)
{
    for (size_t k = 0; k < m->media.len; k++) {
        if (k != but && m->media.items[k].mid && strcmp(m->media.items[k].mid, mid) == 0) {
            return true;
        }
    }
    return false;
}

/* "v", "a", "d", then "v2", ...; the caller's own names are not taken. */
static void make_mid(struct janus_mountpoint *m, size_t i)
{
    static const char letters[] = {'a', 'v', 'd'};
    struct janus_track *t = &m->media.items[i];
    char mid[8];
    for (unsigned n = 1; n <= 2 * JANUS_TRACKS_MAX; n++) {
        snprintf(mid, sizeof(mid), n == 1 ? "%c" : "%c%u", letters[t->type], n);
        if (!mid_is_taken(m, i, mid)) {
            break;
        }
    }
    t->mid = mem_strdup(mid);
}

static void fill_in(struct janus_mountpoint *m)
{
    for (size_t i = 0; i < m->media.len; i++) {
        struct janus_track *t = &m->media.items[i];
        if (!t->mid) {
            make_mid(m, i);
        }
        if (!MODEL_HAS(&janus_track_model, t, mindex)) {
            MODEL_SET(&janus_track_model, t, mindex, (int32_t)place_among_kind(m, i));
        }
    }
}

/* Ports that are given twice leave the first of them bound for ever in Janus. */
static int check_ports(const struct janus_mountpoint *m, struct error *err)
{
    int64_t seen[JANUS_TRACKS_MAX * 4];
    unsigned n = 0;
    for (size_t i = 0; i < m->media.len; i++) {
        const struct janus_track *t = &m->media.items[i];
        const int64_t ports[] = {t->port, t->rtcpport, t->port2, t->port3};
        for (unsigned p = 0; p < ARRAY_LEN(ports); p++) {
            for (unsigned s = 0; s < n && ports[p] != 0; s++) {
                if (seen[s] == ports[p]) {
                    return error_set(err, -EINVAL, "media", "port %lld is there twice",
                                     (long long)ports[p]);
                }
            }
            seen[n++] = ports[p];
        }
    }
    return 0;
}

static int check_media(struct janus_mountpoint *m, bool for_create, struct error *err)
{
    char where[40];
    for (size_t i = 0; i < m->media.len; i++) {
        int r = check_track(&m->media.items[i], for_create, err);
        if (r == 0 && mid_is_taken(m, i, m->media.items[i].mid)) {
            r = error_set(err, -EINVAL, "mid", "is there twice: %s", m->media.items[i].mid);
        }
        if (r < 0) {
            snprintf(where, sizeof(where), "media[%zu]", i);
            error_prefix(err, where);
            return r;
        }
    }
    return check_ports(m, err);
}

/* ---- what Janus fetches itself ---- */

static const struct file_kind {
    const char *ending, *codec;
    int32_t pt;
} file_kinds[] = {{".opus", "opus", 111}, {".mulaw", "pcmu", 0}, {".alaw", "pcma", 8}};

static const struct file_kind *file_kind_of(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < ARRAY_LEN(file_kinds); i++) {
        size_t n = strlen(file_kinds[i].ending);
        if (len > n && strcmp(name + len - n, file_kinds[i].ending) == 0) {
            return &file_kinds[i];
        }
    }
    return NULL;
}

/* Neither ports nor a second track of its kind: such mountpoints are as those before there were several tracks. */
static int check_fetched(const struct janus_mountpoint *m, struct error *err)
{
    unsigned n[] = {[JANUS_AUDIO] = 0, [JANUS_VIDEO] = 0, [JANUS_DATA] = 0};
    for (size_t i = 0; i < m->media.len; i++) {
        const struct janus_track *t = &m->media.items[i];
        char where[40];
        snprintf(where, sizeof(where), "media[%zu].%s", i, t->port ? "port" : "type");
        if (t->port != 0) {
            return error_set(err, -EINVAL, where, "must not be here: Janus fetches this itself");
        }
        if (t->type == JANUS_DATA || n[t->type]++ > 0) {
            return error_set(err, -EINVAL, where, "must be audio or video, one of each at most");
        }
    }
    return 0;
}

/* Janus plays one track of sound, whose name tells its codec: without a media list it is made. */
static int check_file(struct janus_mountpoint *m, struct error *err)
{
    const struct file_kind *kind = m->filename ? file_kind_of(m->filename) : NULL;
    if (!kind) {
        return error_set(err, -EINVAL, "filename",
                         m->filename ? "must end with .opus, .mulaw or .alaw: Janus plays no others"
                                     : "is needed");
    }
    if (m->media.len == 0) {
        m->media.items = mem_new_array(struct janus_track, 1);
        model_init(&janus_track_model, &m->media.items[0]);
        m->media.items[0].type = JANUS_AUDIO;
        m->media.len = 1;
        fill_in(m);
    }
    struct janus_track *t = &m->media.items[0];
    if (m->media.len > 1 || t->type != JANUS_AUDIO) {
        return error_set(err, -EINVAL, "media", "must be one audio track: Janus plays no pictures");
    }
    if (!t->codec) {
        t->codec = mem_strdup(kind->codec);
    }
    if (strcmp(t->codec, kind->codec) != 0) {
        return error_set(err, -EINVAL, "media[0].codec", "must be %s for a file *%s", kind->codec,
                         kind->ending);
    }
    if (!MODEL_HAS(&janus_track_model, t, pt)) {
        MODEL_SET(&janus_track_model, t, pt, kind->pt);
    }
    return 0;
}

/* It reaches libcurl in Janus, which knows other schemes too. */
static int check_rtsp(const struct janus_mountpoint *m, struct error *err)
{
    if (!m->url) {
        return error_set(err, -EINVAL, "url", "is needed");
    }
    bool rtsp = strncasecmp(m->url, "rtsp://", 7) == 0 || strncasecmp(m->url, "rtsps://", 8) == 0;
    return rtsp ? 0 : error_set(err, -EINVAL, "url", "must be rtsp:// or rtsps://");
}

int janus_mountpoint_check(struct janus_mountpoint *m, bool for_create, struct error *err)
{
    if (m->media.len > JANUS_TRACKS_MAX) {
        return error_set(err, -E2BIG, "media", "has more than %u tracks", JANUS_TRACKS_MAX);
    }
    if (m->id.kind == MODEL_ID_INT && m->id.num < 0) {
        return error_set(err, -EINVAL, "id", "must not be negative");
    }
    int r = body_check_extra(m->extra, "extra", err);
    if (r == 0 && m->permanent) {
        r = body_check_filed(m->name, "name", err);
    }
    if (r < 0) {
        return r;
    }
    fill_in(m);
    if (m->type == JANUS_MOUNTPOINT_RTP) {
        if (m->media.len == 0) {
            return error_set(err, -EINVAL, "media", "needs at least one track");
        }
        return check_media(m, for_create, err);
    }
    r = check_fetched(m, err);
    if (r == 0) {
        r = m->type == JANUS_MOUNTPOINT_RTSP ? check_rtsp(m, err) : check_file(m, err);
    }
    return r < 0 ? r : check_media(m, false, err);
}

/* ---- questions ---- */

struct question {
    janus_mountpoint_fn one;
    janus_mountpoints_fn many;
    janus_done_fn done;
    void *user;
    struct model_id about; /* of `one`: what it must be told of; none: whatever Janus made */
    char text[];           /* of about */
};

static struct question *question_about(const struct model_id *id, void *user)
{
    size_t len = id->kind == MODEL_ID_STR ? strlen(id->str) + 1 : 0;
    struct question *q = mem_zalloc(sizeof(*q) + len);
    q->user = user;
    q->about = *id;
    if (len > 0) {
        q->about.str = memcpy(q->text, id->str, len);
    }
    return q;
}

static struct question *question_new(void *user)
{
    return question_about(&(struct model_id){0}, user);
}

static bool is_about(const struct question *q, const struct janus_mountpoints *m)
{
    bool any = q->about.kind == MODEL_ID_NONE;
    return q->many || (m->n == 1 && (any || model_id_equal(&m->infos[0].id, &q->about)));
}

static void tell(const struct question *q, const struct janus_result *res,
                 const struct janus_mountpoints *m)
{
    if (q->many) {
        q->many(q->user, res, m ? m->infos : NULL, m ? m->n : 0);
    } else {
        q->one(q->user, res, m ? &m->infos[0] : NULL);
    }
}

static void on_mountpoints(void *user, const struct janus_result *res)
{
    const struct question *q = user;
    struct janus_mountpoints m;
    struct error err = {0};
    if (res->r < 0) {
        tell(q, res, NULL);
        return;
    }
    if (janus_streaming_parse(res->data, &m, &err) < 0) {
        struct janus_result bad = *res;
        bad.r = -EPROTO;
        bad.text = err.text;
        tell(q, &bad, NULL);
        return;
    }
    if (is_about(q, &m)) {
        tell(q, res, &m);
    } else {
        struct janus_result bad = *res;
        bad.r = -EPROTO;
        bad.text = "Janus tells of another mountpoint than it was asked about";
        tell(q, &bad, NULL);
    }
    janus_mountpoints_done(&m);
}

static void on_done(void *user, const struct janus_result *res)
{
    const struct question *q = user;
    q->done(q->user, res);
}

struct janus_call *janus_streaming_create(struct janus_handle *h, const struct janus_mountpoint *m,
                                          janus_mountpoint_fn done, void *user)
{
    struct janus_mountpoint checked;
    struct error err = {0};
    struct question *q = question_about(&m->id, user);
    q->one = done;
    model_copy(&janus_mountpoint_model, &checked, m);
    char *body = janus_mountpoint_check(&checked, true, &err) < 0
                     ? NULL
                     : janus_streaming_put_create(&checked, &err);
    struct janus_call *c = janus_ask_own(h, body, &err, on_mountpoints, q);
    model_done(&janus_mountpoint_model, &checked);
    return c;
}

/* One code for all that keeps a mountpoint from being made; the rest of it was checked before it was sent. */
bool janus_streaming_port_taken(const struct janus_result *res)
{
    return res->r == -EREMOTEIO && res->code == JANUS_STREAMING_CANT_CREATE && res->text &&
           strstr(res->text, "data source stream");
}

struct janus_call *janus_streaming_info(struct janus_handle *h, const struct model_id *id,
                                        const char *secret, janus_mountpoint_fn done, void *user)
{
    struct error err = {0};
    struct question *q = question_about(id, user);
    q->one = done;
    char *body = janus_streaming_put_simple("info", id, secret, -1, &err);
    return janus_ask_own(h, body, &err, on_mountpoints, q);
}

struct janus_call *janus_streaming_list(struct janus_handle *h, const char *admin_key,
                                        janus_mountpoints_fn done, void *user)
{
    struct error err = {0};
    struct question *q = question_new(user);
    q->many = done;
    char *body = janus_streaming_put_list(admin_key, &err);
    return janus_ask_own(h, body, &err, on_mountpoints, q);
}

struct janus_call *janus_streaming_edit(struct janus_handle *h, const struct model_id *id,
                                        const char *secret, const struct janus_streaming_edit *edit,
                                        janus_done_fn done, void *user)
{
    struct error err = {0};
    struct question *q = question_new(user);
    q->done = done;
    char *body = janus_streaming_put_edit(id, secret, edit, &err);
    return janus_ask_own(h, body, &err, on_done, q);
}

struct janus_call *janus_streaming_enable(struct janus_handle *h, const struct model_id *id,
                                          const char *secret, bool enabled, janus_done_fn done,
                                          void *user)
{
    struct error err = {0};
    struct question *q = question_new(user);
    q->done = done;
    const char *request = enabled ? "enable" : "disable";
    char *body = janus_streaming_put_simple(request, id, secret, -1, &err);
    return janus_ask_own(h, body, &err, on_done, q);
}

struct janus_call *janus_streaming_destroy(struct janus_handle *h, const struct model_id *id,
                                           const char *secret, bool permanent, janus_done_fn done,
                                           void *user)
{
    struct error err = {0};
    struct question *q = question_new(user);
    q->done = done;
    char *body = janus_streaming_put_simple("destroy", id, secret, permanent, &err);
    return janus_ask_own(h, body, &err, on_done, q);
}
