/* SPDX-License-Identifier: Apache-2.0 */
#include "app/broadcast_start.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/url.h"
#include "service/broadcast/broadcast_models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX_BYTES (256u << 10)
#define POLL_US        150000
#define WAIT_DEFAULT_S 60

/* ---- the request ---- */

static const struct source_word {
    const char *word;
    enum broadcast_source kind;
} sources[] = {
    {"videoroom", BROADCAST_VIDEOROOM},     {"rtmp", BROADCAST_RTMP_EXTERNAL},
    {"rtsp", BROADCAST_RTSP_CAMERA},        {"obs", BROADCAST_OBS},
    {"stream", BROADCAST_STREAM},           {"browser", BROADCAST_BROWSER_WEBRTC},
    {"frontend", BROADCAST_FRONTEND_OWNED},
};

#define REQUEST_OPTIONS                                                                            \
    {.name = "-f",                                                                                 \
     .arg = "FILE",                                                                                \
     .help = "The request, YAML or JSON; - = standard input. The place for secrets"},              \
        {.name = "--id", .arg = "ID", .help = "The broadcast's id; else one is made"},             \
        {.name = "--name", .arg = "TEXT", .help = "What it is called"},                            \
        {.name = "--room", .arg = "ID", .help = "The VideoRoom; made when it is not there"},       \
        {.name = "--publisher", .arg = "ID", .help = "Who publishes there"},                       \
        {.name = "--display",                                                                      \
         .arg = "NAME",                                                                            \
         .help = "The publisher by its name, whatever its id"},                                    \
        {.name = "--mountpoint", .arg = "ID", .help = "The mountpoint's id; else Janus chooses"},  \
        {.name = "--existing", .help = "Uses a mountpoint that is there, and never destroys it"},  \
        {.name = "--codec", .arg = "h264|vp8|vp9|av1|none", .help = "Of the picture; h264"},       \
        {.name = "--audio", .arg = "opus|none", .help = "Of the sound; opus"},                     \
        {.name = "--stream",                                                                       \
         .arg = "PATH",                                                                            \
         .help = "A stream of this server: what is sent, or where it comes in"},                   \
        {.name = "--input", .arg = "URL", .help = "What the relay reads: rtmp://, rtsp://..."},    \
        {.name = "--relay",                                                                        \
         .arg = "builtin|ffmpeg|gstreamer",                                                        \
         .help = "Who carries the media; else what fits"},                                         \
        {.name = "--obs", .arg = "HOST[:PORT]", .help = "Where OBS is; 127.0.0.1:4455"},           \
        {.name = "--password-file",                                                                \
         .arg = "FILE",                                                                            \
         .help = "A file with the password of OBS' WebSocket server"},                             \
        {.name = "--janus",                                                                        \
         .arg = "NAME",                                                                            \
         .help = "The Janus server; else the first of the configuration"},                         \
        {.name = "--host",                                                                         \
         .arg = "HOST",                                                                            \
         .help = "Where that server takes RTP; else where it is"},                                 \
        {.name = "--resume", .help = "Goes on when a publisher that left comes back"},             \
    {                                                                                              \
        .name = "--keep", .help = "A stop leaves the room and the mountpoint that it made"         \
    }

const struct command_option broadcast_plan_options[] = {REQUEST_OPTIONS, {.name = NULL}};
const struct command_option broadcast_start_options[] = {
    REQUEST_OPTIONS,
    {.name = "--wait",
     .arg = "SECONDS",
     .help = "How long to wait until it runs; 60, and 0 = not at all"},
    {.name = NULL},
};

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "mast: %s%s%s\n", what, *what ? ": " : "", why);
    return 1;
}

static int read_all(const char *name, struct out *ret)
{
    bool is_stdin = strcmp(name, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(name, "re");
    size_t n = 1;
    if (!f) {
        return complain(name, "cannot be opened");
    }
    while (n > 0 && ret->len <= FILE_MAX_BYTES) {
        char part[4096];
        n = fread(part, 1, sizeof(part), f);
        out_mem(ret, part, n);
    }
    bool failed = ferror(f);
    if (!is_stdin) {
        fclose(f);
    }
    return failed                      ? complain(name, "cannot be read")
           : ret->len > FILE_MAX_BYTES ? complain(name, "is too large")
                                       : 0;
}

/* JSON goes as it is, so that the server names what is wrong; YAML becomes JSON here. */
static int read_request(const char *name, struct out *ret)
{
    _cleanup_(out_done) struct out text = {0};
    struct broadcast_request r;
    struct error err = {0};
    int code = read_all(name, &text);
    if (code != 0) {
        return code;
    }
    const char *begin = out_str(&text);
    if (begin[strspn(begin, " \t\r\n")] == '{') {
        out_mem(ret, text.data, text.len);
        return 0;
    }
    const struct model_parse_opts opts = {.file = strcmp(name, "-") == 0 ? "standard input" : name,
                                          .client = true,
                                          .null_absent = true};
    if (model_parse_yaml(&broadcast_request_model, &r, out_view(&text), &opts, &err) < 0) {
        return complain(err.where, err.text);
    }
    _cleanup_free_ char *json = model_to_json(&broadcast_request_model, &r, MODEL_SECRETS_CLEAR);
    out_puts(ret, json);
    model_done(&broadcast_request_model, &r);
    return 0;
}

static void put_option(struct json *j, const struct args *a, const char *option, const char *key)
{
    const char *value = args_option(a, option);
    if (value) {
        json_put_str(j, key, value);
    }
}

/* Ids of Janus: what looks like a number is one. */
static void put_id(struct json *j, const struct args *a, const char *option, const char *key)
{
    const char *value = args_option(a, option);
    if (value && *value && strspn(value, "0123456789") == strlen(value) && strlen(value) < 19) {
        json_put_int(j, key, atoll(value));
    } else if (value) {
        json_put_str(j, key, value);
    }
}

static void put_track(struct json *j, const char *type, const char *codec)
{
    if (strcmp(codec, "none") == 0) {
        return;
    }
    const char *fmtp = broadcast_codec_fmtp(codec);
    json_object_begin(j);
    json_put_str(j, "type", type);
    json_put_str(j, "codec", codec);
    if (fmtp) {
        json_put_str(j, "fmtp", fmtp);
    }
    json_object_end(j);
}

/* Tracks only where other ones are asked for than the server makes by itself. */
static void put_mountpoint(struct json *j, const struct args *a)
{
    const char *video = args_option(a, "--codec");
    const char *audio = args_option(a, "--audio");
    bool existing = args_flag(a, "--existing");
    json_key(j, "mountpoint_spec");
    json_object_begin(j);
    put_id(j, a, "--mountpoint", "id");
    if (!existing) {
        put_option(j, a, "--name", "description");
    }
    if (!existing && (video || audio)) {
        json_key(j, "media");
        json_array_begin(j);
        put_track(j, "video", video ? video : "h264");
        put_track(j, "audio", audio ? audio : "opus");
        json_array_end(j);
    }
    json_object_end(j);
}

/* "studio:4455", "[::1]:4455", "studio". */
static void put_obs(struct json *j, const char *where)
{
    const char *colon = strrchr(where, ':');
    bool bare_ipv6 = colon && where[0] != '[' && memchr(where, ':', (size_t)(colon - where));
    size_t n = colon && !bare_ipv6 && !strchr(colon, ']') ? (size_t)(colon - where) : strlen(where);
    bool bracket = where[0] == '[' && where[n - 1] == ']';
    json_key(j, "obs_host");
    json_bytes(j, BYTES(where + bracket, n - (bracket ? 2 : 0)));
    if (where[n] == ':') {
        json_put_int(j, "obs_port", atoi(where + n + 1));
    }
}

static int put_obs_options(struct json *j, const struct args *a)
{
    _cleanup_(out_done) struct out password = {0};
    const char *where = args_option(a, "--obs");
    const char *file = args_option(a, "--password-file");
    if (where && *where) {
        put_obs(j, where);
    }
    int code = file ? read_all(file, &password) : 0;
    if (code == 0 && file) {
        const char *text = out_str(&password);
        json_key(j, "obs_password");
        json_bytes(j, BYTES(text, strcspn(text, "\r\n")));
    }
    return code;
}

/* The same with every source; what a source does not take, the server refuses. */
static int put_request(struct json *j, const struct args *a, enum broadcast_source kind)
{
    bool frontend = kind == BROADCAST_FRONTEND_OWNED;
    json_object_begin(j);
    json_put_str(j, "source_kind", model_enum_name(broadcast_source_names, (int)kind));
    put_option(j, a, "--id", "broadcast_id");
    put_option(j, a, "--name", "name");
    put_option(j, a, "--janus", "janus");
    put_option(j, a, "--host", "host");
    put_id(j, a, "--room", "room_id");
    put_id(j, a, "--publisher", "publisher_id");
    put_option(j, a, "--display", "publisher_display");
    put_option(j, a, "--stream", "stream");
    put_option(j, a, "--input", "input_url");
    put_option(j, a, "--relay", "relay_kind");
    if (args_flag(a, "--resume")) {
        json_put_bool(j, "resume", true);
    }
    if (args_flag(a, "--keep")) {
        json_put_bool(j, "owned_by_app", false);
    }
    if (args_flag(a, "--existing")) {
        json_put_bool(j, "create_mountpoint", false);
    }
    /* A front end that brings its own media may need no mountpoint at all. */
    if (!frontend || args_option(a, "--mountpoint") || args_option(a, "--codec")) {
        put_mountpoint(j, a);
    }
    int code = put_obs_options(j, a);
    json_object_end(j);
    return code;
}

static bool find_source(const char *word, enum broadcast_source *ret)
{
    int kind;
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        if (strcmp(word, sources[i].word) == 0) {
            *ret = sources[i].kind;
            return true;
        }
    }
    bool known = model_enum_value(broadcast_source_names, word, &kind) == 0;
    *ret = known ? (enum broadcast_source)kind : BROADCAST_VIDEOROOM;
    return known;
}

int broadcast_request_of(const struct args *a, struct out *ret)
{
    const char *file = args_option(a, "-f");
    const char *word = args_value(a, 0);
    enum broadcast_source kind;
    if (!file == !word) {
        return args_refuse(a, "say either what the source is, or -f FILE");
    }
    if (file) {
        return read_request(file, ret);
    }
    if (!find_source(word, &kind)) {
        return args_refuse(a, "there is no such source");
    }
    struct json j = json_init(ret);
    return put_request(&j, a, kind);
}

/* ---- how it goes ---- */

/* What is said of a step, so far. */
#define STEPS_SHOWN 16
struct progress {
    char *said[STEPS_SHOWN];
};

static void put_room(struct out *o, const struct broadcast_result *r)
{
    char id[MODEL_ID_TEXT_MAX];
    const struct broadcast_room_response *room = r->room_response;
    if (room) {
        out_printf(o, "room %s: %s", model_id_text(&room->room, id),
                   room->exists ? "there" : "made");
    }
}

static void put_mountpoint_done(struct out *o, const struct broadcast_result *r)
{
    char id[MODEL_ID_TEXT_MAX];
    const struct broadcast_mountpoint_response *m = r->mountpoint_response;
    if (!m) {
        return;
    }
    out_printf(o, "mountpoint %s: %s", model_id_text(&m->id, id), m->exists ? "there" : "made");
    for (size_t i = 0; i < m->ports.len; i++) {
        out_printf(o, ", %s %lld", model_enum_name(janus_media_names, (int)m->ports.items[i].kind),
                   (long long)m->ports.items[i].port);
    }
}

static void put_forward(struct out *o, const struct broadcast_result *r)
{
    const struct broadcast_forward_response *f = r->forward_response;
    for (size_t i = 0; f && i < f->forwarders.len; i++) {
        const struct broadcast_forwarder *one = &f->forwarders.items[i];
        out_printf(o, "%s%s to %s:%lld",
                   i ? ", " : "forward: ", model_enum_name(janus_media_names, (int)one->type),
                   one->host ? one->host : "?", (long long)one->port);
    }
}

static void say(struct out *o, const struct broadcast_result *r,
                const struct broadcast_step_view *s)
{
    static const struct {
        const char *name;
        void (*put)(struct out *o, const struct broadcast_result *r);
    } known[] = {{"room", put_room}, {"mountpoint", put_mountpoint_done}, {"forward", put_forward}};
    switch (s->state) {
    case BROADCAST_STEP_DONE:
    case BROADCAST_STEP_UNDONE:
    case BROADCAST_STEP_KEPT:
        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
            if (strcmp(s->name, known[i].name) == 0) {
                known[i].put(o, r);
            }
        }
        if (o->len == 0 && s->state == BROADCAST_STEP_DONE) {
            out_printf(o, "%s: %s", s->name, s->describe ? s->describe : "done");
        }
        if (o->len > 0 && s->state == BROADCAST_STEP_UNDONE) {
            out_puts(o, "; undone");
        }
        break;
    case BROADCAST_STEP_WAITING:
        if (s->error) {
            out_printf(o, "%s: waits: %s", s->name, s->error);
        }
        break;
    case BROADCAST_STEP_FAILED:
        out_printf(o, "%s: failed: %s", s->name, s->error ? s->error : "");
        break;
    default:
        break;
    }
}

static void print_progress(struct progress *p, const struct broadcast_result *r)
{
    for (size_t i = 0; i < r->steps.len && i < STEPS_SHOWN; i++) {
        _cleanup_(out_done) struct out o = {0};
        say(&o, r, &r->steps.items[i]);
        const char *text = out_str(&o);
        if (*text && (!p->said[i] || strcmp(p->said[i], text) != 0)) {
            puts(text);
            fflush(stdout);
            free(p->said[i]);
            p->said[i] = mem_strdup(text);
        }
    }
}

static bool has_come(const struct broadcast_result *r)
{
    return r->state != BROADCAST_STARTING && r->state != BROADCAST_RESTARTING &&
           r->state != BROADCAST_STOPPING;
}

/* The last word, and the exit code. */
static int conclude(const struct broadcast_result *r)
{
    const char *why = r->reason ? r->reason : "";
    for (size_t i = 0; i < r->warnings.len; i++) {
        fprintf(stderr, "mast: %s\n", r->warnings.items[i]);
    }
    switch (r->state) {
    case BROADCAST_RUNNING:
        printf("broadcast %s: running\n", r->broadcast_id);
        return 0;
    case BROADCAST_DEGRADED:
        printf("broadcast %s: degraded: %s\n", r->broadcast_id, why);
        return 0;
    case BROADCAST_FAILED:
    case BROADCAST_STOPPED:
        fprintf(stderr, "mast: broadcast %s: %s: %s\n", r->broadcast_id,
                model_enum_name(broadcast_state_names, (int)r->state), why);
        return 1;
    default:
        fprintf(stderr, "mast: broadcast %s: still %s: %s\n", r->broadcast_id,
                model_enum_name(broadcast_state_names, (int)r->state), why);
        return 1;
    }
}

static int parse_result(const struct out *reply, struct broadcast_result *ret)
{
    return api_read(&broadcast_result_model, ret, out_view(reply));
}

static int follow(const struct api_call *call, const char *id, unsigned wait_s)
{
    _cleanup_(out_done) struct out target = {0};
    struct progress progress = {{0}};
    int64_t until = clock_mono_ns() + (int64_t)wait_s * NS_PER_S;
    int code = 0;
    out_puts(&target, BROADCASTS "/");
    url_encode(&target, BYTES_STR(id), "");
    for (bool ended = false; !ended && code == 0;) {
        _cleanup_(out_done) struct out reply = {0};
        struct broadcast_result r;
        code = api_call(call, "GET", out_str(&target), NULL, &reply);
        code = code != 0 ? code : parse_result(&reply, &r);
        if (code != 0) {
            break;
        }
        print_progress(&progress, &r);
        ended = has_come(&r) || clock_mono_ns() >= until;
        if (ended) {
            code = conclude(&r);
        }
        model_done(&broadcast_result_model, &r);
        usleep(ended ? 0 : POLL_US); /* NOLINT(concurrency-mt-unsafe): commands have one thread */
    }
    for (size_t i = 0; i < STEPS_SHOWN; i++) {
        free(progress.said[i]);
    }
    return code;
}

/* As the server counts it: at most five minutes. */
static int wait_of(const struct args *a, unsigned *ret)
{
    const char *text = args_option(a, "--wait");
    char *end = NULL;
    unsigned long s = text ? strtoul(text, &end, 10) : WAIT_DEFAULT_S;
    if (text && (end == text || (*end && strcmp(end, "s") != 0) || s > 300)) {
        return args_refuse(a, "--wait takes seconds, up to 300");
    }
    *ret = (unsigned)s;
    return 0;
}

static int start_as_json(const struct api_call *call, const char *body, unsigned wait_s)
{
    _cleanup_(out_done) struct out reply = {0};
    _cleanup_free_ char *target = mem_printf(BROADCASTS "?wait=%us", wait_s);
    struct broadcast_result r;
    int code = api_call(call, "POST", target, body, &reply);
    if (code != 0) {
        return code;
    }
    puts(out_str(&reply));
    code = parse_result(&reply, &r);
    if (code == 0) {
        code = r.state == BROADCAST_FAILED || (wait_s > 0 && !has_come(&r));
        model_done(&broadcast_result_model, &r);
    }
    return code;
}

int broadcast_start_run(const struct args *a)
{
    _cleanup_(out_done) struct out body = {0};
    _cleanup_(out_done) struct out reply = {0};
    struct api_call call = api_call_options(a);
    struct broadcast_result r;
    unsigned wait_s = 0;
    int code = wait_of(a, &wait_s);
    code = code != 0 ? code : broadcast_request_of(a, &body);
    if (code != 0) {
        return code;
    }
    call.patience_s = wait_s + 30;
    if (args_flag(a, "--json")) {
        return start_as_json(&call, out_str(&body), wait_s);
    }
    code = api_call(&call, "POST", BROADCASTS, out_str(&body), &reply);
    code = code != 0 ? code : parse_result(&reply, &r);
    if (code != 0) {
        return code;
    }
    if (wait_s == 0) {
        printf("broadcast %s: starting\n", r.broadcast_id);
    } else {
        code = follow(&call, r.broadcast_id, wait_s);
    }
    model_done(&broadcast_result_model, &r);
    return code;
}
