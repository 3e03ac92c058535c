/* SPDX-License-Identifier: Apache-2.0 */
/* "file\nquery": a name that is read is written back the same; what a query carries holds no quote and no directive. */
#include "base/mem.h"
#include "protocol/hls/hls_name_wire.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = mem_strndup((const char *)data, size);
    char *query = strchr(text, '\n');
    if (query) {
        *query++ = '\0';
    }
    struct hls_name name;
    _cleanup_(out_done) struct out o = {0};
    if (hls_name_parse(text, &name) == 0) {
        assert(name.track < TRACKS_MAX);
        hls_name_put(&o, &name);
        assert(strcmp(out_str(&o), text) == 0);
    }
    struct hls_directives d;
    (void)hls_directives_parse(query ? query : "", &d, NULL);
    o.len = 0;
    if (hls_query_carry(&o, query ? query : "") == 0) {
        const char *carried = out_str(&o);
        assert(o.len <= HLS_QUERY_MAX);
        assert(!strpbrk(carried, "\"\r\n\\ ") && !strstr(carried, "&_HLS_") &&
               strncmp(carried, "?_HLS_", 6) != 0);
    }
    return 0;
}
