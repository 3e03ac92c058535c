/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte: f = Forwarded, l = X-Forwarded-For, c = Cookie, n = a network. The client that a header names is an address,
 * and none when the peer is not trusted.
 */
#include "base/mem.h"
#include "io/http_auth.h"
#include "io/http_forwarded.h"

#include <assert.h>
#include <netinet/in.h>

static void check_client(const char *text, bool standard, const struct trusted_proxies *t)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    struct forwarded f = {0};
    bool found = standard ? forwarded_walk(text, (struct sockaddr *)&in, t, &f)
                          : forwarded_walk_list(text, (struct sockaddr *)&in, t, &f.client);
    assert(!found || f.client.ss_family == AF_INET || f.client.ss_family == AF_INET6);
    in.sin_addr.s_addr = htonl(0xc0000201);
    found = standard ? forwarded_walk(text, (struct sockaddr *)&in, t, &f)
                     : forwarded_walk_list(text, (struct sockaddr *)&in, t, &f.client);
    assert(!found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct net_range nets[2];
    static const struct trusted_proxies proxies = {2, nets};
    if (size == 0) {
        return 0;
    }
    (void)net_range_parse("127.0.0.1", &nets[0], NULL);
    (void)net_range_parse("10.0.0.0/8", &nets[1], NULL);
    _cleanup_free_ char *text = mem_strndup((const char *)data + 1, size - 1);
    char value[16];
    struct net_range c;
    switch (data[0]) {
    case 'f':
    case 'l':
        check_client(text, data[0] == 'f', &proxies);
        break;
    case 'c':
        if (http_cookie_find(text, "mast", value, sizeof(value))) {
            assert(strlen(value) < sizeof(value) && !strchr(value, ';'));
        }
        break;
    case 'n':
        if (net_range_parse(text, &c, NULL) == 0) {
            assert(c.bits <= 128);
        }
        break;
    default:
        break;
    }
    return 0;
}
