/* SPDX-License-Identifier: Apache-2.0 */
/* RTCP compounds. What is read of a report is written back and read again: the same. */
#include "media/rtcp.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

static void write_again(const struct rtcp_packet *p)
{
    _cleanup_(out_done) struct out o = {0};
    struct rtcp_packet q;
    if (p->type == RTCP_SR) {
        rtcp_write_sr(&o, p->ssrc, &p->sender, p->reports, p->n_reports);
    } else {
        rtcp_write_rr(&o, p->ssrc, p->reports, p->n_reports);
    }
    struct rtcp_iter it = rtcp_iter_init(out_view(&o));
    assert(rtcp_next(&it, &q) == 1 && rtcp_next(&it, &q) == 0);
    it = rtcp_iter_init(out_view(&o));
    assert(rtcp_next(&it, &q) == 1);
    assert(q.ssrc == p->ssrc && q.n_reports == p->n_reports);
    assert(memcmp(q.reports, p->reports, p->n_reports * sizeof(q.reports[0])) == 0);
    assert(memcmp(&q.sender, &p->sender, sizeof(q.sender)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rtcp_iter it = rtcp_iter_init(BYTES(data, size));
    struct rtcp_packet p;
    while (rtcp_next(&it, &p) > 0) {
        (void)rtcp_wants_key(&p, 0x01020304);
        assert(rtcp_sdes_cname(&p).len <= 255);
        assert(rtcp_wall_ns_from_ntp(p.sender.ntp) != INT64_MIN);
        if (p.type == RTCP_SR || p.type == RTCP_RR) {
            write_again(&p);
        }
    }
    return 0;
}
