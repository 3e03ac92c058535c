/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "service/broadcast/broadcast_models.h"
#include "service/broadcast/rtp_ports.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void test_ranges(void **state)
{
    static const struct {
        const char *text;
        unsigned pairs; /* 0: refused */
    } rows[] = {
        {"20000-20999", 500},
        {"20001-20999", 499},
        {"20000-20998", 499},
        {"20001-20998", 498},
        {"1024-65535", 32256},
        {"65534-65535", 1},
        {"20000-20001", 1},
        {"20001-20003", 1},
        {"20001-20002", 0},
        {"20000-20000", 0},
        {"20999-20000", 0},
        {"1000-20000", 0},
        {"20000-65536", 0},
        {"20000-", 0},
        {"-20000", 0},
        {"20000", 0},
        {"", 0},
        {" 20000-20999", 0},
        {"20000 - 20999", 0},
        {"20000-20999 ", 0},
        {"+20000-20999", 0},
        {"20000--20999", 0},
        {"0020000-20999", 0},
        {"a-b", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rtp_port_range range = {0};
        struct error err = {0};
        int r = rtp_port_range_parse(rows[i].text, &range, &err);
        if (r != (rows[i].pairs ? 0 : -EINVAL) || rtp_port_range_pairs(&range) != rows[i].pairs) {
            fail_msg("%s: %d, %u pairs", rows[i].text, r, rtp_port_range_pairs(&range));
        }
        assert_true(r == 0 || err.text[0]);
    }
}

static void test_sets(void **state)
{
    struct rtp_port_set s = {0};
    const struct rtp_port_range range = {20000, 20005};
    rtp_port_set_add(&s, 0);
    rtp_port_set_add(&s, -1);
    rtp_port_set_add(&s, 65536);
    rtp_port_set_add(&s, 20003);
    rtp_port_set_add(&s, 65535);
    assert_true(rtp_port_set_has(&s, 20002));
    assert_true(rtp_port_set_has(&s, 65534));
    assert_false(rtp_port_set_has(&s, 20004));
    assert_false(rtp_port_set_has(&s, 0));
    assert_false(rtp_port_set_has(&s, 65536 + 20003));
    assert_int_equal(rtp_port_set_count(&s, &range), 1);
}

/* "v 20000/20001, a 20002": what a request's tracks come to. */
static void say(const struct janus_mountpoint *m, char *ret, size_t size)
{
    int n = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < m->media.len; i++) {
        const struct janus_track *t = &m->media.items[i];
        n += snprintf(ret + n, size - (size_t)n, "%s%lld", i ? ", " : "", (long long)t->port);
        if (MODEL_HAS(&janus_track_model, t, rtcpport)) {
            n += snprintf(ret + n, size - (size_t)n, "/%lld", (long long)t->rtcpport);
        }
        if (t->simulcast) {
            n += snprintf(ret + n, size - (size_t)n, " %lld %lld", (long long)t->port2,
                          (long long)t->port3);
        }
    }
}

#define V(more) "{\"type\":\"video\",\"codec\":\"vp8\"" more "}"
#define A(more) "{\"type\":\"audio\",\"codec\":\"opus\"" more "}"

static const struct row {
    const char *media, *range;
    const char *used;   /* ports, by commas */
    const char *before; /* the same of the tracks, "/" before the one of RTCP */
    unsigned next;
    const char *says;    /* NULL: there is none */
    unsigned next_after; /* 0: not looked at */
} rows[] = {
    {V(""), "20000-20009", "", "", 0, "20000", 10001},
    {V(",\"port\":0"), "20000-20009", "", "", 0, "20000", 10001},
    {V("") "," A(""), "20000-20009", "", "", 0, "20000, 20002", 10002},
    /* beside it when it is asked for, and left free when it is not */
    {V(",\"rtcpport\":0") "," A(""), "20000-20009", "", "", 0, "20000/20001, 20002", 0},
    {V("") "," A(",\"rtcpport\":0"), "20001-20009", "", "", 0, "20002, 20004/20005", 0},
    {V(",\"simulcast\":true,\"rtcpport\":0"), "20000-20009", "", "", 0, "20000/20001 20002 20004",
     0},
    {V(",\"simulcast\":true,\"port3\":7000"), "20000-20009", "", "", 0, "20000 20002 7000", 0},
    {"{\"type\":\"data\"}", "20000-20009", "", "", 0, "20000", 0},
    /* what the caller names stays, and is not given to another track */
    {V(",\"port\":20000") "," A(""), "20000-20009", "", "", 0, "20000, 20002", 0},
    {V("") "," A(",\"port\":20001"), "20000-20009", "", "", 0, "20002, 20001", 0},
    {V(",\"port\":5004,\"rtcpport\":0"), "20000-20009", "", "", 0, "5004/20001", 0},
    {V(",\"rtcpport\":5005"), "20000-20009", "", "", 0, "20000/5005", 0},
    {V(",\"port\":5004,\"rtcpport\":5005"), "20000-20001", "20000", "", 0, "5004/5005", 0},
    /* used by others: either of a pair */
    {V(""), "20000-20009", "20000", "", 0, "20002", 0},
    {V(""), "20000-20009", "20001,20002", "", 0, "20004", 0},
    {V("") "," A(""), "20000-20005", "20002", "", 0, "20000, 20004", 0},
    /* one after the other, and round */
    {V(""), "20000-20009", "", "", 10003, "20006", 10004},
    {V("") "," A(""), "20000-20009", "", "", 10004, "20008, 20000", 10001},
    {V(""), "20000-20009", "", "", 10005, "20000", 0},
    {V(""), "20000-20009", "", "", 9, "20000", 0},
    /* as before, where that is free */
    {V("") "," A(""), "20000-20009", "", "20006,20004", 10001, "20006, 20004", 10001},
    {V(",\"rtcpport\":0"), "20000-20009", "", "20006/20007", 0, "20006/20007", 0},
    {V("") "," A(""), "20000-20009", "20006", "20006,20004", 0, "20000, 20004", 0},
    {V(""), "20000-20009", "", "30000", 0, "20000", 0},
    /* the end of it */
    {V(""), "20000-20003", "20000,20002", "", 0, NULL, 0},
    {V("") "," A(""), "20000-20003", "20000", "", 0, NULL, 0},
    {V(",\"simulcast\":true"), "20000-20003", "", "", 0, NULL, 0},
    {V(""), "65534-65535", "", "", 0, "65534", 0},
};

static void parse_ports(const char *text, struct rtp_port_set *used, struct endpoint_list *before)
{
    static struct endpoint room[8];
    memset(room, 0, sizeof(room));
    *before = (struct endpoint_list){{room, 0}};
    while (*text) {
        struct endpoint *e = &room[before->items.len++];
        char *end;
        e->port = strtol(text, &end, 10);
        e->rtcp_port = *end == '/' ? strtol(end + 1, &end, 10) : 0;
        rtp_port_set_add(used, e->port);
        text = end + (*end == ',');
    }
}

static void test_choices(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        _cleanup_free_ char *json = mem_printf("{\"media\":[%s]}", row->media);
        struct rtp_port_range range;
        struct rtp_port_set used = {0};
        struct rtp_port_set ignored = {0};
        struct endpoint_list before;
        struct janus_mountpoint m;
        char says[128];
        uint16_t next = (uint16_t)row->next;
        assert_int_equal(rtp_port_range_parse(row->range, &range, NULL), 0);
        assert_int_equal(model_parse_json(&janus_mountpoint_model, &m, BYTES_STR(json), NULL, NULL),
                         0);
        parse_ports(row->used, &used, &before);
        parse_ports(row->before, &ignored, &before);
        int r = rtp_ports_choose(&m, &range, &used, before.items.len ? &before : NULL, &next);
        say(&m, says, sizeof(says));
        if (r != (row->says ? 0 : -ENOSPC) || (row->says && strcmp(says, row->says) != 0) ||
            (row->next_after && next != row->next_after)) {
            fail_msg("row %zu, %s of %s: %d, %s, next %u", i, row->media, row->range, r, says,
                     next);
        }
        model_done(&janus_mountpoint_model, &m);
    }
}

static void test_what_is_wanted(void **state)
{
    static const struct {
        const char *media;
        bool wanted, named;
    } asks[] = {
        {V(""), true, false},
        {V(",\"port\":0,\"rtcpport\":0"), true, false},
        {V(",\"port\":5004"), false, true},
        {V(",\"port\":5004,\"rtcpport\":0"), true, true},
        {V(",\"port\":5004,\"rtcpport\":5005"), false, true},
        {V(",\"port\":5004,\"simulcast\":true"), true, true},
        {V(",\"port\":5004,\"simulcast\":true,\"port2\":1,\"port3\":2"), false, true},
        {V(",\"port\":5004") "," A(""), true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
        _cleanup_free_ char *json = mem_printf("{\"media\":[%s]}", asks[i].media);
        struct janus_mountpoint m;
        assert_int_equal(model_parse_json(&janus_mountpoint_model, &m, BYTES_STR(json), NULL, NULL),
                         0);
        assert_int_equal(rtp_ports_wanted(&m), asks[i].wanted);
        assert_int_equal(rtp_ports_named(&m), asks[i].named);
        m.type = JANUS_MOUNTPOINT_RTSP; /* Janus fetches it itself */
        assert_false(rtp_ports_wanted(&m));
        model_done(&janus_mountpoint_model, &m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_what_is_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
