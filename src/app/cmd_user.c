/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mast user`: the users of a running server, by its API, and the hash of a password for mast.yml. Passwords are read from the
 * terminal without echo, or as one line from standard input; never from the command line, which everybody on a machine sees.
 */
#include "app/api_call.h"
#include "app/command.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/model.h"
#include "base/url.h"
#include "service/access/password.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define USERS        "/api/v1/users"
#define PASSWORD_MIN 8
#define PASSWORD_MAX 256

/* ---- passwords ---- */

static bool read_line(char *buf, size_t size)
{
    bool there = fgets(buf, (int)size, stdin) != NULL;
    size_t n = there ? strcspn(buf, "\n") : 0;
    /* Without its end the line is longer than the buffer, or the last one of a file. */
    if (there && buf[n] == '\0' && n + 1 == size) {
        return false;
    }
    buf[n] = '\0';
    return there;
}

static bool ask_quietly(const char *prompt, char *buf, size_t size)
{
    struct termios old;
    sigset_t signals;
    sigset_t before;
    fputs(prompt, stderr);
    fflush(stderr);
    if (tcgetattr(STDIN_FILENO, &old) < 0) {
        return false;
    }
    /* What interrupts waits until the terminal echoes again. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGTSTP);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    struct termios quiet = old;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    bool r = read_line(buf, size);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    fputs("\n", stderr);
    return r;
}

/* Two times from a terminal. False has said why. */
static bool read_password(char buf[PASSWORD_MAX + 2])
{
    char again[PASSWORD_MAX + 2];
    bool terminal = isatty(STDIN_FILENO);
    bool r = terminal ? ask_quietly("Password: ", buf, PASSWORD_MAX + 2)
                      : read_line(buf, PASSWORD_MAX + 2);
    if (!r || strlen(buf) < PASSWORD_MIN || strlen(buf) > PASSWORD_MAX) {
        fprintf(stderr, "mast: a password has %d to %d characters\n", PASSWORD_MIN, PASSWORD_MAX);
        return false;
    }
    if (terminal) {
        r = ask_quietly("Again: ", again, sizeof(again)) && strcmp(buf, again) == 0;
        if (!r) {
            fputs("mast: that was something else\n", stderr);
        }
        OPENSSL_cleanse(again, sizeof(again));
    }
    return r;
}

static int run_hash(const struct args *a)
{
    char password[PASSWORD_MAX + 2] = "";
    char text[PASSWORD_TEXT_MAX];
    int r = read_password(password) ? 0 : 1;
    if (r == 0 && password_hash(password, text) < 0) {
        fputs("mast: cannot hash here\n", stderr);
        r = 1;
    }
    OPENSSL_cleanse(password, sizeof(password));
    if (r == 0) {
        puts(text);
    }
    return r;
}

/* ---- the users of a server ---- */

/* name NULL: the password alone. Wipes what it sent. */
static int send_user(const struct args *a, const char *method, const char *target, const char *name)
{
    struct api_call call = api_call_options(a);
    char password[PASSWORD_MAX + 2] = "";
    struct out body = {0};
    _cleanup_(out_done) struct out reply = {0};
    if (!read_password(password)) {
        OPENSSL_cleanse(password, sizeof(password));
        return 1;
    }
    struct json j = json_init(&body);
    json_object_begin(&j);
    if (name) {
        const char *publish = args_option(a, "--publish");
        const char *read = args_option(a, "--read");
        json_put_str(&j, "name", name);
        if (publish) {
            json_put_str(&j, "publish", publish);
        }
        if (read) {
            json_put_str(&j, "read", read);
        }
        json_put_bool(&j, "api", args_flag(a, "--api"));
    }
    json_put_str(&j, "password", password);
    json_object_end(&j);
    int r = api_call(&call, method, target, out_str(&body), &reply);
    OPENSSL_cleanse(password, sizeof(password));
    OPENSSL_cleanse(body.data, body.len);
    out_done(&body);
    return r;
}

static char *target_of(const char *name)
{
    _cleanup_(out_done) struct out o = {0};
    out_puts(&o, USERS "/");
    url_encode(&o, BYTES_STR(name), "");
    return out_take_str(&o);
}

static int run_add(const struct args *a)
{
    return send_user(a, "POST", USERS, args_value(a, 0));
}

static int run_passwd(const struct args *a)
{
    _cleanup_free_ char *target = target_of(args_value(a, 0));
    return send_user(a, "PATCH", target, NULL);
}

static int run_rm(const struct args *a)
{
    struct api_call call = api_call_options(a);
    _cleanup_(out_done) struct out reply = {0};
    _cleanup_free_ char *target = target_of(args_value(a, 0));
    return api_call(&call, "DELETE", target, NULL, &reply);
}

struct row {
    char *name;
    char *owner;
    bool api;
    MODEL_ARRAY(char *) publish;
    MODEL_ARRAY(char *) read;
};

struct rows {
    MODEL_ARRAY(struct row) items;
};

static const struct model_field row_fields[] = {
    MODEL_STRING(struct row, name),      MODEL_STRING(struct row, owner),
    MODEL_BOOL(struct row, api),         MODEL_LIST_STRING(struct row, publish),
    MODEL_LIST_STRING(struct row, read),
};
static const struct model row_model =
    MODEL("UserRow", struct row, row_fields, .unknown = MODEL_IGNORE);
static const struct model_field rows_fields[] = {
    MODEL_LIST_STRUCT(struct rows, items, &row_model, .max = 10000),
};
static const struct model rows_model =
    MODEL("UserRows", struct rows, rows_fields, .unknown = MODEL_IGNORE);

static void print_patterns(const char *verb, char *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        printf("%s%s", i ? "," : verb, items[i]);
    }
}

static int run_ls(const struct args *a)
{
    struct api_call call = api_call_options(a);
    _cleanup_(out_done) struct out reply = {0};
    struct rows list;
    int r = api_call(&call, "GET", USERS, NULL, &reply);
    if (r != 0 || args_flag(a, "--json")) {
        if (r == 0) {
            puts(out_str(&reply));
        }
        return r;
    }
    r = api_read(&rows_model, &list, out_view(&reply));
    if (r != 0) {
        return r;
    }
    printf("%-20s %-6s %s\n", "NAME", "OWNER", "MAY");
    for (size_t i = 0; i < list.items.len; i++) {
        const struct row *u = &list.items.items[i];
        printf("%-20s %-6s%s", u->name ? u->name : "", u->owner ? u->owner : "",
               u->api ? " use the API" : "");
        print_patterns(" publish to ", u->publish.items, u->publish.len);
        print_patterns(" watch ", u->read.items, u->read.len);
        puts("");
    }
    model_done(&rows_model, &list);
    return 0;
}

static const struct command_option options[] = {
    COMMAND_SERVER,
    COMMAND_JSON,
    {.name = NULL},
};

static const struct command_option add_options[] = {
    {"--publish", "LIST", "The paths the user may publish to; * stands for any run of characters"},
    {"--read", "LIST", "The paths the user may watch"},
    {"--api", NULL, "The user may use the API and see the metrics"},
    {.name = NULL},
};

static const struct command subs[] = {
    {.name = "ls", .summary = "Lists the users, those of the configuration too", .run = run_ls},
    {.name = "add",
     .args = "NAME",
     .summary = "Makes a user; the password is asked for",
     .options = add_options,
     .run = run_add},
    {.name = "passwd",
     .args = "NAME",
     .summary = "Gives a user another password and ends the sessions",
     .run = run_passwd},
    {.name = "rm",
     .args = "NAME",
     .summary = "Deletes a user and ends the sessions",
     .run = run_rm},
    {.name = "hash", .summary = "Prints the hash of a password, for mast.yml", .run = run_hash},
    {.name = NULL},
};

static const char *const examples[] = {
    "mast user add studio --publish 'live/*' --read '*'",
    "a user who publishes and watches",
    "mast user hash",
    "a line for password: in mast.yml; asks for the password",
    NULL,
};

const struct command command_user = {
    .name = "user",
    .summary = "Makes, lists and deletes the users of a running server",
    .about =
        "Passwords are asked for on the terminal, or read as one line from standard input. Users that "
        "mast.yml declares are changed there.",
    .options = options,
    .subs = subs,
    .examples = examples,
};
