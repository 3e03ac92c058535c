/* SPDX-License-Identifier: Apache-2.0 */
#include "folder.h"

#include "base/model.h"
#include "store/seal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define KEY_A "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
#define KEY_B "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

static const struct seal_place place = {.kind = "camera", .id = "cam-1", .field = "password"};

static struct seal_ring *ring_of(const char *text)
{
    struct seal_ring *ring = NULL;
    struct error err = {0};
    if (seal_ring_parse(BYTES_STR(text), &ring, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return ring;
}

static void expect_open(const struct seal_ring *ring, const struct seal_place *p,
                        const char *sealed, int r, const char *clear)
{
    char *got = NULL;
    assert_int_equal(seal_open(ring, p, sealed, &got), r);
    if (r == 0) {
        assert_string_equal(got, clear);
    } else {
        assert_null(got);
    }
    seal_wipe(got);
}

static void test_seals_and_opens(void **state)
{
    struct seal_ring *ring = ring_of(KEY_A "\n");
    const char *secrets[] = {"", "s", "hunter2", "p\xc3\xa4ssw\xc3\xb6rd with blanks"};
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
        _cleanup_free_ char *one = NULL;
        _cleanup_free_ char *two = NULL;
        assert_int_equal(seal_text(ring, &place, secrets[i], &one), 0);
        assert_int_equal(seal_text(ring, &place, secrets[i], &two), 0);
        assert_string_not_equal(one, two); /* a nonce of its own */
        assert_true(seal_is_text(one));
        assert_true(*secrets[i] == '\0' || strstr(one, secrets[i]) == NULL ||
                    strlen(secrets[i]) < 3);
        expect_open(ring, &place, one, 0, secrets[i]);
        expect_open(ring, &place, two, 0, secrets[i]);
    }
    seal_ring_free(ring);
}

/* Made with Python's cryptography (AESGCM) over the same key and additional data: the form is what it says it is. */
static void test_opens_what_another_program_sealed(void **state)
{
    struct seal_ring *ring = ring_of(KEY_A);
    expect_open(ring, &place,
                "sealed:v1:4884fdaa:AAECAwQFBgcICQoL53b1cCaCTnv_vKF2BdqFqntPTsBP1KEQZu1LhATZ", 0,
                "from elsewhere");
    seal_ring_free(ring);
}

static void test_a_sealed_text_opens_only_in_its_place(void **state)
{
    struct seal_ring *ring = ring_of(KEY_A);
    _cleanup_free_ char *sealed = NULL;
    assert_int_equal(seal_text(ring, &place, "hunter2", &sealed), 0);
    const struct seal_place others[] = {
        {"restream", "cam-1", "password"}, {"camera", "cam-2", "password"},
        {"camera", "cam-1", "token"},      {"camera", "cam-1pass", "word"},
        {"cam", "eracam-1", "password"},
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        expect_open(ring, &others[i], sealed, -EBADMSG, NULL);
    }
    seal_ring_free(ring);
}

static void test_every_changed_character_is_noticed(void **state)
{
    struct seal_ring *ring = ring_of(KEY_A);
    _cleanup_free_ char *sealed = NULL;
    assert_int_equal(seal_text(ring, &place, "hunter2", &sealed), 0);
    for (size_t i = 0; sealed[i]; i++) {
        char *got = NULL;
        char saved = sealed[i];
        sealed[i] = saved == 'A' ? 'B' : 'A';
        assert_true(seal_open(ring, &place, sealed, &got) < 0);
        sealed[i] = '\0'; /* cut there */
        assert_true(seal_open(ring, &place, sealed, &got) < 0);
        assert_null(got);
        sealed[i] = saved;
    }
    expect_open(ring, &place, sealed, 0, "hunter2");
    seal_ring_free(ring);
}

static void test_other_keys_and_no_keys(void **state)
{
    struct seal_ring *a = ring_of(KEY_A);
    struct seal_ring *b = ring_of(KEY_B);
    struct seal_ring *both = ring_of("# newest first\n  " KEY_B " \r\n\n" KEY_A);
    _cleanup_free_ char *old = NULL;
    _cleanup_free_ char *new = NULL;
    assert_int_equal(seal_text(a, &place, "hunter2", &old), 0);
    expect_open(b, &place, old, -ENOKEY, NULL);
    expect_open(NULL, &place, old, -ENOKEY, NULL);
    assert_int_equal(seal_text(NULL, &place, "x", &new), -ENOKEY);
    /* Rotation: the old one opens, the new one seals. */
    expect_open(both, &place, old, 0, "hunter2");
    assert_true(seal_is_old(both, old));
    assert_int_equal(seal_text(both, &place, "hunter2", &new), 0);
    assert_false(seal_is_old(both, new));
    expect_open(b, &place, new, 0, "hunter2");
    expect_open(a, &place, new, -ENOKEY, NULL);
    seal_ring_free(a);
    seal_ring_free(b);
    seal_ring_free(both);
}

static void test_what_is_not_sealed_text(void **state)
{
    struct seal_ring *ring = ring_of(KEY_A);
    const char *bad[] = {"",
                         "hunter2",
                         "sealed:v1:",
                         "sealed:v1:0123",
                         "sealed:v1:01234567",
                         "sealed:v2:01234567:AAAA"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        expect_open(ring, &place, bad[i], -EINVAL, NULL);
    }
    _cleanup_free_ char *big = mem_zalloc(SEAL_CLEAR_MAX + 2);
    _cleanup_free_ char *sealed = NULL;
    memset(big, 'x', SEAL_CLEAR_MAX + 1);
    assert_int_equal(seal_text(ring, &place, big, &sealed), -EFBIG);
    big[SEAL_CLEAR_MAX] = '\0';
    assert_int_equal(seal_text(ring, &place, big, &sealed), 0);
    expect_open(ring, &place, sealed, 0, big);
    seal_ring_free(ring);
}

static void test_bad_key_files_are_explained(void **state)
{
    struct seal_ring *ring = NULL;
    struct error err;
    assert_int_equal(seal_ring_parse(BYTES_STR(KEY_A "\nnonsense\n"), &ring, &err), -EINVAL);
    assert_non_null(strstr(err.text, "line 2"));
    assert_null(strstr(err.text, "nonsense"));
    assert_int_equal(seal_ring_parse(BYTES_STR("# nothing\n"), &ring, &err), -EINVAL);
    assert_int_equal(seal_ring_parse(BYTES_STR(KEY_A "00"), &ring, &err), -EINVAL);
    _cleanup_(out_done) struct out many = {0};
    for (int i = 0; i <= SEAL_KEYS_MAX; i++) {
        out_puts(&many, KEY_A "\n");
    }
    assert_int_equal(seal_ring_parse(out_view(&many), &ring, &err), -EINVAL);
    assert_null(ring);
}

static void test_a_key_is_made_once(void **state)
{
    char *dir = folder_new();
    unsetenv("MAST_SECRET_KEY_FILE");
    unsetenv("CREDENTIALS_DIRECTORY");
    struct seal_ring *ring = NULL;
    _cleanup_free_ char *sealed = NULL;
    _cleanup_free_ char *path = folder_path(dir, "secret.key");
    mode_t old = umask(0);
    assert_int_equal(seal_ring_open(dir, &ring, NULL), 0);
    umask(old);
    assert_string_equal(seal_ring_source(ring), path);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(seal_text(ring, &place, "hunter2", &sealed), 0);
    ring = seal_ring_free(ring);
    assert_int_equal(seal_ring_open(dir, &ring, NULL), 0);
    expect_open(ring, &place, sealed, 0, "hunter2");
    ring = seal_ring_free(ring);
    /* Lost: a new one is made, and what the old one sealed says so. */
    unlink(path);
    assert_int_equal(seal_ring_open(dir, &ring, NULL), 0);
    expect_open(ring, &place, sealed, -ENOKEY, NULL);
    seal_ring_free(ring);
    folder_free(dir);
}

static void test_where_keys_come_from(void **state)
{
    char *dir = folder_new();
    struct seal_ring *ring = NULL;
    struct error err;
    folder_write(dir, "mast-secret-key", KEY_A);
    folder_write(dir, "given", KEY_B);
    _cleanup_free_ char *given = folder_path(dir, "given");
    _cleanup_free_ char *credential = folder_path(dir, "mast-secret-key");
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    assert_int_equal(seal_ring_open(dir, &ring, NULL), 0);
    assert_string_equal(seal_ring_source(ring), credential);
    ring = seal_ring_free(ring);
    setenv("MAST_SECRET_KEY_FILE", given, 1);
    assert_int_equal(seal_ring_open(dir, &ring, NULL), 0);
    assert_string_equal(seal_ring_source(ring), given);
    ring = seal_ring_free(ring);
    /* A file that is named must be there: no other key takes its place. */
    unlink(given);
    assert_int_equal(seal_ring_open(dir, &ring, &err), -ENOENT);
    assert_string_equal(err.where, given);
    assert_null(ring);
    unsetenv("MAST_SECRET_KEY_FILE");
    unsetenv("CREDENTIALS_DIRECTORY");
    folder_free(dir);
}

static void test_the_binders_hooks(void **state)
{
    struct seal_ring *ring = ring_of(KEY_A);
    struct model_field f = {.name = "password"};
    struct seal_document d = {.ring = ring, .kind = "camera", .id = "cam-1"};
    struct error err;
    char *sealed = NULL;
    char *clear = NULL;
    assert_int_equal(seal_model_field(&d, &f, "hunter2", &sealed), 0);
    expect_open(ring, &place, sealed, 0, "hunter2");
    assert_int_equal(seal_open_model_field(&d, &f, sealed, &clear, &err), 0);
    assert_string_equal(clear, "hunter2");
    clear = seal_wipe(clear);
    /* A lost key: the document loads, is counted, and writes back what it had. */
    struct seal_document lost = {.ring = NULL, .kind = "camera", .id = "cam-1"};
    char *again = NULL;
    assert_int_equal(seal_open_model_field(&lost, &f, sealed, &clear, &err), 0);
    assert_int_equal(lost.missing, 1);
    assert_true(seal_is_text(clear));
    assert_int_equal(seal_model_field(&lost, &f, clear, &again), 0);
    assert_string_equal(again, sealed);
    clear = seal_wipe(clear);
    struct seal_document other = {.ring = ring, .kind = "camera", .id = "cam-2"};
    assert_int_equal(seal_open_model_field(&other, &f, sealed, &clear, &err), -EBADMSG);
    assert_string_equal(err.where, "password");
    free(sealed);
    free(again);
    seal_ring_free(ring);
}

struct camera {
    char *url;
    char *password;
};

static const struct model_field camera_fields[] = {
    MODEL_STRING(struct camera, url),
    MODEL_STRING(struct camera, password, .secret = MODEL_SECRET_SEALED),
};

static const struct model camera_model = MODEL("Camera", struct camera, camera_fields);

/* A document goes to the store and comes back, also without the key, by the binder itself. */
static void test_a_document_with_a_sealed_field(void **state)
{
    struct seal_ring *ring = ring_of(KEY_A);
    struct seal_document d = {.ring = ring, .kind = "camera", .id = "cam-1"};
    struct seal_document lost = {.ring = NULL, .kind = "camera", .id = "cam-1"};
    struct camera c = {.url = (char[]){"rtsp://cam"}, .password = (char[]){"hunter2"}};
    struct model_write_opts w = {
        .secrets = MODEL_SECRETS_SEALED, .seal = seal_model_field, .user = &d};
    struct model_parse_opts p = {.unseal = seal_open_model_field, .user = &d};
    struct out stored = {0};
    struct json j = json_init(&stored);
    assert_int_equal(model_write(&camera_model, &c, &w, &j), 0);
    assert_non_null(strstr(out_str(&stored), "\"url\":\"rtsp://cam\""));
    assert_non_null(strstr(out_str(&stored), "\"password\":\"sealed:v1:"));
    assert_null(strstr(out_str(&stored), "hunter2"));
    struct camera back;
    assert_int_equal(model_parse_json(&camera_model, &back, out_view(&stored), &p, NULL), 0);
    assert_string_equal(back.password, "hunter2");
    model_done(&camera_model, &back);

    p.user = &lost;
    w.user = &lost;
    assert_int_equal(model_parse_json(&camera_model, &back, out_view(&stored), &p, NULL), 0);
    assert_int_equal(lost.missing, 1);
    struct out again = {0};
    j = json_init(&again);
    assert_int_equal(model_write(&camera_model, &back, &w, &j), 0);
    assert_string_equal(out_str(&again), out_str(&stored));
    model_done(&camera_model, &back);
    out_done(&stored);
    out_done(&again);
    seal_ring_free(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seals_and_opens),
        cmocka_unit_test(test_opens_what_another_program_sealed),
        cmocka_unit_test(test_a_sealed_text_opens_only_in_its_place),
        cmocka_unit_test(test_every_changed_character_is_noticed),
        cmocka_unit_test(test_other_keys_and_no_keys),
        cmocka_unit_test(test_what_is_not_sealed_text),
        cmocka_unit_test(test_bad_key_files_are_explained),
        cmocka_unit_test(test_a_key_is_made_once),
        cmocka_unit_test(test_where_keys_come_from),
        cmocka_unit_test(test_the_binders_hooks),
        cmocka_unit_test(test_a_document_with_a_sealed_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
