/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a pipeline of the caller. What comes out is bounded, and has no word that is an option. */
#include "base/mem.h"
#include "peer/gstreamer/gstreamer.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gstreamer_command c;
    struct error err = {0};
    if (size > 2 * GSTREAMER_PIPELINE_MAX) {
        return 0;
    }
    _cleanup_free_ char *text = mem_strndup((const char *)data, size);
    const struct gstreamer_spec spec = {.pipeline = text};
    int r = gstreamer_command_make(&spec, &c, &err);
    if (r < 0) {
        assert(err.code == r && err.text[0]);
        return 0;
    }
    size_t total = 0;
    assert(c.n > 2 && c.n <= GSTREAMER_WORDS_MAX && !c.argv[c.n]);
    for (unsigned i = 2; i < c.n; i++) {
        assert(c.argv[i][0] != '-');
        total += strlen(c.argv[i]);
    }
    assert(total <= strlen(text));
    gstreamer_command_done(&c);
    return 0;
}
