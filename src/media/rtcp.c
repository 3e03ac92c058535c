/* SPDX-License-Identifier: Apache-2.0 */
#include "media/rtcp.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>

#define VERSION     2
#define NTP_OFFSET  2208988800LL /* seconds from 1900 to 1970 */
#define NS_PER_S    1000000000LL
#define SDES_CNAME  1
#define REPORT_SIZE 24
#define FIR_SIZE    8

/* ---- reading ---- */

struct rtcp_iter rtcp_iter_init(struct bytes datagram)
{
    return (struct rtcp_iter){rd_init(datagram)};
}

static struct rtcp_report read_report(struct rd *r)
{
    struct rtcp_report x;
    x.ssrc = rd_u32be(r);
    const uint32_t lost = rd_u32be(r);
    x.fraction_lost = (uint8_t)(lost >> 24);
    x.lost = (int32_t)(lost << 8) >> 8; /* signed: doubled packets count against it */
    x.highest_seq = rd_u32be(r);
    x.jitter = rd_u32be(r);
    x.last_sr = rd_u32be(r);
    x.delay = rd_u32be(r);
    return x;
}

static void read_reports(struct rd *r, struct rtcp_packet *p)
{
    while (p->n_reports < p->count) {
        p->reports[p->n_reports++] = read_report(r);
    }
}

static void read_body(struct rd *r, struct rtcp_packet *p)
{
    switch (p->type) {
    case RTCP_SR:
        p->ssrc = rd_u32be(r);
        p->sender.ntp = rd_u64be(r);
        p->sender.rtp = rd_u32be(r);
        p->sender.packets = rd_u32be(r);
        p->sender.bytes = rd_u32be(r);
        read_reports(r, p);
        break;
    case RTCP_RR:
        p->ssrc = rd_u32be(r);
        read_reports(r, p);
        break;
    case RTCP_RTPFB:
    case RTCP_PSFB:
        p->ssrc = rd_u32be(r);
        p->media_ssrc = rd_u32be(r);
        break;
    case RTCP_APP:
        p->ssrc = rd_u32be(r);
        break;
    case RTCP_SDES:
    case RTCP_BYE:
        /* Both may be without any source. */
        p->ssrc = p->count > 0 ? rd_u32be(r) : 0;
        break;
    default:
        break;
    }
    p->body = rd_bytes(r, rd_left(r));
}

int rtcp_next(struct rtcp_iter *it, struct rtcp_packet *ret)
{
    if (rd_left(&it->r) == 0) {
        return 0;
    }
    const uint8_t first = rd_u8(&it->r);
    *ret = (struct rtcp_packet){.type = rd_u8(&it->r), .count = first & 0x1f};
    struct bytes content = rd_bytes(&it->r, 4u * rd_u16be(&it->r));
    if (rd_failed(&it->r) || first >> 6 != VERSION) {
        return -EINVAL;
    }
    if (first & 0x20) {
        const uint8_t padding = content.len > 0 ? content.data[content.len - 1] : 0;
        if (padding == 0 || padding > content.len) {
            return -EINVAL;
        }
        content.len -= padding;
    }
    struct rd r = rd_init(content);
    read_body(&r, ret);
    return rd_failed(&r) ? -EINVAL : 1;
}

struct bytes rtcp_sdes_cname(const struct rtcp_packet *p)
{
    struct rd r = rd_init(p->type == RTCP_SDES ? p->body : BYTES(NULL, 0));
    while (rd_left(&r) > 0) {
        const uint8_t type = rd_u8(&r);
        if (type == 0) {
            break;
        }
        const struct bytes text = rd_bytes(&r, rd_u8(&r));
        if (type == SDES_CNAME) {
            return text;
        }
    }
    return BYTES(NULL, 0);
}

bool rtcp_wants_key(const struct rtcp_packet *p, uint32_t ssrc)
{
    if (p->type != RTCP_PSFB) {
        return false;
    }
    if (p->count == RTCP_PSFB_PLI) {
        return p->media_ssrc == ssrc;
    }
    struct rd r = rd_init(p->count == RTCP_PSFB_FIR ? p->body : BYTES(NULL, 0));
    while (rd_left(&r) >= FIR_SIZE) {
        if (rd_u32be(&r) == ssrc) {
            return true;
        }
        rd_skip(&r, FIR_SIZE - 4);
    }
    return false;
}

/* ---- time ---- */

uint64_t rtcp_ntp_from_wall_ns(int64_t wall_ns)
{
    int64_t s = wall_ns / NS_PER_S;
    int64_t ns = wall_ns % NS_PER_S;
    if (ns < 0) {
        s--;
        ns += NS_PER_S;
    }
    /* Up, so that the way back gives the same ns. */
    const uint64_t fraction = (((uint64_t)ns << 32) + NS_PER_S - 1) / NS_PER_S;
    return ((uint64_t)(s + NTP_OFFSET) << 32) + fraction;
}

int64_t rtcp_wall_ns_from_ntp(uint64_t ntp)
{
    /* Seconds without the top bit are those of the era that begins in 2036 (RFC 4330 3). */
    int64_t s = (int64_t)(ntp >> 32);
    s += s < 1LL << 31 ? 1LL << 32 : 0;
    const int64_t ns = (int64_t)(((ntp & UINT32_MAX) * NS_PER_S) >> 32);
    return (s - NTP_OFFSET) * NS_PER_S + ns;
}

/* ---- writing ---- */

static void write_head(struct out *out, unsigned count, enum rtcp_type type, size_t bytes)
{
    assert(count <= RTCP_REPORTS_MAX && bytes % 4 == 0);
    out_u8(out, (uint8_t)(VERSION << 6 | count));
    out_u8(out, (uint8_t)type);
    out_u16be(out, (uint16_t)(bytes / 4));
}

static void write_reports(struct out *out, const struct rtcp_report *reports, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct rtcp_report *x = &reports[i];
        const int32_t lost = MIN(MAX(x->lost, -0x800000), 0x7fffff);
        out_u32be(out, x->ssrc);
        out_u32be(out, (uint32_t)x->fraction_lost << 24 | ((uint32_t)lost & 0xffffff));
        out_u32be(out, x->highest_seq);
        out_u32be(out, x->jitter);
        out_u32be(out, x->last_sr);
        out_u32be(out, x->delay);
    }
}

void rtcp_write_sr(struct out *out, uint32_t ssrc, const struct rtcp_sender_info *info,
                   const struct rtcp_report *reports, unsigned n)
{
    write_head(out, n, RTCP_SR, 24 + REPORT_SIZE * (size_t)n);
    out_u32be(out, ssrc);
    out_u64be(out, info->ntp);
    out_u32be(out, info->rtp);
    out_u32be(out, info->packets);
    out_u32be(out, info->bytes);
    write_reports(out, reports, n);
}

void rtcp_write_rr(struct out *out, uint32_t ssrc, const struct rtcp_report *reports, unsigned n)
{
    write_head(out, n, RTCP_RR, 4 + REPORT_SIZE * (size_t)n);
    out_u32be(out, ssrc);
    write_reports(out, reports, n);
}

void rtcp_write_cname(struct out *out, uint32_t ssrc, const char *cname)
{
    const size_t len = MIN(strlen(cname), (size_t)255);
    /* Items end with a zero, and are filled up to 32 bits (6.5). */
    const size_t items = (2 + len + 1 + 3) / 4 * 4;
    write_head(out, 1, RTCP_SDES, 4 + items);
    out_u32be(out, ssrc);
    out_u8(out, SDES_CNAME);
    out_u8(out, (uint8_t)len);
    out_mem(out, cname, len);
    for (size_t i = 2 + len; i < items; i++) {
        out_u8(out, 0);
    }
}

void rtcp_write_bye(struct out *out, uint32_t ssrc)
{
    write_head(out, 1, RTCP_BYE, 4);
    out_u32be(out, ssrc);
}

void rtcp_write_pli(struct out *out, uint32_t ssrc, uint32_t media_ssrc)
{
    write_head(out, RTCP_PSFB_PLI, RTCP_PSFB, 8);
    out_u32be(out, ssrc);
    out_u32be(out, media_ssrc);
}

void rtcp_write_fir(struct out *out, uint32_t ssrc, uint32_t media_ssrc, uint8_t seq)
{
    write_head(out, RTCP_PSFB_FIR, RTCP_PSFB, 8 + FIR_SIZE);
    out_u32be(out, ssrc);
    out_u32be(out, 0);
    out_u32be(out, media_ssrc);
    out_u32be(out, (uint32_t)seq << 24);
}
