/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "rig.h"

static void test_echo(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct end server = {.echo = true};
    struct end client = {0};
    struct listener *li = rig_listen(l, NULL, &server);
    rig_connect(l, listener_port(li), NULL, &client);
    conn_send_bytes(client.c, BYTES_STR("hello "));
    RUN_UNTIL(l, client.opens == 1);
    conn_send_bytes(client.c, BYTES_STR("world"));
    RUN_UNTIL(l, client.in.len == 11);
    assert_true(bytes_equal_str(out_view(&client.in), "hello world"));
    assert_int_equal(conn_queued(client.c), 0);
    assert_int_equal(conn_bytes_out(client.c), 11);
    assert_int_equal(conn_bytes_in(server.c), 11);
    assert_int_equal(server.opens, 0);
    assert_string_equal(conn_peer(server.c)->text, conn_local(client.c)->text);
    assert_string_equal(conn_peer(client.c)->text, conn_local(server.c)->text);
    assert_int_equal(listener_live(li), 1);
    assert_int_equal(listener_accepted(li), 1);
    conn_close(TAKE_PTR(client.c));
    RUN_UNTIL(l, server.closes == 1);
    assert_int_equal(server.close_code, 0);
    end_done(&server);
    end_done(&client);
    assert_int_equal(listener_live(li), 0);
    listener_close(li);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
