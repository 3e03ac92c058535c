/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"
#include "fixture.h"

#include "media/rtcp.h"

#include <errno.h>

static void test_sender_report_bytes(void **state)
{
    uint8_t hex[128];
    _cleanup_(out_done) struct out o = {0};
    /* 2026-01-01 00:00:00.5 UTC */
    const struct rtcp_sender_info info = {.ntp = rtcp_ntp_from_wall_ns(1767225600500000000),
                                          .rtp = 90000,
                                          .packets = 3,
                                          .bytes = 1000};
    rtcp_write_sr(&o, 0x11223344, &info, NULL, 0);
    rtcp_write_cname(&o, 0x11223344, "mast");
    const struct bytes want = fixture_hex("80c8000611223344ed00378080000000"
                                          "00015f9000000003000003e8"
                                          "81ca0003112233440104"
                                          "6d6173740000",
                                          hex);
    assert_int_equal(o.len, want.len);
    assert_memory_equal(o.data, want.data, want.len);
}

static void test_compounds_are_read_back(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    const struct rtcp_sender_info info = {.ntp = 77, .rtp = 5, .packets = 6, .bytes = 7};
    const struct rtcp_report report = {.ssrc = 9,
                                       .fraction_lost = 128,
                                       .lost = -3,
                                       .highest_seq = 0x10005,
                                       .jitter = 11,
                                       .last_sr = 12,
                                       .delay = 13};
    rtcp_write_sr(&o, 1, &info, &report, 1);
    rtcp_write_cname(&o, 1, "somebody@here");
    rtcp_write_rr(&o, 2, NULL, 0);
    rtcp_write_pli(&o, 2, 1);
    rtcp_write_fir(&o, 2, 1, 250);
    rtcp_write_bye(&o, 1);
    struct rtcp_iter it = rtcp_iter_init(out_view(&o));
    struct rtcp_packet p;
    assert_int_equal(rtcp_next(&it, &p), 1);
    assert_int_equal(p.type, RTCP_SR);
    assert_int_equal(p.ssrc, 1);
    assert_int_equal(p.sender.ntp, 77);
    assert_int_equal(p.sender.bytes, 7);
    assert_int_equal(p.n_reports, 1);
    assert_int_equal(p.reports[0].ssrc, 9);
    assert_int_equal(p.reports[0].fraction_lost, 128);
    assert_int_equal(p.reports[0].lost, -3);
    assert_int_equal(p.reports[0].highest_seq, 0x10005);
    assert_int_equal(p.reports[0].delay, 13);
    assert_int_equal(rtcp_next(&it, &p), 1);
    assert_true(bytes_equal_str(rtcp_sdes_cname(&p), "somebody@here"));
    assert_false(rtcp_wants_key(&p, 1));
    assert_int_equal(rtcp_next(&it, &p), 1);
    assert_int_equal(p.type, RTCP_RR);
    assert_int_equal(p.ssrc, 2);
    assert_int_equal(rtcp_next(&it, &p), 1);
    assert_true(rtcp_wants_key(&p, 1));
    assert_false(rtcp_wants_key(&p, 2));
    assert_int_equal(rtcp_next(&it, &p), 1);
    assert_int_equal(p.count, RTCP_PSFB_FIR);
    assert_true(rtcp_wants_key(&p, 1));
    assert_false(rtcp_wants_key(&p, 2));
    assert_int_equal(rtcp_next(&it, &p), 1);
    assert_int_equal(p.type, RTCP_BYE);
    assert_int_equal(p.ssrc, 1);
    assert_int_equal(rtcp_next(&it, &p), 0);
    /* Every cut is seen, unless it is between two packets. */
    for (size_t n = 1; n < o.len; n++) {
        struct rtcp_iter cut = rtcp_iter_init(BYTES(o.data, n));
        int r;
        size_t at = 0;
        while ((r = rtcp_next(&cut, &p)) > 0) {
            at = (size_t)(cut.r.p - o.data);
        }
        assert_int_equal(r, at == n ? 0 : -EINVAL);
    }
}

static void test_reports_must_fit_their_packet(void **state)
{
    uint8_t hex[64];
    struct rtcp_packet p;
    struct rtcp_iter it = rtcp_iter_init(fixture_hex("81c9000100000001", hex));
    assert_int_equal(rtcp_next(&it, &p), -EINVAL);
    it = rtcp_iter_init(fixture_hex("40c9000100000001", hex));
    assert_int_equal(rtcp_next(&it, &p), -EINVAL);
    it = rtcp_iter_init(fixture_hex("a0c900010000ff09", hex));
    assert_int_equal(rtcp_next(&it, &p), -EINVAL); /* more padding than packet */
}

static void test_times_go_both_ways(void **state)
{
    static const int64_t walls[] = {
        0, 1, 999999999, 1767225600123456789, 2085978495999999999, 2085978496000000000};
    for (size_t i = 0; i < sizeof(walls) / sizeof(walls[0]); i++) {
        assert_int_equal(rtcp_wall_ns_from_ntp(rtcp_ntp_from_wall_ns(walls[i])), walls[i]);
    }
    assert_int_equal(rtcp_ntp_from_wall_ns(0), 2208988800ULL << 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sender_report_bytes),
        cmocka_unit_test(test_compounds_are_read_back),
        cmocka_unit_test(test_reports_must_fit_their_packet),
        cmocka_unit_test(test_times_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
