/* SPDX-License-Identifier: Apache-2.0 */
/* First byte: 0 = a key text, else a token that is checked with every sort of key. Nothing may verify that is not signed. */
#include "base/mem.h"
#include "service/access/jwt.h"

static const char keys_text[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jws_keys *keys;
    struct error err = {0};
    if (!keys) {
        keys = jws_keys_new();
        (void)jws_keys_add_text(keys, BYTES_STR(keys_text), &err);
        (void)jws_keys_add_secret(keys, BYTES_STR("a secret of more than thirty-two bytes"), &err);
    }
    if (size == 0) {
        return 0;
    }
    if (data[0] == '0') {
        struct jws_keys *k = jws_keys_new();
        (void)jws_keys_add_text(k, BYTES(data + 1, size - 1), &err);
        jws_keys_unref(&k);
        return 0;
    }
    _cleanup_free_ char *text = mem_strndup((const char *)data + 1, size - 1);
    struct jwt_config config = {0};
    struct jwt_grant grant;
    (void)jwt_check(&config, keys, text, ACCESS_READ, "live/a", ACCESS_SCOPE_READ,
                    INT64_C(1000000000), &grant, &err);
    return 0;
}
