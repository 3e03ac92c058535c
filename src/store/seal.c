/* SPDX-License-Identifier: Apache-2.0 */
#include "store/seal.h"

#include "base/base64.h"
#include "base/mem.h"
#include "base/model.h"
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK         "sealed:v1:"
#define MARK_LEN     (sizeof(MARK) - 1)
#define KEY_LEN      32
#define KEY_ID_LEN   8
#define NONCE_LEN    12
#define TAG_LEN      16
#define KEY_FILE     "secret.key"
#define KEY_FILE_MAX 8192
#define KEY_FILE_NOTE                                                                              \
    "# Mast seals its stored secrets with this key. Back it up; without it they are lost.\n"

struct key {
    uint8_t bytes[KEY_LEN];
    char id[KEY_ID_LEN + 1];
};

struct seal_ring {
    struct key keys[SEAL_KEYS_MAX]; /* the first seals */
    unsigned n;
    char *source;
};

/* ---- keys ---- */

struct seal_ring *seal_ring_free(struct seal_ring *ring)
{
    if (ring) {
        free(ring->source);
        OPENSSL_cleanse(ring, sizeof(*ring));
        free(ring);
    }
    return NULL;
}
DEFINE_FREEP(struct seal_ring *, seal_ring_free)

const char *seal_ring_source(const struct seal_ring *ring)
{
    return ring && ring->source ? ring->source : "";
}

static void name_key(struct key *k)
{
    uint8_t digest[32];
    char hex[2 * sizeof(digest) + 1];
    int ok = EVP_Digest(k->bytes, KEY_LEN, digest, NULL, EVP_sha256(), NULL);
    assert(ok == 1);
    (void)ok;
    memcpy(k->id, hex_encode(BYTES(digest, sizeof(digest)), hex), KEY_ID_LEN);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct bytes trim(struct bytes line)
{
    while (line.len > 0 && is_blank(line.data[0])) {
        line = BYTES(line.data + 1, line.len - 1);
    }
    while (line.len > 0 && is_blank(line.data[line.len - 1])) {
        line.len--;
    }
    return line;
}

static int add_line(struct seal_ring *ring, struct bytes line, unsigned number, struct error *err)
{
    line = trim(line);
    if (line.len == 0 || line.data[0] == '#') {
        return 0;
    }
    if (ring->n == SEAL_KEYS_MAX) {
        return error_set(err, -EINVAL, "", "more than %d keys", SEAL_KEYS_MAX);
    }
    struct key *k = &ring->keys[ring->n];
    if (line.len != 2 * KEY_LEN || hex_decode(line, k->bytes, KEY_LEN) != KEY_LEN) {
        return error_set(err, -EINVAL, "",
                         "line %u is not a key of 64 hex digits; `openssl rand -hex 32` makes one",
                         number);
    }
    name_key(k);
    ring->n++;
    return 0;
}

int seal_ring_parse(struct bytes text, struct seal_ring **ret, struct error *err)
{
    _cleanup_(seal_ring_freep) struct seal_ring *ring = mem_new(struct seal_ring);
    for (unsigned number = 1; text.len > 0; number++) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        size_t n = end ? (size_t)(end - text.data) : text.len;
        int r = add_line(ring, BYTES(text.data, n), number, err);
        if (r < 0) {
            return r;
        }
        size_t skip = end ? n + 1 : n;
        text = BYTES(text.data + skip, text.len - skip);
    }
    if (ring->n == 0) {
        return error_set(err, -EINVAL, "", "no key in it; `openssl rand -hex 32` makes one");
    }
    *ret = TAKE_PTR(ring);
    return 0;
}

/* ---- the key file ---- */

static void closep(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

static int write_whole(int fd, const char *text, size_t n)
{
    ssize_t done = write(fd, text, n);
    if (done != (ssize_t)n) {
        return done < 0 ? -errno : -ENOSPC;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* The file appears whole or not at all: nameless first, on the disk, then named; a name that exists stays. */
static int write_new_file(const char *dir, const char *name, const char *text)
{
    _cleanup_(closep) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        return -errno;
    }
    char temporary[32] = ".new-";
    random_id(temporary + 5, 16);
    _cleanup_(closep) int fd =
        openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    int r = write_whole(fd, text, strlen(text));
    if (r >= 0 && linkat(dir_fd, temporary, dir_fd, name, 0) < 0) {
        r = -errno;
    }
    unlinkat(dir_fd, temporary, 0);
    if (r >= 0 && fsync(dir_fd) < 0) {
        r = -errno;
    }
    return r;
}

static int make_key_file(const char *dir)
{
    uint8_t key[KEY_LEN];
    char hex[2 * KEY_LEN + 1];
    char text[sizeof(KEY_FILE_NOTE) + sizeof(hex) + 1];
    random_bytes(key, sizeof(key));
    snprintf(text, sizeof(text), KEY_FILE_NOTE "%s\n", hex_encode(BYTES(key, sizeof(key)), hex));
    int r = write_new_file(dir, KEY_FILE, text);
    OPENSSL_cleanse(key, sizeof(key));
    OPENSSL_cleanse(hex, sizeof(hex));
    OPENSSL_cleanse(text, sizeof(text));
    return r == -EEXIST ? 0 : r;
}

static int load(const char *path, struct seal_ring **ret, struct error *err)
{
    uint8_t text[KEY_FILE_MAX + 1];
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (n < 0) {
        int e = errno;
        return error_set(err, -e, path, "cannot read the key of the stored secrets: %s",
                         error_name(e));
    }
    int r = n > KEY_FILE_MAX ? error_set(err, -EINVAL, "", "it is too long for a key file")
                             : seal_ring_parse(BYTES(text, (size_t)n), ret, err);
    OPENSSL_cleanse(text, sizeof(text));
    if (r < 0) {
        error_prefix(err, path);
        return r;
    }
    (*ret)->source = mem_strdup(path);
    return 0;
}

int seal_ring_open(const char *state_dir, struct seal_ring **ret, struct error *err)
{
    const char *file =
        getenv("MAST_SECRET_KEY_FILE"); // NOLINT(concurrency-mt-unsafe): at the start
    const char *credentials =
        getenv("CREDENTIALS_DIRECTORY"); // NOLINT(concurrency-mt-unsafe): at the start
    if (file && *file) {
        return load(file, ret, err);
    }
    if (credentials && *credentials) {
        _cleanup_free_ char *path = mem_printf("%s/mast-secret-key", credentials);
        if (access(path, F_OK) == 0) {
            return load(path, ret, err);
        }
    }
    _cleanup_free_ char *path = mem_printf("%s/" KEY_FILE, state_dir);
    if (access(path, F_OK) < 0) {
        int r = make_key_file(state_dir);
        if (r < 0) {
            return error_set(err, r, path, "cannot make the key of the stored secrets: %s",
                             error_name(r));
        }
    }
    return load(path, ret, err);
}

/* ---- sealing ---- */

static const struct key *find_key(const struct seal_ring *ring, const char *id)
{
    for (unsigned i = 0; ring && i < ring->n; i++) {
        if (memcmp(ring->keys[i].id, id, KEY_ID_LEN) == 0) {
            return &ring->keys[i];
        }
    }
    return NULL;
}

/* Each part with its length before it, so that no two places give the same bytes. */
static void put_place(struct out *o, const struct seal_place *p)
{
    const char *parts[] = {"sealed:v1", p->kind, p->id, p->field};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        out_u32be(o, (uint32_t)strlen(parts[i]));
        out_puts(o, parts[i]);
    }
}

static void cipher_freep(EVP_CIPHER_CTX **c)
{
    EVP_CIPHER_CTX_free(*c);
}

static void out_wipe(struct out *o)
{
    OPENSSL_cleanse(o->data, o->cap);
    out_done(o);
}

/* Encrypts into box: nonce, ciphertext, tag. */
static bool encrypt_box(const struct key *k, const struct seal_place *place, struct bytes clear,
                        struct out *box)
{
    _cleanup_(cipher_freep) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    _cleanup_(out_done) struct out aad = {0};
    int n;
    put_place(&aad, place);
    uint8_t *nonce = out_extend(box, NONCE_LEN + clear.len + TAG_LEN);
    uint8_t *text = nonce + NONCE_LEN;
    uint8_t *tag = text + clear.len;
    random_bytes(nonce, NONCE_LEN);
    return c && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, k->bytes, nonce) == 1 &&
           EVP_EncryptUpdate(c, NULL, &n, aad.data, (int)aad.len) == 1 &&
           EVP_EncryptUpdate(c, text, &n, clear.data, (int)clear.len) == 1 &&
           EVP_EncryptFinal_ex(c, text + n, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_LEN, tag) == 1;
}

/* box holds at least nonce and tag; clear has room for the rest. */
static bool decrypt(const struct key *k, const struct seal_place *place, struct bytes box,
                    uint8_t *clear)
{
    _cleanup_(cipher_freep) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    _cleanup_(out_done) struct out aad = {0};
    uint8_t tag[TAG_LEN];
    size_t len = box.len - NONCE_LEN - TAG_LEN;
    int n;
    put_place(&aad, place);
    memcpy(tag, box.data + NONCE_LEN + len, TAG_LEN);
    return c && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, k->bytes, box.data) == 1 &&
           EVP_DecryptUpdate(c, NULL, &n, aad.data, (int)aad.len) == 1 &&
           EVP_DecryptUpdate(c, clear, &n, box.data + NONCE_LEN, (int)len) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) == 1 &&
           EVP_DecryptFinal_ex(c, clear + n, &n) == 1;
}

int seal_text(const struct seal_ring *ring, const struct seal_place *place, const char *clear,
              char **ret)
{
    _cleanup_(out_done) struct out box = {0};
    struct out text = {0};
    struct bytes in = BYTES_STR(clear);
    if (!ring) {
        return -ENOKEY;
    }
    if (in.len > SEAL_CLEAR_MAX) {
        return -EFBIG;
    }
    if (!encrypt_box(&ring->keys[0], place, in, &box)) {
        return -EIO;
    }
    out_printf(&text, MARK "%s:", ring->keys[0].id);
    base64_encode(&text, out_view(&box), BASE64_URL);
    *ret = out_take_str(&text);
    return 0;
}

bool seal_is_text(const char *s)
{
    return strncmp(s, MARK, MARK_LEN) == 0;
}

/* The base64 part, NULL when s has not the form. */
static const char *payload(const char *s)
{
    if (!seal_is_text(s) || strnlen(s + MARK_LEN, KEY_ID_LEN + 1) <= KEY_ID_LEN ||
        s[MARK_LEN + KEY_ID_LEN] != ':') {
        return NULL;
    }
    return s + MARK_LEN + KEY_ID_LEN + 1;
}

bool seal_is_old(const struct seal_ring *ring, const char *sealed)
{
    return ring && payload(sealed) && memcmp(ring->keys[0].id, sealed + MARK_LEN, KEY_ID_LEN) != 0;
}

int seal_open(const struct seal_ring *ring, const struct seal_place *place, const char *sealed,
              char **ret)
{
    const char *text = payload(sealed);
    if (!text || strlen(text) > (SEAL_CLEAR_MAX + NONCE_LEN + TAG_LEN) / 3 * 4 + 4) {
        return -EINVAL;
    }
    const struct key *k = find_key(ring, sealed + MARK_LEN);
    if (!k) {
        return -ENOKEY;
    }
    _cleanup_(out_done) struct out box = {0};
    size_t cap = BASE64_DECODED_MAX(strlen(text));
    int n = base64_decode(BYTES_STR(text), BASE64_URL, out_extend(&box, cap), cap);
    if (n < NONCE_LEN + TAG_LEN) {
        return -EINVAL;
    }
    _cleanup_(out_wipe) struct out clear = {0};
    if (!decrypt(k, place, BYTES(box.data, (size_t)n), out_extend(&clear, (size_t)n))) {
        return -EBADMSG;
    }
    clear.len = (size_t)n - NONCE_LEN - TAG_LEN;
    *ret = out_take_str(&clear);
    return 0;
}

char *seal_wipe(char *clear)
{
    if (clear) {
        OPENSSL_cleanse(clear, strlen(clear));
        free(clear);
    }
    return NULL;
}

/* ---- the binder ---- */

int seal_model_field(void *user, const struct model_field *f, const char *clear, char **ret_sealed)
{
    struct seal_document *d = user;
    if (seal_is_text(clear)) {
        *ret_sealed = mem_strdup(clear);
        return 0;
    }
    struct seal_place place = {.kind = d->kind, .id = d->id, .field = f->name};
    return seal_text(d->ring, &place, clear, ret_sealed);
}

int seal_open_model_field(void *user, const struct model_field *f, const char *sealed,
                          char **ret_clear, struct error *err)
{
    struct seal_document *d = user;
    struct seal_place place = {.kind = d->kind, .id = d->id, .field = f->name};
    int r = seal_open(d->ring, &place, sealed, ret_clear);
    if (r == -ENOKEY) {
        d->missing++;
        *ret_clear = mem_strdup(sealed);
        return 0;
    }
    if (r < 0) {
        return error_set(err, r, f->name,
                         "a stored secret cannot be opened: it was changed, or belongs elsewhere");
    }
    return 0;
}
