/* SPDX-License-Identifier: Apache-2.0 */
/* `-progress`: lines of key=value; a line `progress=continue` or `progress=end` completes a report. */
#include "peer/ffmpeg/ffmpeg.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void reset(struct ffmpeg_progress *p)
{
    *p = (struct ffmpeg_progress){.out_time_us = -1,
                                  .frames = -1,
                                  .dropped = -1,
                                  .duplicated = -1,
                                  .bytes = -1,
                                  .fps = -1,
                                  .speed = -1};
}

/* "N/A" stands for what is not known yet. */
static int64_t read_int(const char *text)
{
    char *end;
    long long v = strtoll(text, &end, 10);
    return end == text || v < 0 ? -1 : (int64_t)v;
}

static double read_double(const char *text)
{
    char *end;
    double v = strtod(text, &end);
    return end == text || !(v >= 0 && v < 1e12) ? -1 : v;
}

static bool take_line(struct ffmpeg_progress *p, const char *line)
{
    const char *eq = strchr(line, '=');
    size_t n = eq ? (size_t)(eq - line) : 0;
    const char *value = eq ? eq + 1 : "";
    const struct {
        const char *key;
        int64_t *to;
    } numbers[] = {{"out_time_us", &p->out_time_us},
                   {"frame", &p->frames},
                   {"drop_frames", &p->dropped},
                   {"dup_frames", &p->duplicated},
                   {"total_size", &p->bytes}};
    for (unsigned i = 0; i < ARRAY_LEN(numbers); i++) {
        if (n == strlen(numbers[i].key) && strncmp(line, numbers[i].key, n) == 0) {
            *numbers[i].to = read_int(value);
        }
    }
    if (n == 3 && strncmp(line, "fps", n) == 0) {
        p->fps = read_double(value);
    } else if (n == 5 && strncmp(line, "speed", n) == 0) {
        p->speed = read_double(value);
    }
    bool complete = n == 8 && strncmp(line, "progress", n) == 0;
    p->ended = complete && strncmp(value, "end", 3) == 0;
    return complete;
}

bool ffmpeg_progress_feed(struct ffmpeg_progress_parser *parser, struct bytes *data,
                          struct ffmpeg_progress *p)
{
    if (!parser->begun) {
        reset(&parser->next);
        parser->begun = true;
    }
    while (data->len > 0) {
        char c = (char)data->data[0];
        data->data++;
        data->len--;
        if (c != '\n') {
            parser->skip |= parser->len + 1 == sizeof(parser->line);
            if (!parser->skip) {
                parser->line[parser->len++] = c;
            }
            continue;
        }
        parser->line[parser->len] = '\0';
        bool complete = !parser->skip && take_line(&parser->next, parser->line);
        parser->len = 0;
        parser->skip = false;
        if (complete) {
            *p = parser->next;
            reset(&parser->next);
            return true;
        }
    }
    return false;
}
