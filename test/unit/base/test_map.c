/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/map.h"
#include "base/mem.h"

#include <stdio.h>

static int values[3];

static void test_strings_are_found_replaced_and_removed(void **state)
{
    struct map m = {0};
    char key[] = "a";
    assert_null(map_get(&m, "a"));
    assert_null(map_remove(&m, "a"));
    assert_null(map_set(&m, key, &values[0]));
    key[0] = 'x'; /* the map has its own copy */
    assert_ptr_equal(map_get(&m, "a"), &values[0]);
    assert_ptr_equal(map_set(&m, "a", &values[1]), &values[0]);
    assert_int_equal(m.len, 1);
    assert_null(map_set(&m, "", &values[2]));
    assert_ptr_equal(map_get_bytes(&m, BYTES(NULL, 0)), &values[2]);
    assert_ptr_equal(map_get_bytes(&m, BYTES("abc", 1)), &values[1]);
    assert_null(map_get_bytes(&m, BYTES("abc", 2)));
    assert_ptr_equal(map_remove(&m, "a"), &values[1]);
    assert_null(map_get(&m, "a"));
    assert_int_equal(m.len, 1);
    map_done(&m);
    assert_int_equal(m.len, 0);
}

/* Against a plain array as the oracle, with removals between, so that gaps in long runs are closed rightly. */
static void test_many_keys_come_and_go(void **state)
{
    enum {
        N = 1000
    };
    struct map strings = {0};
    struct map numbers = {0};
    static char there[N];
    unsigned rnd = 1;
    memset(there, 0, sizeof(there));
    for (int i = 0; i < 20000; i++) {
        rnd = rnd * 1103515245 + 12345;
        unsigned k = rnd / 65536 % N;
        char key[16];
        snprintf(key, sizeof(key), "k%u", k);
        if (rnd & 0x40000000) {
            assert_ptr_equal(map_set(&strings, key, &there[k]), there[k] ? &there[k] : NULL);
            assert_ptr_equal(map_set_u64(&numbers, k, &there[k]), there[k] ? &there[k] : NULL);
            there[k] = 1;
        } else {
            assert_ptr_equal(map_remove(&strings, key), there[k] ? &there[k] : NULL);
            assert_ptr_equal(map_remove_u64(&numbers, k), there[k] ? &there[k] : NULL);
            there[k] = 0;
        }
    }
    size_t n = 0;
    for (unsigned k = 0; k < N; k++) {
        char key[16];
        snprintf(key, sizeof(key), "k%u", k);
        n += (size_t)there[k];
        assert_ptr_equal(map_get(&strings, key), there[k] ? &there[k] : NULL);
        assert_ptr_equal(map_get_u64(&numbers, k), there[k] ? &there[k] : NULL);
    }
    assert_int_equal(strings.len, n);
    size_t visited = 0;
    MAP_FOREACH (slot, &numbers) {
        assert_ptr_equal(slot->value, &there[slot->num]);
        visited++;
    }
    assert_int_equal(visited, n);
    MAP_FOREACH (slot, &strings) {
        assert_int_equal(slot->key[0], 'k');
        visited--;
    }
    assert_int_equal(visited, 0);
    map_done(&strings);
    map_done(&numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings_are_found_replaced_and_removed),
        cmocka_unit_test(test_many_keys_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
