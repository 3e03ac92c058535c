/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a message as OBS sends it; what its response carries is read as the status and the service, too. */
#include "base/mem.h"
#include "peer/obs/obs_wire.h"

#include <assert.h>
#include <string.h>

static void read_data(struct bytes data)
{
    struct obs_status status;
    struct obs_service service;
    const struct obs_stream_target target = {"rtmp://127.0.0.1/live", "key"};
    obs_status_parse(data, &status, NULL);
    if (obs_service_parse(data, &service, NULL) == 0) {
        /* What was had is what is put back. */
        struct obs_service again;
        _cleanup_(out_done) struct out o = {0};
        obs_service_is(&service, &target);
        if (service.type && service.settings) {
            obs_put_service(&o, &service);
            assert(obs_service_parse(out_view(&o), &again, NULL) == 0);
            assert(strcmp(again.type, service.type) == 0 &&
                   strcmp(again.settings, service.settings) == 0);
            model_done(&obs_service_model, &again);
        }
        model_done(&obs_service_model, &service);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct obs_message m;
    struct error err = {0};
    int r = obs_message_parse(BYTES(data, size), &m, &err);
    if (r < 0) {
        assert(err.code == r && err.text[0]);
        obs_message_done(&m);
        return 0;
    }
    assert(m.output < OBS_OUTPUT_N && !m.challenge == !m.salt);
    if (m.challenge) {
        _cleanup_free_ char *proof = obs_authentication("password", m.salt, m.challenge);
        assert(strlen(proof) == 44);
    }
    if (m.data) {
        read_data(BYTES_STR(m.data));
    }
    obs_message_done(&m);
    return 0;
}
