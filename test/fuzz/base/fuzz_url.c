/* SPDX-License-Identifier: Apache-2.0 */
/* Any text: parsed, written, parsed again; redacted both ways, where no password may be left. */
#include "base/mem.h"
#include "base/url.h"

#include <assert.h>
#include <stdlib.h>

static int same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void round_trip(const struct url *u)
{
    struct url again;
    _cleanup_(out_done) struct out o = {0};
    url_format(u, &o);
    int r = url_parse(out_str(&o), &again, NULL);
    /* Encoding may make it longer than a URL may be. */
    assert(r == 0 || o.len > URL_MAX);
    if (r == 0) {
        assert(same(u->scheme, again.scheme) && same(u->user, again.user) &&
               same(u->password, again.password));
        assert(same(u->host, again.host) && u->port == again.port && u->ipv6 == again.ipv6);
        assert(same(u->path, again.path) && same(u->query, again.query) &&
               same(u->fragment, again.fragment));
    }
    url_done(&again);
}

/* Userinfo stands between :// and the at sign; after redaction only *** may. */
static void check_hidden(const char *redacted)
{
    const char *authority = strstr(redacted, "://") + 3;
    size_t n = strcspn(authority, "/?#");
    const char *sign = memrchr(authority, '@', n);
    assert(sign == authority + 3 && memcmp(authority, "***", 3) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct url u;
    struct error err = {0};
    _cleanup_free_ char *text = mem_zalloc(size + 1);
    if (size > 0) {
        memcpy(text, data, size);
    }
    _cleanup_free_ char *keys = url_redact(text, URL_MASK_KEYS);
    _cleanup_free_ char *tail = url_redact(text, URL_MASK_TAIL);
    if (url_parse(text, &u, &err) < 0) {
        assert(err.text[0] && !u.scheme);
        return 0;
    }
    if (u.user && (*u.user || u.password)) {
        check_hidden(keys);
        check_hidden(tail);
    }
    round_trip(&u);
    free(url_query_get(u.query, "key"));
    free(url_query_get(u.query, "token"));
    url_done(&u);
    return 0;
}
