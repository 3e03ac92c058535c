/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/buf.h"
#include "base/buf_queue.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static void test_last_unref_returns_the_memory(void **state)
{
    struct buf *b = buf_copy(BYTES_STR("abc"));
    struct buf *second = buf_ref(b);
    assert_int_equal(buf_live_count(), 1);
    assert_int_equal(buf_live_bytes(), 3);
    buf_unref(&b);
    assert_null(b);
    assert_true(bytes_equal_str(buf_view(second), "abc"));
    buf_unref(&second);
    assert_int_equal(buf_live_count(), 0);
    assert_int_equal(buf_live_bytes(), 0);
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 4096; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

static void test_a_file_holds_the_same_bytes(void **state)
{
    unsigned before = open_descriptors();
    struct buf *b = buf_try_new_file(100000);
    assert_non_null(b);
    memset(b->data, 'a', b->len);
    memcpy(b->data + 99997, "end", 3);
    char tail[4];
    assert_int_equal(pread(b->fd, tail, 4, BUF_FILE_OFFSET + 99996), 4);
    assert_memory_equal(tail, "aend", 4);
    assert_int_equal(buf_live_bytes(), 100000);
    assert_int_equal(open_descriptors(), before + 1);
    buf_unref(&b);
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(buf_live_count(), 0);
}

static void test_files_are_bounded(void **state)
{
    static struct buf *all[BUF_FILES_MAX];
    struct rlimit limit;
    unsigned before = open_descriptors();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = MIN(limit.rlim_max, BUF_FILES_MAX + 100);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    unsigned n = 0;
    while (n < BUF_FILES_MAX && (all[n] = buf_try_new_file(10))) {
        n++;
    }
    /* Where the process may not have so many descriptors, that is the bound. */
    assert_true(n == BUF_FILES_MAX || limit.rlim_cur < BUF_FILES_MAX + 100);
    assert_null(buf_try_new_file(10));
    buf_unref(&all[--n]);
    all[n] = buf_try_new_file(10);
    assert_non_null(all[n++]);
    while (n > 0) {
        buf_unref(&all[--n]);
    }
    assert_int_equal(open_descriptors(), before);
}

static void test_a_reader_stops_at_its_end(void **state)
{
    struct rd r = rd_init(BYTES("\x01\x02\x03", 3));
    assert_int_equal(rd_u16be(&r), 0x0102);
    assert_int_equal(rd_u16be(&r), 0);
    assert_true(rd_failed(&r));
    assert_int_equal(rd_u8(&r), 0);
}

static void test_out_grows_and_terminates(void **state)
{
    struct out o = {0};
    for (int i = 0; i < 100; i++) {
        out_printf(&o, "%03d,", i);
    }
    assert_int_equal(o.len, 400);
    assert_string_equal(out_str(&o) + 392, "098,099,");
    out_done(&o);
}

static void test_a_queue_keeps_order_and_place(void **state)
{
    struct buf_queue q = {0};
    struct iovec iov[3];
    char text[8];
    for (int i = 0; i < 5; i++) {
        snprintf(text, sizeof(text), "%d%d", i, i);
        buf_queue_push(&q, buf_from_str(text));
    }
    buf_queue_consume(&q, 3);
    assert_int_equal(buf_live_count(), 4);
    for (int i = 5; i < 12; i++) {
        snprintf(text, sizeof(text), "%c%c", 'a' + i, 'a' + i);
        buf_queue_push(&q, buf_from_str(text));
    }
    assert_int_equal(q.n, 11);
    assert_int_equal(q.bytes, 21);
    assert_int_equal(buf_queue_vectors(&q, iov, 3), 3);
    assert_true(bytes_equal_str(BYTES(iov[0].iov_base, iov[0].iov_len), "1"));
    assert_true(bytes_equal_str(BYTES(iov[1].iov_base, iov[1].iov_len), "22"));
    assert_true(bytes_equal_str(buf_view(buf_queue_at(&q, 10)), "ll"));
    buf_queue_clear(&q);
    assert_int_equal(q.bytes, 0);
    assert_int_equal(buf_live_count(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_unref_returns_the_memory),
        cmocka_unit_test(test_a_file_holds_the_same_bytes),
        cmocka_unit_test(test_files_are_bounded),
        cmocka_unit_test(test_a_reader_stops_at_its_end),
        cmocka_unit_test(test_out_grows_and_terminates),
        cmocka_unit_test(test_a_queue_keeps_order_and_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
