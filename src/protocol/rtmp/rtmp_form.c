/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/rtmp_form.h"

#include "base/mem.h"
#include "media/flv.h"
#include "protocol/rtmp/rtmp_command_wire.h"

static struct rtmp_message media_message(enum track_kind kind, uint32_t timestamp,
                                         struct bytes body)
{
    const bool video = kind == TRACK_VIDEO;
    return (struct rtmp_message){
        .type = video ? RTMP_VIDEO : RTMP_AUDIO,
        .csid = video ? RTMP_CSID_VIDEO : RTMP_CSID_AUDIO,
        .stream_id = RTMP_STREAM_ID,
        .timestamp = timestamp,
        .body = body,
    };
}

/* One copy of the payload per stream and sample; readers then write it as it is. */
static struct buf *make_form(const struct sample *s)
{
    if (!s->params || s->payload->len + FLV_HEADER_MAX > RTMP_MESSAGE_MAX - 1) {
        return NULL; /* the length field has 24 bits */
    }
    uint8_t header[FLV_HEADER_MAX];
    const size_t header_len = flv_put_header(header, s);
    const struct rtmp_message m =
        media_message(s->params->kind, flv_timestamp_ms(s->dts_ns), BYTES(header, header_len));
    const size_t body_len = header_len + s->payload->len;
    struct buf *b =
        buf_try_new(rtmp_chunk_wire_len(body_len, m.csid, m.timestamp, RTMP_OUT_CHUNK_SIZE));
    if (b) {
        rtmp_chunk_put(b->data, &m, buf_view(s->payload), RTMP_OUT_CHUNK_SIZE);
    }
    return b;
}

void rtmp_register_forms(void)
{
    form_register(FORM_RTMP, make_form);
}

void rtmp_write_sequence_start(struct out *o, const struct track_params *p, uint32_t timestamp)
{
    struct buf *body = flv_sequence_start(p);
    if (body) {
        const struct rtmp_message m = media_message(p->kind, timestamp, buf_view(body));
        rtmp_chunk_write(o, &m, RTMP_OUT_CHUNK_SIZE);
        buf_unref(&body);
    }
}

void rtmp_put_metadata(struct out *body, const struct track_params *const tracks[TRACK_KIND_N])
{
    const struct track_params *video = tracks[TRACK_VIDEO];
    const struct track_params *audio = tracks[TRACK_AUDIO];
    amf_begin_ecma_array(body, 8);
    amf_put_member_str(body, "encoder", "Mast");
    if (video) {
        amf_put_member_number(body, "width", video->width);
        amf_put_member_number(body, "height", video->height);
        if (video->fps_num && video->fps_den) {
            amf_put_member_number(body, "framerate", (double)video->fps_num / video->fps_den);
        }
        amf_put_member_number(body, "videocodecid", flv_metadata_codec_id(video->codec));
    }
    if (audio) {
        amf_put_member_number(body, "audiosamplerate", audio->sample_rate);
        amf_put_member_number(body, "audiosamplesize", 16);
        amf_put_member_bool(body, "stereo", audio->channels > 1);
        amf_put_member_number(body, "audiochannels", audio->channels);
        amf_put_member_number(body, "audiocodecid", flv_metadata_codec_id(audio->codec));
    }
    amf_end(body);
}

void rtmp_write_metadata(struct out *o, const struct track_params *const tracks[TRACK_KIND_N])
{
    _cleanup_(out_done) struct out body = {0};
    amf_put_str(&body, "onMetaData");
    rtmp_put_metadata(&body, tracks);
    rtmp_write_data(o, RTMP_STREAM_ID, out_view(&body), RTMP_OUT_CHUNK_SIZE);
}
